-- How far the log was read, and waiting for deliveries.

-- Returns how far the log was read: the end of the longest run of closed windows.
-- Called by wait(), why(), doctor(), is_event_slot_over(). Reads: herald_internal.window.
create function herald_internal.cursor(out snapshot pg_snapshot, out seq bigint)
    language sql stable
    set search_path = pg_catalog, pg_temp
as $$
    with opened as (
        select w.number, w.from_snapshot, w.to_snapshot, w.next_floor_seq, w.floor_seq,
               exists (select from herald_internal.window c where c.slot = w.slot and c.number = w.number
                       and c.origin = w.origin and c.state = 'closed') as is_closed
        from herald_internal.window w
        where w.state = 'open' and w.origin = herald_internal.origin()
    ), first_open as (
        select o.* from opened o where not o.is_closed order by o.number limit 1
    ), last_closed as (
        select o.* from opened o order by o.number desc limit 1
    )
    select coalesce((select f.from_snapshot from first_open f), (select l.to_snapshot from last_closed l)),
           coalesce((select f.floor_seq from first_open f), (select l.next_floor_seq from last_closed l))
$$;

-- Whether a pending delivery of an event, or of any event if null, may end by a time: its subscription is not held, and
-- neither its next attempt nor the end of its receiver's wish to be spared is later. One that follows others of its key
-- may end if the first of these may.
-- Called by wait(). Reads: herald.pending.
create function herald_internal.may_end(event_seq bigint, until timestamptz) returns boolean
    language sql stable
    set search_path = pg_catalog, pg_temp
as $$
    select exists (
        select from herald_internal.subscription s
        -- Pending deliveries of a disabled subscription are buried.
        where s.state <> 'paused'
        and exists (
            select from herald.pending p
            where p.subscription_id = s.id
            and (p.next_attempt_at <= until or p.deliver_at <= until or s.state = 'disabled'
                or p.next_attempt_at = 'infinity' and not exists (
                    select from herald_internal.blocking_letter b
                    where b.subscription_id = p.subscription_id and b.order_key = p.order_key
                    and (b.order_at, b.event_seq) < (p.order_at, p.event_seq))
                and (
                    select q.next_attempt_at <= until or q.next_attempt_at = 'infinity'
                    from herald.pending q
                    where q.subscription_id = p.subscription_id and q.order_key = p.order_key
                    order by q.order_at, q.event_seq
                    limit 1))
            and ($1 is null or p.event_seq = $1))
        and (s.state = 'disabled'
            or not exists (select from herald.pending r where r.subscription_id = s.id and r.spare_until > until)))
$$;

-- Waits until an event, or every event committed so far, is delivered or dead everywhere. Returns whether it is, as
-- soon as it is or no remaining delivery can end in time. Meant for tests and deployments.
create function herald.wait(event_id text default null, timeout interval default '30 s')
    returns boolean
    language plpgsql
    security definer
    set search_path = pg_catalog, pg_temp
as $$
declare
    until timestamptz;
    start constant pg_snapshot := pg_current_snapshot();
    event herald.event;
    at_cursor record;
    is_read boolean;
    is_pending boolean;
    may_end boolean;
begin
    if pg_is_in_recovery() then
        raise exception using errcode = 'read_only_sql_transaction',
            message = 'cannot execute herald.wait() during recovery',
            detail = 'This server is a standby, on which nothing is delivered.',
            hint = 'Call it on the primary.';
    end if;
    perform herald_internal.check_span('timeout', timeout, '0', '1 day', 'Leave it out for 30 s.');
    until := clock_timestamp() + coalesce(timeout, '30 s');
    if current_setting('transaction_isolation') <> 'read committed' then
        raise exception using errcode = 'invalid_transaction_state',
            message = 'wait() cannot see progress in this transaction',
            detail = format('Its isolation level is %s.', current_setting('transaction_isolation')),
            hint = 'Call it in a transaction of the level read committed.';
    end if;
    if event_id is not null then
        event := herald_internal.find_event(event_id);
        if event.xid = pg_current_xact_id_if_assigned() then
            raise exception using errcode = 'invalid_transaction_state',
                message = 'wait() cannot wait for an event of its own transaction',
                hint = 'Commit first.';
        end if;
    end if;
    loop
        select c.* into at_cursor from herald_internal.cursor() c;
        -- One statement: no remaining delivery moves between two looks.
        select w.is_read, w.is_pending, w.is_pending and herald_internal.may_end(event.seq, until)
        into is_read, is_pending, may_end
        from (
            select
                case when event_id is not null then
                    pg_visible_in_snapshot(event.xid, at_cursor.snapshot) or event.origin <> herald_internal.origin()
                    or not exists (select from herald_internal.subscription s where herald_internal.is_for(s, event))
                else
                    not exists (
                        select from herald.event e
                        where e.seq > at_cursor.seq and e.origin = herald_internal.origin()
                        and pg_visible_in_snapshot(e.xid, start)
                        and not pg_visible_in_snapshot(e.xid, at_cursor.snapshot)
                        and exists (select from herald_internal.subscription s where herald_internal.is_for(s, e)))
                end as is_read,
                exists (select from herald.pending p where event_id is null or p.event_seq = event.seq) as is_pending
        ) w;
        if is_read and not is_pending then
            return true;
        end if;
        if clock_timestamp() >= until or is_read and not may_end then
            return false;
        end if;
        perform pg_sleep(0.005);
    end loop;
end
$$;
