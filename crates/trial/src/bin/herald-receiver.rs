//! A receiver in a process of its own: it prints its URL, then a line for each request, until it is stopped.
//!
//! For trying the extension by hand, and for accounts that no crash of the process under trial can touch.

use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use herald_trial::receiver::{Builder, Keep, Mode, Receiver, Request, Signature};
use lexopt::prelude::*;

const USAGE: &str = "\
Usage: herald-receiver [options]

  --port PORT       the port on 127.0.0.1; a free one unless given
  --secret whsec_.. checks every signature, with a library that is not pg_herald's
  --status CODE     what to answer, 200 unless given
  --delay MS        how long to wait before the answer
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
    let Some(builder) = parse(lexopt::Parser::from_env())? else {
        print!("{USAGE}");
        return Ok(());
    };
    let receiver = builder
        .keep(Keep::Counts)
        .observe(|request| println!("{}", summary(request)))
        .start()?;
    println!("listening on {}", receiver.url("/"));
    loop {
        thread::park();
    }
}

/// None when help was asked for.
fn parse(mut arguments: lexopt::Parser) -> Result<Option<Builder>, lexopt::Error> {
    let mut builder = Receiver::builder();
    let (mut status, mut delay) = (200, Duration::ZERO);
    while let Some(argument) = arguments.next()? {
        match argument {
            Long("port") => builder = builder.port(arguments.value()?.parse()?),
            Long("secret") => builder = builder.secret(&arguments.value()?.string()?),
            Long("status") => status = arguments.value()?.parse()?,
            Long("delay") => delay = Duration::from_millis(arguments.value()?.parse()?),
            Long("log") => builder = builder.log(arguments.value()?),
            Short('h') | Long("help") => return Ok(None),
            other => return Err(other.unexpected()),
        }
    }
    Ok(Some(builder.mode(Mode::Delayed(
        delay,
        Box::new(Mode::status(status)),
    ))))
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
