//! Latency from commit to receipt under a load of statements at a steady rate.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use herald_trial::{Result, error::Error};
use postgres::Client;

use crate::arrivals::Arrivals;
use crate::bare::{Bare, Delivery, Maker};
use crate::finding::Samples;
use crate::rig::{Bench, PATIENCE};

/// A load: statements per second, and rows in each.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    pub per_second: f64,
    pub rows: usize,
    pub sessions: usize,
}

impl Load {
    fn statements_in(self, lasting: Duration) -> usize {
        (self.per_second * lasting.as_secs_f64()) as usize
    }

    pub fn rows_in(self, lasting: Duration) -> usize {
        self.statements_in(lasting) * self.rows
    }
}

/// The results of a load.
#[derive(Debug)]
pub struct Heard {
    /// Milliseconds from just before the statement was sent until receipt.
    pub latencies: Samples,
    /// Milliseconds that the statement took, commit included.
    pub commits: Samples,
    /// Statements per second.
    pub reached: f64,
}

/// How a statement's rows become requests.
pub enum Way {
    /// The table is watched.
    Watched,
    /// The table is unwatched, and its session hands a request to the bare sender right after the commit: the lower
    /// bound.
    Direct(Bare),
}

/// Runs the load for `lasting` and waits until all of it has arrived.
pub fn run(
    bench: &Bench<'_>,
    arrivals: &Arc<Arrivals>,
    load: Load,
    lasting: Duration,
    way: Way,
) -> Result<Heard> {
    let next = AtomicUsize::new(0);
    let statements = load.statements_in(lasting);
    let clients: Vec<Client> = (0..load.sessions)
        .map(|_| bench.connect())
        .collect::<Result<_>>()?;
    let (began_at, next) = (Instant::now(), &next);
    let commits = thread::scope(|scope| -> Result<Vec<f64>> {
        let direct = match way {
            Way::Watched => None,
            Way::Direct(bare) => {
                let (direct, deliveries) = mpsc::channel();
                let maker = bare.maker();
                scope.spawn(move || bare.forward(&deliveries).expect("the sink takes all"));
                Some(Direct { direct, maker })
            }
        };
        let sessions: Vec<_> = clients
            .into_iter()
            .map(|client| {
                let direct = direct.clone();
                scope.spawn(move || {
                    session(client, arrivals, load, statements, next, began_at, direct)
                })
            })
            .collect();
        drop(direct);
        let mut all = Vec::with_capacity(statements);
        for session in sessions {
            all.extend(
                session
                    .join()
                    .map_err(|_| Error::Setup("a session panicked".to_owned()))??,
            );
        }
        Ok(all)
    })?;
    let reached = statements as f64 / began_at.elapsed().as_secs_f64();
    arrivals.wait_for(statements * load.rows, PATIENCE)?;
    Ok(Heard {
        latencies: Samples::new(arrivals.latencies()),
        commits: Samples::new(commits),
        reached,
    })
}

/// Where a session hands over its requests.
#[derive(Clone)]
struct Direct {
    direct: mpsc::Sender<Delivery>,
    maker: Maker,
}

fn session(
    mut client: Client,
    arrivals: &Arrivals,
    load: Load,
    statements: usize,
    next: &AtomicUsize,
    began_at: Instant,
    direct: Option<Direct>,
) -> Result<Vec<f64>> {
    let table = if direct.is_some() { "plain" } else { "item" };
    let insert = client.prepare(&format!(
        "insert into {table} select n, repeat('x', 850) from generate_series($1::int, $1::int + $2::int - 1) n",
    ))?;
    let insert_row = client.prepare(&format!(
        "insert into {table} values ($1, repeat('x', 850))"
    ))?;
    let rows = i32::try_from(load.rows).map_err(|error| Error::Setup(error.to_string()))?;
    let mut commits = Vec::new();
    loop {
        let statement = next.fetch_add(1, Ordering::Relaxed);
        if statement >= statements {
            return Ok(commits);
        }
        let due = Duration::from_secs_f64(statement as f64 / load.per_second);
        thread::sleep(due.saturating_sub(began_at.elapsed()));
        let first = statement * load.rows;
        let number = i32::try_from(first).map_err(|error| Error::Setup(error.to_string()))?;
        arrivals.send_off(first..first + load.rows);
        let sent_at = Instant::now();
        match load.rows {
            1 => client.execute(&insert_row, &[&number])?,
            _ => client.execute(&insert, &[&number, &rows])?,
        };
        commits.push(sent_at.elapsed().as_secs_f64() * 1e3);
        for number in direct.iter().flat_map(|_| first..first + load.rows) {
            let Some(Direct { direct, maker }) = &direct else {
                break;
            };
            // The sender's thread lives as long as a session may send.
            let _ = direct.send(maker.numbered(number));
        }
    }
}
