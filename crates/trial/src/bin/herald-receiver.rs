//! A receiver in its own process: prints its URL, then a line per request, until it is stopped.
//!
//! For trying the extension by hand, and for accounts that survive any crash of the process under trial.

use std::collections::HashSet;
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use herald_trial::receiver::{Answer, Builder, Keep, Mode, Receiver, Request, Signature};
use lexopt::prelude::*;

const USAGE: &str = "\
Usage: herald-receiver [options]

  --port PORT       the port on 127.0.0.1; a free one unless given
  --secret whsec_.. checks every signature, with a library that is not pg_herald's
  --status CODE     what to answer, 200 unless given
  --delay MS        how long to wait before the answer
  --refuse-once P   answers 500 to the first attempt of each event at this path
  --quiet           prints no line for a request
  --log FILE        appends each request as a line of JSON, flushed before it is answered
";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}\n\n{USAGE}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn std::error::Error>> {
    let Some(options) = parse(lexopt::Parser::from_env())? else {
        print!("{USAGE}");
        return Ok(());
    };
    let delayed = |mode| Mode::Delayed(options.delay, Box::new(mode));
    let mut builder = options.builder.keep(Keep::Counts);
    if !options.is_quiet {
        builder = builder.observe(|request| println!("{}", summary(request)));
    }
    let receiver = builder
        .mode(delayed(Mode::status(options.status)))
        .start()?;
    if let Some(path) = &options.refuse_once {
        receiver.set_mode_at(path, delayed(refuse_once()));
    }
    println!("listening on {}", receiver.url("/"));
    loop {
        thread::park();
    }
}

struct Options {
    builder: Builder,
    status: u16,
    delay: Duration,
    refuse_once: Option<String>,
    is_quiet: bool,
}

/// Refuses each event once on this path only: another subscription may have received the event before.
fn refuse_once() -> Mode {
    let refused = Mutex::new(HashSet::new());
    Mode::answer_with(move |request| {
        let id = request.webhook_id.clone().unwrap_or_default();
        let mut refused = refused.lock().unwrap_or_else(PoisonError::into_inner);
        Answer::new(if refused.insert(id) { 500 } else { 200 })
    })
}

/// Returns none if help was requested.
fn parse(mut arguments: lexopt::Parser) -> Result<Option<Options>, lexopt::Error> {
    let mut builder = Receiver::builder();
    let (mut status, mut delay) = (200, Duration::ZERO);
    let (mut refuse_once, mut is_quiet) = (None, false);
    while let Some(argument) = arguments.next()? {
        match argument {
            Long("port") => builder = builder.port(arguments.value()?.parse()?),
            Long("secret") => builder = builder.secret(&arguments.value()?.string()?),
            Long("status") => status = arguments.value()?.parse()?,
            Long("delay") => delay = Duration::from_millis(arguments.value()?.parse()?),
            Long("refuse-once") => refuse_once = Some(arguments.value()?.string()?),
            Long("quiet") => is_quiet = true,
            Long("log") => builder = builder.log(arguments.value()?),
            Short('h') | Long("help") => return Ok(None),
            other => return Err(other.unexpected()),
        }
    }
    Ok(Some(Options {
        builder,
        status,
        delay,
        refuse_once,
        is_quiet,
    }))
}

fn summary(request: &Request) -> String {
    let id = request
        .webhook_id
        .as_deref()
        .unwrap_or("without webhook-id");
    let signature = match &request.signature {
        Signature::Unchecked => String::new(),
        Signature::Valid => ", signature valid".to_owned(),
        Signature::Invalid(why) => format!(", SIGNATURE INVALID: {why}"),
    };
    let Request {
        method,
        path,
        attempt,
        ..
    } = request;
    format!(
        "{method} {path} {id}, attempt {attempt}{signature}: {}",
        request.text()
    )
}
