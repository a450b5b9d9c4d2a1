-- How the worker keeps its memory up to date: it loads what changed, and nothing else.

-- One row per committed change of what the worker keeps in memory. The worker loads the change when it sees a row that
-- its loaded snapshot does not show, and deletes the rows that the snapshot shows: this is exact, and writers do not
-- wait for each other.
create table herald_internal.config_change (
    xid xid8 not null default pg_current_xact_id(),
    kind text not null check (kind in ('subscription', 'pending', 'tenant')),
    -- Null stands for all of them.
    subscription_id bigint
);

create function herald_internal.wake_at_commit() returns void
    language c
    as 'MODULE_PATHNAME', 'wake_at_commit_wrapper';

-- Tells the worker to look again at a subscription, at its pending deliveries, or at the plans of tenants.
-- Called by everything that changes them. Writes: herald_internal.config_change.
create function herald_internal.changed(kind text, subscription_id bigint default null) returns void
    language sql
    set search_path = pg_catalog, pg_temp
as $$
    insert into herald_internal.config_change (kind, subscription_id) values ($1, $2);
    select herald_internal.wake_at_commit();
$$;

-- Does the same for all subscriptions that a statement changed, as its transition table lists them.
-- Called by triggers. Writes: herald_internal.config_change.
create function herald_internal.note_changes() returns trigger
    language plpgsql
    security definer
    set search_path = pg_catalog, pg_temp
as $$
begin
    -- The two tables name the id differently.
    if tg_table_name = 'subscription' then
        insert into herald_internal.config_change (kind, subscription_id)
        select distinct 'subscription', c.id from changed c;
    else
        insert into herald_internal.config_change (kind, subscription_id)
        select distinct 'subscription', c.subscription_id from changed c;
    end if;
    if found then
        perform herald_internal.wake_at_commit();
    end if;
    return null;
end
$$;

-- Notes which transaction disables a subscription: events visible before that are still for it.
-- Its breaker begins anew when it is resumed.
-- Called by a trigger. Writes: herald_internal.subscription, herald_internal.breaker.
create function herald_internal.note_end() returns trigger
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
begin
    new.disabled_xid := case when new.state = 'disabled' then coalesce(old.disabled_xid, pg_current_xact_id()) end;
    if new.state in ('disabled', 'sandbox') then
        delete from herald_internal.breaker b where b.subscription_id = new.id;
    end if;
    return new;
end
$$;

create trigger note_end before update of state on herald_internal.subscription
    for each row execute function herald_internal.note_end();
create trigger note_inserted after insert on herald_internal.subscription
    referencing new table as changed for each statement execute function herald_internal.note_changes();
create trigger note_updated after update on herald_internal.subscription
    referencing new table as changed for each statement execute function herald_internal.note_changes();
create trigger note_deleted after delete on herald_internal.subscription
    referencing old table as changed for each statement execute function herald_internal.note_changes();
create trigger note_inserted after insert on herald.secret
    referencing new table as changed for each statement execute function herald_internal.note_changes();
create trigger note_updated after update on herald.secret
    referencing new table as changed for each statement execute function herald_internal.note_changes();
create trigger note_deleted after delete on herald.secret
    referencing old table as changed for each statement execute function herald_internal.note_changes();
