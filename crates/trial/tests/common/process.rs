//! Processes: what the kernel says about a process, and which program to start.

use std::fs;
use std::process::Command;

/// What a process holds and could leak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holdings {
    /// Private memory: heap and stacks.
    pub anonymous_kb: u64,
    pub threads: u64,
    pub sockets: usize,
}

/// Returns what this process holds now.
#[track_caller]
pub fn holdings(pid: i32) -> Holdings {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the process runs");
    let number = |field: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(field));
        line.and_then(|line| line.split_whitespace().next()?.parse().ok())
            .expect("a number in the status of the process")
    };
    Holdings {
        anonymous_kb: number("RssAnon:"),
        threads: number("Threads:"),
        sockets: sockets(pid),
    }
}

fn sockets(pid: i32) -> usize {
    let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).expect("the process runs");
    descriptors
        .filter_map(|entry| fs::read_link(entry.ok()?.path()).ok())
        .filter(|target| target.to_string_lossy().starts_with("socket:"))
        .count()
}

/// Returns the first Python on the PATH, unless only the system's has these modules.
pub fn python_with(modules: &str) -> &'static str {
    let has_them = Command::new("python3")
        .args(["-c", &format!("import {modules}")])
        .output()
        .is_ok_and(|output| output.status.success());
    if has_them {
        "python3"
    } else {
        "/usr/bin/python3"
    }
}
