//! The benchmarks: `cargo xtask bench` prepares the extension and runs this.
//!
//! Each finding measures both sides in turn, in one run, and gives medians with the least and the most: ratios hold on
//! any machine, absolute figures only on the machine named above them.
//!
//! * [`rig`]: the cluster; [`sink`]: where requests end; [`arrivals`]: when they did.
//! * [`bare`], [`queue_table`]: what pg_herald is compared with, behind the same sender.
//! * [`drain`], [`latency`], [`rates`], [`cost`], [`isolation`], [`matching`], [`memory`], [`disk`]: the findings.
//! * [`curves`], [`plot`]: how results change as one parameter grows.
//! * [`finding`]: samples, figures and targets.

#![forbid(unsafe_code)]

mod arrivals;
mod bare;
mod cost;
mod curves;
mod disk;
mod drain;
mod finding;
mod isolation;
mod latency;
mod matching;
mod memory;
mod plot;
mod queue_table;
mod rates;
mod rig;
mod sink;
mod size;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use herald_trial::{Error, Result};
use lexopt::prelude::*;
use serde_json::json;

use crate::curves::Curve;
use crate::finding::Figure;
use crate::rig::Rig;
use crate::size::Size;

const USAGE: &str = "\
Usage: herald-bench [options]

  --quick        a look in about three minutes instead of all of it
  --only A,B     only these findings
  --json FILE    the figures as JSON, too
  --plots DIR    the curves as SVG files
";

/// Figures and curves that are measured together.
#[derive(Debug)]
pub struct Finding {
    title: String,
    figures: Vec<Figure>,
    curves: Vec<Curve>,
}

impl Finding {
    fn new(title: impl Into<String>, figures: Vec<Figure>) -> Self {
        Self {
            title: title.into(),
            figures,
            curves: Vec::new(),
        }
    }
}

type Measure = fn(&Rig, Size) -> Result<Finding>;

const FINDINGS: [(&str, Measure); 18] = [
    ("drain", drain::compare),
    ("latency", rates::rates),
    ("cost", cost::of_a_watch),
    ("old-snapshot", drain::old_snapshot),
    ("isolation", isolation::beside_a_dead_endpoint),
    ("gone", isolation::beside_a_gone_receiver),
    ("locked", isolation::beside_locked_rows),
    ("changes", isolation::beside_changes),
    ("matching", matching::against_many),
    ("memory", memory::of_the_worker),
    ("idle", memory::of_an_idle_worker),
    ("disk", disk::of_an_event),
    ("long-log", drain::long_log),
    ("by-payload", curves::by_payload),
    ("by-subscriptions", curves::by_subscriptions),
    ("by-concurrency", curves::by_concurrency),
    ("by-receiver", curves::by_receiver),
    ("by-history", curves::by_history),
];

#[derive(Debug)]
struct Options {
    size: Size,
    only: Vec<String>,
    json: Option<PathBuf>,
    plots: Option<PathBuf>,
}

fn main() -> ExitCode {
    let options = match parse(lexopt::Parser::from_env()) {
        Ok(Some(options)) => options,
        Ok(None) => {
            print!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("error: {error}\n\n{USAGE}");
            return ExitCode::FAILURE;
        }
    };
    match run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<()> {
    let rig = Rig::build()?;
    let machine = rig.machine()?;
    println!("{machine}\n");
    let mut measured = Vec::new();
    for (name, measure) in FINDINGS {
        if !options.only.is_empty() && !options.only.iter().any(|only| only == name) {
            continue;
        }
        let began_at = Instant::now();
        let finding = measure(&rig, options.size)?;
        println!(
            "### {}\n\n| what | median | least to most | unit | target |\n| --- | --- | --- | --- | --- |",
            finding.title
        );
        for figure in &finding.figures {
            println!("{}", figure.to_row());
        }
        if let Some(directory) = &options.plots {
            for curve in &finding.curves {
                plot::draw(curve, directory)?;
            }
        }
        println!("\n`{name}`, {} s\n", began_at.elapsed().as_secs());
        let figures: Vec<_> = finding.figures.iter().map(Figure::to_json).collect();
        measured.push(json!({ "name": name, "title": finding.title, "figures": figures }));
    }
    if let Some(file) = &options.json {
        let text = json!({ "machine": machine, "findings": measured });
        std::fs::write(file, format!("{text:#}\n")).map_err(|source| Error::Io {
            what: format!("writing {}", file.display()),
            source,
        })?;
    }
    Ok(())
}

/// Returns none if help was requested.
fn parse(mut arguments: lexopt::Parser) -> Result<Option<Options>, lexopt::Error> {
    let mut options = Options {
        size: Size::Full,
        only: Vec::new(),
        json: None,
        plots: None,
    };
    while let Some(argument) = arguments.next()? {
        match argument {
            Long("quick") => options.size = Size::Quick,
            Long("only") => {
                let names = arguments.value()?.string()?;
                options.only = names.split(',').map(str::to_owned).collect();
                for name in &options.only {
                    if !FINDINGS.iter().any(|(known, _)| known == name) {
                        return Err(format!("there is no finding `{name}`").into());
                    }
                }
            }
            Long("plots") => options.plots = Some(arguments.value()?.into()),
            Long("json") => options.json = Some(arguments.value()?.into()),
            Short('h') | Long("help") => return Ok(None),
            other => return Err(other.unexpected()),
        }
    }
    Ok(Some(options))
}
