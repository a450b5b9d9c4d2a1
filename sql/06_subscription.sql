-- A subscription's life after subscribe(): held, resumed, ended, signed with another secret.

-- Returns the subscription of this name or id, locked, as it is then: the worker may disable it, and others may change
-- it, at any moment.
-- Called by functions that change its state.
create function herald._take_subscription(subscription text) returns herald._subscription
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
declare
    entry herald._subscription := herald._find_subscription(subscription);
begin
    select s.* into entry from herald._subscription s where s.id = entry.id and s.removed_at is null for update;
    if not found then
        -- It was ended meanwhile: raises the error.
        entry := herald._find_subscription(subscription);
    end if;
    return entry;
end
$$;

-- Changes a subscription's state.
-- Called by apply(), pause(), resume(), by UPDATE of herald.subscription. Writes: herald._subscription.
create function herald._set_state(entry herald._subscription, state text, reason text) returns void
    language sql
    set search_path = pg_catalog, pg_temp
as $$
    update herald._subscription s
    set state = _set_state.state, state_reason = _set_state.reason, state_changed_at = clock_timestamp(),
        is_sandbox = case _set_state.state when 'active' then false when 'sandbox' then true else s.is_sandbox end,
        changed_at = clock_timestamp()
    where s.id = (entry).id;
$$;

-- Resumes a subscription in the state active or sandbox, and redelivers its dead letters since a time. Returns the
-- number of these.
-- Called by resume(), by UPDATE of herald.subscription. Writes: herald._subscription, herald.pending,
-- herald._dead_letter.
create function herald._set_going(entry herald._subscription, state text, redeliver_dead_since timestamptz) returns bigint
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
begin
    perform herald._set_state(entry, state, case state when 'sandbox' then format('resumed as a sandbox by %s', herald._caller()) end);
    if entry.state = 'disabled' then
        raise notice using
            message = format('subscription "%s" missed what happened since %s', entry.name, entry.state_changed_at),
            hint = format('Run: select herald.replay(%L, since => %L, "only" => ''missing'');', entry.name, entry.state_changed_at);
    end if;
    if redeliver_dead_since is null then
        return 0;
    end if;
    return herald._redeliver_dead_letters(entry.name, redeliver_dead_since);
end
$$;

-- Holds a subscription's deliveries until resume(): events are still matched and kept.
create function herald._pause(subscription text)
    returns table (name text, state text, backlog bigint)
    language plpgsql
    security definer
    set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    entry constant herald._subscription := herald._take_subscription($1);
begin
    if entry.state = 'disabled' then
        raise exception using errcode = 'object_not_in_prerequisite_state',
            message = format('subscription "%s" is disabled', entry.name), detail = entry.state_reason,
            hint = format('Run: select * from herald.resume(%L);', entry.name);
    end if;
    perform herald._set_state(entry, 'paused', format('paused by %s', herald._caller()));
    return query select entry.name, 'paused', (select count(*) from herald.pending p where p.subscription_id = entry.id);
end
$$;

-- Resumes a paused or disabled subscription, and with redeliver_dead_since redelivers its dead letters since then. A
-- sandbox stays a sandbox.
create function herald._resume(subscription text, redeliver_dead_since timestamptz default null)
    returns table (name text, state text, backlog bigint, redelivered bigint)
    language plpgsql
    security definer
    set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    entry constant herald._subscription := herald._take_subscription($1);
    wanted_state constant text := case when entry.is_sandbox then 'sandbox' else 'active' end;
    how_many bigint;
begin
    how_many := herald._set_going(entry, wanted_state, $2);
    if wanted_state = 'sandbox' then
        raise notice using message = format('subscription "%s" is a sandbox: nothing is sent', entry.name),
            hint = format('To send, run: update herald.subscription set state = ''active'' where name = %L;', entry.name);
    end if;
    return query select entry.name, wanted_state,
                        (select count(*) from herald.pending p where p.subscription_id = entry.id), how_many;
end
$$;

-- Ends a subscription. Its open deliveries become dead letters; its history stays under its name.
create function herald._unsubscribe(subscription text)
    returns table (name text, buried bigint)
    language plpgsql
    security definer
    set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    entry constant herald._subscription := herald._take_subscription($1);
begin
    update herald._subscription s
    set removed_at = clock_timestamp(), state = 'disabled', state_reason = format('unsubscribed by %s', herald._caller()),
        state_changed_at = clock_timestamp()
    where s.id = entry.id;
    delete from herald.secret x where x.subscription_id = entry.id;
    return query select entry.name, herald._bury_pending(entry.id, 'unsubscribed');
end
$$;

create function herald._check_secret(secret text, signing text) returns void
    language c strict
    as 'MODULE_PATHNAME', 'check_secret_wrapper';

