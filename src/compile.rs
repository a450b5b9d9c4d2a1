//! Compiling the expressions of watches: their text becomes a function of the table's owner.

use crate::pg::{catalog, dependency, expression, user};
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

/// The role that asks.
#[pg_extern(sql = false)]
fn caller() -> pg_sys::Oid {
    user::outer_user()
}

/// Runs `statement`, which creates the function of one expression, as the owner of `table_name`.
///
/// The statement's text was put together in SQL from quoted names and the owner's expression; here it is made sure
/// that it is one statement, so that an expression cannot smuggle in a second one.
#[pg_extern(sql = false)]
fn compile(
    statement: &str,
    prefix: i32,
    expression: &str,
    label: &str,
    table_name: pg_sys::Oid,
) -> Result<(), ErrorReport> {
    let _owner = user::Acting::as_owner_restricted(catalog::owner_of(table_name));
    let fault = |error| describe(error, prefix as usize, expression, label);
    // The parentheses around the expression are ours: one that closes them is not an expression.
    if expression::count_statements(statement).map_err(fault)? != 1 {
        return Err(ErrorReport::new(
            PgSqlErrorCode::ERRCODE_SYNTAX_ERROR,
            format!("the {label} is not one expression"),
            "compile",
        )
        .set_detail(format!("{label} => {expression}"))
        .set_hint(
            "Give one SQL expression over new, old and operation, for example new.total > 100.",
        ));
    }
    expression::run_statement(statement).map_err(fault)
}

/// Lets a function go with its table.
#[pg_extern(sql = false)]
fn drop_with_table(function: pg_sys::Oid, table_name: pg_sys::Oid) {
    dependency::drop_function_with_table(function, table_name);
}

fn describe(
    error: expression::CompileError,
    prefix: usize,
    expression: &str,
    label: &str,
) -> ErrorReport {
    let position = error
        .position
        .and_then(|position| position.checked_sub(prefix))
        .filter(|position| *position <= expression.len());
    let mut detail = format!("{label} => {expression}");
    if let Some(position) = position {
        let before = expression.get(..position).unwrap_or(expression);
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let column = before[line_start..].chars().count();
        if !expression.contains('\n') {
            detail.push('\n');
            detail.push_str(&" ".repeat(label.len() + 4 + column));
            detail.push('^');
        }
        let line = before.matches('\n').count() + 1;
        detail.push_str(&format!(
            "\nThe fault is at character {} of line {line}.",
            column + 1
        ));
    }
    if let Some(own) = error.detail {
        detail.push('\n');
        detail.push_str(&own);
    }
    let hint = error.hint.unwrap_or_else(|| {
        "An expression sees new, old and operation, and runs as the table's owner with only pg_catalog in its \
         search path: write public.my_function(new.id) for a function of your own."
            .to_owned()
    });
    ErrorReport::new(
        error.sqlstate,
        format!("the {label} does not compile: {}", error.message),
        "compile",
    )
    .set_detail(detail)
    .set_hint(hint)
}
