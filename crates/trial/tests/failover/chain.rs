//! Repeated failovers under load, with an account of each.
#![allow(unreachable_pub)] // For the tests beside it.

use std::thread;
use std::time::{Duration, Instant};

use herald_trial::receiver::Receiver;
use herald_trial::wait::eventually;
use herald_trial::workload::committed_changes;
use herald_trial::{Change, Cluster, Mode, Receipts, StopMode, Verdict, Workload, figure};
use nix::sys::signal::Signal;

use crate::common::{Database, SOON, promote, receiver_with_receipts};
use crate::{make_synchronous, primary, standby_of, until_gone, wal_sender};

/// Client numbers per round, and per level within a round.
const NUMBERS_A_ROUND: i32 = 100;
const NUMBERS_A_LEVEL: i32 = 10;

/// A chain of failovers: each new primary gets a standby and load, and dies.
pub struct Chain {
    primary: Cluster,
    receiver: Receiver,
    receipts: Receipts,
    resumed_after: Vec<Duration>,
}

/// What failovers showed for the clients of one level of `synchronous_commit`.
#[derive(Debug, Default)]
pub struct Account {
    pub acknowledged: usize,
    /// Acknowledged, but unknown to the new primary: PostgreSQL lost them.
    pub forgotten: usize,
    /// Sent, but unknown to the new primary: after a standby that kept up, and after one that did not.
    pub phantom: usize,
    pub phantom_behind: usize,
}

/// Returns true if the standby is held up before this round's fault.
fn is_behind(round: i32) -> bool {
    round % 2 == 0
}

impl Chain {
    pub fn start() -> Self {
        let (receiver, receipts) = receiver_with_receipts(Mode::delayed(Duration::from_millis(5)));
        let primary = primary();
        let mut db = Database::new(&primary, "shop");
        Workload::prepare(&primary, "shop").expect("tables");
        db.run("select herald.watch('trial.change')");
        db.subscribe(
            "shop",
            &receiver,
            "timeout => '5 s', retry_schedule => '{100 ms,1 s,1 s}'",
        );
        Self {
            primary,
            receiver,
            receipts,
            resumed_after: Vec::new(),
        }
    }

    /// Returns the account of each level over all rounds.
    pub fn fail_over(mut self, rounds: i32, levels: &[&str], is_synchronous: bool) -> Vec<Account> {
        let mut accounts: Vec<Account> = levels.iter().map(|_| Account::default()).collect();
        for round in 0..rounds {
            let standby = standby_of(&self.primary);
            if is_synchronous {
                make_synchronous(&self.primary);
            }
            let loads: Vec<Workload> = (0..)
                .zip(levels)
                .map(|(n, level)| {
                    self.load(
                        &standby,
                        level,
                        round * NUMBERS_A_ROUND + n * NUMBERS_A_LEVEL,
                    )
                })
                .collect();
            self.play(round, standby, &loads);
            let mut db = Database::of(&self.primary, "shop");
            db.settle();
            let known = committed_changes(&mut db).expect("the truth");
            let verdict = Verdict::new(&known, &self.receipts);
            println!("round {round}: {verdict}");
            assert_eq!(verdict.lost, [], "what the new primary has is delivered");
            assert_eq!(db.count("herald.dead_letter"), 0);
            for ((account, load), first) in accounts
                .iter_mut()
                .zip(&loads)
                .zip((round * NUMBERS_A_ROUND..).step_by(NUMBERS_A_LEVEL as usize))
            {
                let told = load.acknowledged();
                account.acknowledged += told.len();
                account.forgotten += told.difference(&known).count();
                let theirs =
                    |change: &&Change| (first..first + NUMBERS_A_LEVEL).contains(&change.client);
                let phantom = verdict.phantom.iter().filter(theirs).count();
                if is_behind(round) {
                    account.phantom_behind += phantom;
                } else {
                    account.phantom += phantom;
                }
            }
        }
        self.say(rounds, levels, &accounts);
        accounts
    }

    fn load(&self, standby: &Cluster, level: &str, first_client: i32) -> Workload {
        Workload::prepare(&self.primary, "shop")
            .expect("tables")
            .standby(standby)
            .session_options(&format!("-c synchronous_commit={level}"))
            .clients(2)
            .first_client(first_client)
            .endless()
            .rate(100.0)
    }

    /// Plays load, fault, promotion, and some more load.
    fn play(&mut self, round: i32, standby: Cluster, loads: &[Workload]) {
        let running: Vec<_> = loads.iter().map(Workload::start).collect();
        self.until_more(40);
        if is_behind(round) {
            // The standby is held up, and everything that does not wait for it continues.
            let wal_sender = wal_sender(&self.primary);
            self.primary.signal(wal_sender, Signal::SIGSTOP).unwrap();
            self.until_more(10);
            self.primary.kill9_postmaster().unwrap();
            self.primary.kill9(wal_sender).unwrap();
        } else {
            thread::sleep(Duration::from_micros(
                (round.unsigned_abs() as u64 * 2_711) % 10_000,
            ));
            self.primary.stop(StopMode::Immediate).unwrap();
        }
        until_gone(&self.primary);
        let before = self.receiver.total();
        let promoted_at = Instant::now();
        promote(&standby);
        self.receiver.wait_until(
            "a delivery by the new primary",
            |receiver| receiver.total() > before,
            SOON,
        );
        self.resumed_after.push(promoted_at.elapsed());
        self.until_more(40);
        for load in running {
            load.stop().expect("the clients end");
        }
        self.primary = standby;
    }

    fn until_more(&self, changes: usize) {
        let before = self.receipts.accepted();
        eventually(SOON, "deliveries", || {
            (self.receipts.accepted() > before + changes).then_some(())
        });
    }

    fn say(mut self, rounds: i32, levels: &[&str], accounts: &[Account]) {
        let mut db = Database::of(&self.primary, "shop");
        let known = committed_changes(&mut db).expect("the truth");
        let verdict = Verdict::new(&known, &self.receipts);
        figure("failovers", rounds);
        figure("changes that the last primary has", verdict.committed);
        figure("lost", verdict.lost.len());
        for (level, account) in levels.iter().zip(accounts) {
            for (what, count) in [
                ("acknowledged", account.acknowledged),
                ("acknowledged and not on the new primary", account.forgotten),
                (
                    "sent and not on the new primary, standby at hand",
                    account.phantom,
                ),
                (
                    "sent and not on the new primary, standby held up",
                    account.phantom_behind,
                ),
            ] {
                figure(&format!("{level}: {what}"), count);
            }
        }
        figure("duplicates", verdict.duplicates);
        figure("most duplicates of one event", verdict.most_duplicates);
        self.resumed_after.sort();
        let milliseconds = |at: usize| self.resumed_after[at].as_millis();
        figure(
            "promotion to first delivery, median in ms",
            milliseconds(self.resumed_after.len() / 2),
        );
        figure(
            "promotion to first delivery, longest in ms",
            milliseconds(self.resumed_after.len() - 1),
        );
        assert_eq!(self.receiver.invalid_signatures(), 0);
    }
}
