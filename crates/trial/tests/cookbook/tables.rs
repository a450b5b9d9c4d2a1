//! The recipes about tables, roles and the extension itself.

use crate::common::{document, hint, worker_of};
use crate::recipe::Recipe;
use crate::{CLUSTER, COOKBOOK};

pub fn find(blocks: &[&str]) {
    let mut recipe = Recipe::new(blocks[0]);
    recipe.run(blocks[0]);
    let url = recipe.receiver.url("/");
    recipe.db.run(&format!(
        "select herald.subscribe('billing', url => '{url}')"
    ));
    recipe.run("change.sql");
    recipe.db.settle();
    recipe.is_shown(blocks[1]);
    recipe.db.run("set enable_seqscan = off");
    let plan = recipe
        .db
        .texts("explain select from herald.event where subject = 'A-1001'");
    assert!(plan.join(" ").contains("subject_idx"), "{plan:?}");
    assert_eq!(recipe.receiver.requests()[0].json()["subject"], "A-1001");
}

pub fn role(blocks: &[&str]) {
    let mut recipe = Recipe::new(blocks[0]);
    recipe.run(blocks[0]);
    recipe.subscribe_to_all();
    let mut app = recipe.db.session_as(&CLUSTER, "shop_app");
    app.run(&recipe.statements(blocks[1]));
    app.run("select order_shipped('A-1001')");
    let refused = app.refusal("select herald.emit('order.shipped')");
    assert_eq!(refused.code().code(), "42501");
    assert_eq!(recipe.types(), ["public.orders.inserted", "order.shipped"]);
}

pub fn bulk(blocks: &[&str]) {
    let mut recipe = Recipe::new(blocks[0]);
    recipe.subscribe_to_all();
    recipe.run(blocks[0]);
    recipe.run("change.sql");
    assert_eq!(
        recipe.types(),
        [
            "orders.imported",
            "public.orders.inserted",
            "public.orders.updated"
        ]
    );
    assert_eq!(recipe.db.number("select count(*) from orders"), 10_001);
}

pub fn swap(blocks: &[&str]) {
    let mut recipe = Recipe::new(blocks[0]);
    let expressions = "condition => $$new.status = 'failed' and old.status <> 'failed'$$, data => $$json_build_object('n', new.number)$$,
                       subject => 'new.number', key => 'new.customer', tenant => 'new.customer', priority => $$'high'$$,
                       on_change_of => '{status}', on_error => 'capture'";
    recipe.db.run(&format!(
        "select herald.watch('orders', 'failed', operations => '{{update}}', type => 'order.failed', {expressions});
         select herald.watch('orders', 'typed', operations => '{{delete}}', type_expression => $$'order.' || old.status$$, exclude_columns => '{{total}}');
         insert into orders (number, customer, total) values ('A-1', 'acme', 1)"
    ));
    let watches = "select string_agg(jsonb_build_array(table_name, name, operations, type, type_expression, condition, data, subject, key, tenant,
                       priority, include_columns, exclude_columns, on_change_of, on_error, replicated)::text, ' ' order by name) from herald.watch";
    let before = recipe.db.text(watches);
    recipe.run(blocks[0]);
    assert_eq!(recipe.db.text(watches), before);
    recipe.subscribe_to_all();
    recipe.run("change.sql");
    recipe.db.run("update orders_old set status = 'failed'; delete from orders where number = 'A-1'; drop table orders_old");
    assert_eq!(
        recipe.types(),
        [
            "public.orders.inserted",
            "public.orders.updated",
            "order.failed",
            "order.new"
        ]
    );
    assert_eq!(
        recipe
            .db
            .text("select string_agg(number, ' ' order by id) from orders"),
        "A-1001"
    );
}

pub fn alter_type(blocks: &[&str]) {
    let mut recipe = Recipe::new(blocks[0]);
    recipe.run(blocks[0]);
    let statements = recipe.statements(blocks[1]);
    let refusals = statements.lines().map(|statement| {
        let refused = recipe.db.refusal(statement);
        let detail = refused
            .detail()
            .map(|detail| format!("\nDETAIL:  {detail}"));
        format!(
            "ERROR:  {}{}",
            refused.message(),
            detail.unwrap_or_default()
        )
    });
    assert_eq!(
        refusals.collect::<Vec<_>>().join("\n"),
        document::block(COOKBOOK, "shown", "alter_type_refused")
    );
    recipe.run(blocks[2]);
    recipe.subscribe_to_all();
    recipe.run("change.sql");
    recipe.db.run("update orders set status = 'paid'");
    assert_eq!(
        recipe.types(),
        [
            "public.orders.inserted",
            "public.orders.updated",
            "public.orders.updated",
            "order.paid"
        ]
    );
}

pub fn upgrade(blocks: &[&str]) {
    let mut recipe = Recipe::new(blocks[0]);
    recipe.subscribe_to_all();
    worker_of(&CLUSTER, &recipe.db.name);
    recipe.run(blocks[0]);
    recipe.run("change.sql");
    assert_eq!(recipe.types().len(), 2);
}

pub fn uninstall(blocks: &[&str]) {
    let mut recipe = Recipe::new(blocks[0]);
    recipe.subscribe_to_all();
    recipe.run("change.sql");
    recipe.run(blocks[0]);
    assert_eq!(CLUSTER.worker_pid(&recipe.db.name).unwrap(), None);
    recipe.db.run("update orders set status = 'paid'");
    let left = "select count(*) from pg_namespace where nspname like 'herald%'";
    assert_eq!(recipe.db.number(left), 0);
    let triggers = "select count(*) from pg_trigger where not tgisinternal";
    assert_eq!(recipe.db.number(triggers), 0);
    assert_eq!(hint(&recipe.db.refusal("select herald.wait()")), "");
}
