//! The install script: the files of `sql/`, in the order in which they run. A file may use everything in those before it.

use pgrx::prelude::*;

macro_rules! install {
    ($first:tt as $first_name:tt, $($rest:tt)*) => {
        extension_sql_file!($first, name = $first_name, bootstrap);
        install!(@ $first_name; $($rest)*);
    };
    (@ $previous:tt; $last:tt as $last_name:tt) => {
        extension_sql_file!($last, name = $last_name, finalize);
    };
    (@ $previous:tt; $next:tt as $next_name:tt, $($rest:tt)*) => {
        extension_sql_file!($next, name = $next_name, requires = [$previous]);
        install!(@ $next_name; $($rest)*);
    };
}

install! {
    "../sql/schema/schemas.sql" as "schema_schemas",
    "../sql/schema/log.sql" as "schema_log",
    "../sql/schema/library.sql" as "schema_library",
    "../sql/subscription/tables.sql" as "subscription_tables",
    "../sql/delivery/tables.sql" as "delivery_tables",
    "../sql/worker/changes.sql" as "worker_changes",
    "../sql/tenant/tables.sql" as "tenant_tables",
    "../sql/tenant/sight.sql" as "tenant_sight",
    "../sql/tenant/usage.sql" as "tenant_usage",
    "../sql/tenant/tenant.sql" as "tenant_tenant",
    "../sql/watch/watch.sql" as "watch_watch",
    "../sql/watch/expressions.sql" as "watch_expressions",
    "../sql/watch/triggers.sql" as "watch_triggers",
    "../sql/watch/follow_ddl.sql" as "watch_follow_ddl",
    "../sql/subscription/secret.sql" as "subscription_secret",
    "../sql/subscription/options.sql" as "subscription_options",
    "../sql/subscription/subscribe.sql" as "subscription_subscribe",
    "../sql/subscription/values.sql" as "subscription_values",
    "../sql/subscription/matching.sql" as "subscription_matching",
    "../sql/subscription/save.sql" as "subscription_save",
    "../sql/delivery/emit.sql" as "delivery_emit",
    "../sql/delivery/bury.sql" as "delivery_bury",
    "../sql/subscription/find.sql" as "subscription_find",
    "../sql/delivery/schedule.sql" as "delivery_schedule",
    "../sql/repair/redeliver.sql" as "repair_redeliver",
    "../sql/repair/retry.sql" as "repair_retry",
    "../sql/repair/replay.sql" as "repair_replay",
    "../sql/subscription/state.sql" as "subscription_state",
    "../sql/subscription/consent.sql" as "subscription_consent",
    "../sql/subscription/signing.sql" as "subscription_signing",
    "../sql/repair/try.sql" as "repair_try",
    "../sql/delivery/wait.sql" as "delivery_wait",
    "../sql/subscription/apply.sql" as "subscription_apply",
    "../sql/schema/publication.sql" as "schema_publication",
    "../sql/insight/views.sql" as "insight_views",
    "../sql/delivery/order.sql" as "delivery_order",
    "../sql/subscription/write.sql" as "subscription_write",
    "../sql/insight/lock.sql" as "insight_lock",
    "../sql/insight/why.sql" as "insight_why",
    "../sql/insight/doctor.sql" as "insight_doctor",
    "../sql/insight/doctor_flow.sql" as "insight_doctor_flow",
    "../sql/worker/start_stop.sql" as "worker_start_stop",
    "../sql/worker/restore.sql" as "worker_restore",
    "../sql/worker/report.sql" as "worker_report",
    "../sql/house/slots.sql" as "house_slots",
    "../sql/house/house.sql" as "house_house",
    "../sql/access/audit.sql" as "access_audit",
    "../sql/access/access.sql" as "access_access",
    "../sql/schema/comments.sql" as "schema_comments",
    "../sql/schema/columns.sql" as "schema_columns",
    "../sql/access/privileges.sql" as "access_privileges"
}
