//! What was committed, according to pgbench's tables, pgbench's reports and the demo's own record.
//!
//! Nothing here may name the schema `herald`.

use std::collections::{BTreeMap, HashMap};

use postgres::Client;
use serde_json::Value;

use super::fact::Fact;
use super::leafengines::Emitted;
use super::stage::Subscription;
use crate::error::{Error, Result};
use crate::workload::Report;

/// PostgreSQL notes a transaction's commit time before it makes the commit durable.
const HISTORY: &str = "
    select to_json(h)::text, h.tid::bigint, h.delta::bigint,
           (extract(epoch from pg_xact_commit_timestamp(h.xmin)) * 1000000)::bigint
    from pgbench_history h";

const BALANCES: &str = "
    select (select sum(delta) from pgbench_history)::bigint, (select sum(tbalance) from pgbench_tellers)::bigint,
           (select sum(bbalance) from pgbench_branches)::bigint, (select sum(abalance) from pgbench_accounts)::bigint";

#[derive(Debug)]
pub struct Truth {
    /// Each committed fact, and how often.
    pub facts: BTreeMap<Fact, u32>,
    /// When the row of a [`Fact::History`] was committed, in microseconds since 1970.
    pub committed_at_micros: HashMap<Fact, i64>,
    pub history_rows: u64,
    pub balances: Balances,
    /// pgbench's report on its clients that commit.
    pub committed: Report,
    /// pgbench's report on its client that rolls back.
    pub rolled_back: Report,
    pub emitted: Emitted,
}

/// TPC-B adds each delta to four tables, so the four sums are equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Balances {
    pub history: i64,
    pub tellers: i64,
    pub branches: i64,
    pub accounts: i64,
}

impl Truth {
    pub fn read(
        client: &mut Client,
        committed: Report,
        rolled_back: Report,
        emitted: Emitted,
    ) -> Result<Self> {
        let mut truth = Self {
            facts: BTreeMap::new(),
            committed_at_micros: HashMap::new(),
            history_rows: 0,
            balances: balances(client)?,
            committed,
            rolled_back,
            emitted,
        };
        for row in client.query(HISTORY, &[])? {
            let (json, tid, delta): (String, i64, i64) = (row.get(0), row.get(1), row.get(2));
            let json: Value = serde_json::from_str(&json)
                .map_err(|error| Error::Setup(format!("a row of pgbench_history: {error}")))?;
            let history = Fact::History(json.to_string());
            truth
                .committed_at_micros
                .insert(history.clone(), row.get(3));
            truth.history_rows += 1;
            truth.add(history);
            // The same transaction added the same delta to this teller.
            truth.add(Fact::Teller { tid, delta });
        }
        for fact in truth.emitted.committed.clone() {
            truth.add(fact);
        }
        Ok(truth)
    }

    /// Returns how many events a subscription must get.
    pub fn due(&self, subscription: &Subscription) -> u64 {
        let wanted = self
            .facts
            .iter()
            .filter(|(fact, _)| (subscription.wants)(fact));
        wanted.map(|(_, &times)| u64::from(times)).sum()
    }

    fn add(&mut self, fact: Fact) {
        *self.facts.entry(fact).or_default() += 1;
    }
}

impl Balances {
    pub fn agree(&self) -> bool {
        [self.tellers, self.branches, self.accounts] == [self.history; 3]
    }
}

fn balances(client: &mut Client) -> Result<Balances> {
    let row = client.query_one(BALANCES, &[])?;
    Ok(Balances {
        history: row.get::<_, Option<i64>>(0).unwrap_or_default(),
        tellers: row.get(1),
        branches: row.get(2),
        accounts: row.get(3),
    })
}
