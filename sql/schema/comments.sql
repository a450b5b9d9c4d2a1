-- The comments that psql shows for each object.

do $$
declare
    item record;
begin
    for item in
        select * from (values
            ('watch',
             'Starts to capture a table''s changes as events. If the watch exists, only the given options change. '
             'Only the table''s owner may call it.'),
            ('unwatch', 'Stops capturing a table: one of its watches, or all.'),
            ('emit',
             'Writes one event in this transaction and returns its id. The same id again writes nothing. '
             'deliver_at schedules it.'),
            ('subscribe',
             'Creates a subscription and shows its secret once. '
             'If the subscription exists, only the given options change.'),
            ('apply',
             'Makes the subscriptions match a document, and shows what was created, changed and removed; '
             'dry_run only shows it.'),
            ('unsubscribe',
             'Ends a subscription. Its open deliveries become dead letters; its history stays under its name.'),
            ('grant_delivery', 'Records the receiver''s consent, given elsewhere, to rate deliveries a minute.'),
            ('pause', 'Holds a subscription''s deliveries until resume(): events are still matched and kept.'),
            ('resume',
             'Resumes a paused or disabled subscription, and on request redelivers its dead letters since a time. '
             'A rate says how much of what waits becomes due in a time. A sandbox stays a sandbox.'),
            ('rotate_secret',
             'Puts a new signing secret in front and shows it once. '
             'Until grace is over, requests also carry signatures of the old ones.'),
            ('grant_access', 'Grants a role the privileges of a level: reader, emitter, operator or admin.'),
            ('revoke_access', 'Revokes everything that a role was granted in the schema herald.'),
            ('drop_tenant', 'Ends a tenant without subscriptions.'),
            ('drop_plan', 'Deletes a plan that no tenant has.'),
            ('reencrypt_secrets',
             'Seals every secret with the first key of herald.secret_key_file, whatever sealed it before. '
             'Returns the number sealed.'),
            ('ping',
             'Sends a test request, or an event, once through the worker, and shows what came back. '
             'Nothing is recorded.'),
            ('preview', 'Shows exactly what would be sent for an event to a subscription. Nothing is sent.'),
            ('backoff',
             'Returns a growing retry schedule: base, base x multiplier and so on, each at most cap. '
             'For retry_schedule.'),
            ('statuses',
             'Returns statuses as a list, for success and retry_on: each is a number, or a class such as 5xx.'),
            ('generate_secret',
             'Returns a fresh secret for subscribe() or rotate_secret(): '
             'v1 is symmetric (whsec_), v1a a private key (whsk_, ed25519).'),
            ('public_key',
             'Returns the key that verifies a subscription''s v1a signatures (whpk_); '
             'null if its newest secret is symmetric.'),
            ('test_filter',
             'Tries a filter on an event: whether it passes, and if not, '
             'which rule decided and which value it saw.'),
            ('verify', 'Returns whether a received request is signed with a secret, and recent.'),
            ('why',
             'Says for each subscription whether an event matched, by which rule, '
             'where its delivery stands and what blocks it.'),
            ('wait',
             'Waits until an event, or every event committed so far, is delivered or dead everywhere. '
             'Returns false as soon as no remaining delivery can end in time.'),
            ('redeliver',
             'Sends one event to one subscription again, whatever became of it, with the same webhook-id.'),
            ('retry',
             'Makes deliveries that wait for a retry due now, as far as their receivers allow. Returns how many.'),
            ('redeliver_dead_letters', 'Sends dead letters of a subscription again. Returns how many.'),
            ('replay',
             'Sends a range of the log to a subscription again: all, failed or missing. '
             'Returns how many; dry_run only counts. A rate says how many become due in a time.'),
            ('discard',
             'Drops an unwanted backlog: pending deliveries become dead letters, on record. Returns how many.'),
            ('cancel',
             'Cancels an event that was emitted with deliver_at, before its time. '
             'Returns whether nothing of it is sent.'),
            ('skip',
             'Gives up the delivery that blocks a key of an ordered subscription: it becomes a dead letter, '
             'and those behind it are sent. Returns it, and how many waited.'),
            ('purge_dead_letters', 'Deletes dead letters before their retention ends. Returns how many.'),
            ('status',
             'Shows one line for each subscription: '
             'state, backlog, age of the oldest delivery, success rate, last error.'),
            ('doctor', 'Checks for every known problem, and shows the fix for each.'),
            ('start_worker',
             'Starts the worker of this database if it does not run, without delay even after repeated deaths.'),
            ('stop_worker',
             'Stops the worker of this database. Events are still captured, and kept until it is started again.'),
            ('restart_worker',
             'Stops the worker of this database, and starts it again after the transaction, '
             'with the settings then in force.'),
            ('resume_after_restore',
             'After a restore, an upgrade or a copy: makes this database the origin of its log. '
             'deliver sends the open deliveries, skip sends none of them.')
        ) as f (name, text)
    loop
        execute (
            select string_agg(format('comment on function %s is %L', p.oid::regprocedure, item.text), '; ')
            from pg_proc p
            where p.pronamespace = 'herald'::regnamespace and p.proname = item.name);
    end loop;
    for item in
        select p.oid::regprocedure as signature
        from pg_proc p
        where p.pronamespace = 'herald_internal'::regnamespace and obj_description(p.oid, 'pg_proc') is null
    loop
        execute format('comment on function %s is %L', item.signature, 'Internal to pg_herald.');
    end loop;
    for item in
        select c.oid::regclass as relation, r.oid::regclass as root
        from pg_inherits i
        join pg_class c on c.oid = i.inhrelid
        join pg_class r on r.oid = i.inhparent
        where r.relnamespace = any ('{herald,herald_internal}'::regnamespace[]) and c.relkind = 'r'
    loop
        execute format('comment on table %s is %L', item.relation, format('A slot of %s.', item.root));
    end loop;
    for item in
        select c.oid::regclass as relation
        from pg_class c
        where c.relnamespace = 'herald_internal'::regnamespace and c.relkind = 'S'
    loop
        execute format('comment on sequence %s is %L', item.relation, 'A sequence internal to pg_herald.');
    end loop;
