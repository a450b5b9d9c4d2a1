-- Values of headers, tls and auth, which are not shown: whom they go to.

-- The scheme, host and port of a url.
create function herald._origin_of(url text) returns text
    language c immutable strict
    as 'MODULE_PATHNAME', 'origin_of_wrapper';

-- Raises an error if values that are stored would go to somebody else than they were given for: whoever may change where
-- requests go could have them sent to itself, and read what it is not shown. "headers", "tls" and "auth" null leave them as
-- they are. Superusers read herald.secret anyway.
create function herald._check_values_stay(entry herald._subscription, headers jsonb, tls jsonb, auth jsonb) returns void
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
declare
    former herald._subscription;
    moves_url boolean;
    moves_token boolean;
    kept text;
begin
    if (select r.rolsuper from pg_roles r where r.oid = herald._caller()) then
        return;
    end if;
    select s.* into former from herald._subscription s where s.id = entry.id;
    moves_url := herald._origin_of(former.url) <> herald._origin_of(entry.url);
    moves_token := herald._origin_of(former.auth ->> 'token_url')
        is distinct from herald._origin_of(coalesce(auth, former.auth) ->> 'token_url');
    if not (moves_url or moves_token) then
        return;
    end if;
    select o.name into kept
    from (values
        (1, 'headers', former.header_names <> '{}' and moves_url
            and (headers is null or exists (select from jsonb_each_text(headers) h where h.value = '***'))),
        (2, 'tls', former.tls_names <> '{}' and moves_url
            and (tls is null or exists (select from jsonb_each_text(tls) t where t.value = '***'))),
        (3, 'auth', exists (select from jsonb_each_text(coalesce(auth, former.auth)) a where a.value = '***'))
    ) as o (position, name, is_kept)
    where o.is_kept
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
