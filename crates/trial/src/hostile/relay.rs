//! A sender that nobody attacks, as a measure of the machine: it hears of a commit by NOTIFY, reads the row, and sends
//! a request, one at a time. What it takes longer beside the attacks is what the machine, the server and the receivers'
//! process cost everybody.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use postgres::Client;
use postgres::fallible_iterator::FallibleIterator;

use crate::error::{Error, Result};

/// How long the relay may take to notice its end.
const PATIENCE: Duration = Duration::from_millis(200);

/// Ends when dropped.
#[derive(Debug)]
pub(super) struct Relay {
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Relay {
    /// Relays the rows of `plain` named in notifications to the receiver at this port.
    pub(super) fn start(mut client: Client, port: u16) -> Result<Self> {
        client.batch_execute("listen plain")?;
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))
            .map_err(Error::io("the receiver of the relay"))?;
        let is_over = Arc::new(AtomicBool::new(false));
        let ends = Arc::clone(&is_over);
        let thread = thread::spawn(move || {
            let mut receiver = BufReader::new(stream);
            while !ends.load(Ordering::Relaxed) {
                // Without the server, nothing remains to compare with.
                let Ok(id) = next(&mut client) else {
                    return;
                };
                if id.is_some_and(|id| send(&mut receiver, id).is_none()) {
                    return;
                }
            }
        });
        Ok(Self {
            is_over,
            thread: Some(thread),
        })
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn next(client: &mut Client) -> Result<Option<i64>, postgres::Error> {
    let Some(notice) = client.notifications().timeout_iter(PATIENCE).next()? else {
        return Ok(None);
    };
    let id: i64 = notice.payload().parse().unwrap_or_default();
    let row = client.query_opt("select id from plain where id = $1", &[&id])?;
    Ok(row.map(|row| row.get(0)))
}

/// Returns none if the receiver went away.
fn send(receiver: &mut BufReader<TcpStream>, id: i64) -> Option<()> {
    let request = format!(
        "POST / HTTP/1.1\r\nhost: relay\r\nwebhook-id: {id}\r\ncontent-length: 2\r\n\r\n{{}}"
    );
    receiver.get_mut().write_all(request.as_bytes()).ok()?;
    let mut length = 0;
    loop {
        let mut line = String::new();
        if receiver.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if line == "\r\n" {
            break;
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().ok()?;
        }
    }
    receiver.read_exact(&mut vec![0; length]).ok()
}
