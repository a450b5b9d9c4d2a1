//! Inspects utility commands before they run.

use super::symbols::standard_ProcessUtility;
use pgrx::prelude::*;
use std::cell::Cell;
use std::ffi::{CStr, c_char};

/// What a command means to pg_herald.
#[derive(Debug)]
pub struct Command {
    pub concerned: Option<Concerned>,
    /// Its commit may bring a new database to connect to.
    pub may_create_database: bool,
}

/// What must be unused, and without connections, for a command to succeed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Concerned {
    /// DROP EXTENSION pg_herald, in the current database.
    Extension,
    /// DROP DATABASE, RENAME, SET TABLESPACE, or CREATE DATABASE with this one as its template.
    Database(String),
}

type Before = fn(&Command);

thread_local! {
    static BEFORE: Cell<Option<Before>> = const { Cell::new(None) };
    static PREVIOUS: Cell<pg_sys::ProcessUtility_hook_type> = const { Cell::new(None) };
}

/// Calls `before` ahead of each such command.
pub fn hook(before: Before) {
    BEFORE.set(Some(before));
    // SAFETY: called once from `_PG_init` in the postmaster; every later process inherits both values.
    unsafe {
        PREVIOUS.set(pg_sys::ProcessUtility_hook);
        pg_sys::ProcessUtility_hook = Some(process_utility);
    }
}

// Every utility command of the cluster passes through here. It calls PostgreSQL directly, not through pgrx, which would
// turn an ERROR into a panic and back, and drop its position and context. Nothing with a destructor may live in this
// function, as an ERROR jumps over it.
#[allow(clippy::too_many_arguments)]
unsafe extern "C-unwind" fn process_utility(
    statement: *mut pg_sys::PlannedStmt,
    text: *const c_char,
    read_only_tree: bool,
    context: pg_sys::ProcessUtilityContext::Type,
    parameters: pg_sys::ParamListInfo,
    environment: *mut pg_sys::QueryEnvironment,
    destination: *mut pg_sys::DestReceiver,
    completion: *mut pg_sys::QueryCompletion,
) {
    // SAFETY: PostgreSQL passes a valid statement; the arguments are passed on unchanged.
    unsafe {
        if is_of_interest((*statement).utilityStmt) {
            look(statement);
        }
        let next = PREVIOUS.get().unwrap_or(standard_ProcessUtility);
        next(
            statement,
            text,
            read_only_tree,
            context,
            parameters,
            environment,
            destination,
            completion,
        );
    }
}

/// # Safety
/// `node` is null or a node.
unsafe fn is_of_interest(node: *mut pg_sys::Node) -> bool {
    use pg_sys::NodeTag::{
        T_AlterDatabaseStmt, T_CreatedbStmt, T_DropStmt, T_DropdbStmt, T_RenameStmt,
    };
    // SAFETY: every node begins with its tag.
    !node.is_null()
        && matches!(
            unsafe { (*node).type_ },
            T_DropdbStmt | T_AlterDatabaseStmt | T_RenameStmt | T_CreatedbStmt | T_DropStmt
        )
}

#[pg_guard]
unsafe extern "C-unwind" fn look(statement: *mut pg_sys::PlannedStmt) {
    // SAFETY: a valid statement of one of the kinds of interest.
    let node = unsafe { (*statement).utilityStmt };
    if let Some(before) = BEFORE.get() {
        use pg_sys::NodeTag::{T_AlterDatabaseStmt, T_CreatedbStmt};
        // SAFETY: every node begins with its tag.
        let tag = unsafe { (*node).type_ };
        before(&Command {
            // SAFETY: as above.
            concerned: unsafe { concerned(node) },
            may_create_database: matches!(tag, T_CreatedbStmt | T_AlterDatabaseStmt),
        });
    }
}

/// Returns what the command concerns, if a worker would block it.
///
/// # Safety
/// `node` is a utility statement as the parser makes it.
unsafe fn concerned(node: *mut pg_sys::Node) -> Option<Concerned> {
    // SAFETY: the tag says which struct the node is.
    unsafe {
        let database = |name| Some(Concerned::Database(to_string(name)?));
        match (*node).type_ {
            pg_sys::NodeTag::T_DropdbStmt => database((*node.cast::<pg_sys::DropdbStmt>()).dbname),
            pg_sys::NodeTag::T_AlterDatabaseStmt => {
                let statement = &*node.cast::<pg_sys::AlterDatabaseStmt>();
                option(statement.options, c"tablespace")?;
                database(statement.dbname)
            }
            pg_sys::NodeTag::T_RenameStmt => {
                let statement = &*node.cast::<pg_sys::RenameStmt>();
                (statement.renameType == pg_sys::ObjectType::OBJECT_DATABASE)
                    .then(|| database(statement.subname))
                    .flatten()
            }
            pg_sys::NodeTag::T_CreatedbStmt => {
                let statement = &*node.cast::<pg_sys::CreatedbStmt>();
                let template = option(statement.options, c"template")?;
                // `template = default` has no value.
                if (*template).arg.is_null() {
                    return None;
                }
                database(pg_sys::defGetString(template))
            }
            pg_sys::NodeTag::T_DropStmt => {
                let statement = &*node.cast::<pg_sys::DropStmt>();
                let drops_us = statement.removeType == pg_sys::ObjectType::OBJECT_EXTENSION
                    && elements(statement.objects).any(|object| {
                        to_string((*object.cast::<pg_sys::String>()).sval).as_deref()
                            == Some("pg_herald")
                    });
                drops_us.then_some(Concerned::Extension)
            }
            _ => None,
        }
    }
}

/// # Safety
/// `options` is null or a list of DefElem.
unsafe fn option(options: *mut pg_sys::List, name: &CStr) -> Option<*mut pg_sys::DefElem> {
    // SAFETY: by the contract of this function.
    unsafe {
        elements(options)
            .map(|element| element.cast::<pg_sys::DefElem>())
            .find(|element| CStr::from_ptr((**element).defname) == name)
    }
}

/// # Safety
/// `list` is null or a list of pointers.
unsafe fn elements(list: *mut pg_sys::List) -> impl Iterator<Item = *mut std::ffi::c_void> {
    // SAFETY: a list has `length` elements.
    let count = if list.is_null() {
        0
    } else {
        unsafe { (*list).length }
    };
    (0..count as usize).map(move |at| unsafe { (*(*list).elements.add(at)).ptr_value })
}

/// # Safety
/// `text` is null or NUL-terminated.
unsafe fn to_string(text: *const c_char) -> Option<String> {
    // SAFETY: by the contract of this function.
    (!text.is_null()).then(|| {
        unsafe { CStr::from_ptr(text) }
            .to_string_lossy()
            .into_owned()
    })
}
