//! Switches backtraces off: pgrx adds a panic's backtrace to the DETAIL of its error, and turns every PostgreSQL ERROR
//! that crosses Rust into a panic. `RUST_BACKTRACE=1` in the server's environment must not show users the stack and
//! build paths of pg_herald.

use std::backtrace::Backtrace;
use std::ffi::OsString;
use std::io::Write;
use std::panic::{self, PanicHookInfo};

/// Overrides `RUST_BACKTRACE` for [`Backtrace::capture`], which pgrx calls.
const VARIABLE: &str = "RUST_LIB_BACKTRACE";

/// Switches backtraces off for this library only. Called once, when the library is loaded, after pgrx has set its hook.
///
/// The standard library reads the environment only at the first capture, and each library has its own copy: the
/// variable is restored before this returns, so other libraries find what the administrator set.
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
    // SAFETY: main thread, while the library is loaded: none of its threads runs yet, and no thread of the server looks
    // at the environment.
    unsafe {
        match value {
            Some(value) => std::env::set_var(VARIABLE, value),
            None => std::env::remove_var(VARIABLE),
        }
    }
}

/// Prints what the standard library says of a panic in a thread, but never a backtrace.
fn say(panic: &PanicHookInfo<'_>) {
    let thread = std::thread::current();
    let name = thread.name().unwrap_or("unnamed");
    let _ = writeln!(std::io::stderr(), "pg_herald: thread {name}: {panic}");
}
