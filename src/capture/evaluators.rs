//! A watch's expressions, evaluated for the rows of one statement.

use super::attributes;
use super::bounds::Captured;
use super::expression::Expression;
use super::watch::Watch;
use crate::errors::{invalid, reserved_type};
use crate::log::append::NewEvent;
use crate::pg::expression::Evaluator;
use crate::pg::rows::Row;
use crate::pg::transaction::{self, TransactionError};
use crate::pg::trigger::Operation;
use herald_core::event::attributes::is_priority;
use herald_core::json::minify;
use herald_core::limits::{self, Limit};
use herald_core::subscription::globs::is_operational;
use pgrx::pg_sys::panic::{CaughtError, ErrorReport, ErrorReportable};
use pgrx::prelude::*;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any, resume_unwind};

/// A watch's expressions during the capture of one statement. Everything here runs as the table's owner.
pub struct Evaluators<'w> {
    // The condition comes first, if any. `Err` if preparing the expressions failed.
    prepared: Result<Vec<(Expression, Evaluator<'w>)>, TransactionError>,
    captures_faults: bool,
    place: Place<'w>,
}

/// The place of a fault: which expression of which watch.
struct Place<'w> {
    watch: &'w Watch,
    expression: Cell<Option<Expression>>,
}

impl Place<'_> {
    /// Runs `body`. If PostgreSQL raises an error in it, adds the expression to its DETAIL: it would belong in the
    /// CONTEXT, but pgrx drops that.
    fn named_in_errors<R>(&self, body: impl FnOnce() -> R) -> R {
        let fault = match catch_unwind(AssertUnwindSafe(body)) {
            Ok(result) => return result,
            Err(fault) => fault,
        };
        match fault.downcast::<CaughtError>().map(|fault| *fault) {
            Ok(CaughtError::PostgresError(fault)) => {
                let own = fault.detail().map(|detail| format!("{detail}\n"));
                let detail = own.unwrap_or_default() + &self.words();
                let mut named = ErrorReport::new(
                    fault.sql_error_code(),
                    fault.message().to_owned(),
                    "capture",
                )
                .set_detail(detail);
                if let Some(hint) = fault.hint() {
                    named = named.set_hint(hint);
                }
                panic_any(named)
            }
            Ok(other) => other.rethrow(),
            Err(other) => resume_unwind(other),
        }
    }

    fn words(&self) -> String {
        let Watch { name, table, .. } = self.watch;
        let (schema, table) = (&table.schema, &table.name);
        let what = self
            .expression
            .get()
            .map_or("expressions", Expression::name);
        format!("It was raised by the {what} of the watch \"{name}\" on {schema}.{table}.")
    }
}

impl<'w> Evaluators<'w> {
    pub fn new(watch: &'w Watch, operation: Operation) -> Self {
        let place = Place {
            watch,
            expression: Cell::new(None),
        };
        let prepare = || {
            let planned = watch.planned().iter();
            planned
                .map(|(expression, plan)| (*expression, plan.start(operation.as_str())))
                .collect::<Vec<_>>()
        };
        let captures_faults = watch.captures_faults && watch.has_expressions();
        Self {
            prepared: if captures_faults {
                in_subtransaction(prepare)
            } else {
                Ok(place.named_in_errors(prepare))
            },
            captures_faults,
            place,
        }
    }

    /// Returns the event as the expressions make it; `None` if the condition does not hold. A fault is an ERROR, or
    /// with `on_error => 'capture'` an attribute of an event that is otherwise as without expressions.
    pub fn apply(
        &mut self,
        event: NewEvent,
        new: Option<&Row<'_>>,
        old: Option<&Row<'_>>,
    ) -> Option<Captured> {
        let evaluators = match &mut self.prepared {
            Ok(evaluators) => evaluators,
            Err(fault) => return Some(faulty(event, fault)),
        };
        if evaluators.is_empty() {
            return Some(event.into());
        }
        let place = &self.place;
        if !self.captures_faults {
            let event = place.named_in_errors(|| evaluate(evaluators, place, event, new, old));
            return event.map(Captured::from);
        }
        // One subtransaction per row: a fault undoes only what this row's expressions did.
        let result = {
            let event = event.clone();
            in_subtransaction(|| evaluate(evaluators, place, event, new, old))
        };
        match result {
            Ok(event) => event.map(Captured::from),
            Err(fault) => Some(faulty(event, &fault)),
        }
    }
}

fn evaluate(
    evaluators: &mut [(Expression, Evaluator<'_>)],
    place: &Place<'_>,
    mut event: NewEvent,
    new: Option<&Row<'_>>,
    old: Option<&Row<'_>>,
) -> Option<NewEvent> {
    for (expression, evaluator) in evaluators {
        place.expression.set(Some(*expression));
        if *expression == Expression::Condition {
            if evaluator.evaluate::<bool>(new, old) != Some(true) {
                return None;
            }
            continue;
        }
        if *expression == Expression::Data {
            let data = evaluator.evaluate::<pgrx::datum::JsonString>(new, old);
            event.data = Some(data.map_or("null".into(), |json| minify(&json.0).into_owned()));
            continue;
        }
        let value = evaluator.evaluate::<String>(new, old);
        match expression {
            Expression::Type => event.r#type = checked_type(value).unwrap_or(event.r#type),
            // A long subject or key never fails the statement (`bounds.rs`).
            Expression::Subject => event.subject = value,
            Expression::Key => event.key = value,
            Expression::Tenant => event.tenant = checked(limits::TENANT, value),
            Expression::Priority => {
                event.priority = attributes::attribute(value).map(checked_priority);
            }
            Expression::Condition | Expression::Data => {}
        }
    }
    Some(event)
}

fn faulty(event: NewEvent, fault: &TransactionError) -> Captured {
    Captured {
        event,
        faults: vec![fault.message.clone()],
    }
}

/// Runs `body` in a subtransaction. Errors about the session, such as a cancel, are raised again.
fn in_subtransaction<R>(body: impl FnOnce() -> R) -> Result<R, TransactionError> {
    transaction::subtransaction(body).inspect_err(|fault| {
        if fault.is_session_error() {
            fault.raise();
        }
    })
}

/// Checks a type or a tenant: too long is an ERROR, as its beginning may be another's name.
fn checked(limit: Limit, value: Option<String>) -> Option<String> {
    let check = |text: &str| limit.check(text).map_err(invalid).unwrap_or_report();
    let value = value.inspect(|text| check(text));
    // Replacing characters may lengthen it.
    attributes::attribute(value).inspect(|text| check(text))
}

fn checked_type(value: Option<String>) -> Option<String> {
    let value = checked(limits::TYPE, value);
    if value.as_deref().is_some_and(is_operational) {
        reserved_type(value.as_deref().unwrap_or_default()).report(PgLogLevel::ERROR);
    }
    value
}

fn checked_priority(priority: String) -> String {
    if !is_priority(&priority) {
        ErrorReport::new(
            PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
            format!("a watch's priority gave \"{priority}\""),
            "capture",
        )
        .set_hint("Return low, normal or high.")
        .report(PgLogLevel::ERROR);
    }
    priority
}
