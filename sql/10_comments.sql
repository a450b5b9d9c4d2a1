-- What psql shows of each object.

do $$
declare
    item record;
begin
    for item in
        select * from (values
            ('watch', 'Starts to capture a table''s changes as events, or changes how: with the name of an existing watch exactly the given options. Only the table''s owner may.'),
            ('unwatch', 'Stops capturing a table: one of its watches, or all.'),
            ('emit', 'Writes one event in this transaction and returns its id. The same id again writes nothing.'),
            ('subscribe', 'Creates a subscription and shows its secret once, or changes one: with the name of an existing subscription exactly the given options.'),
            ('apply', 'Makes the subscriptions what a document declares, and says what was created, changed and removed; dry_run only says it.'),
            ('unsubscribe', 'Ends a subscription. Its open deliveries become dead letters; its history stays under its name.'),
            ('grant_delivery', 'Takes it that the receiver of a subscription has consented to so many deliveries a minute, which it said elsewhere.'),
            ('pause', 'Holds a subscription''s deliveries until resume(): events are matched and kept.'),
            ('resume', 'Sends a paused or disabled subscription''s deliveries again, and on request its dead letters since a time. A sandbox stays one.'),
            ('rotate_secret', 'Puts a new signing secret in front and shows it once. Until grace is over requests carry signatures of the old ones too.'),
            ('grant_access', 'Grants a role what a level has: reader, emitter, operator or admin.'),
            ('revoke_access', 'Takes back whatever a role was granted in the schema herald.'),
            ('drop_tenant', 'Ends a tenant that has no subscriptions any more.'),
            ('drop_plan', 'Deletes a plan that no tenant has.'),
            ('reencrypt_secrets', 'Seals every secret with the first key of herald.secret_key_file, whatever sealed it before. Returns how many it sealed.'),
            ('ping', 'Sends one test request through the worker, of its own or of an event, and shows what came back. Nothing is recorded.'),
            ('preview', 'Shows exactly what would be sent for an event to a subscription. Nothing is sent.'),
            ('backoff', 'A retry schedule that grows: base, base x multiplier and so on, none longer than cap. For retry_schedule.'),
            ('statuses', 'Statuses as a list, for success and retry_on: each is a number, or a class such as 5xx.'),
            ('generate_secret', 'A fresh secret for subscribe() or rotate_secret(): v1 is symmetric (whsec_), v1a a private key (whsk_, ed25519).'),
            ('public_key', 'What a receiver verifies v1a signatures of a subscription with (whpk_); null where its newest secret is symmetric.'),
            ('verify', 'Says whether a request that was received is signed with a secret, and of now.'),
            ('why', 'Says for each subscription whether an event matched, by which rule, where its delivery stands and what blocks it.'),
            ('wait', 'Waits until an event, or every event committed so far, is delivered or dead everywhere. False as soon as nothing that is left can end in time.'),
            ('redeliver', 'Sends one event to one subscription again, whatever became of it, with the same webhook-id.'),
            ('retry', 'Makes what waits for a retry due now, as far as its receivers allow. Returns how many.'),
            ('redeliver_dead_letters', 'Sends dead letters of a subscription again. Returns how many.'),
            ('replay', 'Sends a range of the log to a subscription again: all, failed or missing. Returns how many; dry_run only counts.'),
            ('discard', 'Drops a backlog that nobody wants: what is pending becomes dead letters, on record. Returns how many.'),
            ('purge_dead_letters', 'Deletes dead letters before their retention ends. Returns how many.'),
            ('status', 'One line for each subscription: state, backlog, age of the oldest delivery, success rate, last error.'),
            ('doctor', 'Looks for everything that is known to go wrong, with the fix for each.'),
            ('start_worker', 'Starts the worker of this database, if it does not run, at once also after it has died repeatedly.'),
            ('stop_worker', 'Stops the worker of this database. Events are captured and kept until it is started again.'),
            ('restart_worker', 'Stops the worker of this database, and starts it again when the transaction is over, with the settings of then.'),
            ('resume_after_restore', 'After a restore, an upgrade or a copy: makes this database the origin of its log. deliver sends what was open, skip sends nothing of it.')
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
        where p.pronamespace = 'herald'::regnamespace and obj_description(p.oid, 'pg_proc') is null
    loop
        execute format('comment on function %s is %L', item.signature, 'Internal to pg_herald.');
    end loop;
    for item in
        select c.oid::regclass as relation, r.relname as root
        from pg_inherits i
        join pg_class c on c.oid = i.inhrelid
        join pg_class r on r.oid = i.inhparent
        where r.relnamespace = 'herald'::regnamespace and c.relkind = 'r'
    loop
        execute format('comment on table %s is %L', item.relation, format('A slot of herald.%I.', item.root));
    end loop;
    for item in
        select c.oid::regclass as relation
        from pg_class c
        where c.relnamespace = 'herald'::regnamespace and c.relkind = 'S'
    loop
        execute format('comment on sequence %s is %L', item.relation, 'Numbers of pg_herald''s own.');
    end loop;
end
$$;

comment on schema herald_watch is 'The expressions of watches, as functions of the tables'' owners.';
comment on table herald.event is 'The event log: one row for each CloudEvent, written in the transaction that caused it, never updated.';
comment on table herald._attempt is 'What herald.attempt shows: one row for each HTTP request.';
comment on table herald.window is 'How far the worker has read the log: a row when a window is opened, another when it is closed.';
comment on table herald.ring is 'How long a slot of each ring is written. The worker follows herald.retention.';
comment on table herald.held_event is 'Events whose slot was emptied and that a pending delivery or a dead letter still needs.';
comment on table herald.emitted is 'Ids that callers of herald.emit() chose, until herald.retention is over.';
comment on table herald._subscription is 'What herald.subscription shows, and subscriptions that are no more, for their history.';
comment on table herald.secret is 'Signing secrets, the values of custom headers and certificates of one''s own, sealed where herald.secret_key_file is set. Never dumped; readable by superusers only.';
comment on table herald.starting is 'New subscriptions with start_from, until their transaction commits.';
comment on table herald.config_change is 'Tells the worker that subscriptions or pending deliveries changed. Empty most of the time.';
comment on table herald.pending is 'Deliveries that could not be finished at first go, and when they are tried next.';
comment on table herald._dead_letter is 'What herald.dead_letter shows.';
comment on view herald.dead_letter is 'Deliveries that were given up, with their event, subscription and attempts, until their retention ends.';
comment on table herald._watch is 'What herald.watch shows.';
comment on view herald.watch is 'Which tables are captured, and how, with the text of each expression. Changed by herald.watch() and herald.unwatch().';
comment on table herald.audit is 'Who changed which subscription, secret or watch, and how; written in the transaction of the change. Secrets are not shown.';
comment on view herald.subscription is 'Who gets which events. UPDATE changes one, herald.unsubscribe() ends one, herald.subscribe() makes one.';
do $$
declare
    option record;
begin
    -- What the reference says, without its links.
    for option in
        select o.name, upper(left(o.about, 1)) || substr(o.about, 2) || '.' as about
        from (
            select d.name, regexp_replace(d.about, '\[([^]]*)\]\([^)]*\)', '\1', 'g') as about
            from herald._declared_options() d
            where d.is_option
        ) o
    loop
        execute format('comment on column herald.subscription.%I is %L', option.name, option.about);
    end loop;
end
$$;
comment on type herald._options is 'The options of a subscription, with their types.';
comment on view herald.attempt is 'Every HTTP request that was made, with its outcome.';
comment on view herald.delivery is 'One row for each event and subscription: where its delivery stands.';
comment on table herald.plan is 'What tenants may do; null is without limit. Insert plans of your own.';
comment on table herald.tenant is 'Who has subscriptions of its own: a role that sees and manages these alone, a plan, and what happens beyond its quota.';
comment on table herald._usage is 'What herald.usage shows.';
comment on view herald.usage is 'What each tenant used in each month, and what its plan allows.';
comment on view herald._all_usage is 'What herald.usage shows to whom it shows all.';
comment on view herald._over_quota is 'The tenants that have used what they may in this month.';
comment on column herald.plan.endpoints is 'Subscriptions at once.';
comment on column herald.plan.events_per_month is 'Deliveries that are begun in a calendar month (UTC). Retries are free.';
comment on column herald.plan.max_attempts is 'Attempts of one delivery, the first counted.';
comment on column herald.plan.max_connections is 'Requests under way at once, over all subscriptions.';
comment on column herald.plan.dead_letter_retention is 'How long dead letters are kept, at most.';
comment on column herald.plan.replay_window is 'How far back the tenant may replay by itself.';
comment on column herald.tenant.role is 'The role that manages the tenant''s subscriptions, also through roles that inherit from it: its name, as of the last look.';
comment on column herald.tenant.role_oid is 'Which role that is; null where it was missing when a dump was restored.';
comment on column herald.tenant.role_cluster is 'The cluster in which role_oid is that role.';
comment on column herald.tenant.over_quota is 'What becomes of deliveries beyond events_per_month: throttled holds them, blocked gives them up (reason quota).';
comment on view herald.worker is 'The worker of this database: its process, what it does, what waits for it, and what it last failed at.';
comment on column herald.worker.state is 'running, paused (herald.enabled is off, or this is a copy), stopped, or standby.';
comment on column herald.worker.activity is 'What it does, as pg_stat_activity shows it.';
comment on column herald.worker.backlog is 'Deliveries in herald.pending.';
comment on column herald.worker.oldest_age is 'The age of the oldest of them.';
comment on column herald.worker.last_error is 'What it could not do last, also where it can by now.';
comment on table herald._type is 'The event types that the worker has seen.';
comment on table herald._worker is 'What the worker wrote of itself.';
comment on view herald.subscription_stats is 'Each subscription in numbers of the last hour.';
