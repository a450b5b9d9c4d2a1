//! What events record about their session: who acted, and from where.

#[pgrx::pg_schema]
mod tests {
    use crate::in_postgres::support::{event, events, orders, role, run};
    use pgrx::prelude::*;

    #[pg_test]
    fn the_context_names_role_and_application() {
        orders("");
        role("clerk");
        run("grant insert on public.orders to clerk");
        run("set local application_name = 'shop \"1\"'");
        run("set local role clerk");
        run("insert into public.orders values (1)");
        run("reset role");
        assert_eq!(event("context ->> 'role'"), "clerk");
        assert_eq!(event("context ->> 'application'"), "shop \"1\"");
    }

    #[pg_test]
    fn an_emitted_event_names_the_role_that_emitted_it() {
        role("clerk");
        run("grant usage on schema herald to clerk");
        run("grant execute on all functions in schema herald to clerk");
        run("set local role clerk");
        run("select herald.emit('order.paid')");
        run("reset role");
        assert_eq!(event("context ->> 'role'"), "clerk");
    }

    #[pg_test]
    fn herald_source_is_the_source_from_the_next_statement_on() {
        orders("");
        run("insert into public.orders values (1)");
        run("set local herald.source = '/shop'");
        run("insert into public.orders values (2)");
        assert_eq!(events("source")[1], "/shop");
        assert_ne!(events("source")[0], "/shop");
    }
}
