//! A watch as the trigger needs it, kept in the session's memory.

use super::payload;
use crate::log::append::NewEvent;
use crate::pg::expression::{Evaluator, Planned};
use crate::pg::rows::{Row, Shape};
use crate::pg::trigger::Operation;
use crate::pg::{catalog, relcache, user::Acting};
use crate::prepared::Prepared;
use herald_core::json::minify;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

/// The definition of a watch. It is loaded once for each session and version; the version stands in the arguments
/// of the trigger, so that no statement has to ask whether it changed.
pub struct Watch {
    pub id: i64,
    pub owner: pg_sys::Oid,
    pub schema_name: String,
    pub table_name: String,
    pub source: String,
    pub key_columns: Vec<String>,
    pub captures_faults: bool,
    watched: pg_sys::Oid,
    event_type: Option<String>,
    include_columns: Option<Vec<String>>,
    exclude_columns: Option<Vec<String>>,
    on_change_of: Option<Vec<String>>,
    expressions: Vec<(String, pg_sys::Oid)>,
    planned: RefCell<Option<Rc<Vec<(String, Planned)>>>>,
}

thread_local! {
    static WATCHES: RefCell<HashMap<(i64, i64), (u64, Rc<Watch>)>> = RefCell::new(HashMap::new());
}

impl Watch {
    /// The watch whose trigger fired: the trigger's arguments are its id and version.
    pub fn of_trigger(trigger: &PgTrigger<'_>) -> Result<Rc<Watch>, ErrorReport> {
        let arguments = trigger.extra_args().unwrap_or_default();
        let number = |at: usize| {
            arguments
                .get(at)
                .and_then(|text: &String| text.parse::<i64>().ok())
        };
        let (Some(id), Some(version)) = (number(0), number(1)) else {
            return Err(ErrorReport::new(
                PgSqlErrorCode::ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED,
                "herald._capture() is a trigger function of pg_herald's own",
                "capture",
            )
            .set_hint("Call herald.watch() to capture the changes of a table."));
        };
        let generation = relcache::generation();
        let cached = WATCHES.with_borrow(|watches| watches.get(&(id, version)).cloned());
        if let Some((at, watch)) = cached
            && at == generation
        {
            return Ok(watch);
        }
        let watch = Rc::new(Self::load(id)?);
        WATCHES.with_borrow_mut(|watches| {
            // Loading may itself have invalidated something; what counts is what held when it was done.
            watches.insert((id, version), (relcache::generation(), Rc::clone(&watch)));
        });
        Ok(watch)
    }

    fn load(id: i64) -> Result<Watch, ErrorReport> {
        static STATEMENT: Prepared =
            Prepared::read(include_str!("../../sql/queries/load_watch.sql"));
        let _owner = Acting::as_extension_owner(catalog::extension_owner());
        Spi::connect_mut(|client| -> Result<Option<Watch>, spi::Error> {
            let rows = STATEMENT.run(client, vec![id.into()]).first();
            if rows.is_empty() {
                return Ok(None);
            }
            let names = rows
                .get_by_name::<Vec<String>, _>("expressions")?
                .unwrap_or_default();
            let functions = rows
                .get_by_name::<Vec<Option<pg_sys::Oid>>, _>("functions")?
                .unwrap_or_default();
            let expressions = names
                .into_iter()
                .zip(functions)
                .map(|(name, function)| (name, function.unwrap_or(pg_sys::InvalidOid)))
                .collect();
            let oid = |name: &str| rows.get_by_name::<pg_sys::Oid, _>(name);
            let text = |name: &str| rows.get_by_name::<String, _>(name);
            let list = |name: &str| rows.get_by_name::<Vec<String>, _>(name);
            Ok(Some(Watch {
                id,
                owner: oid("owner")?.unwrap_or(pg_sys::InvalidOid),
                schema_name: text("schema_name")?.unwrap_or_default(),
                table_name: text("table_name")?.unwrap_or_default(),
                source: text("source")?.unwrap_or_default(),
                key_columns: list("key_columns")?.unwrap_or_default(),
                captures_faults: rows
                    .get_by_name::<bool, _>("captures_faults")?
                    .unwrap_or(false),
                watched: oid("watched")?.unwrap_or(pg_sys::InvalidOid),
                event_type: text("type")?,
                include_columns: list("include_columns")?,
                exclude_columns: list("exclude_columns")?,
                on_change_of: list("on_change_of")?,
                expressions,
                planned: RefCell::new(None),
            }))
        })
        .map_err(|error| internal(error.to_string()))?
        .ok_or_else(|| {
            internal(format!("watch {id} is not there any more"))
                .set_hint("Drop the trigger, or call herald.watch() for the table again.")
        })
    }

    /// The format of the watched table's rows, as read from the table whose trigger fired.
    pub fn shape(&self, fired: pg_sys::Oid) -> Shape {
        let keeps = |name: &str| self.keeps(name);
        let keeps_all = self.include_columns.is_none() && self.exclude_columns.is_none();
        Shape::new(
            self.watched,
            fired,
            if keeps_all { None } else { Some(&keeps) },
        )
    }

