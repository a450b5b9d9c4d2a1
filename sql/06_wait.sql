-- How far the log was read, and waiting until it was delivered.

-- Where the log was read to: the end of the longest run of closed windows.
-- Called by wait(), why(), doctor(). Reads: herald.window.
create function herald._cursor(out snapshot pg_snapshot, out seq bigint)
    language sql stable
    set search_path = pg_catalog, pg_temp
as $$
    with opened as (
        select w.number, w.from_snapshot, w.to_snapshot, w.next_floor_seq, w.floor_seq,
               exists (select from herald.window c where c.slot = w.slot and c.number = w.number
                       and c.origin = w.origin and c.state = 'closed') as is_closed
        from herald.window w
        where w.state = 'open' and w.origin = herald._origin()
    ), first_open as (
        select o.* from opened o where not o.is_closed order by o.number limit 1
    ), last_closed as (
        select o.* from opened o order by o.number desc limit 1
    )
    select coalesce((select f.from_snapshot from first_open f), (select l.to_snapshot from last_closed l)),
           coalesce((select f.floor_seq from first_open f), (select l.next_floor_seq from last_closed l))
$$;

-- Waits until an event, or every event committed so far, is delivered or dead everywhere. Returns whether it is.
-- Meant for tests and deployments.
create function herald.wait(event_id text default null, timeout interval default '30 s')
    returns boolean
    language plpgsql
    security definer
    set search_path = pg_catalog, pg_temp
as $$
declare
    until constant timestamptz := clock_timestamp() + timeout;
    start constant pg_snapshot := pg_current_snapshot();
    event herald.event;
    at_cursor record;
    is_done boolean;
begin
    if current_setting('transaction_isolation') <> 'read committed' then
        raise exception using errcode = 'invalid_transaction_state',
            message = 'wait() cannot see progress in this transaction',
            detail = format('Its isolation level is %s.', current_setting('transaction_isolation')),
            hint = 'Call it in a transaction of the level read committed.';
    end if;
    if event_id is not null then
        event := herald._find_event(event_id);
        if event.xid = pg_current_xact_id_if_assigned() then
            raise exception using errcode = 'invalid_transaction_state',
                message = 'wait() cannot wait for an event of its own transaction',
                hint = 'Commit first.';
        end if;
    end if;
    loop
        select c.* into at_cursor from herald._cursor() c;
        if event_id is not null then
            is_done := (pg_visible_in_snapshot(event.xid, at_cursor.snapshot) or event.origin <> herald._origin()
                        or not exists (select from herald._subscription s where herald._is_for(s, event)))
                and not exists (select from herald.pending p where p.event_seq = event.seq);
        else
            is_done := not exists (select from herald.pending)
                and not exists (
                    select from herald.event e
                    where e.seq > at_cursor.seq and e.origin = herald._origin()
                    and pg_visible_in_snapshot(e.xid, start) and not pg_visible_in_snapshot(e.xid, at_cursor.snapshot)
                    and exists (select from herald._subscription s where herald._is_for(s, e)));
        end if;
        if is_done then
            return true;
        end if;
        if clock_timestamp() >= until then
            return false;
        end if;
        perform pg_sleep(0.005);
    end loop;
end
$$;
