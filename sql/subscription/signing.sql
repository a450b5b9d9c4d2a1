-- Signing secrets: made, shown as public keys, rotated.

create function herald_internal.check_secret(secret text, signing text) returns void
    language c strict
    as 'MODULE_PATHNAME', 'check_secret_wrapper';

-- Raises an error if ten secrets, the maximum, already sign.
-- Called by subscribe(), rotate_secret().
create function herald_internal.check_room_for_secret(entry herald_internal.subscription) returns void
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
begin
    if (select count(*) from herald.secret x
        where x.subscription_id = entry.id and x.kind = 'signing'
        and (x.expires_at is null or x.expires_at > clock_timestamp())) >= 10
    then
        raise exception using errcode = 'program_limit_exceeded',
            message = format('subscription "%s" has 10 secrets already', entry.name),
            hint = 'Wait until a grace period is over, or use herald.rotate_secret() with grace => ''0''.';
    end if;
end
$$;

-- Whether requests with this signature carry only one, of the newest secret.
create function herald_internal.signs_once(signing text) returns boolean
    language c strict
    as 'MODULE_PATHNAME', 'signs_once_wrapper';

-- Says that a grace period does not help if requests carry one signature. Says so even if the secret is the same, which
-- nobody may learn.
-- Called by subscribe(), rotate_secret().
create function herald_internal.note_lone_signature(entry herald_internal.subscription) returns void
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
begin
    if herald_internal.signs_once((herald_internal.options_of(entry) -> 'signing')::text)
        and exists (select from herald.secret x where x.subscription_id = entry.id and x.kind = 'signing')
    then
        raise notice using
            message = format('requests to subscription "%s" are signed with the new secret alone from now on',
                             entry.name),
            detail = 'Its signing has room for one signature, so a grace period does not help: '
                     'a receiver that knows only the former secret refuses them.',
            hint = format('Next time let the receiver accept both secrets first, and then run: '
                          'select herald.rotate_secret(%L, secret => ''...'');', entry.name);
    end if;
end
$$;

-- Returns a fresh secret for subscribe() or rotate_secret(): v1 is symmetric, v1a the private key of a pair (ed25519).
create function herald.generate_secret(kind text default 'v1') returns text
    language plpgsql
    security definer
    set search_path = pg_catalog, pg_temp
as $$
begin
    if kind not in ('v1', 'v1a') then
        raise exception using errcode = 'invalid_parameter_value',
            message = format('there is no kind of secret %L', kind),
            hint = 'Use v1 (whsec_..., symmetric) or v1a (whsk_..., ed25519).';
    end if;
    return herald_internal.generate_secret(coalesce(kind, 'v1'));
end
$$;

create function herald_internal.public_key_of(stored text, about text) returns text
    language c volatile strict
    as 'MODULE_PATHNAME', 'public_key_of_wrapper';

-- Returns the key that verifies v1a signatures, whpk_...; null if the newest secret is symmetric.
create function herald_internal._public_key(subscription text) returns text
    language plpgsql
    security definer
    set search_path = pg_catalog, pg_temp
as $$
declare
    entry constant herald_internal.subscription := herald_internal.find_subscription(subscription);
begin
    return (
        select herald_internal.public_key_of(concat(x.key_id, ':', x.value), herald_internal.about_secret(x))
        from herald.secret x
        where x.subscription_id = entry.id and x.kind = 'signing'
        order by x.expires_at is not null, x.created_at desc
        limit 1);
end
$$;

-- Puts a new signing secret in front. Until "grace" is over, requests also carry signatures of the old ones.
-- Returns the new secret, which is shown here and never again.
create function herald_internal._rotate_secret(
    subscription text, secret text default null, grace interval default '24 hours'
)
    returns text
    language plpgsql
    security definer
    set search_path = pg_catalog, pg_temp
as $$
declare
    entry constant herald_internal.subscription := herald_internal.find_subscription(subscription);
    new_secret constant text := coalesce(secret, herald_internal.generate_secret());
    wanted_grace constant interval := coalesce(grace, '24 hours');
begin
    perform herald_internal.check_span('grace', grace, '0', '1 year',
                                       'Use grace => ''0'' to stop signing with the old secret at once.');
    perform herald_internal.check_secret(new_secret, (herald_internal.options_of(entry) -> 'signing')::text);
    if wanted_grace > interval '0' then
        perform herald_internal.check_room_for_secret(entry);
        perform herald_internal.note_lone_signature(entry);
    end if;
    perform herald_internal.replace_secret(entry.id, new_secret, wanted_grace);
    return new_secret;
end
$$;
