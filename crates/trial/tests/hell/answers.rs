//! The other half of the table: answers with a proper status, and something improper about them.

use herald_trial::receiver::Answer;
use herald_trial::{Mode, Receiver};

use crate::common::Database;
use crate::row::{Row, SCHEDULED};

/// Returns endpoints whose bodies lie about themselves or never end. Once the status is known, they change nothing.
pub fn bodies() -> Vec<Row> {
    let ok = |name, rest: &str, words| {
        Row::new(
            name,
            Mode::raw(format!("HTTP/1.1 200 OK\r\n{rest}")),
            "delivered 200 -",
            words,
        )
    };
    let odd = b"a\0b\x1b[31m\xff\xfe\x7f\r\n\xe2\x80\xae<script>".repeat(1000);
    vec![
        ok(
            "a body shorter than its length",
            "content-length: 100\r\n\r\ntoo short",
            "too short",
        ),
        ok(
            "a body longer than its length",
            "content-length: 5\r\n\r\nshort and long",
            "short",
        ),
        Row::new(
            "two lengths",
            Mode::raw("HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 5\r\n\r\nshort"),
            "dead - connect",
            "response: not valid HTTP/1.1",
        ),
        Row::new(
            "a length that is no number",
            Mode::raw("HTTP/1.1 200 OK\r\ncontent-length: many\r\n\r\nshort"),
            "dead - connect",
            "response: not valid HTTP/1.1",
        ),
        ok(
            "chunks that are none",
            "transfer-encoding: chunked\r\n\r\nzz\r\nnot a chunk",
            "",
        ),
        ok(
            "a chunk of 16 EiB",
            "transfer-encoding: chunked\r\n\r\nffffffffffffffff\r\nx",
            "",
        ),
        Row::new("a bomb in gzip", Mode::gzip_bomb(), "delivered 200 -", ""),
        Row::new(
            "a body of 10 GB",
            Mode::huge_body(10 << 30),
            "delivered 200 -",
            "xxxx",
        ),
        Row::new(
            "odd bytes",
            Mode::Answer(closing(200).body(odd.clone())),
            "delivered 200 -",
            "a\u{fffd}b\u{fffd}[31m",
        ),
        Row::new(
            "odd bytes of an error",
            Mode::Answer(closing(500).body(odd)),
            "dead 500 status",
            "status 500",
        ),
    ]
}

/// Returns endpoints whose answers would lead elsewhere.
pub fn redirects(canary: &Receiver) -> Vec<Row> {
    let to = |status, location: &str| Mode::Answer(closing(status).header("location", location));
    vec![
        Row::new(
            "a redirect to loopback",
            to(302, &canary.url("/")),
            "dead 302 status",
            "status 302",
        ),
        Row::new(
            "a redirect that keeps the method",
            to(307, &canary.url("/")),
            "dead 307 status",
            "status 307",
        ),
        Row::new(
            "a redirect to itself",
            to(301, "/"),
            "dead 301 status",
            "status 301",
        ),
    ]
}

/// Returns endpoints with `Retry-After` of every kind: it delays, up to a day, or is ignored.
pub fn retry_after(db: &mut Database) -> Vec<Row> {
    let mut in_two_hours = |format: &str| {
        db.text(&format!(
            "select to_char(now() at time zone 'utc' + interval '2 h', '{format}')"
        ))
    };
    let kinds = [
        ("seconds", vec!["7200".to_owned()], 7_200),
        (
            "an IMF date",
            vec![in_two_hours(r#"Dy, DD Mon YYYY HH24:MI:SS "GMT""#)],
            7_200,
        ),
        (
            "an RFC 850 date",
            vec![in_two_hours(r#"FMDay, DD-Mon-YY HH24:MI:SS "GMT""#)],
            7_200,
        ),
        (
            "an asctime date",
            vec![in_two_hours("Dy Mon DD HH24:MI:SS YYYY")],
            7_200,
        ),
        (
            "a date of the past",
            vec!["Thu, 01 Jan 1970 00:00:00 GMT".to_owned()],
            SCHEDULED,
        ),
        ("negative", vec!["-7200".to_owned()], SCHEDULED),
        ("1e9", vec!["1000000000".to_owned()], 86_400),
        ("1e30", vec![format!("1{}", "0".repeat(30))], 86_400),
        ("garbage", vec!["when it's \"ready\"".to_owned()], SCHEDULED),
        ("twice", vec!["7200".to_owned(), "3".to_owned()], 7_200),
    ];
    let mut rows = Vec::new();
    for (status, recorded, words) in [
        (429, "retrying 429 rate_limited", "status 429"),
        (503, "retrying 503 status", "status 503"),
    ] {
        for (kind, values, waits) in &kinds {
            let answer = values.iter().fold(closing(status), |answer, value| {
                answer.header("retry-after", value)
            });
            let name = format!("retry after {status} {kind}");
            let mut row = Row::new(&name, Mode::Answer(answer), recorded, words);
            row.waits = Some(*waits);
            rows.push(row);
        }
    }
    rows
}

/// Returns an answer that ends the connection, so that the worker's sockets can be counted.
pub fn closing(status: u16) -> Answer {
    Answer::new(status).header("connection", "close")
}
