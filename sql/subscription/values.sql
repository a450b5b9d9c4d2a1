-- Values of headers, tls and auth, which are not shown: keeps them with the receivers they were given for.

-- Returns the scheme, host and port of a url.
create function herald_internal.origin_of(url text) returns text
    language c immutable strict
    as 'MODULE_PATHNAME', 'origin_of_wrapper';

-- Raises an error if stored values would go to another receiver than they were given for: a role that may change where
-- requests go could send them to itself, and read what it is not shown. "former" and "wanted" are the documents before
-- and after. Superusers read herald.secret anyway.
create function herald_internal.check_values_stay(former jsonb, wanted jsonb) returns void
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
declare
    moves_url constant boolean := herald_internal.origin_of(former ->> 'url')
        <> herald_internal.origin_of(wanted ->> 'url');
    moves_token constant boolean := herald_internal.origin_of(former -> 'auth' ->> 'token_url')
        is distinct from herald_internal.origin_of(wanted -> 'auth' ->> 'token_url');
    kept text;
begin
    if not (moves_url or moves_token) or (select r.rolsuper from pg_roles r where r.oid = herald_internal.caller()) then
        return;
    end if;
    select o.name into kept
    from herald_internal.declared_options() o
    where o.has_secrets and (moves_url or o.name = 'auth')
    and exists (select from jsonb_each_text(wanted -> o.name) m where m.value = '***')
    order by o.position
    limit 1;
    if found then
        raise exception using errcode = 'invalid_parameter_value',
            message = format('the stored values of %s do not go to another host', kept),
            detail = format('%s has another scheme, host or port, and the values are not shown to you.',
                            case when moves_url then 'url' else 'token_url of auth' end),
            hint = format('Give %s again with all its values, or set it to ''{}''.', kept);
    end if;
end
$$;
