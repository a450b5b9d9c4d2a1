-- Subscriptions as a declared document.

-- Whether a subscription has values of just these names of one kind.
-- Called by apply().
create function herald._has_names(subscription_id bigint, kind text, given jsonb) returns boolean
    language sql
    set search_path = pg_catalog, pg_temp
    return not exists (
        select from (select x.name from herald.secret x where x.subscription_id = $1 and x.kind = $2) x
        full join jsonb_object_keys(given) g (name) on g.name = x.name
        where x.name is null or g.name is null);

-- Whether any of these is a value, as opposed to ***, which is whatever the subscription has.
create function herald._gives_values(given jsonb) returns boolean
    language sql immutable
    set search_path = pg_catalog, pg_temp
    return exists (select from jsonb_each_text(given) g where g.value <> '***');

-- Raises an error unless this declares a subscription.
-- Called by apply().
create function herald._check_declaration(declared jsonb) returns void
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
declare
    known constant text[] := array(
        select o.name from unnest((select p.proargnames from pg_proc p where p.oid = 'herald._subscribe'::regproc)) o (name)
        where o.name not in ('start_from', 'created')) || '{state}';
    unknown text;
begin
    if jsonb_typeof(declared) is distinct from 'object' or declared ->> 'name' is null then
        raise exception using errcode = 'invalid_parameter_value', message = 'a subscription is declared without a name',
            hint = 'Write {"subscriptions": [{"name": "billing", "url": "https://..."}]}.';
    end if;
    select k into unknown from jsonb_object_keys(declared) k where k <> all (known) order by k limit 1;
    if found then
        raise exception using errcode = 'invalid_parameter_value',
            message = format('subscription "%s" is declared with an unknown option "%s"', declared ->> 'name', unknown),
            detail = 'The options are those of subscribe(), and state.',
            hint = coalesce(herald._perhaps(unknown, known), 'Leave it out.');
    end if;
    if declared ->> 'state' not in ('active', 'paused', 'sandbox') then
        raise exception using errcode = 'invalid_parameter_value',
            message = format('subscription "%s" cannot be declared "%s"', declared ->> 'name', declared ->> 'state'),
            hint = 'Its state is active, paused or sandbox.';
    end if;
end
$$;

-- Makes one subscription what is declared. Options that are left out get their defaults; the secret stays.
-- Called by apply(). Writes what subscribe() writes.
create function herald._apply_one(declared jsonb, out action text, out changes jsonb, out not_compared jsonb, out secret text)
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    name constant text := declared ->> 'name';
    headers constant jsonb := coalesce(nullif(declared -> 'headers', 'null'), '{}');
    tls constant jsonb := coalesce(nullif(declared -> 'tls', 'null'), '{}');
    auth constant jsonb := coalesce(nullif(declared -> 'auth', 'null'), '{}');
    -- What is not declared, or not an option.
    kept constant text[] := '{id,name,types_unreadable_at,state,state_reason,state_changed_at,tenant,header_names,tls_names,auth,created_xid,created_snapshot,created_seq,created_at,changed_at,removed_at,consented_at,consent_rate,consent_error,is_tenants,generation}';
    former herald._subscription;
    wanted herald._subscription;
    before jsonb;
    after jsonb;
    auth_values jsonb;
    written jsonb;