end
$$;

comment on schema herald_internal is 'What pg_herald is made of. Nothing in here is meant to be called or changed.';
comment on schema herald_watch is 'The expressions of watches, as functions of the tables'' owners.';
comment on table herald.event is
    'The event log: one row for each CloudEvent, written in the transaction that caused it, never updated.';
comment on table herald_internal.attempt is 'What herald.attempt shows: one row for each HTTP request.';
comment on table herald_internal.window is
    'How far the worker has read the log: one row when a window is opened, another when it is closed.';
comment on table herald_internal.ring is 'How long each ring writes to a slot. The worker follows herald.retention.';
comment on table herald.held_event is
    'Events whose slot was emptied but that a pending delivery or a dead letter still needs.';
comment on table herald_internal.emitted is 'Ids chosen by callers of herald.emit(), until herald.retention is over.';
comment on table herald_internal.subscription is
    'What herald.subscription shows, and ended subscriptions, for their history.';
comment on table herald.secret is
    'Signing secrets, custom header values and subscription certificates, sealed if herald.secret_key_file is set. '
    'Never dumped; readable by superusers only.';
comment on table herald_internal.starting is 'New subscriptions with start_from, until their transaction commits.';
comment on table herald_internal.config_change is
    'Tells the worker that subscriptions, pending deliveries or plans changed. Usually empty.';
comment on table herald.pending is 'Deliveries that could not be finished at first go, and when they are tried next.';
comment on table herald_internal.dead_letter is 'What herald.dead_letter shows.';
comment on view herald.dead_letter is
    'Deliveries that were given up, with their event, subscription and attempts, until their retention ends.';
comment on table herald_internal.watch is 'What herald.watch shows.';
comment on view herald.watch is
    'Which tables are captured, and how, with the text of each expression. '
    'Changed by herald.watch() and herald.unwatch().';
comment on table herald.audit is
    'Who changed which subscription, secret, watch, tenant, plan or host limit, and how; '
    'written in the transaction of the change. '
    'Secrets are not shown.';
comment on view herald.subscription is
    'Who gets which events. '
    'UPDATE changes a subscription, herald.unsubscribe() ends it, herald.subscribe() creates it.';
