//! Whatever a receiver asks for, a lane waits at most a day, and never until a time in the past.
#![no_main]

use std::time::Duration;

use herald_core::attempt::outcome::Outcome;
use herald_core::attempt::retry::{RetryPolicy, decide, lane_delay_until};
use libfuzzer_sys::fuzz_target;

const DAY: i64 = 24 * 3_600 * 1_000_000;

fuzz_target!(|input: (u16, String, i64, u32, u32)| {
    let (status, asked, now, attempts, step) = input;
    let now = now.rem_euclid(4_000_000_000_000_000);
    let outcome = Outcome::answered(status, Duration::ZERO, Some(asked), String::new());
    if let Some(until) = lane_delay_until(&outcome, now) {
        assert!(until > now && until <= now + DAY);
    }
    let policy = RetryPolicy::new(&[5_000_000, 300_000_000], 0.5, None).expect("a schedule");
    let _ = decide(&outcome, &policy, attempts, step, now, 0.5);
});
