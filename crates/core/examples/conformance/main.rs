//! Plays the public tests of a specification: `cargo run -p herald-core --example conformance -- --cesql DIR` those of CESQL,
//! the folder `cesql/cesql_tck` of the CloudEvents specification, and `--patterns DIR` pairs of event patterns and events.
//!
//! It prints why a test fails, and how many passed.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{env, fs};

mod cesql;
mod patterns;

const USAGE: &str = "usage: conformance --cesql DIR | --patterns DIR";

/// Plays the tests of a file; the error says why there are none.
type Play = fn(&str) -> Result<Vec<Verdict>, String>;

/// The result of one test.
struct Verdict {
    title: String,
    wrong: Option<String>,
}

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Returns whether the folder has tests and all of them pass.
fn run() -> Result<bool, Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [option, folder] = arguments.as_slice() else {
        return Err(USAGE.into());
    };
    let (extensions, play): (&[&str], Play) = match option.as_str() {
        "--cesql" => (&["yaml", "yml"], cesql::play),
        "--patterns" => (&["json", "jsonl"], patterns::play),
        _ => return Err(USAGE.into()),
    };
    let (mut passed, mut failed) = (0, 0);
    for file in files(Path::new(folder), extensions)? {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        let verdicts =
            play(&fs::read_to_string(&file)?).map_err(|fault| format!("{name}: {fault}"))?;
        let before = passed;
        for Verdict { title, wrong } in &verdicts {
            match wrong {
                None => passed += 1,
                Some(wrong) => {
                    failed += 1;
                    println!("FAILED  {name}: {title}: {wrong}");
                }
            }
        }
        println!("passed  {name}: {} of {}", passed - before, verdicts.len());
    }
    println!("{passed} passed, {failed} failed");
    Ok(passed > 0 && failed == 0)
}

/// Returns the files of a folder and those below it that have one of these extensions, by name.
fn files(folder: &Path, extensions: &[&str]) -> Result<Vec<PathBuf>, Box<dyn Error>> {
    let entries = fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut found = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let extension = path.extension().and_then(|extension| extension.to_str());
        if path.is_dir() {
            found.extend(files(&path, extensions)?);
        } else if extension.is_some_and(|extension| extensions.contains(&extension)) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}
