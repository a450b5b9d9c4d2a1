-- Subscriptions as a declared document.

-- Whether a subscription has values for exactly those members of this option that are secrets.
-- Called by apply().
create function herald_internal.has_values_of(subscription_id bigint, option text, members jsonb) returns boolean
    language sql
    set search_path = pg_catalog, pg_temp
    return not exists (
        select
        from (
            select x.name from herald.secret x
            where x.subscription_id = $1 and x.kind = option
        ) x
        full join (
            select m.name from jsonb_object_keys(members) m (name)
            where herald_internal.is_secret_member(option, m.name)
        ) g on g.name = x.name
        where x.name is null or g.name is null);

-- Whether any of these is a value, as opposed to ***, which keeps the subscription's value.
create function herald_internal.gives_values(option text, members jsonb) returns boolean
    language sql immutable
    set search_path = pg_catalog, pg_temp
    return exists (
        select
        from jsonb_each_text(members) m
        where m.value <> '***' and herald_internal.is_secret_member(option, m.key));

-- Raises an error if a declaration is too long, or its state cannot be declared.
-- Called by apply().
create function herald_internal.check_declaration(declared jsonb) returns void
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
begin
    perform herald_internal.check_sizes('{}', declared, null);
    if declared ->> 'state' not in ('active', 'paused', 'sandbox') then
        raise exception using errcode = 'invalid_parameter_value',
            message = format('state cannot be declared "%s"', declared ->> 'state'),
            hint = 'Its state is active, paused or sandbox.';
    end if;
end
$$;

-- Makes one subscription match its declaration. Omitted options get their defaults, but the secret stays.
-- Called by apply(). Writes what subscribe() writes.
create function herald_internal.apply_one(
    declared jsonb, out action text, out changes jsonb, out not_compared jsonb, out secret text
)
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    entry herald_internal.subscription;
    given jsonb := herald_internal.given(herald_internal.typed_options(declared - '{name,secret,state}'::text[]));
    former jsonb;
    wanted jsonb;
    written jsonb;
begin
    perform herald_internal.lock('subscription ' || (declared ->> 'name'));
    select s.* into entry
    from herald_internal.subscription s
    where s.name = declared ->> 'name' and s.removed_at is null
    for update;
    if not found then
        action := 'created';
        entry.id := nextval('herald_internal.subscription_id_seq');
        entry.name := declared ->> 'name';
        given := jsonb_build_object('tenant', herald_internal.tenant_of_name(entry.name)) || given;
        perform herald_internal.save_subscription(entry, given, declared ->> 'secret', true);
        secret := coalesce(declared ->> 'secret', herald_internal.generate_secret());
        insert into herald.secret (subscription_id, kind, value) values (entry.id, 'signing', secret);
    else
        given := herald_internal.default_options() - 'tenant' || given;
        former := herald_internal.options_of(entry);
        wanted := herald_internal.masked_options(herald_internal.merge_options(former::text, given::text)::jsonb);
        select jsonb_object_agg(o.name,
                                case when o.has_secrets then '"***"' else coalesce(wanted -> o.name, 'null') end)
        into changes
        from herald_internal.declared_options() o
        where o.is_option
        and (wanted -> o.name is distinct from former -> o.name
            or o.has_secrets and not herald_internal.has_values_of(entry.id, o.name, wanted -> o.name));
        action := case when changes is null then 'unchanged' else 'changed' end;
        -- Values are not compared with the stored ones but written each time: callers are not shown them, and could
        -- guess them from the reported changes.
        select jsonb_object_agg(o.name, 'not compared') into not_compared
        from herald_internal.declared_options() o
        where o.has_secrets and not coalesce(changes ? o.name, false)
        and herald_internal.gives_values(o.name, nullif(given -> o.name, 'null'));
        if declared ->> 'secret' is not null then
            not_compared := coalesce(not_compared, '{}') || '{"secret": "not compared"}';
        end if;
        written := coalesce(changes, '{}') || coalesce(not_compared, '{}');
        if written <> '{}' then
            perform herald_internal.save_subscription(
                entry,
                (select coalesce(jsonb_object_agg(g.key, g.value), '{}')
                 from jsonb_each(given) g
                 where written ? g.key),
                declared ->> 'secret', false);
        end if;
        if declared ->> 'secret' is not null then
            perform herald_internal.replace_secret(entry.id, declared ->> 'secret', interval '24 hours');
            perform herald_internal.end_surplus_secrets(entry.id);
        end if;
    end if;
    if declared ->> 'state' <> (select s.state from herald_internal.subscription s where s.id = entry.id) then
        perform herald_internal.set_state(entry, declared ->> 'state',
                                          format('declared by %s', herald_internal.caller()));
        changes := coalesce(changes, '{}') || jsonb_build_object('state', declared -> 'state');
        action := case when action = 'created' then action else 'changed' end;
    end if;
