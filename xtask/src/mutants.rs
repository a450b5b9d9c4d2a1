//! `cargo xtask mutants`: proves that the tests of the promises can fail.
//!
//! A mutant breaks one promise in a copy of the source, and one named test must fail with the expected message. First,
//! each of these tests must pass without a mutant. A survivor is a missing test.

mod bench;
mod list;
mod mutant;
mod verdict;

use std::time::{Duration, Instant};

use self::bench::Bench;
use self::mutant::{Mutant, Test};
use self::verdict::{Verdict, judge};
use crate::Result;
use crate::debian::DEBIAN_MAJOR;
use crate::setup;
use crate::shell::say;

/// The result of one mutant.
struct Outcome {
    mutant: &'static Mutant,
    verdict: Verdict,
    took: Duration,
}

/// Prints the mutants and what each of them breaks.
pub fn print_all() {
    for mutant in list::all() {
        println!("{:<24} {}", mutant.name, mutant.breaks);
        println!("{:<24} {}: {}", "", mutant.file, mutant.killed_by);
    }
}

/// Returns true if all mutants were killed. Without names, tries all.
pub fn run(names: &[String]) -> Result<bool> {
    let chosen = chosen(names)?;
    setup::run(&[DEBIAN_MAJOR])?;
    let bench = Bench::prepare()?;
    say("The tests without a mutant: the first time, everything is compiled");
    if !all_pass(&bench, &chosen)? {
        return Ok(false);
    }
    say("The mutants");
    let mut outcomes = Vec::new();
    for mutant in chosen {
        let began_at = Instant::now();
        let verdict = try_mutant(&bench, mutant)?;
        let outcome = Outcome {
            mutant,
            verdict,
            took: began_at.elapsed(),
        };
        println!("{}", line(&outcome));
        if let Verdict::Unclear(_) = outcome.verdict {
            println!("    see {}", bench.log(mutant.name).display());
        }
        outcomes.push(outcome);
    }
    print_summary(&outcomes);
    Ok(outcomes
        .iter()
        .all(|outcome| outcome.verdict == Verdict::Killed))
}

fn chosen(names: &[String]) -> Result<Vec<&'static Mutant>> {
    if let Some(unknown) = names
        .iter()
        .find(|name| list::all().all(|mutant| mutant.name != **name))
    {
        return Err(
            format!("there is no mutant `{unknown}`: see `cargo xtask mutants --list`").into(),
        );
    }
    let is_chosen =
        |mutant: &&Mutant| names.is_empty() || names.iter().any(|name| mutant.name == name);
    Ok(list::all().filter(is_chosen).collect())
}

/// Whether all tests pass without a mutant: a test that fails anyway proves nothing.
fn all_pass(bench: &Bench, mutants: &[&Mutant]) -> Result<bool> {
    let mut tests: Vec<Test> = Vec::new();
    for mutant in mutants {
        if !tests.contains(&mutant.killed_by) {
            tests.push(mutant.killed_by);
        }
    }
    let mut passed = 0;
    for test in &tests {
        let began_at = Instant::now();
        let log = format!("without-{}", test.name().replace("::", "-"));
        let fault = match judge(&bench.run(*test, &log)?, test.name(), "") {
            Verdict::Survived => "passes".to_owned(),
            Verdict::Killed => "fails".to_owned(),
            Verdict::Unclear(why) => why,
        };
        println!(
            "{fault:<9} {:>6.1} s  {test}",
            began_at.elapsed().as_secs_f64()
        );
        if fault == "passes" {
            passed += 1;
        } else {
            println!("    see {}", bench.log(&log).display());
        }
    }
    Ok(passed == tests.len())
}

fn try_mutant(bench: &Bench, mutant: &Mutant) -> Result<Verdict> {
    let changed = match bench.change(mutant.file, |source| mutant.applied(source)) {
        Ok(changed) => changed,
        Err(error) => return Ok(Verdict::Unclear(error.to_string())),
    };
    let output = bench.run(mutant.killed_by, mutant.name)?;
    drop(changed);
    Ok(judge(&output, mutant.killed_by.name(), mutant.says))
}

fn line(outcome: &Outcome) -> String {
    let Outcome {
        mutant,
        verdict,
        took,
    } = outcome;
    let (result, rest) = match verdict {
        Verdict::Killed => ("killed", format!("by {}", mutant.killed_by)),
        Verdict::Survived => ("SURVIVED", mutant.killed_by.to_string()),
        Verdict::Unclear(why) => ("UNCLEAR", why.clone()),
    };
    format!(
        "{result:<9} {:>6.1} s  {:<24} {rest}",
        took.as_secs_f64(),
        mutant.name
    )
}

fn print_summary(outcomes: &[Outcome]) {
    println!("\n{:<9} {:>8}  {:<24} test", "result", "time", "mutant");
    outcomes
        .iter()
        .for_each(|outcome| println!("{}", line(outcome)));
    let killed = outcomes
        .iter()
        .filter(|outcome| outcome.verdict == Verdict::Killed)
        .count();
    let took: Duration = outcomes.iter().map(|outcome| outcome.took).sum();
    println!(
        "{killed} of {} mutants were killed in {:.0} s",
        outcomes.len(),
        took.as_secs_f64()
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shell::root;

    #[test]
    fn every_mutant_applies_to_the_source_and_changes_it() {
        for mutant in list::all() {
            let source = std::fs::read_to_string(root().join(mutant.file)).unwrap();
            assert!(!mutant.killed_by.name().is_empty(), "{}", mutant.name);
            let applied = mutant.applied(&source);
            let applied = applied.unwrap_or_else(|error| panic!("{}: {error}", mutant.name));
            assert_ne!(applied, source, "{}", mutant.name);
        }
    }

    #[test]
    fn names_are_unique_and_choose_one_mutant() {
        for mutant in list::all() {
            assert_eq!(chosen(&[mutant.name.to_owned()]).unwrap().len(), 1);
        }
        assert!(chosen(&["nobody".to_owned()]).is_err());
    }
}