begin
    perform herald._lock('subscription ' || name);
    perform herald._check_strings('headers', headers, '''{"X-Shop": "eu"}''');
    perform herald._check_strings('tls', tls, '''{"ca": "..."}''');
    perform herald._check_strings('auth', auth, '''{"type": "bearer", "token": "..."}''');
    select s.* into former from herald._subscription s where s.name = declared ->> 'name' and s.removed_at is null for update;
    if not found then
        action := 'created';
        wanted := jsonb_populate_record(herald._default_subscription(name), jsonb_strip_nulls(declared - '{headers,tls,auth,secret,state}'::text[]));
        wanted.tenant := coalesce(wanted.tenant, herald._tenant_of_name(name));
        perform herald._save_subscription(wanted, headers, tls, auth, declared ->> 'secret', true);
        secret := coalesce(declared ->> 'secret', herald._generate_secret());
        insert into herald.secret (subscription_id, kind, value) values (wanted.id, 'signing', secret);
    else
        wanted := jsonb_populate_record(
            jsonb_populate_record(former, to_jsonb(herald._default_subscription(name)) - kept),
            jsonb_strip_nulls(declared - '{headers,tls,auth,secret,state}'::text[]));
        before := to_jsonb(former) - '{changed_at,auth}'::text[];
        after := to_jsonb(wanted) - '{changed_at,auth}'::text[];
        select jsonb_object_agg(a.key, a.value) into changes
        from jsonb_each(after) a join jsonb_each(before) b using (key)
        where a.value is distinct from b.value;
        auth_values := (select coalesce(jsonb_object_agg(m.key, m.value), '{}') from jsonb_each(auth) m
                        where m.key = any (herald._secret_members()));
        if not herald._has_names(former.id, 'header', headers) then
            changes := coalesce(changes, '{}') || '{"headers": "***"}';
        end if;
        if not herald._has_names(former.id, 'tls', tls) then
            changes := coalesce(changes, '{}') || '{"tls": "***"}';
        end if;
        if auth - herald._secret_members() <> coalesce(former.auth, '{}') - herald._secret_members()
            or not herald._has_names(former.id, 'auth', auth_values)
        then
            changes := coalesce(changes, '{}') || '{"auth": "***"}';
        end if;
        action := case when changes is null then 'unchanged' else 'changed' end;
        -- Values are not compared with those that are stored but written again, each time: whoever may call this is not shown
        -- them, and could guess them by what it says of a change.
        select jsonb_object_agg(g.option, 'not compared') into not_compared
        from (values ('headers', headers), ('tls', tls), ('auth', auth_values)) as g (option, members)
        where herald._gives_values(g.members) and not coalesce(changes ? g.option, false);
        written := coalesce(changes, '{}') || coalesce(not_compared, '{}');
        if written <> '{}' then
            perform herald._save_subscription(
                wanted, case when written ? 'headers' then headers end, case when written ? 'tls' then tls end,
                case when written ? 'auth' then auth end, null, false);
        end if;
    end if;
    if declared ->> 'state' <> (select s.state from herald._subscription s where s.id = wanted.id) then
        perform herald._set_state(wanted, declared ->> 'state', format('declared by %s', herald._caller()));
        changes := coalesce(changes, '{}') || jsonb_build_object('state', declared -> 'state');
        action := case when action = 'created' then action else 'changed' end;
    end if;
end
$$;

-- Makes the subscriptions what a document declares, {"subscriptions": [{"name": ..., "url": ..., option: ...}], "prune": true}:
-- options that it leaves out get their defaults, and with prune subscriptions that it leaves out are ended. With dry_run
-- it says what would be done. Writes what subscribe() and unsubscribe() write.
create function herald.apply(config jsonb, dry_run boolean default false)
    returns table (subscription text, action text, changes jsonb, secret text)
    language plpgsql
    security definer
    set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    declared jsonb;
    results jsonb[] := '{}';
    done record;
    unknown text;
begin
    if jsonb_typeof(config) is distinct from 'object' or jsonb_typeof(config -> 'subscriptions') is distinct from 'array' then
        raise exception using errcode = 'invalid_parameter_value', message = 'the document declares no subscriptions',
            hint = 'Write {"subscriptions": [{"name": "billing", "url": "https://..."}]}.';
    end if;
    select k into unknown from jsonb_object_keys(config) k where k not in ('subscriptions', 'prune') limit 1;
    if found or jsonb_typeof(config -> 'prune') <> 'boolean' then
        raise exception using errcode = 'invalid_parameter_value',
            message = format('the document has an unknown member "%s"', coalesce(unknown, 'prune')),
            detail = 'Its members are subscriptions, an array, and prune, true or false.',
            hint = coalesce(herald._perhaps(unknown, '{subscriptions,prune}'), 'Leave it out.');
    end if;
    begin
        for declared in select d.value from jsonb_array_elements(config -> 'subscriptions') d loop
            perform herald._check_declaration(declared);
            if declared ->> 'name' = any (array(select r ->> 'subscription' from unnest(results) r)) then
                raise exception using errcode = 'invalid_parameter_value',
                    message = format('subscription "%s" is declared twice', declared ->> 'name'), hint = 'Declare it once.';
            end if;
            select * into done from herald._apply_one(declared);
            results := results || jsonb_build_object('subscription', declared ->> 'name', 'action', done.action,
                                                     'changes', done.changes, 'not_compared', done.not_compared,
                                                     'secret', done.secret);
        end loop;
        if (config -> 'prune')::boolean then
            for done in
                select s.name from herald._subscription s
                where s.removed_at is null and s.name <> all (array(select r ->> 'subscription' from unnest(results) r))
                order by s.name
            loop
                perform herald._unsubscribe(done.name);
                results := results || jsonb_build_object('subscription', done.name, 'action', 'removed');
            end loop;
        end if;
        if dry_run then
            raise exception using errcode = 'HD000', message = 'nothing is done';
        end if;
    exception
        when sqlstate 'HD000' then null;
    end;
    return query
    select r ->> 'subscription', r ->> 'action',
           case when dry_run and jsonb_typeof(r -> 'not_compared') = 'object'
               then coalesce(nullif(r -> 'changes', 'null'), '{}') || (r -> 'not_compared')
               else nullif(r -> 'changes', 'null') end,
           case when not dry_run then r ->> 'secret' end
    from unnest(results) r;
end
$$;
