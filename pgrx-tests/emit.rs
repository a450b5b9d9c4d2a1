//! `emit()`: which contents are the same, and which times and types are valid.

use super::support::{event, fault, run, value};
use pgrx::prelude::*;

#[pg_schema]
mod tests {
    use super::*;

    #[pg_test]
    fn the_same_content_is_the_same_in_every_session() {
        let emit = "select herald.emit('order.paid', '{\"n\": 1.50}', id => 'one', occurred_at => '2026-03-01 12:00:00.123456+01',
                                       extensions => '{\"a\": 1}')";
        assert_eq!(value(emit), "one");
        for setting in [
            "timezone = 'Asia/Kathmandu'",
            "datestyle = 'German'",
            "intervalstyle = 'iso_8601'",
            "extra_float_digits = -15",
            "bytea_output = 'escape'",
        ] {
            run(&format!("set local {setting}"));
            assert_eq!(value(emit), "one", "{setting}");
        }
        assert_eq!(event("id"), "one");
    }

    #[pg_test]
    fn no_data_is_other_content_than_data_that_is_null() {
        run(
            "select herald.emit('order.paid', id => 'one'), herald.emit('order.paid', 'null', id => 'two')",
        );
        for (id, data) in [("one", "'null'"), ("two", "null")] {
            let fault = fault(&format!(
                "select herald.emit('order.paid', {data}, id => '{id}')"
            ));
            assert_eq!(fault.sqlstate, "23505", "{id}");
        }
    }

    #[pg_test]
    fn a_time_that_rfc_3339_cannot_write_is_refused() {
        for time in [
            "infinity",
            "-infinity",
            "10000-01-01 00:00:00 UTC",
            "0001-12-31 23:59:59 UTC BC",
        ] {
            let fault = fault(&format!(
                "select herald.emit('order.paid', occurred_at => '{time}')"
            ));
            assert_eq!(
                (fault.sqlstate.as_str(), fault.message.as_str()),
                ("22023", "occurred_at is out of range"),
                "{time}"
            );
        }
        for time in ["0001-01-01 00:00:00 UTC", "9999-12-31 23:59:59.999999 UTC"] {
            run(&format!(
                "select herald.emit('order.paid', occurred_at => '{time}')"
            ));
        }
    }

    #[pg_test]
    fn types_have_blanks_and_can_be_subscribed() {
        run(
            "select set_config('herald.allow_networks', '127.0.0.0/8', true);
             create table public.\"Order Items\" (id int primary key);
             select herald.watch('public.\"Order Items\"');
             insert into public.\"Order Items\" values (1);
             select herald.subscribe('shop', url => 'https://127.0.0.1/', types => '{\"public.Order Items.*\"}')",
        );
        assert_eq!(event("type"), "public.Order Items.inserted");
        let matches = "select herald_internal.matches(s.types, s.tenant, e.type, e.tenant) from herald.event e, herald.subscription s";
        assert_eq!(value(matches), "true");
        let fault = fault("select herald.subscribe('shop', types => array[E'a\\nb'])");
        assert_eq!(fault.sqlstate, "22023");
    }

    #[pg_test]
    fn a_tenant_is_written_alike_wherever_it_is_given() {
        run("select set_config('herald.allow_networks', '127.0.0.0/8', true)");
        for (call, option) in [
            ("herald.emit('order.paid', tenant => %)", "tenant"),
            (
                "herald.subscribe('shop', url => 'https://127.0.0.1/', tenant => %)",
                "tenant",
            ),
            ("herald.emit(%)", "type"),
        ] {
            for (odd, hint) in [
                ("''", ""),
                ("' '", ""),
                ("'acme '", "Write 'acme'."),
                ("repeat('x', 1025)", "Shorten"),
            ] {
                let fault = fault(&format!("select {}", call.replace('%', odd)));
                assert_eq!(fault.sqlstate, "22023", "{call} {odd}: {fault:?}");
                assert_eq!(fault.message, format!("invalid {option}"), "{call} {odd}");
                assert!(fault.hint.contains(hint), "{call} {odd}: {fault:?}");
            }
        }
    }
}
