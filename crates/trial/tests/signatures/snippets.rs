//! Code in Node and Python that verifies requests: the document's, and the receivers' own.

use std::fs::File;
use std::io::{Seek, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::alter::Signed;
use crate::common::process::python_with;
use crate::document;

/// The document's code, as files.
pub struct Snippets(TempDir);

impl Snippets {
    pub fn write() -> Self {
        let folder = tempfile::tempdir().expect("a directory");
        for block in document::blocks("run") {
            std::fs::write(folder.path().join(block.name), block.text).expect("a file is written");
        }
        Self(folder)
    }

    /// Returns the files of a scheme in both languages.
    pub fn of(&self, name: &str) -> [PathBuf; 2] {
        ["mjs", "py"].map(|language| self.0.path().join(format!("{name}.{language}")))
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("verify")
}

/// Returns the file of a receiver's own code.
pub fn seed(name: &str) -> PathBuf {
    folder().join(name)
}

/// Questions for functions `verify`, with the expected answers.
#[derive(Default)]
pub struct Questions {
    cases: Vec<(String, bool, Value)>,
}

impl Questions {
    /// Asks whether this code accepts the request. `extra` are further members of the case.
    pub fn add(
        &mut self,
        what: &str,
        file: &Path,
        request: &Signed,
        extra: &Value,
        expected: bool,
    ) {
        let body: String = request
            .body
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let mut case = json!({
            "file": file, "secret": request.secret, "headers": request.headers, "body": body
        });
        let members = extra.as_object().cloned().unwrap_or_default();
        case.as_object_mut().expect("an object").extend(members);
        let name = file.file_name().unwrap_or_default().display();
        self.cases.push((format!("{name}: {what}"), expected, case));
    }

    /// Asks all questions, and panics with those answered wrong. Returns their number.
    #[track_caller]
    pub fn ask(self) -> usize {
        let (python, node): (Vec<_>, Vec<_>) = self.cases.into_iter().partition(|(_, _, case)| {
            let file = case["file"].as_str().unwrap_or_default();
            file.ends_with(".py")
        });
        let mut wrong = Vec::new();
        let mut asked = 0;
        for (program, driver, cases) in [
            ("node", "snippets.mjs", node),
            (python_with("cryptography"), "snippets.py", python),
        ] {
            asked += cases.len();
            let answers = answers(program, driver, &cases);
            assert_eq!(answers.len(), cases.len(), "{program} answered everything");
            for ((what, expected, _), answer) in cases.iter().zip(answers) {
                if answer["accepted"] != *expected {
                    wrong.push(format!("{what}: {answer}, expected {expected}"));
                }
            }
        }
        let shown: Vec<_> = wrong.iter().take(20).collect();
        assert!(wrong.is_empty(), "{} of {asked}: {shown:#?}", wrong.len());
        asked
    }
}

fn answers(program: &str, driver: &str, cases: &[(String, bool, Value)]) -> Vec<Value> {
    if cases.is_empty() {
        return Vec::new();
    }
    // A file, because a pipe would be full before the first answer is read.
    let mut input: File = tempfile::tempfile().expect("a file");
    let lines: String = cases
        .iter()
        .map(|(_, _, case)| format!("{case}\n"))
        .collect();
    input
        .write_all(lines.as_bytes())
        .expect("the cases are written");
    input.rewind().expect("a file");
    let output = Command::new(program)
        .arg(folder().join(driver))
        .stdin(Stdio::from(input))
        .output()
        .unwrap_or_else(|error| panic!("{program} does not start, run cargo xtask setup: {error}"));
    assert!(
        output.status.success(),
        "{program}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout)
        .expect("answers are UTF-8")
        .lines()
        .map(|line| serde_json::from_str(line).expect("an answer is JSON"))
        .collect()
}
