//! How much a trial does, and what it measures.
//!
//! Most guarantees are tested with a small case on every change and measured with a large one now and then: both are
//! the same test, and `cargo xtask test --full` asks for the large one. Tests report measurements with [`figure`].

use std::env;
use std::fmt::Display;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::thread;

/// Set to `full` by `cargo xtask test --full`.
pub const SIZE_VARIABLE: &str = "HERALD_TRIAL_SIZE";
/// The file to which figures are appended, one per line: test, what, value.
pub const FIGURES_VARIABLE: &str = "HERALD_FIGURES";

/// Returns `full` when measuring figures for publication, else `short`.
pub fn at_size<T>(short: T, full: T) -> T {
    if env::var_os(SIZE_VARIABLE).is_some_and(|size| size == "full") {
        full
    } else {
        short
    }
}

/// Reports a test's measurement, on its output and in the file of figures.
pub fn figure(what: &str, value: impl Display) {
    let test = thread::current().name().unwrap_or("-").to_owned();
    println!("{test}: {what} = {value}");
    let Some(path) = env::var_os(FIGURES_VARIABLE) else {
        return;
    };
    let line = format!("{test}\t{what}\t{value}\n");
    let file = OpenOptions::new().create(true).append(true).open(path);
    if let Err(error) = file.and_then(|mut file| file.write_all(line.as_bytes())) {
        eprintln!("a figure was not written down: {error}");
    }
}
