-- Changing subscriptions as rows: INSERT is refused, UPDATE is checked, DELETE unsubscribes.

create function herald._write_subscription() returns trigger
    language plpgsql
    security definer
    set search_path = pg_catalog, pg_temp
as $$
declare
    entry herald._subscription;
    changed text;
begin
    if tg_op = 'INSERT' then
        raise exception using
            errcode = 'feature_not_supported',
            message = 'herald.subscription takes no INSERT',
            detail = 'A subscription gets a secret when it is created, which is shown once.',
            hint = format('Run: select * from herald.subscribe(%L, url => %L);', coalesce(new.name, 'name'), coalesce(new.url, 'https://...'));
    elsif tg_op = 'DELETE' then
        perform herald._unsubscribe(old.name);
        return old;
    end if;
    select n.key into changed
    from jsonb_each(to_jsonb(new)) n
    join jsonb_each(to_jsonb(old)) o using (key)
    where n.value is distinct from o.value
    and n.key in ('id', 'state_reason', 'created_at', 'changed_at', 'state_changed_at', 'consented_at', 'consent_rate', 'consent_error')
    limit 1;
    if found then
        raise exception using errcode = 'feature_not_supported', message = format('%s cannot be changed', changed),
            hint = 'Change name, url, types, tenant, headers, tls, options or state.';
    end if;
    select s.* into entry from herald._subscription s where s.id = old.id for update;
    entry.url := new.url;
    entry.types := new.types;
    entry.tenant := new.tenant;
    entry.method := new.method;
    entry.format := new.format;
    entry.template := new.template;
    entry.content_type := new.content_type;
    entry.profile := new.profile;
    entry.shrink := new.shrink;
    entry.compression := new.compression;
    entry.user_agent := new.user_agent;
    entry.signing := new.signing;
    entry.handshake := new.handshake;
    entry.timeout := new.timeout;
    entry.retry_schedule := new.retry_schedule;
    entry.retry_jitter := new.retry_jitter;
    entry.max_attempts := new.max_attempts;
    entry.success := new.success;
    entry.retry_on := new.retry_on;
    entry.timeout_delay := new.timeout_delay;
    entry.retry_duration := new.retry_duration;
    entry.max_backlog := new.max_backlog;
    entry.max_concurrency := new.max_concurrency;
    entry.max_payload := new.max_payload;
    entry.max_age := new.max_age;
    entry.dead_letter_retention := new.dead_letter_retention;
    entry.description := new.description;
    if new.name is distinct from old.name then
        perform herald._check_name_of_tenant(new.name, new.tenant);
        if exists (select from herald._subscription s where s.name = new.name and s.removed_at is null) then
            raise exception using errcode = 'unique_violation', message = format('subscription "%s" exists', new.name),
                hint = 'Choose another name.';
        end if;
        update herald._subscription s set name = new.name where s.id = old.id;
        entry.name := new.name;
    end if;
    perform herald._save_subscription(
        entry, case when new.headers is distinct from old.headers then coalesce(new.headers, '{}') end,
        case when new.tls is distinct from old.tls then coalesce(new.tls, '{}') end,
        case when new.auth is distinct from old.auth then coalesce(new.auth, '{}') end, null, false);
    if new.state is distinct from old.state then
        if new.state = 'active' then
            perform herald._resume(entry.name);
        elsif new.state = 'paused' then
            perform herald._pause(entry.name);
        elsif new.state = 'sandbox' then
            perform herald._set_state(entry, 'sandbox', format('made a sandbox by %s', herald._caller()));
        else
            raise exception using errcode = 'invalid_parameter_value', message = format('state cannot be set to "%s"', new.state),
                detail = 'A subscription is disabled by its receiver.', hint = 'Set it to active, paused or sandbox.';
        end if;
    end if;
    return new;
end
$$;

create trigger write instead of insert or update or delete on herald.subscription
    for each row execute function herald._write_subscription();
