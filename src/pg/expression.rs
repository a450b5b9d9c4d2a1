//! A watch's expressions: compiled from text once, planned once per session, evaluated for each row.
//!
//! Compiling and evaluating may run the owner's code (a domain's check, a cast, a function), so callers first switch to
//! the table's owner (`pg::user`).

use super::memory::Memory;
use super::rows::Row;
use pgrx::pg_sys::panic::CaughtError;
use pgrx::{FromDatum, IntoDatum, pg_sys};
use std::cell::Cell;
use std::ffi::{CString, c_void};
use std::marker::PhantomData;
use std::panic::AssertUnwindSafe;

/// Why a statement did not compile, and where.
#[derive(Debug)]
pub struct CompileError {
    pub sqlstate: pgrx::PgSqlErrorCode,
    pub message: String,
    pub detail: Option<String>,
    pub hint: Option<String>,
    /// The character of the statement that the error points at, from 0.
    pub position: Option<usize>,
}

/// Returns an error unless `text` parses as an expression on its own.
pub fn parse(text: &str) -> Result<(), CompileError> {
    let text = to_c(text)?;
    catching(|| {
        // SAFETY: a NUL-terminated string; the parse tree lives in the current memory context and is not read.
        unsafe {
            let mode = pg_sys::RawParseMode::RAW_PARSE_PLPGSQL_EXPR;
            pg_sys::raw_parser(text.as_ptr(), mode);
        }
    })
}

/// Returns the number of statements in `text`; an error if it does not parse.
///
/// An expression pasted into a statement must leave it a single statement.
pub fn count_statements(text: &str) -> Result<usize, CompileError> {
    let text = to_c(text)?;
    catching(|| {
        // SAFETY: a NUL-terminated string; the parse tree lives in the current memory context and is only counted.
        unsafe {
            let list = pg_sys::raw_parser(text.as_ptr(), pg_sys::RawParseMode::RAW_PARSE_DEFAULT);
            if list.is_null() {
                0
            } else {
                (*list).length as usize
            }
        }
    })
}

/// Runs a statement. If it fails, the error has the position of the fault.
pub fn run_statement(text: &str) -> Result<(), CompileError> {
    let checked = to_c(text)?;
    catching(|| {
        pgrx::Spi::connect_mut(|client| client.update(checked.as_c_str(), None, &[]).map(|_| ()))
            .expect("SPI reports a failed statement as an ERROR")
    })
}

/// Returns what makes the body of an expression's function more than one value for one row, if anything. The content of
/// a subquery does not count.
pub fn more_than_one_row(function: pg_sys::Oid) -> Option<&'static str> {
    // SAFETY: inside a transaction in which the function exists with a RETURN as its body, which PostgreSQL keeps as a
    // Query. The catalog's row is released; what is read from it lives in the current memory context.
    unsafe {
        let cache = pg_sys::SysCacheIdentifier::PROCOID as i32;
        let row = pg_sys::SearchSysCache1(cache, function.into());
        assert!(!row.is_null(), "the function was created by the caller");
        let (column, mut is_null) = (pg_sys::Anum_pg_proc_prosqlbody as i16, false);
        let body = pg_sys::SysCacheGetAttr(cache, row, column, &mut is_null);
        let text = String::from_datum(body, is_null);
        pg_sys::ReleaseSysCache(row);
        let text = to_c(&text.expect("a RETURN is kept parsed")).expect("a text has no NUL");
        let node = pg_sys::stringToNode(text.as_ptr()).cast::<pg_sys::Query>();
        assert_eq!((*node).type_, pg_sys::NodeTag::T_Query, "a RETURN");
        if (*node).hasAggs {
            Some("an aggregate")
        } else if (*node).hasWindowFuncs {
            Some("a window function")
        } else {
            (*node).hasTargetSRFs.then_some("a set")
        }
    }
}

/// Returns the value of an expression's function if it is a constant, even null; `None` if it depends on the row.
pub fn constant(
    function: pg_sys::Oid,
    row_type: pg_sys::Oid,
) -> Result<Option<Option<String>>, CompileError> {
    catching(|| Planned::new(function, row_type).constant())
}

fn to_c(text: &str) -> Result<CString, CompileError> {
    CString::new(text).map_err(|_| CompileError {
        sqlstate: pgrx::PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
        message: "the text contains a NUL character".into(),
        detail: None,
        hint: None,
        position: None,
    })
}

thread_local! {
    static POSITION: Cell<i32> = const { Cell::new(0) };
}

/// Runs `body`. Returns an ERROR with the position that PostgreSQL found. Does not roll the transaction back: the
/// caller must raise its own ERROR.
fn catching<R>(body: impl FnOnce() -> R) -> Result<R, CompileError> {
    POSITION.set(0);
    let mut callback = pg_sys::ErrorContextCallback {
        // SAFETY: the stack is restored below, and by the error handling itself after an ERROR.
        previous: unsafe { pg_sys::error_context_stack },
        callback: Some(note_position),
        arg: std::ptr::null_mut(),
    };
    // SAFETY: `callback` lives to the end of this function.
    unsafe { pg_sys::error_context_stack = &mut callback };
    let body = AssertUnwindSafe(body);
    let result = pgrx::PgTryBuilder::new(AssertUnwindSafe(move || {
        let AssertUnwindSafe(body) = body;
        Ok(body())
    }))
    .catch_others(|error| {
        let report = match &error {
            CaughtError::PostgresError(report)
            | CaughtError::ErrorReport(report)
            | CaughtError::RustPanic {
                ereport: report, ..
            } => report,
        };
        Err(CompileError {
            sqlstate: report.sql_error_code(),
            message: report.message().to_owned(),
            detail: report.detail().map(str::to_owned),
            hint: report.hint().map(str::to_owned),
            position: usize::try_from(POSITION.get() - 1).ok(),
        })
    })
    .execute();
    // SAFETY: pops what was pushed above.
    unsafe { pg_sys::error_context_stack = callback.previous };
    result
}

