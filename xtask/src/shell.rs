//! Runs other programs: each command is shown first, and its output goes straight to the terminal.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::{env, fs, io};

use crate::Result;

/// The root of the workspace, where every command runs.
pub fn root() -> PathBuf {
    let manifest_dir = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest_dir
        .parent()
        .expect("xtask lies in the workspace")
        .to_owned()
}

/// Prints a heading for what follows.
pub fn say(what: &str) {
    println!("\n==> {what}");
}

/// Returns a command that runs in the root of the workspace.
pub fn command(program: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(root());
    // `cargo run` describes this program in these variables: they are not meant for the programs it starts.
    for (name, _) in env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") {
            command.env_remove(name);
        }
    }
    command
}

/// Returns a call of cargo, as it is typed.
pub fn cargo(words: &str) -> Command {
    command("cargo", &words.split_whitespace().collect::<Vec<_>>())
}

/// Like [`command`], with the rights of root.
pub fn as_root(program: &str, arguments: &[&str]) -> Command {
    if am_root() {
        command(program, arguments)
    } else {
        command("sudo", &[&[program], arguments].concat())
    }
}

pub fn am_root() -> bool {
    // The owner of our own process directory is our effective user; without /proc, ask `id`.
    use std::os::unix::fs::MetadataExt;
    match fs::metadata("/proc/self") {
        Ok(process) => process.uid() == 0,
        Err(_) => output(&mut command("id", &["-u"])).is_ok_and(|id| id.trim() == "0"),
    }
}

/// Shows the command, runs it, and fails if it fails.
pub fn run(command: &mut Command) -> Result<()> {
    println!("    $ {}", shown(command));
    let status = command
        .status()
        .map_err(|error| cannot_run(command, &error))?;
    check(command, status)
}

/// Like [`run`], but also passes every line of standard output to `look` on its way to the terminal.
pub fn run_watched(command: &mut Command, mut look: impl FnMut(&str)) -> Result<()> {
    println!("    $ {}", shown(command));
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| cannot_run(command, &error))?;
    let mut lines = BufReader::new(child.stdout.take().expect("standard output is piped"));
    let mut line = Vec::new();
    while lines.read_until(b'\n', &mut line)? > 0 {
        io::stdout().write_all(&line)?;
        look(String::from_utf8_lossy(&line).trim_end());
        line.clear();
    }
    check(command, child.wait()?)
}

/// Returns what a command prints, without showing it on the terminal.
pub fn output(command: &mut Command) -> Result<String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|error| cannot_run(command, &error))?;
    check(command, output.status)?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

pub fn is_on_path(program: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).any(|dir| dir.join(program).is_file())
}

fn check(command: &Command, status: ExitStatus) -> Result<()> {
    if status.success() {
        Ok(())
    } else {
        Err(format!("`{}` failed ({status})", shown(command)).into())
    }
}

fn cannot_run(command: &Command, error: &io::Error) -> Box<dyn std::error::Error> {
    format!("cannot run `{}`: {error}", shown(command)).into()
}

fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words
        .map(OsStr::to_string_lossy)
        .collect::<Vec<_>>()
        .join(" ")
}
