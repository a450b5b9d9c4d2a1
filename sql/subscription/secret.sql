-- Secrets: stored sealed if herald.secret_key_file names a key, and opened only by the library, not in SQL.

create function herald_internal.secret_key_id() returns text
    language c volatile
    as 'MODULE_PATHNAME', 'secret_key_id_wrapper';

create function herald_internal.seal_secret(value text, about text) returns text[]
    language c volatile strict
    as 'MODULE_PATHNAME', 'seal_secret_wrapper';

create function herald_internal.reseal_secret(stored text, about text) returns text[]
    language c volatile strict
    as 'MODULE_PATHNAME', 'reseal_secret_wrapper';

-- Whether a stored secret equals this secret.
create function herald_internal.is_secret(stored text, about text, secret text) returns boolean
    language c volatile strict
    as 'MODULE_PATHNAME', 'is_secret_wrapper';

-- Returns what a secret is for, which is sealed with it: the worker builds the same text.
create function herald_internal.about_secret(secret herald.secret) returns text
    language sql immutable
    set search_path = pg_catalog, pg_temp
    return pg_catalog.format('%s/%s/%s', (secret).subscription_id, (secret).kind, lower((secret).name));

-- Seals a new secret. Called by: insert into herald.secret.
create function herald_internal.seal() returns trigger
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
declare
    sealed text[];
begin
    if new.key_id is null then
        sealed := herald_internal.seal_secret(new.value, herald_internal.about_secret(new));
        if sealed is not null then
            new.key_id := sealed[1];
            new.value := sealed[2];
        end if;
    end if;
    return new;
end
$$;

create trigger seal before insert on herald.secret for each row execute function herald_internal.seal();

-- Seals every secret with the first key of herald.secret_key_file, whatever sealed it before. Returns the number
-- sealed.
-- Writes: herald.secret.
create function herald.reencrypt_secrets() returns bigint
    language plpgsql
    security definer
    set search_path = pg_catalog, pg_temp
as $$
declare
    current_key constant text := herald_internal.secret_key_id();
    how_many bigint;
begin
    if current_key is null then
        raise exception using
            errcode = 'object_not_in_prerequisite_state',
            message = 'cannot seal secrets without a key',
            detail = 'herald.secret_key_file is not set.',
            hint = 'Let herald.secret_key_file name a file with a key in each line, the current one first, and reload.';
    end if;
    lock table herald.secret in share row exclusive mode;
    update herald.secret x
    set key_id = n.sealed[1], value = n.sealed[2]
    from (
        select y.ctid as place,
               herald_internal.reseal_secret(coalesce(y.key_id, '') || ':' || y.value,
                                             herald_internal.about_secret(y)) as sealed
        from herald.secret y
        where y.key_id is distinct from current_key
    ) n
    where x.ctid = n.place;
    get diagnostics how_many = row_count;
    return how_many;
end
$$;
