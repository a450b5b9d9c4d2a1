//! Places where `cargo xtask torture` ends the worker, to show that nothing is lost there.
//!
//! They act only in a library built with the feature `failpoints`, which no package has.

/// Ends this process like a crash if a file in the data directory names this place. Removes the file first, as the
/// restarted server passes here again.
#[cfg(feature = "failpoints")]
pub fn reached(place: &str) {
    const FILE: &str = "herald_failpoint";
    let is_armed = std::fs::read_to_string(FILE).is_ok_and(|armed| armed.trim() == place);
    if is_armed && std::fs::remove_file(FILE).is_ok() {
        std::process::abort();
    }
}

#[cfg(not(feature = "failpoints"))]
pub fn reached(_place: &str) {}
