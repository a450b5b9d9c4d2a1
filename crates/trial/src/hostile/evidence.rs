//! Proof of leaks: secrets and names of others in what a role or a receiver is told, and what the catalog says at the
//! end.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use postgres::error::SqlState;
use postgres::{Client, SimpleQueryMessage};

use super::role::Role;
use crate::error::Result;
use crate::receiver::Request;

/// Stored values of subscriptions, which only their receivers may ever see.
pub(super) struct Values {
    pub(super) header: &'static str,
    pub(super) bearer: &'static str,
    pub(super) client_secret: &'static str,
    /// A value that attackers know, to ask whether it is stored.
    pub(super) guessed: &'static str,
}

pub(super) const VALUES: Values = Values {
    header: "canary-of-a-header",
    bearer: "canary-of-a-bearer",
    client_secret: "canary-of-a-client",
    guessed: "guessed-by-many",
};
/// What a watch leaves out.
pub(super) const LEFT_OUT: &str = "canary-of-a-column";
/// In names and data of tenants and of the platform.
pub(super) const ANNS: &str = "canary-of-ann";
pub(super) const BOBS: &str = "canary-of-bob";
pub(super) const PLATFORMS: &str = "canary-of-the-platform";
/// Precedes what a statement found but must not find.
pub(super) const SEEN: &str = "seen although it is not theirs";

const SECRETS: [&str; 5] = [
    VALUES.header,
    VALUES.bearer,
    VALUES.client_secret,
    LEFT_OUT,
    SEEN,
];

/// Where an attacker's code records that it ran with another role's rights.
pub(super) const TRAP: &str = "
    create table trap (words text);
    grant insert on trap to public";

/// Queries for violations of what must hold at the end.
const AFTERWARDS: [&str; 6] = [
    "select 'in the trap: ' || words from trap",
    "select 'a superuser: ' || rolname from pg_roles where rolsuper and rolname <> 'postgres'",
    "select 'a member of another role: ' || member::regrole from pg_auth_members m
     where member in (select oid from pg_roles where rolname in ('writer', 'ann', 'bob', 'eve', 'carol'))",
    "select distinct 'an event that was forged or named wrong: ' || type from herald.event
     where type like 'herald.forged%' or type like 'herald.quota.%' or type like '%\"%'",
    "select 'subscriptions of others were changed: ' || count(*) || ' are left' from herald.subscription
     where (name like 'trusted%' or name like '%canary%') and state = 'active' and url like '%/' having count(*) <> 6",
    "select 'an object of carol''s: ' || nspname from pg_namespace n join pg_roles r on r.oid = n.nspowner
     where r.rolname = 'carol' and nspname like 'herald%'",
];

/// The findings, each kind once.
#[derive(Debug, Default)]
pub(super) struct Evidence(Mutex<BTreeSet<String>>);

impl Evidence {
    pub(super) fn add(&self, words: String) {
        let mut found = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // A repeated kind must not fill the report.
        if found.len() < 100 {
            found.insert(words);
        }
    }

    pub(super) fn found(&self) -> Vec<String> {
        let found = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        found.iter().cloned().collect()
    }

    pub(super) fn look_at_rows(&self, role: Role, attack: &str, rows: &[SimpleQueryMessage]) {
        for row in rows {
            let SimpleQueryMessage::Row(row) = row else {
                continue;
            };
            for column in 0..row.len() {
                let Some(text) = row.get(column) else {
                    continue;
                };
                self.look_at(role, attack, text);
                if role == Role::Tenant("eve") && counts_rows(text) {
                    let (what, _) = text.trim().split_once(':').unwrap_or((text, ""));
                    self.add(format!("{attack}: eve, who has nothing, counts \"{what}\""));
                }
            }
        }
    }

    pub(super) fn look_at_error(&self, role: Role, attack: &str, error: &postgres::Error) {
        let Some(error) = error.as_db_error() else {
            return;
        };
        for text in [Some(error.message()), error.detail(), error.hint()] {
            let text = text.unwrap_or_default();
            self.look_at(role, attack, text);
            if text.contains("grant postgres") {
                self.add(format!("{attack}: a hint makes a superuser: {text}"));
            }
        }
        if error.code() == &SqlState::ADMIN_SHUTDOWN {
            self.add(format!("{attack}: its session was ended"));
        }
    }

    /// Searches a request to an actor's own receiver.
    pub(super) fn look_at_request(&self, request: &Request) {
        let body = String::from_utf8_lossy(&request.body);
        let headers = request.headers.iter().map(|(_, value)| value.as_str());
        for text in headers.chain([request.path.as_str(), &body]) {
            for canary in SECRETS.iter().filter(|canary| text.contains(**canary)) {
                self.add(format!("a receiver got {canary}"));
            }
        }
    }

    /// Checks the catalog at the end.
    pub(super) fn look_at_catalog(&self, client: &mut Client) -> Result<()> {
        for query in AFTERWARDS {
            for row in client.query(query, &[])? {
                self.add(row.get(0));
            }
        }
        Ok(())
    }

    /// Searches the server's log at the end.
    pub(super) fn look_at_log(&self, log: &str) {
        for canary in [VALUES.header, VALUES.bearer, VALUES.client_secret] {
            if log.contains(canary) {
                self.add(format!("the server's log has {canary}"));
            }
        }
    }

    fn look_at(&self, role: Role, attack: &str, text: &str) {
        let forbidden: &[&str] = match role {
            Role::Operator => return,
            Role::Admin => &[],
            Role::Tenant("ann") => &[BOBS, PLATFORMS],
            Role::Tenant("bob") => &[ANNS, PLATFORMS],
            Role::Tenant(_) | Role::Writer => &[ANNS, BOBS, PLATFORMS],
        };
        for canary in SECRETS.iter().chain(forbidden) {
            if text.contains(canary) {
                self.add(format!("{attack}: {} reads {canary}", role.name()));
            }
        }
    }
}

/// Returns true if a line of EXPLAIN ANALYZE counts rows that were filtered out.
fn counts_rows(line: &str) -> bool {
    let removed = line.trim().strip_prefix("Rows Removed by ");
    removed.is_some_and(|removed| !removed.ends_with(": 0"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_that_were_left_out_are_counted() {
        assert!(counts_rows("   Rows Removed by Filter: 12"));
        assert!(!counts_rows("   Rows Removed by Filter: 0"));
        assert!(!counts_rows("   Filter: (name > 'a')"));
    }

    #[test]
    fn a_tenant_that_reads_a_name_of_another_is_found_out() {
        let evidence = Evidence::default();
        evidence.look_at(Role::Tenant("ann"), "asks", "ann/canary-of-ann");
        assert_eq!(evidence.found(), Vec::<String>::new());
        evidence.look_at(Role::Tenant("bob"), "asks", "ann/canary-of-ann");
        assert_eq!(evidence.found(), ["asks: bob reads canary-of-ann"]);
    }
}
