//! No backtraces: pgrx adds the one of a panic to the DETAIL of its error, and every ERROR of PostgreSQL that crosses
//! Rust is a panic for it. `RUST_BACKTRACE=1` in the server's environment must not show users our stack and build paths.

use std::backtrace::Backtrace;
use std::ffi::OsString;
use std::io::Write;
use std::panic::{self, PanicHookInfo};

/// Goes before `RUST_BACKTRACE` for [`Backtrace::capture`], which pgrx calls.
const VARIABLE: &str = "RUST_LIB_BACKTRACE";

/// Switches backtraces off, for this library alone; called once, when it is loaded and after pgrx has set its hook.
///
/// The standard library reads the environment at the first capture only, and each library has a copy of its own: the
/// variable is back to what it was when this returns, and other libraries find what the administrator set.
pub fn switch_off() {
    let before = std::env::var_os(VARIABLE);
    set(Some("0".into()));
    let _ = Backtrace::capture();
    set(before);
    let report = panic::take_hook();
    let main = std::thread::current().id();
    panic::set_hook(Box::new(move |panic| {
        if std::thread::current().id() == main {
            report(panic);
        } else {
            say(panic);
        }
    }));
}

fn set(value: Option<OsString>) {
    // SAFETY: main thread, while the library is loaded: none of its threads runs yet, and the server has none that
    // look at the environment.
    unsafe {
        match value {
            Some(value) => std::env::set_var(VARIABLE, value),
            None => std::env::remove_var(VARIABLE),
        }
    }
}

/// What the standard library says of a panic in a thread, without the backtrace that the environment may ask for.
fn say(panic: &PanicHookInfo<'_>) {
    let thread = std::thread::current();
    let name = thread.name().unwrap_or("unnamed");
    let _ = writeln!(std::io::stderr(), "pg_herald: thread {name}: {panic}");
}