// SAFETY (as a C callback): called by errfinish on the main thread; it only reads the error being reported.
unsafe extern "C-unwind" fn note_position(_: *mut c_void) {
    // SAFETY: as above. SPI has moved the position to the internal one before this callback is reached.
    let position = unsafe {
        match pg_sys::getinternalerrposition() {
            0 => pg_sys::geterrposition(),
            internal => internal,
        }
    };
    if position > 0 {
        POSITION.set(position);
    }
}

/// The planned function of a watch's expression: its SQL body is inlined, so a row starts no executor.
///
/// It stays valid until `relcache::generation` changes.
pub struct Planned {
    // Owns the plan's memory.
    _memory: Memory,
    plan: *mut pg_sys::Expr,
    row_type: pg_sys::Oid,
}

impl Planned {
    /// Plans a call of `function(new row_type, old row_type, operation text)`.
    pub fn new(function: pg_sys::Oid, row_type: pg_sys::Oid) -> Self {
        let memory = Memory::of_session(c"pg_herald expression");
        // SAFETY: the nodes are built in memory that lives as long as this value.
        let plan = unsafe {
            memory.run(|| {
                let mut arguments: *mut pg_sys::List = std::ptr::null_mut();
                for (number, type_oid, collation) in [
                    (1, row_type, pg_sys::InvalidOid),
                    (2, row_type, pg_sys::InvalidOid),
                    (3, pg_sys::TEXTOID, pg_sys::DEFAULT_COLLATION_OID),
                ] {
                    let param = pg_sys::palloc0(size_of::<pg_sys::Param>()).cast::<pg_sys::Param>();
                    (*param).xpr.type_ = pg_sys::NodeTag::T_Param;
                    (*param).paramkind = pg_sys::ParamKind::PARAM_EXTERN;
                    (*param).paramid = number;
                    (*param).paramtype = type_oid;
                    (*param).paramtypmod = -1;
                    (*param).paramcollid = collation;
                    (*param).location = -1;
                    arguments = pg_sys::lappend(arguments, param.cast());
                }
                let result = pg_sys::get_func_rettype(function);
                let call = pg_sys::makeFuncExpr(
                    function,
                    result,
                    arguments,
                    pg_sys::get_typcollation(result),
                    pg_sys::DEFAULT_COLLATION_OID,
                    pg_sys::CoercionForm::COERCE_EXPLICIT_CALL,
                );
                pg_sys::expression_planner(call.cast())
            })
        };
        Self {
            _memory: memory,
            plan,
            row_type,
        }
    }

    /// Returns its value if planning left nothing to compute. The function must return text.
    fn constant(&self) -> Option<Option<String>> {
        // SAFETY: the plan is a node; of this type it is a Const, whose value lives as long.
        unsafe {
            if (*self.plan).type_ != pg_sys::NodeTag::T_Const {
                return None;
            }
            let constant = self.plan.cast::<pg_sys::Const>();
            Some(String::from_datum(
                (*constant).constvalue,
                (*constant).constisnull,
            ))
        }
    }

    /// Prepares the plan for the rows of one statement.
    pub fn start(&self, operation: &str) -> Evaluator<'_> {
        // SAFETY: everything is allocated in the trigger's memory context and outlives the evaluator, which is
        // dropped before the trigger returns.
        unsafe {
            let parameters = pg_sys::makeParamList(3);
            let list = (*parameters).params.as_mut_ptr();
            for (at, type_oid) in [(0, self.row_type), (1, self.row_type), (2, pg_sys::TEXTOID)] {
                let parameter = &mut *list.add(at);
                parameter.isnull = true;
                parameter.ptype = type_oid;
                parameter.pflags = 0;
            }
            (*list.add(2)).value = operation.into_datum().expect("a string is never null");
            (*list.add(2)).isnull = false;
            let state = pg_sys::ExecInitExprWithParams(self.plan, parameters);
            let context = pg_sys::CreateStandaloneExprContext();
            (*context).ecxt_param_list_info = parameters;
            Evaluator {
                state,
                context,
                parameters,
                plan: PhantomData,
            }
        }
    }
}

/// An expression, ready to be evaluated row by row.
pub struct Evaluator<'p> {
    state: *mut pg_sys::ExprState,
    context: *mut pg_sys::ExprContext,
    parameters: pg_sys::ParamListInfo,
    plan: PhantomData<&'p Planned>,
}

impl Evaluator<'_> {
    /// Returns the value for these rows, or `None` if it is null. `T` must be the type that the function returns.
    pub fn evaluate<T: FromDatum>(
        &mut self,
        new: Option<&Row<'_>>,
        old: Option<&Row<'_>>,
    ) -> Option<T> {
        // SAFETY: state, context and parameters belong together (`start`); the rows' datums outlive the call; the call
        // is guarded, as the evaluated code may raise an ERROR. The result is copied before anything is freed.
        unsafe {
            let list = (*self.parameters).params.as_mut_ptr();
            for (at, row) in [(0, new), (1, old)] {
                let parameter = &mut *list.add(at);
                parameter.isnull = row.is_none();
                if let Some(row) = row {
                    parameter.value = row.composite();
                }
            }
            let evaluate = (*self.state)
                .evalfunc
                .expect("an initialised expression has a function");
            let (state, context) = (self.state, self.context);
            let mut is_null = false;
            let is_null_at = &raw mut is_null;
            let datum = pg_sys::ffi::pg_guard_ffi_boundary(|| evaluate(state, context, is_null_at));
            T::from_datum(datum, is_null)
        }
    }
}