    /// Whether records show this column.
    pub fn keeps(&self, column: &str) -> bool {
        let has = |list: &Vec<String>| list.iter().any(|name| name == column);
        self.include_columns.as_ref().is_none_or(has)
            && !self.exclude_columns.as_ref().is_some_and(has)
    }

    /// Whether updates are captured because of this column.
    pub fn decides_on(&self, column: &str) -> bool {
        self.on_change_of
            .as_ref()
            .is_some_and(|list| list.iter().any(|name| name == column))
    }

    /// Whether an update that changed these columns is to be captured. Unknown changes always are.
    pub fn concerns(&self, changed: Option<&[String]>) -> bool {
        match (&self.on_change_of, changed) {
            (Some(_), Some(changed)) => changed.iter().any(|name| self.decides_on(name)),
            _ => true,
        }
    }

    /// The event type where no expression gives one.
    pub fn event_type(&self, operation: Operation) -> String {
        self.event_type.clone().unwrap_or_else(|| {
            format!(
                "{}.{}.{}",
                self.schema_name,
                self.table_name,
                operation.past_tense()
            )
        })
    }

    /// The watch's expressions, ready for the rows of one statement. Runs as the table's owner.
    pub fn evaluators(&self, shape: &Shape, operation: Operation) -> Evaluators {
        if self.expressions.is_empty() {
            return Evaluators::default();
        }
        let planned = self.planned.borrow().clone();
        let planned = planned.unwrap_or_else(|| {
            let planned = Rc::new(self.plan(shape));
            *self.planned.borrow_mut() = Some(Rc::clone(&planned));
            planned
        });
        let mut evaluators = Evaluators {
            condition: None,
            others: Vec::new(),
            _planned: Some(Rc::clone(&planned)),
        };
        for (name, plan) in planned.iter() {
            let evaluator = plan.start(operation.as_str());
            if name == "condition" {
                evaluators.condition = Some(evaluator);
            } else {
                evaluators.others.push((name.clone(), evaluator));
            }
        }
        evaluators
    }

    fn plan(&self, shape: &Shape) -> Vec<(String, Planned)> {
        self.expressions
            .iter()
            .map(|(name, function)| {
                if *function == pg_sys::InvalidOid {
                    ErrorReport::new(
                        PgSqlErrorCode::ERRCODE_UNDEFINED_FUNCTION,
                        format!("the {name} of a watch on {}.{} was dropped", self.schema_name, self.table_name),
                        "capture",
                    )
                    .set_detail("It went with a column or a function that it used, by a DROP ... CASCADE.")
                    .set_hint(format!(
                        "Call herald.watch() for the table again with a {name} that fits, or herald.unwatch('{}.{}').",
                        self.schema_name, self.table_name
                    ))
                    .report(PgLogLevel::ERROR);
                }
                (name.clone(), Planned::new(*function, shape.row_type))
            })
            .collect()
    }
}

/// A watch's expressions while the rows of one statement are captured.
#[derive(Default)]
pub struct Evaluators {
    condition: Option<Evaluator>,
    others: Vec<(String, Evaluator)>,
    // The evaluators point into the plans.
    _planned: Option<Rc<Vec<(String, Planned)>>>,
}

impl Evaluators {
    pub fn is_empty(&self) -> bool {
        self.condition.is_none() && self.others.is_empty()
    }

    /// Evaluates the condition and, where it holds, the other expressions into `event`. Returns whether it held.
    pub fn apply(
        &mut self,
        event: &mut NewEvent,
        new: Option<&Row<'_>>,
        old: Option<&Row<'_>>,
    ) -> bool {
        if let Some(condition) = &mut self.condition
            && !condition.evaluate::<bool>(new, old).unwrap_or(false)
        {
            return false;
        }
        for (name, evaluator) in &mut self.others {
            if name == "data" {
                event.data = evaluator
                    .evaluate::<pgrx::datum::JsonString>(new, old)
                    .map(|json| minify(&json.0).into_owned())
                    .or_else(|| Some("null".to_owned()));
                continue;
            }
            let value = evaluator.evaluate::<String>(new, old);
            match name.as_str() {
                "type_expression" => {
                    if let Some(value) = value.filter(|value| !value.is_empty()) {
                        event.r#type = value;
                    }
                }
                "subject" => event.subject = value,
                "key" => event.key = value,
                "tenant" => event.tenant = value,
                "priority" => event.priority = value.map(payload::checked_priority),
                _ => unreachable!("watch() stores no other expression"),
            }
        }
        true
    }
}

fn internal(message: String) -> ErrorReport {
    ErrorReport::new(
        PgSqlErrorCode::ERRCODE_INTERNAL_ERROR,
        format!("pg_herald: {message}"),
        "capture",
    )
}
