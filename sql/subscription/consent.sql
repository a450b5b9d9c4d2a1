-- A receiver's consent to deliveries.

-- Stores a receiver's answer to the handshake: how many deliveries a minute it wants, null for any number, or why it
-- wants none. An answer for a former url or handshake, whose "generation" differs, does not count.
-- Called by the worker, grant_delivery(). Writes: herald_internal.subscription.
create function herald_internal.note_consent(
    subscription_id bigint, rate integer, fault text, generation integer default null
)
    returns void
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
begin
    update herald_internal.subscription s
    set consented_at = case when fault is null then clock_timestamp() end, consent_rate = rate, consent_error = fault
    where s.id = subscription_id and (fault is null or s.consented_at is null)
    and s.generation = coalesce(note_consent.generation, s.generation);
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
    entry constant herald_internal.subscription := herald_internal.find_subscription($1);
begin
    if not entry.options ? 'handshake' then
        raise exception using errcode = 'object_not_in_prerequisite_state',
            message = format('subscription "%s" has no handshake', entry.name),
            detail = 'Nobody has to consent to its deliveries.',
            hint = format('Run: select * from herald.subscribe(%L, handshake => ''{}'');', entry.name);
    end if;
    if $2 not between 1 and 10000000 then
        raise exception using errcode = 'invalid_parameter_value', message = 'rate is out of range',
            detail = format('It is %s; allowed is 1 to 10000000 deliveries a minute.', $2),
            hint = 'Leave it out for any number.';
    end if;
    perform herald_internal.note_consent(entry.id, $2, null);
    return query select s.name, s.consented_at, s.consent_rate
    from herald_internal.subscription s
    where s.id = entry.id;
end
$$;
