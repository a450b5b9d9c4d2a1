//! What one event says: the common language of the database's tables and the receivers' books.
//!
//! A fact carries the whole content, so that an altered event counts as one lost and one never committed.

use std::fmt;

use serde_json::Value;

use crate::receiver::Request;

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fact {
    /// A row inserted into `pgbench_history`, as JSON. Its microseconds make it practically unique.
    History(String),
    /// A changed balance in `pgbench_tellers`.
    Teller { tid: i64, delta: i64 },
    /// An event emitted by the application.
    Emitted {
        id: String,
        event_type: String,
        data: String,
    },
    /// Anything else: the demo never does it, so it cannot have been committed.
    Unknown(String),
}

impl Fact {
    /// Reads a CloudEvent in structured JSON.
    pub fn in_request(request: &Request) -> Self {
        let event = request.json();
        Self::in_event(&event).unwrap_or_else(|| Self::Unknown(request.text()))
    }

    fn in_event(event: &Value) -> Option<Self> {
        let data = &event["data"];
        let event_type = event["type"].as_str()?;
        match event_type {
            "public.pgbench_history.inserted" => Some(Self::History(data["record"].to_string())),
            "public.pgbench_tellers.updated" => {
                let (new, old) = (&data["record"], &data["old_record"]);
                Some(Self::Teller {
                    tid: new["tid"].as_i64()?,
                    delta: new["tbalance"].as_i64()? - old["tbalance"].as_i64()?,
                })
            }
            _ => Some(Self::Emitted {
                id: event["id"].as_str()?.to_owned(),
                event_type: event_type.to_owned(),
                data: data.to_string(),
            }),
        }
    }

    /// Returns what the fact adds to a balance.
    pub fn delta(&self) -> i64 {
        match self {
            Self::History(row) => serde_json::from_str::<Value>(row)
                .ok()
                .and_then(|row| row["delta"].as_i64())
                .unwrap_or_default(),
            Self::Teller { delta, .. } => *delta,
            Self::Emitted { .. } | Self::Unknown(_) => 0,
        }
    }
}

impl fmt::Display for Fact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::History(row) => {
                let columns = row.trim_matches(['{', '}']).replace('"', "");
                let columns = columns.replace(",filler:null", "").replace(',', ", ");
                write!(f, "insert into pgbench_history: {columns}")
            }
            Self::Teller { tid, delta } => {
                write!(f, "update of pgbench_tellers: tid {tid} by {delta:+}")
            }
            Self::Emitted { id, event_type, .. } => write!(f, "{event_type} {id}"),
            Self::Unknown(body) => write!(f, "not an event of the demo: {body:.100}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_same_row_is_the_same_fact_whatever_the_order_of_its_columns() {
        let event = json!({
            "type": "public.pgbench_history.inserted",
            "data": {"record": {"tid": 1, "delta": -7, "mtime": "2026-01-01T00:00:00.000001"}},
        });
        let row: Value =
            serde_json::from_str(r#"{"mtime":"2026-01-01T00:00:00.000001","tid":1,"delta":-7}"#)
                .unwrap();
        let fact = Fact::in_event(&event).unwrap();
        assert_eq!(fact, Fact::History(row.to_string()));
        assert_eq!(fact.delta(), -7);
    }

    #[test]
    fn an_update_tells_what_was_added_to_the_balance() {
        let event = json!({
            "type": "public.pgbench_tellers.updated",
            "data": {"record": {"tid": 3, "tbalance": 10}, "old_record": {"tid": 3, "tbalance": -5}},
        });
        assert_eq!(
            Fact::in_event(&event),
            Some(Fact::Teller { tid: 3, delta: 15 })
        );
    }

    #[test]
    fn other_content_under_the_same_id_is_another_fact() {
        let event = |species| json!({"type": "t", "id": "evt_1", "data": {"species": species}});
        assert_ne!(
            Fact::in_event(&event("Quercus robur")),
            Fact::in_event(&event("Acer rubrum"))
        );
    }
}
