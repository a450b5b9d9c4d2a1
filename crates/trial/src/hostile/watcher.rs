//! The worker's waits and what blocks it: they tell which attack slows a delivery.

use std::thread;
use std::time::Duration;

use super::played::Span;
use super::stage::Stage;
use crate::clock::now_micros;

const EVERY: Duration = Duration::from_millis(20);
/// Excludes waiting for work.
const WAITS: &str = "
    select format('%s %s', a.wait_event_type, a.wait_event)
           || coalesce((select ', blocked by: ' || left(b.query, 80) from pg_stat_activity b
                        where b.pid = any (pg_blocking_pids(a.pid)) limit 1), '')
    from pg_stat_activity a
    where a.backend_type = 'pg_herald worker' and a.wait_event_type <> 'Extension'";

/// Samples until the play is over.
pub(super) fn play(stage: &Stage<'_>) -> Vec<Span> {
    let mut spans = Vec::new();
    let mut session = None;
    while !stage.is_over() {
        if session.is_none() {
            session = stage.arena.superuser().ok();
        }
        let seen = session.as_mut().map(|client| client.query(WAITS, &[]));
        match seen {
            Some(Ok(rows)) => {
                let at = now_micros();
                spans.extend(rows.iter().map(|row| Span {
                    name: format!("the worker waits for {}", row.get::<_, String>(0)),
                    began_at: at,
                    ended_at: at,
                    processor: None,
                }));
            }
            Some(Err(_)) => session = None,
            None => {}
        }
        thread::sleep(EVERY);
    }
    spans
}
