//! SQL functions about the deaths of a worker.

use crate::life;
use crate::pg::identity;
use crate::pg::time::postgres_time;
use herald_dispatch::deaths::Place;
use pgrx::datum::TimestampWithTimeZone;
use pgrx::prelude::*;

type Death = (
    i32,
    TimestampWithTimeZone,
    Option<TimestampWithTimeZone>,
    String,
    i32,
    Option<i16>,
    Option<i64>,
    Option<i64>,
);

/// Returns the last death of this database's worker.
#[pg_extern(sql = false)]
#[allow(clippy::type_complexity)]
fn last_death() -> TableIterator<
    'static,
    (
        name!(deaths, i32),
        name!(died_at, TimestampWithTimeZone),
        name!(starts_at, Option<TimestampWithTimeZone>),
        name!(step, String),
        name!(deliveries, i32),
        name!(event_slot, Option<i16>),
        name!(event_seq, Option<i64>),
        name!(subscription_id, Option<i64>),
    ),
> {
    let row = |death: life::Death| -> Death {
        (
            i32::try_from(death.deaths).unwrap_or(i32::MAX),
            postgres_time(death.died_at),
            death.starts_at.map(postgres_time),
            death.step.to_owned(),
            i32::try_from(death.deliveries).unwrap_or(i32::MAX),
            death.place.map(|place| place.slot),
            death.place.map(|place| place.seq),
            death
                .place
                .map(|place| place.subscription)
                .filter(|subscription| *subscription != 0),
        )
    };
    let now = chrono::Utc::now().timestamp_micros();
    TableIterator::new(life::last_death(identity::database(), now).map(row))
}

/// Notes that the worker is at this dead letter. Returns how often a worker died of it or of its event; 0 in other
/// processes.
#[pg_extern(sql = false)]
fn begin_letter(event_slot: i16, event_seq: i64, subscription: i64) -> i32 {
    let place = Place {
        slot: event_slot,
        seq: event_seq,
        subscription,
    };
    life::at_event(place);
    i32::try_from(life::convictions(place)).unwrap_or(i32::MAX)
}
