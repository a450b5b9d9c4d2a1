//! Sessions with open and prepared transactions.

use std::collections::{BTreeMap, BTreeSet};

use super::rows::Change;

pub type SessionId = u8;

/// A transaction that has written something and is not over.
#[derive(Debug)]
pub struct Open {
    pub xid: u64,
    pub changes: Vec<Change>,
}

#[derive(Debug, Default)]
pub struct Sessions {
    pub open: BTreeMap<SessionId, Open>,
    pub prepared: Vec<Open>,
}

impl Sessions {
    /// Drops the transactions that are not prepared. Returns the ids of the prepared ones.
    pub fn crash(&mut self) -> BTreeSet<u64> {
        self.open.clear();
        self.prepared.iter().map(|open| open.xid).collect()
    }
}