end
$$;

-- Does the same, with errors that name the subscription.
-- Called by apply(). Writes what subscribe() writes.
create function herald_internal.apply_named(
    declared jsonb, out action text, out changes jsonb, out not_compared jsonb, out secret text
)
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
declare
    words text;
    fault_detail text;
    fault_hint text;
begin
    perform herald_internal.check_declaration(declared);
    select a.* into action, changes, not_compared, secret from herald_internal.apply_one(declared) a;
exception when others then
    get stacked diagnostics words = message_text, fault_detail = pg_exception_detail, fault_hint = pg_exception_hint;
    raise exception using errcode = sqlstate,
        message = case when strpos(words, format('subscription "%s"', declared ->> 'name')) > 0 then words
            else format('subscription "%s": %s', declared ->> 'name', words) end,
        detail = fault_detail, hint = fault_hint;
end
$$;

-- Makes the subscriptions match a document, {"subscriptions": [{"name": ..., "url": ..., option: ...}], "prune": true}:
-- omitted options get their defaults, and with prune, omitted subscriptions are ended. With dry_run, only says what
-- would be done. Writes what subscribe() and unsubscribe() write.
create function herald.apply(config jsonb, dry_run boolean default false)
    returns table (subscription text, action text, changes jsonb, secret text)
    language plpgsql
    security definer
    set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    is_dry_run constant boolean := coalesce(dry_run, false);
    declared jsonb;
    results jsonb[] := '{}';
    done record;
    unknown text;
begin
    perform herald_internal.refuse_read_only('herald.apply()');
    if jsonb_typeof(config) is distinct from 'object'
        or jsonb_typeof(config -> 'subscriptions') is distinct from 'array'
    then
        raise exception using errcode = 'invalid_parameter_value', message = 'the document declares no subscriptions',
            hint = 'Write {"subscriptions": [{"name": "billing", "url": "https://..."}]}.';
    end if;
    select k into unknown from jsonb_object_keys(config) k where k not in ('subscriptions', 'prune') limit 1;
    if found or jsonb_typeof(config -> 'prune') <> 'boolean' then
        raise exception using errcode = 'invalid_parameter_value',
            message = format('the document has an unknown member "%s"', coalesce(unknown, 'prune')),
            detail = 'Its members are subscriptions, an array, and prune, true or false.',
            hint = coalesce(herald_internal.perhaps(unknown, '{subscriptions,prune}'), 'Leave it out.');
    end if;
    begin
        for declared in select d.value from jsonb_array_elements(config -> 'subscriptions') d loop
            if jsonb_typeof(declared) is distinct from 'object' or declared ->> 'name' is null then
                raise exception using errcode = 'invalid_parameter_value',
                    message = 'a subscription is declared without a name',
                    hint = 'Write {"subscriptions": [{"name": "billing", "url": "https://..."}]}.';
            end if;
            if declared ->> 'name' = any (array(select r ->> 'subscription' from unnest(results) r)) then
                raise exception using errcode = 'invalid_parameter_value',
                    message = format('subscription "%s" is declared twice', declared ->> 'name'),
                    hint = 'Declare it once.';
            end if;
            select * into done from herald_internal.apply_named(declared);
            results := results || jsonb_build_object('subscription', declared ->> 'name', 'action', done.action,
                                                     'changes', done.changes, 'not_compared', done.not_compared,
                                                     'secret', done.secret);
        end loop;
        if (config -> 'prune')::boolean then
            for done in
                select s.name from herald_internal.subscription s
                where s.removed_at is null and s.name <> all (array(select r ->> 'subscription' from unnest(results) r))
                order by s.name
            loop
                perform herald_internal._unsubscribe(done.name);
                results := results || jsonb_build_object('subscription', done.name, 'action', 'removed');
            end loop;
        end if;
        if is_dry_run then
            raise exception using errcode = 'HD000', message = 'nothing is done';
        end if;
    exception
        when sqlstate 'HD000' then null;
    end;
    return query
    select r ->> 'subscription', r ->> 'action',
           case when is_dry_run and jsonb_typeof(r -> 'not_compared') = 'object'
               then coalesce(nullif(r -> 'changes', 'null'), '{}') || (r -> 'not_compared')
               else nullif(r -> 'changes', 'null') end,
           case when not is_dry_run then r ->> 'secret' end
    from unnest(results) r;
end
$$;
