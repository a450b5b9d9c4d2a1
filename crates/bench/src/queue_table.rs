//! The conventional design that windows are compared with: a table with a status, in which FOR UPDATE SKIP LOCKED
//! claims rows and each delivery is an update. It sends through the same threads.
//!
//! It has every advantage: one transaction updates the rows of all answers at hand, statements are prepared once, and
//! no commit waits for the disk.

use std::collections::VecDeque;

use herald_trial::Result;
use postgres::Client;

use crate::bare::{self, Bare};

/// Rows claimed at once.
const CLAIM: i64 = 500;

pub const CREATE: &str = "
    create table queue (
        id bigint generated always as identity primary key,
        status text not null default 'pending',
        attempts integer not null default 0,
        next_attempt_at timestamptz not null default now(),
        delivered_at timestamptz,
        data text not null
    );
    create index on queue (next_attempt_at, id) where status = 'pending'";

/// Sends everything in the table.
pub fn drain(client: &mut Client, bare: &Bare) -> Result<()> {
    client.batch_execute("set synchronous_commit = off")?;
    let claim = client.prepare(
        "update queue q set status = 'sending'
         from (select c.id from queue c where c.status = 'pending' and c.next_attempt_at <= now()
               order by c.next_attempt_at, c.id limit $1 for update skip locked) c
         where q.id = c.id returning q.id, q.data",
    )?;
    let end = client.prepare(
        "update queue set status = 'delivered', attempts = attempts + 1, delivered_at = now() where id = $1",
    )?;
    let client = std::cell::RefCell::new(client);
    let mut claimed = VecDeque::new();
    bare.send_all(
        |bare| {
            if claimed.is_empty() {
                for row in client.borrow_mut().query(&claim, &[&CLAIM])? {
                    claimed.push_back(bare.delivery(row.get(0), bare::event(row.get(1))));
                }
            }
            Ok(claimed.pop_front())
        },
        |delivered| {
            let mut client = client.borrow_mut();
            let mut transaction = client.transaction()?;
            for id in delivered {
                transaction.execute(&end, &[id])?;
            }
            Ok(transaction.commit()?)
        },
    )
}
