-- A round of housekeeping: everything that has a retention.

-- Deletes what subscriptions matched before changes that every open window and all later ones show.
-- Called by keep_house(). Writes: herald_internal.former_match.
create function herald_internal.forget_former_matches(most integer) returns bigint
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
declare
    deleted bigint;
begin
    if not exists (select from herald_internal.former_match) then
        return 0;
    end if;
    delete from herald_internal.former_match f
    where f.id = any (array(
        select o.id
        from herald_internal.former_match o
        where o.until_xid < (
            select min(pg_snapshot_xmin(w.to_snapshot))
            from herald_internal.window w
            where w.state = 'open' and w.origin = herald_internal.origin()
            and (w.number = (select max(l.number) from herald_internal.window l where l.state = 'open')
                or not exists (
                    select from herald_internal.window c
                    where c.slot = w.slot and c.number = w.number and c.origin = w.origin and c.state = 'closed')))
        order by o.id
        limit most
        for update skip locked));
    get diagnostics deleted = row_count;
    return deleted;
end
$$;

-- Does a round of housekeeping, or as many of its parts as fit into "within", starting with "first_part". Returns the
-- period of the slots, whether more can be done at once, the held event up to which it looked for some to release, if
-- it did, and the part to continue with: 0 at the end of the round.
-- Called by the worker. Writes: everything that has a retention.
create function herald_internal.keep_house(
    release_after bigint, first_part integer default 0, within interval default null,
    out period_micros bigint, out has_more boolean, out released_to bigint, out next_part integer
)
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
declare
    -- An index can be searched with a variable. With clock_timestamp(), which may change, every row would be read.
    began_at constant timestamptz := clock_timestamp();
    retention constant interval := current_setting('herald.retention')::interval;
    -- The last event of a slot reaches the retention 30 periods after the slot's first: with 32 slots, two periods
    -- remain to empty it before it is written again.
    slot_period constant interval := greatest(retention / 29, interval '1 second');
    most constant integer := 1000;
    audit_retention constant interval := '400 days';
    current_slot constant integer :=
        floor(extract(epoch from clock_timestamp()) * 1000000 / herald_internal.micros(slot_period))::bigint % 32;
    -- Parts before those of the slots. Each slot has a part, except the slot being written.
    before_slots constant integer := 6;
    last_part constant integer := before_slots + 30;
    slot smallint;
    deleted bigint := 0;
begin
    has_more := false;
    period_micros := herald_internal.micros(slot_period);
    for part in first_part..last_part loop
        case part
        when 0 then
            update herald_internal.ring r
            set period = slot_period, changed_at = clock_timestamp()
            where r.period <> slot_period;
            delete from herald_internal.dead_letter d
            where d.ctid = any (array(
                select l.ctid from herald_internal.dead_letter l
                where l.expires_at < began_at
                order by l.expires_at limit most
                for update skip locked));
            get diagnostics deleted = row_count;
            has_more := has_more or deleted = most;
        when 1 then
            delete from herald_internal.emitted e
            where e.ctid = any (array(
                select m.ctid from herald_internal.emitted m where m.at < began_at - retention order by m.at limit most
                for update skip locked));
            get diagnostics deleted = row_count;
            has_more := has_more or deleted = most;
            delete from herald_internal.uptime u
            where u.ctid = any (array(
                select o.ctid from herald_internal.uptime o where o.hour < began_at - interval '31 days'
                order by o.hour limit most for update skip locked));
            get diagnostics deleted = row_count;
            has_more := has_more or deleted = most;
            delete from herald_internal.cancelled c
            where c.ctid = any (array(
                -- By then, the log does not have the event any longer.
                select o.ctid from herald_internal.cancelled o where o.deliver_at < began_at - 2 * retention
                order by o.deliver_at limit most for update skip locked));
            get diagnostics deleted = row_count;
            has_more := has_more or deleted = most;
        when 2 then
            select r.last_seq, r.deleted into released_to, deleted
            from herald_internal.release_events(release_after, most) r;
            has_more := has_more or (deleted > 0 and released_to > 0);
        when 3 then
            delete from herald.secret x
            where x.ctid = any (array(
                select o.ctid from herald.secret o where o.expires_at < began_at limit most for update skip locked));
            get diagnostics deleted = row_count;
            has_more := has_more or deleted = most;
            -- An ended subscription is kept for the names of its attempts and dead letters. Attempts are kept at most a
            -- slot longer than the retention.
            delete from herald_internal.subscription s
            where s.id = any (array(
                select r.id from herald_internal.subscription r
                where r.removed_at < began_at - retention - 2 * slot_period
                and not exists (select from herald_internal.dead_letter d where d.subscription_id = r.id)
                and not exists (select from herald.pending p where p.subscription_id = r.id)
                order by r.removed_at limit most
                for update skip locked));
            get diagnostics deleted = row_count;
            has_more := has_more or deleted = most;
        when 4 then
            delete from herald.audit a
            where a.ctid = any (array(
                select o.ctid from herald.audit o where o.at < began_at - audit_retention order by o.at limit most
                for update skip locked));
            get diagnostics deleted = row_count;
            has_more := has_more or deleted = most;
            deleted := herald_internal.forget_former_matches(most);
            has_more := has_more or deleted = most;
            perform herald_internal.note_role_names();
        when 5 then
            for slot in 0..3 loop
                perform herald_internal.empty_window_slot(slot::smallint);
            end loop;
        else
            slot := (current_slot + part - before_slots + 1) % 32;
            if herald_internal.empty_slot(slot, retention, most) then
                -- One slot at a time.
                has_more := true;
                exit;
            end if;
        end case;
        if clock_timestamp() - began_at > within and part < last_part then
            next_part := part + 1;
            return;
        end if;
    end loop;
    next_part := 0;
end
$$;
