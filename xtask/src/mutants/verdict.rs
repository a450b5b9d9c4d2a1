//! Judges a mutant by the output of a test run.

/// The result of a mutant, or of a test without a mutant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The test failed with the expected message.
    Killed,
    /// The test passed.
    Survived,
    /// The test came to no result, or failed for another reason.
    Unclear(String),
}

/// Judges one test by libtest's output.
pub fn judge(output: &str, test: &str, says: &str) -> Verdict {
    match result_of(output, test) {
        Some("ok") => Verdict::Survived,
        Some("FAILED") => match failure_of(output, test) {
            failure if failure.contains(says) => Verdict::Killed,
            failure => {
                Verdict::Unclear(format!("it failed by other words: {}", shortened(failure)))
            }
        },
        _ if output.contains("error: could not compile") => {
            let error = output.lines().find(|line| line.starts_with("error"));
            Verdict::Unclear(format!(
                "it does not compile: {}",
                error.unwrap_or_default()
            ))
        }
        _ => Verdict::Unclear("the test came to no result".to_owned()),
    }
}

/// Finds the result of a line such as `test windows::tests::nothing_is_lost ... ok`. Output of the test or a server may
/// come in between, so the result may be at the beginning of a later line.
fn result_of<'a>(output: &'a str, test: &str) -> Option<&'a str> {
    let mut lines = output.lines();
    let rest = lines.find_map(|line| {
        let (name, rest) = line.strip_prefix("test ")?.split_once(" ... ")?;
        is_named(name, test).then_some(rest)
    })?;
    std::iter::once(rest).chain(lines).find_map(|line| {
        ["ok", "FAILED"]
            .into_iter()
            .find(|result| line.starts_with(result))
    })
}

/// Returns what the test printed while it failed.
fn failure_of<'a>(output: &'a str, test: &str) -> &'a str {
    let heading = output.lines().find(|line| {
        let name = line
            .strip_prefix("---- ")
            .and_then(|line| line.strip_suffix(" stdout ----"));
        name.is_some_and(|name| is_named(name, test))
    });
    let Some((_, failure)) = heading.and_then(|heading| output.split_once(heading)) else {
        return "";
    };
    failure.split("\nfailures:\n").next().unwrap_or(failure)
}

/// pgrx puts `pg_` before the name of a test.
fn is_named(full: &str, test: &str) -> bool {
    full == test
        || full
            .strip_suffix(test)
            .is_some_and(|before| before.ends_with("::") || before.ends_with("::pg_"))
}

/// Returns the panic's message, shortened to a line or two.
fn shortened(failure: &str) -> String {
    let message = failure
        .split_once("panicked at ")
        .and_then(|(_, rest)| rest.split_once('\n'))
        .map_or(failure, |(_, message)| message);
    let message = message.split_whitespace().collect::<Vec<_>>().join(" ");
    message.chars().take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAILED: &str = "
running 1 test
test tests::nothing_is_lost ... FAILED

failures:

---- tests::nothing_is_lost stdout ----

thread 'tests::nothing_is_lost' panicked at crates/trial/tests/crash.rs:7:5:
assertion `left == right` failed
  left: 9
 right: 10


failures:
    tests::nothing_is_lost

test result: FAILED. 0 passed; 1 failed; 0 ignored
";

    #[test]
    fn a_failure_counts_by_its_words_only() {
        assert_eq!(
            judge(FAILED, "nothing_is_lost", "left: 9\n"),
            Verdict::Killed
        );
        let other = judge(FAILED, "nothing_is_lost", "in vain");
        let words = "it failed by other words: assertion `left == right` failed left: 9 right: 10";
        assert_eq!(other, Verdict::Unclear(words.to_owned()));
    }

    #[test]
    fn words_outside_the_failure_do_not_count() {
        let output = format!("in vain\n{FAILED}\nin vain");
        assert_ne!(
            judge(&output, "nothing_is_lost", "in vain"),
            Verdict::Killed
        );
    }

    #[test]
    fn a_test_that_passes_lets_the_mutant_live() {
        for output in [
            "test it::pg_nothing_is_lost ... ok",
            "test it::pg_nothing_is_lost ... log of the server\nok",
        ] {
            assert_eq!(judge(output, "nothing_is_lost", ""), Verdict::Survived);
        }
    }

    #[test]
    fn what_did_not_compile_run_or_end_proves_nothing() {
        for (output, expected) in [
            (
                "error[E0425]: cannot find value\nerror: could not compile `herald-core`",
                "it does not compile: error[E0425]: cannot find value",
            ),
            ("test nothing_is_lost ... ", "the test came to no result"),
            (
                "test almost_nothing_is_lost ... ok",
                "the test came to no result",
            ),
        ] {
            let verdict = judge(output, "nothing_is_lost", "");
            assert_eq!(verdict, Verdict::Unclear(expected.to_owned()));
        }
    }
}