-- Raises an error if ten secrets, the maximum, already sign.
-- Called by subscribe(), rotate_secret().
create function herald._check_room_for_secret(entry herald._subscription) returns void
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
create function herald._signs_once(signing text) returns boolean
    language c strict
    as 'MODULE_PATHNAME', 'signs_once_wrapper';

-- Says that a grace period does not help if requests carry one signature. Says so even if the secret is the same, which
-- nobody may learn.
-- Called by subscribe(), rotate_secret().
create function herald._note_lone_signature(entry herald._subscription) returns void
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
begin
    if herald._signs_once((herald._options_of(entry) -> 'signing')::text)
        and exists (select from herald.secret x where x.subscription_id = entry.id and x.kind = 'signing')
    then
        raise notice using
            message = format('requests to subscription "%s" are signed with the new secret alone from now on', entry.name),
            detail = 'Its signing has room for one signature, so a grace period does not help: a receiver that knows only '
                     'the former secret refuses them.',
            hint = format('Next time let the receiver accept both secrets first, and then run: '
                          'select herald.rotate_secret(%L, secret => ''...'');', entry.name);
    end if;
end
$$;

-- Stores a receiver's answer to the handshake: how many deliveries a minute it wants, null for any number, or why it
-- wants none. An answer for a former url or handshake, whose "generation" differs, does not count.
-- Called by the worker, grant_delivery(). Writes: herald._subscription.
create function herald._note_consent(subscription_id bigint, rate integer, fault text, generation integer default null) returns void
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
begin
    update herald._subscription s
    set consented_at = case when fault is null then clock_timestamp() end, consent_rate = rate, consent_error = fault
    where s.id = subscription_id and (fault is null or s.consented_at is null)
    and s.generation = coalesce(_note_consent.generation, s.generation);
end
$$;

-- Records the receiver's consent, given elsewhere, to "rate" deliveries a minute.
create function herald.grant_delivery(subscription text, rate integer default null)
    returns table (name text, consented_at timestamptz, consent_rate integer)
    language plpgsql
    security definer
    set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    entry constant herald._subscription := herald._find_subscription($1);
begin
    if not entry.options ? 'handshake' then
        raise exception using errcode = 'object_not_in_prerequisite_state',
            message = format('subscription "%s" has no handshake', entry.name), detail = 'Nobody has to consent to its deliveries.',
            hint = format('Run: select * from herald.subscribe(%L, handshake => ''{}'');', entry.name);
    end if;
    if $2 not between 1 and 10000000 then
        raise exception using errcode = 'invalid_parameter_value', message = 'rate is out of range',
            detail = format('It is %s; allowed is 1 to 10000000 deliveries a minute.', $2),
            hint = 'Leave it out for any number.';
    end if;
    perform herald._note_consent(entry.id, $2, null);
    return query select s.name, s.consented_at, s.consent_rate from herald._subscription s where s.id = entry.id;
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
        raise exception using errcode = 'invalid_parameter_value', message = format('there is no kind of secret %L', kind),
            hint = 'Use v1 (whsec_..., symmetric) or v1a (whsk_..., ed25519).';
    end if;
    return herald._generate_secret(coalesce(kind, 'v1'));
end
$$;

create function herald._public_key_of(stored text, about text) returns text
    language c volatile strict
    as 'MODULE_PATHNAME', 'public_key_of_wrapper';

-- Returns the key that verifies v1a signatures, whpk_...; null if the newest secret is symmetric.
create function herald._public_key(subscription text) returns text
    language plpgsql
    security definer
    set search_path = pg_catalog, pg_temp
as $$
declare
    entry constant herald._subscription := herald._find_subscription(subscription);
begin
    return (
        select herald._public_key_of(concat(x.key_id, ':', x.value), herald._about_secret(x))
        from herald.secret x
        where x.subscription_id = entry.id and x.kind = 'signing'
        order by x.expires_at is not null, x.created_at desc
        limit 1);
end
$$;

-- Puts a new signing secret in front. Until "grace" is over, requests also carry signatures of the old ones.
-- Returns the new secret, which is shown here and never again.
create function herald._rotate_secret(subscription text, secret text default null, grace interval default '24 hours')
    returns text
    language plpgsql
    security definer
    set search_path = pg_catalog, pg_temp
as $$
declare
    entry constant herald._subscription := herald._find_subscription(subscription);
    new_secret constant text := coalesce(secret, herald._generate_secret());
    wanted_grace constant interval := coalesce(grace, '24 hours');
begin
    perform herald._check_span('grace', grace, '0', '1 year', 'Use grace => ''0'' to stop signing with the old secret at once.');
    perform herald._check_secret(new_secret, (herald._options_of(entry) -> 'signing')::text);
    if wanted_grace > interval '0' then
        perform herald._check_room_for_secret(entry);
        perform herald._note_lone_signature(entry);
    end if;
    perform herald._replace_secret(entry.id, new_secret, wanted_grace);
    return new_secret;
end
$$;
