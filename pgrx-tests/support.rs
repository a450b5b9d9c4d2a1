//! Helpers of all suites: run SQL and read what it left.

use pgrx::prelude::*;

/// Runs statements.
pub fn run(sql: &str) {
    Spi::run(sql).unwrap_or_else(|error| panic!("{error}: {sql}"));
}

/// Returns the one value of a query, as text; `null` if it is null or the query has no row.
pub fn value(sql: &str) -> String {
    let query = format!("select (select x::text from ({sql}) as q (x))");
    let value = Spi::get_one::<String>(&query).unwrap_or_else(|error| panic!("{error}: {sql}"));
    value.unwrap_or_else(|| "null".to_owned())
}

/// Returns the number of rows of a table, or of those that a condition after its name selects.
pub fn count(rows: &str) -> usize {
    value(&format!("select count(*) from {rows}"))
        .parse()
        .expect("a number")
}

/// Returns the values of a query's only column as text, in order.
pub fn all(sql: &str) -> Vec<String> {
    let query = format!("select array(select coalesce(x::text, 'null') from ({sql}) as q (x))");
    Spi::get_one::<Vec<String>>(&query)
        .unwrap_or_else(|error| panic!("{error}: {sql}"))
        .unwrap_or_default()
}

/// Evaluates an expression for each event, in the order of the log.
pub fn events(expression: &str) -> Vec<String> {
    all(&format!(
        "select {expression} from herald.event order by seq"
    ))
}

/// Evaluates an expression for the only event.
pub fn event(expression: &str) -> String {
    let mut found = events(expression);
    assert_eq!(found.len(), 1, "not one event but {found:?}");
    found.remove(0)
}

/// Forgets the events so far.
pub fn forget_events() {
    run("delete from herald.event");
}

/// Returns the rows of a table in a text: a line for each, with ` | ` between its cells, and `-` for
/// an empty one.
pub fn rows<const N: usize>(table: &str) -> impl Iterator<Item = [&str; N]> {
    let lines = table.lines().map(str::trim);
    lines.filter(|line| !line.is_empty()).map(|line| {
        let cells = line.split(" | ");
        let cells: Vec<&str> = cells
            .map(|cell| if cell == "-" { "" } else { cell })
            .collect();
        cells.try_into().expect(line)
    })
}

/// A statement's failure; its effects are undone.
#[derive(Debug)]
pub struct Fault {
    pub sqlstate: String,
    pub message: String,
    pub detail: String,
    pub hint: String,
}

/// Returns the fault of statements that must fail.
pub fn fault(sql: &str) -> Fault {
    run(r"
        create or replace function pg_temp.fault(statements text) returns text[] language plpgsql as $$
        declare state text; message text; detail text; hint text;
        begin
            execute statements;
            return null;
        exception when others then
            get stacked diagnostics state = returned_sqlstate, message = message_text,
                detail = pg_exception_detail, hint = pg_exception_hint;
            return array[state, message, detail, hint];
        end
        $$");
    let quoted = spi::quote_literal(sql);
    let parts = Spi::get_one::<Vec<String>>(&format!("select pg_temp.fault({quoted})"))
        .unwrap()
        .unwrap_or_else(|| panic!("it does not fail: {sql}"));
    let [sqlstate, message, detail, hint] = <[String; 4]>::try_from(parts).unwrap();
    Fault {
        sqlstate,
        message,
        detail,
        hint,
    }
}

/// Creates a role. Tests run concurrently, and a role's name is known in all transactions: they wait for each other
/// here.
pub fn role(name: &str) {
    run("select pg_advisory_xact_lock(4711)");
    run(&format!("create role {name}"));
}

/// Creates a role that may watch its own tables, in its own schema of the same name.
pub fn owner(name: &str) {
    role(name);
    run(&format!(
        "create schema {name} authorization {name};
         grant usage on schema herald to {name};
         grant execute on function herald.watch, herald.unwatch to {name}"
    ));
}

/// Runs statements as another role.
pub fn run_as(role: &str, sql: &str) {
    run(&format!("set local role {role}"));
    run(sql);
    run("reset role");
}

/// Creates the watched table that most tests need.
pub fn orders(options: &str) {
    run(
        "create table public.orders (id bigint primary key, status text, total numeric, note text)",
    );
    run(&format!("select herald.watch('public.orders'{options})"));
}
