//! docs/cookbook.md: runs each recipe as written, and compares what its receiver gets with what the page says.
//!
//! The recipe for JDBC is not run, because installing a JDK would take longer than all other tests.

#[path = "../common/mod.rs"]
mod common;
mod drivers;
mod quickstart;
mod recipe;
mod tables;

use std::sync::LazyLock;

use common::document;
use herald_trial::Cluster;
use recipe::Recipe;

const COOKBOOK: &str = include_str!("../../../../docs/cookbook.md");
static CLUSTER: LazyLock<Cluster> = LazyLock::new(common::cluster);

/// Makes a test of each block, and lists the blocks.
macro_rules! recipes {
    ($($test:ident: $($block:literal),+ => $run:path;)+) => {
        $(#[test] fn $test() { $run(&[$($block),+]) })+
        const TESTED: &[&str] = &[$($($block),+),+];
    };
}

recipes! {
    an_order_is_told_in_slack_and_told_again_by_hand: "slack.sql", "try.sql" => received_and_tried;
    a_bot_tells_an_order_in_slack: "slack_bot.sql" => received_after_the_change;
    an_order_is_told_in_discord: "discord.sql" => received_after_the_change;
    an_order_is_told_in_teams: "teams.sql" => received_after_the_change;
    an_order_opens_an_alert_of_pagerduty: "pagerduty.sql" => received_after_the_change;
    an_order_opens_an_alert_of_opsgenie: "opsgenie.sql" => received_after_the_change;
    an_order_is_told_by_mail: "email.sql" => received_after_the_change;
    columns_are_masked: "mask.sql" => received;
    each_tenant_gets_its_own: "tenants.sql" => received;
    a_threshold_over_many_rows_makes_one_event: "threshold.sql" => received;
    an_event_is_found_by_its_order_number: "find.sql", "find_query.sql" => tables::find;
    a_role_without_privileges_writes_and_emits: "role.sql", "role_app.sql" => tables::role;
    a_bulk_load_makes_one_event: "bulk.sql" => tables::bulk;
    a_swapped_table_keeps_its_watches: "swap.sql" => tables::swap;
    a_column_in_use_gets_another_type: "alter_type_watch.sql", "alter_type_refused.sql", "alter_type.sql" => tables::alter_type;
    the_extension_is_upgraded: "upgrade.sql" => tables::upgrade;
    the_extension_is_uninstalled: "uninstall.sql" => tables::uninstall;
    psycopg_emits_once: "emit_psycopg.py" => drivers::emits_once;
    sqlalchemy_emits_once: "emit_sqlalchemy.py" => drivers::emits_once;
    node_postgres_emits_once: "emit_node.mjs" => drivers::emits_once;
}

/// The blocks that every recipe begins with, and most end with.
const SHARED: [&str; 2] = ["shop.sql", "change.sql"];

#[test]
fn every_block_of_the_cookbook_is_run_or_compared() {
    let names = |kind| {
        let blocks = document::blocks(COOKBOOK, kind).into_iter();
        blocks.map(|block| block.name).collect::<Vec<_>>()
    };
    let mut tested = [&SHARED[..], TESTED].concat();
    let mut run = names("run");
    tested.sort_unstable();
    run.sort_unstable();
    assert_eq!(run, tested);
    for name in [names("received"), names("shown")].concat() {
        let (recipe, _) = name.split_once('.').unwrap_or((name, ""));
        let is_tested = TESTED.contains(&format!("{recipe}.sql").as_str());
        assert!(is_tested, "{name} is compared");
    }
    let marked = run.len() + names("received").len() + names("shown").len();
    let fences = COOKBOOK.lines().filter(|line| line.starts_with("```"));
    assert_eq!(
        fences.count(),
        2 * (marked + document::count_fences(COOKBOOK, "java"))
    );
}

fn received_after_the_change(blocks: &[&str]) {
    let mut recipe = Recipe::new(blocks[0]);
    recipe.run(blocks[0]);
    recipe.run("change.sql");
    recipe.is_received();
}

fn received_and_tried(blocks: &[&str]) {
    let mut recipe = Recipe::new(blocks[0]);
    recipe.run(blocks[0]);
    recipe.run("change.sql");
    recipe.is_received();
    let tried = recipe.statements(blocks[1]);
    let tried = tried.trim_end_matches(';');
    let outcome = recipe.db.text(&format!("select t from ({tried}) t"));
    assert_eq!(outcome, "(delivered,200,)");
    let requests = recipe.receiver.requests();
    assert_eq!(requests.len(), 2);
    assert_eq!(requests[0].text(), requests[1].text());
}

/// Tests recipes that make a change themselves.
fn received(blocks: &[&str]) {
    let mut recipe = Recipe::new(blocks[0]);
    recipe.run(blocks[0]);
    recipe.is_received();
}
