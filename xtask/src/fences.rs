//! Tests that the pure crates stay pure, that modules depend on each other in one direction, and that ARCHITECTURE.md stays
//! a map.

use std::fs;
use std::path::{Path, PathBuf};

/// What a source file of a pure crate must not name, and what it would bring in.
const FORBIDDEN: &[(&str, &str)] = &[
    ("pgrx", "PostgreSQL"),
    ("postgres::", "PostgreSQL"),
    ("std::net::Tcp", "sockets"),
    ("std::net::Udp", "sockets"),
    ("ToSocketAddrs", "sockets"),
    ("std::thread", "threads"),
    ("thread::spawn", "threads"),
    ("std::fs", "files"),
    ("std::env", "the environment"),
    ("std::process", "processes"),
    ("Instant", "a clock"),
    ("SystemTime", "a clock"),
    ("Utc::now", "a clock"),
    ("Local::now", "a clock"),
    ("fastrand", "random numbers"),
    ("rand::", "random numbers"),
    ("new_v4", "random numbers"),
    ("now_v7", "random numbers"),
    ("RandomState", "random numbers"),
];

/// A map in random order must not decide anything. These files only look things up.
const LOOKED_UP_ONLY: &[&str] = &["seen.rs", "tenants.rs"];

/// ARCHITECTURE.md has fewer words than this: it is a map, and the manual is docs/internals.md.
const WORDS_OF_THE_MAP: usize = 2_500;

/// What `herald-dispatch` depends on.
const DISPATCH_NEEDS: &[&str] = &["herald-core"];

/// The modules of the extension that make up the worker. Each uses only those before it.
const ROOMS: &[&str] = &[
    "pg",
    "prepared",
    "failpoint",
    "settings",
    "vault",
    "wake",
    "life",
    "log",
    "launcher",
    "store",
    "ping",
    "worker",
];

#[test]
fn the_pure_crates_see_no_postgres_sockets_threads_clock_or_random_numbers() {
    let mut faults = Vec::new();
    for folder in ["crates/core/src", "crates/dispatch/src"] {
        for (path, source) in sources(folder) {
            for (word, what) in FORBIDDEN {
                if code_of(&source).any(|line| line.contains(word)) {
                    faults.push(format!("{}: {word} brings in {what}", path.display()));
                }
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn no_map_of_random_order_is_in_dispatch() {
    let mut faults = Vec::new();
    for (path, source) in sources("crates/dispatch/src") {
        let is_looked_up_only = LOOKED_UP_ONLY.iter().any(|name| path.ends_with(name));
        for word in ["HashMap", "HashSet"] {
            if !is_looked_up_only && code_of(&source).any(|line| line.contains(word)) {
                faults.push(format!("{}: {word}", path.display()));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn dispatch_depends_on_the_core_only() {
    let manifest = fs::read_to_string(root().join("crates/dispatch/Cargo.toml")).unwrap();
    let (_, dependencies) = manifest.split_once("[dependencies]").unwrap();
    let (dependencies, _) = dependencies.split_once("\n[").unwrap();
    let names: Vec<&str> = dependencies
        .lines()
        .filter_map(|line| line.split(['.', ' ', '=']).next())
        .filter(|name| !name.is_empty())
        .collect();
    assert_eq!(names, DISPATCH_NEEDS);
}

#[test]
fn worker_modules_use_only_earlier_modules() {
    let library = fs::read_to_string(root().join("src/lib.rs")).unwrap();
    let modules: Vec<&str> = code_of(&library)
        .filter_map(|line| line.strip_prefix("mod ")?.strip_suffix(';'))
        .collect();
    let mut faults = Vec::new();
    for (place, room) in ROOMS.iter().enumerate() {
        assert!(modules.contains(room), "src/lib.rs has no {room}");
        for (path, source) in sources_of(room) {
            let code: String = code_of(&source).collect::<Vec<_>>().join("\n");
            let used = modules.iter().filter(|module| uses(&code, module));
            for module in used.filter(|module| !ROOMS[..=place].contains(module)) {
                faults.push(format!("{} uses {module}", path.display()));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn the_architecture_stays_short_enough_for_a_map() {
    let map = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let words = map.split_whitespace().count();
    assert!(
        words < WORDS_OF_THE_MAP,
        "ARCHITECTURE.md has {words} words: move mechanisms to docs/internals.md"
    );
}

/// Whether the code names a module of its crate, alone or in a list.
fn uses(code: &str, module: &str) -> bool {
    let rest_of = |name: &str| {
        name.chars()
            .next()
            .is_some_and(|c| c.is_alphanumeric() || c == '_')
    };
    code.split("crate::").skip(1).any(|path| {
        let list = path
            .strip_prefix('{')
            .and_then(|list| list.split('}').next());
        let mut names = list
            .map_or(vec![path], |list| list.split(',').collect())
            .into_iter();
        names.any(|name| {
            let rest = name.trim_start().strip_prefix(module);
            rest.is_some_and(|rest| !rest_of(rest))
        })
    })
}

/// Returns the files of a module of the extension.
fn sources_of(module: &str) -> Vec<(PathBuf, String)> {
    let file = root().join(format!("src/{module}.rs"));
    let folder = format!("src/{module}");
    let mut found = Vec::new();
    if let Ok(source) = fs::read_to_string(&file) {
        found.push((file, source));
    }
    if root().join(&folder).is_dir() {
        found.extend(sources(&folder));
    }
    found
}

/// Returns the lines of a source file that are not comments, up to its tests.
fn code_of(source: &str) -> impl Iterator<Item = &str> {
    source
        .lines()
        .take_while(|line| *line != "#[cfg(test)]")
        .filter(|line| !line.trim_start().starts_with("//"))
}

/// Returns all source files below a folder, except test files.
fn sources(folder: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if !path.ends_with("tests.rs") {
                let source = fs::read_to_string(&path).unwrap();
                found.push((path, source));
            }
        }
    }
    assert!(!found.is_empty(), "{folder} has no source");
    found
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}
