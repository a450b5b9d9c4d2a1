//! A watch as the trigger needs it, cached in the session's memory.

use super::attributes;
use super::expression::Expression;
use crate::pg::expression::Planned;
use crate::pg::rows::Shape;
use crate::pg::trigger::Operation;
use crate::pg::{catalog, pages, query, relcache, user::Acting};
use herald_core::event::attributes::source_of_database;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use std::cell::{OnceCell, RefCell};
use std::collections::HashMap;
use std::mem::ManuallyDrop;
use std::rc::Rc;

/// The definition of a watch. A session loads it once and keeps it until PostgreSQL announces a change: `watch()`
/// announces one for its tables, as every ALTER TABLE does.
pub struct Watch {
    pub id: i64,
    pub watched: pg_sys::Oid,
    pub name: String,
    pub default_source: String,
    pub captures_faults: bool,
    /// The watched table.
    pub table: catalog::Table,
    event_types: [String; 4],
    details: Details,
    planned: OnceCell<Vec<(Expression, Planned)>>,
    formats: RefCell<HashMap<pg_sys::Oid, Option<Rc<Format>>>>,
}

/// Options that most watches do not have.
#[derive(Default)]
struct Details {
    include_columns: Option<Vec<String>>,
    exclude_columns: Option<Vec<String>>,
    on_change_of: Option<Vec<String>>,
    expressions: Vec<(Expression, pg_sys::Oid)>,
}

impl Details {
    /// Reads a row of `load_watch_details.sql`.
    fn of_row(row: &pages::Row<'_>) -> Self {
        let names: Vec<String> = row.get(4).unwrap_or_default();
        let functions: Vec<Option<pg_sys::Oid>> = row.get(5).unwrap_or_default();
        let expressions = names.iter().zip(functions).filter_map(|(name, function)| {
            let function = function.unwrap_or(pg_sys::InvalidOid);
            Expression::of_name(name).map(|expression| (expression, function))
        });
        Self {
            include_columns: row.get(1),
            exclude_columns: row.get(2),
            on_change_of: row.get(3),
            expressions: expressions.collect(),
        }
    }
}

/// How to read the rows of one table of a watch's tree as rows of the watched table. Columns are identified by their
/// position in `shape.columns`.
pub struct Format {
    pub shape: Shape,
    /// The columns of the primary key, in its order.
    pub key: Vec<usize>,
    has_plain_key: bool,
    kept: Option<Vec<bool>>,
    deciding: Option<Vec<bool>>,
}

type Cached = HashMap<i64, (u64, Rc<Watch>)>;

thread_local! {
    // Never dropped: at process exit PostgreSQL frees its memory in its own order.
    static WATCHES: ManuallyDrop<RefCell<Cached>> = ManuallyDrop::new(RefCell::new(HashMap::new()));
}

impl Watch {
    /// Returns the watch whose trigger fired: the trigger's argument is its id. `None` if this watch does not exist: a
    /// table copied from another database brings its triggers along.
    pub fn of_trigger(trigger: &PgTrigger<'_>) -> Result<Option<Rc<Watch>>, ErrorReport> {
        let arguments = trigger.extra_args().unwrap_or_default();
        let id = arguments.first().and_then(|id| id.parse::<i64>().ok());
        let Some(id) = id else {
            return Err(ErrorReport::new(
                PgSqlErrorCode::ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED,
                "herald_internal.capture() is an internal trigger function of pg_herald",
                "capture",
            )
            .set_hint("Call herald.watch() to capture the changes of a table."));
        };
        let cached = WATCHES.with(|watches| watches.borrow().get(&id).cloned());
        if let Some((generation, watch)) = cached
            && generation == relcache::generation()
        {
            return Ok(Some(watch));
        }
        let Some(watch) = Self::load(id).map(Rc::new) else {
            return Ok(None);
        };
        relcache::follow(watch.watched);
        // Loading may itself have processed invalidations: the generation after it counts.
        let generation = relcache::generation();
        let replaced = WATCHES.with(|watches| {
            let mut watches = watches.borrow_mut();
            watches.insert(id, (generation, Rc::clone(&watch)))
        });
        drop(replaced);
        Ok(Some(watch))
    }

    /// Loads the current definition: the trigger also fires in transactions that began before it.
    fn load(id: i64) -> Option<Watch> {
        let _owner = Acting::as_extension_owner(catalog::extension_owner());
        Spi::connect(|client| {
            let text = include_str!("../../sql/queries/load_watch.sql");
            let rows = query::latest(client, text, &[id.into()]);
            let row = rows.rows().next()?;
            let has_details = row.get(5) == Some(true);
            let details = || {
                let text = include_str!("../../sql/queries/load_watch_details.sql");
                let rows = query::latest(client, text, &[id.into()]);
                rows.rows().next().map(|row| Details::of_row(&row))
            };
            let details = has_details.then(details).flatten();
            Some(Self::of_row(id, &row, details.unwrap_or_default()))
        })
    }