do $$
declare
    option record;
begin
    -- What the reference says, without its links.
    for option in
        select o.name, upper(left(o.about, 1)) || substr(o.about, 2) || '.' as about
        from (
            select d.name, regexp_replace(d.about, '\[([^]]*)\]\([^)]*\)', '\1', 'g') as about
            from herald_internal.declared_options() d
            where d.is_option
        ) o
    loop
        execute format('comment on column herald.subscription.%I is %L', option.name, option.about);
    end loop;
end
$$;
comment on type herald_internal.options is 'The options of a subscription, with their types.';
comment on view herald.attempt is 'Every HTTP request, with its outcome.';
comment on view herald.delivery is 'One row for each event and subscription: where its delivery stands.';
comment on table herald.plan is 'What tenants may do; null means no limit. Insert your own plans.';
comment on table herald_internal.blocking_letter is
    'The dead letters that hold what comes after them in their keys.';
comment on table herald_internal.uptime is
    'For how long in each hour receivers with probe_every were up and down.';
comment on table herald_internal.cancelled is 'Scheduled events that were cancelled.';
comment on table herald_internal.breaker is 'The breakers that are open, with the last failure.';
comment on table herald.host_limit is
    'What hosts take, over all subscriptions that send to them; null means no limit.';
comment on column herald.host_limit.host is 'The host of a URL, in lower case, without a port.';
comment on column herald.host_limit.rate_limit is 'Requests in a time, such as 100/s; null means no limit.';
comment on column herald.host_limit.max_concurrency is 'Concurrent requests; null means no limit.';
comment on column herald.host_limit.created_at is 'When the limit was set.';
comment on table herald.tenant is
    'Owners of subscriptions: a role that sees and manages only these, a plan, and what happens beyond its quota.';
comment on table herald_internal.usage is 'What herald.usage shows.';
comment on view herald.usage is 'What each tenant used in each month, and what its plan allows.';
comment on view herald_internal.all_usage is 'What herald.usage shows to roles that see all of it.';
comment on view herald_internal.over_quota is 'The tenants that have used up this month''s quota.';
comment on column herald.plan.endpoints is 'Subscriptions at the same time.';
comment on column herald.plan.events_per_month is 'Deliveries begun in a calendar month (UTC). Retries are free.';
comment on column herald.plan.max_attempts is 'Attempts per delivery, including the first.';
comment on column herald.plan.max_connections is 'Concurrent requests, over all subscriptions.';
comment on column herald.plan.rate_limit is 'Requests in a time, over all subscriptions, such as 100/s.';
comment on column herald.plan.dead_letter_retention is 'The longest time for which dead letters are kept.';
comment on column herald.plan.replay_window is 'How far back the tenant may replay by itself.';
comment on column herald.plan.filters is 'Whether the tenant may filter events by itself.';
comment on column herald.tenant.role is
    'The role that manages the tenant''s subscriptions, as do roles that inherit from it: its name as last seen.';
comment on column herald.tenant.role_oid is 'The oid of that role; null if it was missing when a dump was restored.';
comment on column herald.tenant.role_cluster is 'The cluster to which role_oid belongs.';
comment on column herald.tenant.over_quota is
    'What happens to deliveries beyond events_per_month: throttled holds them, blocked gives them up (reason quota).';
comment on view herald.worker is 'The worker of this database: its process, activity, backlog and last error.';
comment on column herald.worker.state is
    'running, paused (herald.enabled is off, or this is a copy), stopped, or standby.';
comment on column herald.worker.activity is 'What it is doing, as in pg_stat_activity.';
comment on column herald.worker.backlog is 'Deliveries in herald.pending.';
comment on column herald.worker.oldest_age is 'The age of the oldest of them.';
comment on column herald.worker.last_error is 'Its last failure, even if it has recovered since.';
comment on table herald_internal.type is 'The event types that the worker has seen.';
comment on table herald_internal.worker is 'The worker''s last report about itself.';
comment on view herald.blocked_key is
    'Deliveries of ordered subscriptions that have failed, and how many wait behind each.';
comment on view herald.subscription_stats is 'Statistics of each subscription for the last hour.';
