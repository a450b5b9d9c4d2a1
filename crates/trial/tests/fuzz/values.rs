//! Values by type, intended and unintended.

use herald_trial::workload::Dice;

const ODD_TEXTS: [&str; 8] = ["", " ", "'", "\"", "\\", "Ünï\u{fffe}", "a\nb\tc", "\u{1}"];
const TEXTS: &str = r#"
    x | shop | paused | acme | acme/own | one | 21 | -1 | 0 | 999999999999999999999 | 1/1 | 99999999999999999999/1
    * | % | null | {} | [] | {"a": 1} | "github" | github | standard | v1 | v1a
    whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD | whsk_AAAA | https://example.com/ | http://127.0.0.1:1/{id}
    javascript:alert(1) | active | sandbox | disabled | all | high | deliver | reader | starter
"#;
const JSON: &str = r#"
    null | true | 1 | 1e400 | -1e400 | "" | "github" | "standard" | "nobody" | {} | [] | [[]] | [null] | {"a": 1}
    {"a": null} | {"X-Shop": "eu"} | {"X-Shop": "***"} | {"content": "{body}"}
    {"content": 1e400, "header": null} | {"type": "bearer", "token": "x"} | {"type": null}
    {"type": "oauth2", "token_url": "***"} | {"ca": "x"} | {"ca": null, "key": "***"} | {"rate": 1e400}
    {"rate": 0.5} | {"callback": 1} | {"subscriptions": null} | {"subscriptions": [null]}
    {"subscriptions": [], "prune": null} | {"webhook-id": 1e400}
    {"webhook-id": "x", "webhook-timestamp": "1e400", "webhook-signature": "v1,x"} | {"webhook-id": null}
    {"webhook-timestamp": "-9223372036854775809"} | {"abc": 1.5} | {"abc": 2147483648}
"#;
const INTERVALS: &str = "
    0 | 1 s | -1 s | 1 us | -1 us | 30 days | -30 days | 1 mon | 11 years | 101 years | 300000 years
    -300000 years | 178000000 years | -178000000 years | 2147483647 days
";
const TIMES: &str = "
    infinity | -infinity | epoch | now | tomorrow | 4714-11-24 00:00:00 UTC BC | 0001-01-01 UTC | 10000-01-01 UTC
    294276-12-31 UTC | 1969-12-31 UTC
";
const NUMBERS: &str = "0 | 1 | -1 | 2 | 99 | 1001 | 2147483647 | -2147483648 | 100000";
const LARGE: &str = "9223372036854775807 | -9223372036854775808 | 4294967296 | 1";
const FLOATS: &str = "0 | 1 | -1 | 0.5 | NaN | Infinity | -Infinity | 1e-37 | 1e37 | 2";
const TEXT_ARRAYS: &str = r#"
    {} | {NULL} | {a,NULL} | {{a,b},{c,d}} | {*} | {order.*} | {""} | {id} | {id,id} | {insert}
    {insert,insert,insert,insert,insert} | [5:6]={id,words} | {5xx,408} | {herald.*}
"#;
const INTERVAL_ARRAYS: &str = "
    {} | {NULL} | {1 s} | {1 s,NULL} | {{1 s},{2 s}} | {-1 s} | {300000 years} | {0,0} | [5:6]={1 s,1 min}
";
const NUMBER_ARRAYS: &str = "
    {} | {NULL} | {200} | {200,NULL} | {{200},{201}} | {2147483647} | {-1} | {410} | [5:6]={500,503}
";
const BYTES: [&str; 3] = ["", "\\x00", "{}"];
const RELATIONS: &str = "
    note | seen | note_pkey | pg_class | herald.event | herald.subscription | herald_internal.event_seq | 0
    4294967295
";
const ROLES: &str = "
    postgres | fuzz_tenant | fuzz_reader | pg_monitor | pg_database_owner | 0 | 10 | 4294967295
";
/// Options in the documents for `apply`, besides the name.
const OPTIONS: &str = "
    url | types | timeout | retry_schedule | retry_on | max_payload | headers | auth | secret | state | signing
    ulr
";

/// Values of every type that a function or a column has.
pub struct Values {
    /// Texts that name existing objects.
    names: Vec<String>,
}

impl Values {
    pub fn new(names: Vec<String>) -> Self {
        Self { names }
    }

    /// Returns a value of this type, as written in a statement. Panics if the type is unknown: add it here.
    pub fn of(&self, r#type: &str, parameter: &str, dice: &mut Dice) -> String {
        if dice.below(8) == 0 {
            return format!("null::{type}");
        }
        let text = match r#type {
            "text" | "name" => self.text(dice),
            "jsonb" if parameter == "config" && dice.below(3) > 0 => self.declaration(dice),
            "jsonb" => any(&listed(JSON), dice),
            "interval" => any(&listed(INTERVALS), dice),
            "timestamp with time zone" => any(&listed(TIMES), dice),
            "integer" => any(&listed(NUMBERS), dice),
            "bigint" if dice.below(2) == 0 => any(&listed(LARGE), dice),
            "bigint" => any(&listed(NUMBERS), dice),
            "real" | "double precision" => any(&listed(FLOATS), dice),
            "boolean" => any(&["true", "false"], dice),
            "text[]" if dice.below(12) == 0 => {
                format!(
                    "{{{}}}",
                    vec!["order.*"; 1 + dice.below(3_000) as usize].join(",")
                )
            }
            "text[]" => any(&listed(TEXT_ARRAYS), dice),
            "interval[]" => any(&listed(INTERVAL_ARRAYS), dice),
            "integer[]" => any(&listed(NUMBER_ARRAYS), dice),
            "bytea" => any(&BYTES, dice),
            "regclass" => any(&listed(RELATIONS), dice),
            "regrole" => any(&listed(ROLES), dice),
            other => panic!("no values of the type {other}"),
        };
        format!("{}::{type}", quoted(&text))
    }

    fn text(&self, dice: &mut Dice) -> String {
        match dice.below(10) {
            0 => self.names[dice.below(self.names.len() as u64) as usize].clone(),
            1 => any(&["x", "ä", "1", "{"], dice).repeat(1 << dice.below(18)),
            _ => any(&[listed(TEXTS), ODD_TEXTS.into()].concat(), dice),
        }
    }

    /// Returns a document for `apply`.
    fn declaration(&self, dice: &mut Dice) -> String {
        let mut options = vec![format!("\"name\": {}", json(&self.text(dice)))];
        for _ in 0..dice.below(4) {
            let value = match dice.below(3) {
                0 => json(&self.text(dice)),
                1 => any(&listed(NUMBERS), dice),
                _ => any(&listed(JSON), dice),
            };
            options.push(format!("\"{}\": {value}", any(&listed(OPTIONS), dice)));
        }
        format!("{{\"subscriptions\": [{{{}}}]}}", options.join(", "))
    }
}

/// Returns the values of a list, which stand between ` | ` or on lines of their own.
fn listed(list: &str) -> Vec<&str> {
    let lines = list.lines().map(str::trim);
    let filled = lines.filter(|line| !line.is_empty());
    filled.flat_map(|line| line.split(" | ")).collect()
}

fn any(list: &[&str], dice: &mut Dice) -> String {
    list[dice.below(list.len() as u64) as usize].to_owned()
}

fn json(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn quoted(text: &str) -> String {
    format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}