    /// Reads a row of `load_watch.sql`.
    fn of_row(id: i64, row: &pages::Row<'_>, details: Details) -> Self {
        let watched = row.get(2).unwrap_or(pg_sys::InvalidOid);
        let table = catalog::Table::open(watched);
        let event_type = |operation: Operation| {
            let (schema, table, change) = (&table.schema, &table.name, operation.past_tense());
            let of_names = || attributes::default_type(schema, table, change);
            row.get(3).unwrap_or_else(of_names)
        };
        Self {
            id,
            name: row.get(1).unwrap_or_default(),
            watched,
            event_types: Operation::ALL.map(event_type),
            captures_faults: row.get(4).unwrap_or(false),
            default_source: source_of_database(&catalog::database_name()),
            table,
            details,
            planned: OnceCell::new(),
            formats: RefCell::default(),
        }
    }

    /// Returns how to read the rows of the table whose trigger fired. `None` for a table outside the watch's tree, such
    /// as a copy that brought the trigger along.
    pub fn format(&self, fired: pg_sys::Oid) -> Option<Rc<Format>> {
        if let Some(format) = self.formats.borrow().get(&fired) {
            return format.clone();
        }
        relcache::follow(fired);
        let is_inside = fired == self.watched || tables_above(fired).contains(&self.watched);
        let format = is_inside.then(|| Rc::new(Format::new(self, fired)));
        self.formats.borrow_mut().insert(fired, format.clone());
        format
    }

    /// Returns the event type if no expression gives one.
    pub fn event_type(&self, operation: Operation) -> &str {
        &self.event_types[operation as usize]
    }

    pub fn has_expressions(&self) -> bool {
        !self.details.expressions.is_empty()
    }

    /// Returns the watch's expressions, planned once per session. Runs as the table's owner, because planning may
    /// already call functions.
    pub fn planned(&self) -> &[(Expression, Planned)] {
        self.planned.get_or_init(|| {
            let functions = self.details.expressions.iter();
            functions
                .map(|(expression, function)| {
                    if *function == pg_sys::InvalidOid {
                        self.raise_missing(*expression);
                    }
                    (*expression, Planned::new(*function, self.table.row_type))
                })
                .collect()
        })
    }

    fn raise_missing(&self, expression: Expression) {
        let (name, schema, table) = (expression.name(), &self.table.schema, &self.table.name);
        ErrorReport::new(
            PgSqlErrorCode::ERRCODE_UNDEFINED_FUNCTION,
            format!("the {name} of a watch on {schema}.{table} was dropped"),
            "capture",
        )
        .set_detail("DROP ... CASCADE of a column or function that it used dropped it, too.")
        .set_hint(format!(
            "Call herald.watch() for the table again with a {name} that fits, or herald.unwatch('{schema}.{table}')."
        ))
        .report(PgLogLevel::ERROR);
    }
}

impl Format {
    fn new(watch: &Watch, fired: pg_sys::Oid) -> Self {
        let has = |list: &Vec<String>, name: &str| list.iter().any(|listed| listed == name);
        let (include, exclude) = (
            &watch.details.include_columns,
            &watch.details.exclude_columns,
        );
        let keeps = |name: &str| {
            include.as_ref().is_none_or(|list| has(list, name))
                && !exclude.as_ref().is_some_and(|list| has(list, name))
        };
        let keeps_all = include.is_none() && exclude.is_none();
        let shape = Shape::new(
            watch.watched,
            fired,
            if keeps_all { None } else { Some(&keeps) },
        );
        let of_each = |holds: &dyn Fn(&str) -> bool| {
            let columns = shape.columns.iter();
            columns.map(|column| holds(&column.name)).collect()
        };
        let key: Vec<usize> = watch
            .table
            .key_columns
            .iter()
            .filter_map(|name| shape.position(name))
            .collect();
        Self {
            has_plain_key: key.iter().all(|at| shape.columns[*at].has_plain_text()),
            key,
            kept: (!keeps_all).then(|| of_each(&keeps)),
            deciding: watch
                .details
                .on_change_of
                .as_ref()
                .map(|list| of_each(&|name| has(list, name))),
            shape,
        }
    }

    /// Returns whether its rows are written without calling users' functions, and alike under all settings.
    pub fn is_plain(&self) -> bool {
        self.has_plain_key && self.shape.is_plain()
    }

    /// Returns whether records show this column.
    pub fn is_kept(&self, position: usize) -> bool {
        self.kept.as_ref().is_none_or(|kept| kept[position])
    }

    /// Returns whether updates are captured because of this column.
    pub fn decides(&self, position: usize) -> bool {
        self.deciding
            .as_ref()
            .is_some_and(|deciding| deciding[position])
    }

    /// Returns whether to capture a change of these columns. An unknown change, or no update, is always captured.
    pub fn concerns(&self, changed: Option<&[usize]>) -> bool {
        match changed {
            Some(changed) if self.deciding.is_some() => changed.iter().any(|at| self.decides(*at)),
            _ => true,
        }
    }
}

/// Returns the tables of which this is a partition or a child, on all levels, and follows their changes.
fn tables_above(table: pg_sys::Oid) -> Vec<pg_sys::Oid> {
    let _owner = Acting::as_extension_owner(catalog::extension_owner());
    let above = Spi::connect(|client| {
        let text = include_str!("../../sql/queries/load_above.sql");
        let rows = query::latest(client, text, &[table.into()]);
        rows.rows().next()?.get::<Vec<Option<pg_sys::Oid>>>(1)
    });
    let above = above.unwrap_or_default();
    above
        .into_iter()
        .flatten()
        .inspect(|relation| relcache::follow(*relation))
        .collect()
}
