//! An application's events: identifications of plants, as the LeafEngines briefing describes them.
//!
//! Each is emitted in its own transaction. Some transactions roll back, some undo the event in a savepoint, and some
//! emit it twice under the same id. The committed events are recorded here, without any table of pg_herald.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use postgres::{Client, Transaction};
use serde_json::{Value, json};

use super::fact::Fact;
use crate::error::Result;

pub const EVENTS: u32 = 200;

/// A single event of this type goes to a receiver that is down, with too few attempts to outlast that.
pub const ALERT: &str = "dev.leafengines.species.invasive_detected";

/// The number of the alert, early enough to be a dead letter before the receiver comes back.
const ALERT_NUMBER: u32 = 8;

const SOURCE: &str = "/api/v1/identify";

const SPECIES: [(&str, &str); 8] = [
    ("Quercus robur", "English Oak"),
    ("Acer saccharum", "Sugar Maple"),
    ("Ulmus americana", "American Elm"),
    ("Quercus alba", "White Oak"),
    ("Acer rubrum", "Red Maple"),
    ("Ulmus minor", "Field Elm"),
    ("Fagus sylvatica", "European Beech"),
    ("Betula pendula", "Silver Birch"),
];

const KUDZU: (&str, &str) = ("Pueraria montana", "Kudzu");

/// The end of a transaction in which an event is emitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    Commit,
    /// Makes the same call twice: the second must change nothing.
    CommitTwice,
    Rollback,
    /// Undoes the event but commits the transaction.
    RollbackToSavepoint,
}

/// The demo's own record.
#[derive(Debug, Clone, Default)]
pub struct Emitted {
    pub committed: Vec<Fact>,
    pub rolled_back: u64,
    pub emitted_twice: u64,
}

struct Identification {
    id: String,
    event_type: &'static str,
    subject: String,
    data: Value,
}

/// Emits all events, spread evenly over this time, and counts those committed so far.
pub fn emit_all(client: &mut Client, over: Duration, so_far: &AtomicU64) -> Result<Emitted> {
    let began_at = Instant::now();
    let mut emitted = Emitted::default();
    for number in 0..EVENTS {
        thread::sleep((over * number / EVENTS).saturating_sub(began_at.elapsed()));
        let identification = Identification::new(number);
        let ending = ending_of(number);
        identification.emit(client, ending)?;
        match ending {
            Ending::Commit | Ending::CommitTwice => {
                emitted.emitted_twice += u64::from(ending == Ending::CommitTwice);
                emitted.committed.push(identification.fact());
                so_far.fetch_add(1, Ordering::Relaxed);
            }
            Ending::Rollback | Ending::RollbackToSavepoint => emitted.rolled_back += 1,
        }
    }
    Ok(emitted)
}

fn ending_of(number: u32) -> Ending {
    match number % 10 {
        3 | 7 => Ending::Rollback,
        5 => Ending::RollbackToSavepoint,
        6 => Ending::CommitTwice,
        _ => Ending::Commit,
    }
}

impl Identification {
    fn new(number: u32) -> Self {
        let kind = match number {
            ALERT_NUMBER => ALERT,
            _ => match number % 20 {
                0 | 11 => "dev.leafengines.identification.low_confidence",
                14 => "dev.leafengines.identification.failed",
                18 => "dev.leafengines.species.disease_detected",
                _ => "dev.leafengines.identification.completed",
            },
        };
        // Numbers that look random but are the same in every run: multiplied by odd constants.
        let scattered = number.wrapping_mul(2_654_435_761);
        let name = format!("{scattered:08x}{number:04x}");
        let identification_id = format!("id_{scattered:08x}");
        Self {
            id: format!("evt_{name}"),
            event_type: kind,
            subject: format!("identification/{identification_id}"),
            data: data(kind, number, scattered, &identification_id),
        }
    }

    fn emit(&self, client: &mut Client, ending: Ending) -> Result<()> {
        let mut transaction = client.transaction()?;
        match ending {
            Ending::Commit => self.call(&mut transaction)?,
            Ending::CommitTwice => {
                self.call(&mut transaction)?;
                transaction.commit()?;
                transaction = client.transaction()?;
                self.call(&mut transaction)?;
            }
            Ending::Rollback => {
                self.call(&mut transaction)?;
                transaction.rollback()?;
                return Ok(());
            }
            Ending::RollbackToSavepoint => {
                let mut savepoint = transaction.savepoint("identification")?;
                self.call(&mut savepoint)?;
                savepoint.rollback()?;
            }
        }
        transaction.commit()?;
        Ok(())
    }

    fn call(&self, transaction: &mut Transaction<'_>) -> Result<()> {
        transaction.execute(
            "select herald.emit($1, $2::text::jsonb, source => $3, subject => $4, id => $5)",
            &[
                &self.event_type,
                &self.data.to_string(),
                &SOURCE,
                &self.subject,
                &self.id,
            ],
        )?;
        Ok(())
    }

    fn fact(&self) -> Fact {
        Fact::Emitted {
            id: self.id.clone(),
            event_type: self.event_type.to_owned(),
            data: self.data.to_string(),
        }
    }
}

fn data(kind: &str, number: u32, scattered: u32, identification_id: &str) -> Value {
    let (scientific_name, common_name) = match kind {
        ALERT => KUDZU,
        _ => SPECIES[number as usize % SPECIES.len()],
    };
    let hundredths = scattered >> 16;
    let confidence = match kind {
        "dev.leafengines.identification.low_confidence" => 30 + hundredths % 30,
        _ => 80 + hundredths % 20,
    };
    let mut data = json!({
        "identification_id": identification_id,
        "environmental_compatibility": f64::from(50 + hundredths % 50) / 100.0,
        "location": {
            "latitude": f64::from(400_000 + scattered % 10_000) / 10_000.0,
            "longitude": -f64::from(740_000 + scattered / 7 % 10_000) / 10_000.0,
            "county_fips": "36061",
        },
        "processing_time_ms": 120 + scattered % 300,
        "model_version": "v2.4.1",
        "customer_reference": "batch_2025_q4_001",
    });
    if kind == "dev.leafengines.identification.failed" {
        data["error"] = json!("no plant in the picture");
        return data;
    }
    data["species"] = json!({
        "scientific_name": scientific_name,
        "common_name": common_name,
        "confidence": f64::from(confidence) / 100.0,
    });
    data["flags"] = match kind {
        ALERT => json!(["invasive_species"]),
        _ => json!(["native_species"]),
    };
    data
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn ids_are_unique_and_one_alert_is_committed() {
        let all: Vec<_> = (0..EVENTS).map(Identification::new).collect();
        let ids: BTreeSet<_> = all.iter().map(|event| &event.id).collect();
        assert_eq!(ids.len(), all.len());
        let alerts = all.iter().filter(|event| event.event_type == ALERT);
        assert_eq!(alerts.count(), 1);
        assert_eq!(ending_of(ALERT_NUMBER), Ending::Commit);
    }

    #[test]
    fn every_kind_of_event_is_committed_at_least_once() {
        for wanted in ["completed", "low_confidence", "failed", "disease_detected"] {
            let committed = |number: &u32| {
                matches!(ending_of(*number), Ending::Commit | Ending::CommitTwice)
                    && Identification::new(*number).event_type.ends_with(wanted)
            };
            assert!((0..EVENTS).any(|number| committed(&number)), "{wanted}");
        }
    }
}
