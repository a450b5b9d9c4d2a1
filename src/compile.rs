//! Compiles the expressions of watches: their text becomes a function of the table's owner.

use crate::api;
use crate::errors::invalid;
use crate::pg::{catalog, dependency, expression, forward, relcache, user};
use herald_core::event::attributes::{check_tenant, is_priority};
use herald_core::{limits, suggest};
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

/// Returns the calling role. Refuses calls from code that runs on behalf of another role: an index's function, which a
/// superuser's ANALYZE runs as the table's owner, would otherwise call as the superuser.
#[pg_extern(sql = false)]
fn caller() -> Result<pg_sys::Oid, ErrorReport> {
    if user::is_restricted() {
        return Err(ErrorReport::new(
            PgSqlErrorCode::ERRCODE_INSUFFICIENT_PRIVILEGE,
            "functions of pg_herald cannot be called within a security-restricted operation",
            "caller",
        )
        .set_hint("Call the function in a separate statement, not from an index, a materialized view or an expression."));
    }
    Ok(forward::caller().unwrap_or_else(user::outer_user))
}

/// Runs `statement`, which creates the function of one expression, as the owner of `table_name`.
///
/// SQL built the statement from quoted names and the owner's expression; this function ensures that it is a single
/// statement, so that an expression cannot smuggle in a second. `prefix` is the number of characters before the
/// expression.
#[pg_extern(sql = false)]
fn compile(
    statement: &str,
    prefix: i32,
    expression: &str,
    label: &str,
    table_name: pg_sys::Oid,
) -> Result<(), ErrorReport> {
    let _owner = user::Acting::as_owner_restricted(catalog::owner_of(table_name));
    let fault = |error| {
        let error = name_missing_column(error, prefix as usize, expression, table_name);
        describe(error, prefix as usize, expression, label, table_name)
    };
    // pg_herald adds the parentheses around the expression: text that closes them does not parse alone.
    expression::parse(expression)
        .map_err(|error| describe(error, 0, expression, label, table_name))?;
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

/// Raises an error unless the body of an expression's function gives one value for one row.
#[pg_extern(sql = false)]
fn check_function(function: pg_sys::Oid, label: &str, expression: &str) -> Result<(), ErrorReport> {
    let Some(surplus) = expression::more_than_one_row(function) else {
        return Ok(());
    };
    Err(ErrorReport::new(
        PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
        format!("the {label} contains {surplus}"),
        "compile",
    )
    .set_detail(format!(
        "{label} => {expression}\nAn expression is evaluated for each row by itself, and gives one value."
    ))
    .set_hint(
        "Give operators and functions of one value over new, old and operation, or a subquery that gives one value, \
         for example (select count(*) from public.item i where i.order_id = new.id).",
    ))
}

/// Raises an error if an expression is a constant that no row can be captured with, or that equals nothing.
///
/// Otherwise the first write to the table would fail, or a tenant's subscription would wait forever.
#[pg_extern(sql = false)]
fn check_constant(
    function: pg_sys::Oid,
    expression: &str,
    label: &str,
    table_name: pg_sys::Oid,
) -> Result<(), ErrorReport> {
    if !["type_expression", "tenant", "priority"].contains(&label) {
        return Ok(());
    }
    let _owner = user::Acting::as_owner_restricted(catalog::owner_of(table_name));
    let row_type = catalog::Table::open(table_name).row_type;
    let constant = expression::constant(function, row_type)
        .map_err(|error| describe(error, 0, expression, label, table_name))?;
    match (label, constant.flatten()) {
        ("type_expression", Some(event_type)) => api::check_event_type(&event_type),
        ("tenant", Some(tenant)) => check_tenant(&tenant).map_err(invalid),
        ("priority", Some(priority)) if !is_priority(&priority) => Err(ErrorReport::new(
            PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
            format!("unknown priority \"{priority}\""),
            "compile",
        )
        .set_detail("Priorities are low, normal and high.")
        .set_hint("Write for example priority => $$'high'$$.")),
        _ => Ok(()),
    }
}

/// Raises an error if the text of an expression, or the name of a watch, is empty or too long.
#[pg_extern(sql = false)]
fn check_expression(label: &str, expression: &str) -> Result<(), ErrorReport> {
    let is_name = label == "name";
    if expression.trim().is_empty() || is_name && expression.trim() != expression {
        let hint = if is_name {
            "Give a name without white space around it, or leave it out for the watch \"default\"."
                .into()
        } else {
            format!("Leave {label} out, or give an SQL expression over new, old and operation.")
        };
        return Err(ErrorReport::new(
            PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
            if expression.trim().is_empty() {
                format!("the {label} is empty")
            } else {
                format!("the {label} begins or ends with white space")
            },
            "compile",
        )
        .set_detail(format!("The {label} is {expression:?}."))
        .set_hint(hint));
    }
    let (limit, hint) = if is_name {
        (limits::WATCH_NAME.bytes, "Choose a shorter name.")
    } else {
        let hint = "Put a long expression into a function of your own, and call that.";
        (limits::EXPRESSION.bytes, hint)
    };
    if expression.len() <= limit {
        return Ok(());
    }
    Err(ErrorReport::new(
        PgSqlErrorCode::ERRCODE_PROGRAM_LIMIT_EXCEEDED,
        format!("the {label} is too long"),
        "compile",
    )
    .set_detail(format!(
        "The {label} has {} bytes, the limit is {limit}.",
        expression.len()
    ))
    .set_hint(hint))
}

/// Makes all sessions reload the watches of a table.
#[pg_extern(sql = false)]
fn announce_change(table_name: pg_sys::Oid) {
    relcache::announce_change(table_name);
}

/// Makes PostgreSQL drop a function along with its table.
#[pg_extern(sql = false)]
fn drop_with_table(function: pg_sys::Oid, table_name: pg_sys::Oid) {
    dependency::drop_function_with_table(function, table_name);
}

/// Reports a column that new or old lacks, with the most similar column: PostgreSQL takes it for a missing table.
fn name_missing_column(
    error: expression::CompileError,
    prefix: usize,
    expression: &str,
    table_name: pg_sys::Oid,
) -> expression::CompileError {
    let position = error.position.and_then(|at| at.checked_sub(prefix));
    let (PgSqlErrorCode::ERRCODE_UNDEFINED_TABLE, Some(position)) = (error.sqlstate, position)
    else {
        return error;
    };
    let reference: String = expression.chars().skip(position).collect();
    let Some((row, rest)) = reference.split_once('.') else {
        return error;
    };
    let row = row.trim().to_lowercase();
    if !["new", "old"].contains(&row.as_str()) {
        return error;
    }
    let column: String = match rest.trim_start().strip_prefix('"') {
        Some(quoted) => quoted.chars().take_while(|c| *c != '"').collect(),
        None => {
            let unquoted = rest.trim_start().chars();
            unquoted
                .take_while(|c| c.is_alphanumeric() || "_$".contains(*c))
                .collect()
        }
    };
    let columns = catalog::column_names(table_name);
    let nearest = suggest::nearest(&column, columns.iter().map(String::as_str));
    expression::CompileError {
        sqlstate: PgSqlErrorCode::ERRCODE_UNDEFINED_COLUMN,
        message: format!("column {row}.{column} does not exist"),
        hint: nearest.map(|nearest| format!("Perhaps you meant {row}.{nearest}.")),
        ..error
    }
}

/// Suggests what to write instead of a single word, which is more often meant as a text or a column than as SQL.
fn hint_for_word(label: &str, expression: &str, table_name: pg_sys::Oid) -> Option<String> {
    let word = expression.trim();
    let columns = catalog::column_names(table_name);
    // An unquoted word never names a column with capitals.
    if word == word.to_lowercase() && columns.iter().any(|column| column == word) {
        return Some(format!(
            "{label} is an SQL expression: for the column {word} write {label} => 'new.{word}'."
        ));
    }
    let is_word = word
        .chars()
        .all(|character| character.is_alphanumeric() || "_-./:".contains(character));
    let first = word.split('.').next().unwrap_or_default().to_lowercase();
    let is_text = is_word
        && !["condition", "data"].contains(&label)
        && !["new", "old", "operation"].contains(&first.as_str());
    is_text.then(|| {
        format!("{label} is an SQL expression: for the text {word} write {label} => $$'{word}'$$.")
    })
}

fn describe(
    error: expression::CompileError,
    prefix: usize,
    expression: &str,
    label: &str,
    table_name: pg_sys::Oid,
) -> ErrorReport {
    let characters = expression.chars().count();
    let position = error
        .position
        .and_then(|position| position.checked_sub(prefix))
        .filter(|position| *position <= characters);
    let mut detail = format!("{label} => {expression}");
    if let Some(position) = position {
        let before: String = expression.chars().take(position).collect();
        let line = before.matches('\n').count() + 1;
        let column = before.chars().rev().take_while(|c| *c != '\n').count();
        if !expression.contains('\n') {
            detail.push('\n');
            detail.push_str(&" ".repeat(label.len() + 4 + column));
            detail.push('^');
        }
        detail.push_str(&format!(
            "\nThe fault is at character {} of line {line}.",
            column + 1
        ));
    }
    if let Some(own) = error.detail {
        detail.push('\n');
        detail.push_str(&own);
    }
    let own = error.hint.map_or_else(String::new, |hint| hint + " ");
    let hint = hint_for_word(label, expression, table_name).unwrap_or_else(|| {
        format!(
            "{own}An expression sees new, old and operation, and runs as the table's owner with only pg_catalog in its \
             search path: write public.my_function(new.id) for a function of your own."
        )
    });
    ErrorReport::new(
        error.sqlstate,
        format!("the {label} does not compile: {}", error.message),
        "compile",
    )
    .set_detail(detail)
    .set_hint(hint)
}
