//! `cargo xtask fuzz`: lets libFuzzer find unforeseen inputs, starting from those in `fuzz/corpus`.

use std::fs;

use crate::Result;
use crate::debian::DEBIAN_MAJOR;
use crate::place;
use crate::setup;
use crate::shell::{cargo, command, root, run as run_command, say};

const TARGETS: [&str; 10] = [
    "url",
    "headers",
    "retry_after",
    "event_body",
    "stored",
    "response",
    "verify",
    "canonical",
    "filter",
    "cesql",
];
/// Instruments the code for libFuzzer; our compiler supports this as it is.
const INSTRUMENTS: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1 --cfg fuzzing";

/// Runs each target for its share of `seconds`. New inputs go below the target folder, not into the corpus.
pub fn run(seconds: u64, only: &[String]) -> Result<()> {
    setup::run(&[DEBIAN_MAJOR])?;
    let targets: Vec<&str> = TARGETS
        .into_iter()
        .filter(|target| only.is_empty() || only.iter().any(|name| name == target))
        .collect();
    if targets.is_empty() {
        return Err(format!("the targets are {}", TARGETS.join(", ")).into());
    }
    let build = place::target_dir()?.join("fuzz");
    // Named, so that build scripts and procedural macros are built without instruments.
    let triple = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    say("Building the targets");
    let in_fuzz = "build --release --manifest-path fuzz/Cargo.toml";
    run_command(
        cargo(&format!("{in_fuzz} --target {triple} --target-dir"))
            .arg(&build)
            .env("RUSTFLAGS", INSTRUMENTS)
            .env("CXX", "clang++"),
    )?;
    let share = (seconds / targets.len() as u64).max(1);
    for target in targets {
        say(&format!("Fuzzing {target} for {share} s"));
        let found = build.join("found").join(target);
        fs::create_dir_all(&found)?;
        let program = build.join(&triple).join("release").join(target);
        run_command(
            command(&program.to_string_lossy(), &[])
                .arg(&found)
                .arg(root().join("fuzz/corpus").join(target))
                .arg(format!("-max_total_time={share}"))
                .arg(format!("-artifact_prefix={}/", build.display()))
                .args([
                    "-max_len=2048",
                    "-timeout=10",
                    "-rss_limit_mb=2048",
                    "-print_final_stats=1",
                    "-verbosity=0",
                ]),
        )?;
    }
    Ok(())
}
