//! The demo: traffic, three receivers (two of them in trouble), and an account that checks itself.
//!
//! It tells a story in the order of its modules:
//!
//! * [`options`]: how long and how fast, and whether something is broken on purpose.
//! * [`stage`]: a throw-away cluster, pgbench's tables with two watches, the receivers and their subscriptions.
//! * [`leafengines`]: the events that an application emits itself, some of them in transactions that roll back.
//! * [`fact`] and [`book`]: what a request says, and what each subscription's receiver heard.
//! * [`flow`]: the run itself, a line per second.
//! * [`truth`], [`account`] and [`report`]: what was committed, compared with what was received, and the printed
//!   result.
//! * [`keep`]: leaves everything running, with suggestions to try.
//!
//! The account must never read a relation of pg_herald: it would only show that the extension agrees with itself.

pub mod account;
pub mod book;
pub mod fact;
pub mod flow;
pub mod keep;
pub mod leafengines;
pub mod options;
pub mod report;
pub mod stage;
pub mod truth;

use crate::error::Result;

use self::account::Account;
use self::flow::Run;
use self::keep::Stop;
pub use self::options::Options;
use self::stage::Stage;

/// Returns true if the account adds up.
pub fn run(options: Options, stop: &Stop) -> Result<bool> {
    let stage = Stage::build(options)?;
    stage.introduce(options);
    let Run {
        truth,
        redelivered_at_micros,
    } = flow::run(&stage, options)?;
    let account = Account::draw_up(&truth, &stage, redelivered_at_micros);
    print!("{}", report::written(&account, &truth));
    let adds_up = account.adds_up();
    if options.keep {
        keep::until_stopped(&stage, &truth, stop);
    }
    Ok(adds_up)
}
