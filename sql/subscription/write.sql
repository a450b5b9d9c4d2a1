-- Changing subscriptions as rows: INSERT is refused, UPDATE is checked, DELETE unsubscribes.

create function herald_internal.write_subscription() returns trigger
    language plpgsql
    security definer
    set search_path = pg_catalog, pg_temp
    set intervalstyle = postgres
as $$
declare
    entry herald_internal.subscription;
    changes jsonb;
    fixed text[];
begin
    if tg_op = 'INSERT' then
        raise exception using
            errcode = 'feature_not_supported',
            message = 'herald.subscription takes no INSERT',
            detail = 'A subscription gets a secret when it is created, which is shown once.',
            hint = format('Run: select * from herald.subscribe(%L, url => %L);',
                          coalesce(new.name, 'name'), coalesce(new.url, 'https://...'));
    elsif tg_op = 'DELETE' then
        perform herald_internal._unsubscribe(old.name);
        return old;
    end if;
    select jsonb_object_agg(n.key, n.value) into changes
    from jsonb_each(to_jsonb(new)) n
    join jsonb_each(to_jsonb(old)) o using (key)
    where n.value is distinct from o.value;
    select array_agg(k order by k) into fixed
    from jsonb_object_keys(changes) k
    where k in ('id', 'state_reason', 'created_at', 'changed_at', 'state_changed_at',
                'consented_at', 'consent_rate', 'consent_error', 'breaker_opened_at');
    if fixed is not null then
        raise exception using errcode = 'feature_not_supported',
            message = format('column "%s" of herald.subscription cannot be changed', fixed[1]),
            detail = format(
                'The UPDATE changes %s. id, state_reason, consent_* and *_at columns are written by pg_herald.',
                array_to_string(fixed, ', ')),
            hint = format('Leave %s out of SET.', array_to_string(fixed, ', '));
    end if;
    -- Another session may have changed other columns since this statement began: only those that it sets are written.
    select s.* into entry from herald_internal.subscription s where s.id = old.id and s.removed_at is null for update;
    if not found then
        return null;
    end if;
    if new.name is null then
        raise exception using errcode = 'null_value_not_allowed', message = 'name of a subscription is null',
            hint = 'Give name a value, or leave it as it is.';
    elsif new.name <> old.name then
        perform herald_internal.check_name_of_tenant(new.name, new.tenant);
        if exists (select from herald_internal.subscription s where s.name = new.name and s.removed_at is null) then
            raise exception using errcode = 'unique_violation', message = format('subscription "%s" exists', new.name),
                hint = 'Choose another name.';
        end if;
        entry.name := new.name;
    end if;
    perform herald_internal.save_subscription(entry, coalesce(changes, '{}') - '{name,state}'::text[], null, false);
    update herald_internal.subscription s set name = entry.name where s.id = entry.id and s.name <> entry.name;
    if new.state is distinct from old.state then
        if new.state = 'active' then
            perform herald_internal.set_going(entry, 'active', null);
        elsif new.state = 'paused' then
            perform herald_internal._pause(entry.name);
        elsif new.state = 'sandbox' then
            perform herald_internal.set_state(entry, 'sandbox',
                                              format('made a sandbox by %s', herald_internal.caller()));
        else
            raise exception using errcode = 'invalid_parameter_value',
                message = format('state cannot be set to "%s"', new.state),
                detail = 'A subscription is disabled by its receiver, or by its breaker.',
                hint = 'Set it to active, paused or sandbox.';
        end if;
    end if;
    return new;
end
$$;

create trigger write instead of insert or update or delete on herald.subscription
    for each row execute function herald_internal.write_subscription();
