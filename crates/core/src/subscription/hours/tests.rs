use serde_json::json;

use super::*;

fn hours(option: &Value) -> ActiveHours {
    ActiveHours::parse(option).unwrap()
}

fn micros(rfc3339: &str) -> i64 {
    DateTime::parse_from_rfc3339(rfc3339)
        .unwrap()
        .timestamp_micros()
}

fn text(micros: i64) -> String {
    DateTime::from_timestamp_micros(micros)
        .unwrap()
        .to_rfc3339()
}

/// Returns when it opens, as seen from this time; `open` if it is.
fn opens(hours: &ActiveHours, at: &str) -> String {
    let until = hours.closed_until(micros(at));
    until.map_or("open".into(), text)
}

#[test]
fn hours_are_those_of_the_days_and_of_the_zone() {
    let hours = hours(
        &json!({"zone": "America/New_York", "days": {"mon-fri": "09:00-17:00", "sat": ["10:00-12:00", "13:00-14:00"]}}),
    );
    for (at, expected) in [
        // Thursday; New York is five hours behind in winter.
        ("2026-01-08T13:59:59Z", "2026-01-08T14:00:00+00:00"),
        ("2026-01-08T14:00:00Z", "open"),
        ("2026-01-08T21:59:59.999999Z", "open"),
        ("2026-01-08T22:00:00Z", "2026-01-09T14:00:00+00:00"),
        // Friday evening, Saturday noon, Saturday evening.
        ("2026-01-09T23:00:00Z", "2026-01-10T15:00:00+00:00"),
        ("2026-01-10T17:00:00Z", "2026-01-10T18:00:00+00:00"),
        ("2026-01-10T19:00:00Z", "2026-01-12T14:00:00+00:00"),
        // In summer, it is four hours.
        ("2026-07-09T12:59:00Z", "2026-07-09T13:00:00+00:00"),
    ] {
        assert_eq!(opens(&hours, at), expected, "{at}");
    }
}

#[test]
fn an_hour_that_summer_time_leaves_out_does_not_occur_and_one_that_occurs_twice_counts_twice() {
    // Clocks go from 02:00 to 03:00 on 29 March 2026, and from 03:00 to 02:00 on 25 October.
    let hours = hours(&json!({"zone": "Europe/Berlin", "days": {"sun": "02:15-02:45"}}));
    for (at, expected) in [
        ("2026-03-29T00:30:00Z", "2026-04-05T00:15:00+00:00"),
        ("2026-10-25T00:00:00Z", "2026-10-25T00:15:00+00:00"),
        ("2026-10-25T00:20:00Z", "open"),
        ("2026-10-25T01:20:00Z", "open"),
        ("2026-10-25T00:50:00Z", "2026-10-25T01:15:00+00:00"),
        ("2026-10-25T01:45:00Z", "2026-11-01T01:15:00+00:00"),
    ] {
        assert_eq!(opens(&hours, at), expected, "{at}");
    }
    let hours = self::hours(&json!({"zone": "Europe/Berlin", "days": {"sun": "02:30-09:00"}}));
    assert_eq!(
        opens(&hours, "2026-03-29T00:45:00Z"),
        "2026-03-29T01:00:00+00:00"
    );
}

#[test]
fn hours_may_go_over_midnight_and_dates_be_left_out() {
    let hours = hours(
        &json!({"days": {"fri": "22:00-06:00", "sun": "00:00-24:00"}, "except": ["2026-01-11"]}),
    );
    for (at, expected) in [
        ("2026-01-09T21:59:00Z", "2026-01-09T22:00:00+00:00"),
        ("2026-01-09T23:59:00Z", "open"),
        ("2026-01-10T05:59:00Z", "open"),
        // Sunday is left out.
        ("2026-01-10T06:00:00Z", "2026-01-16T22:00:00+00:00"),
        ("2026-01-11T12:00:00Z", "2026-01-16T22:00:00+00:00"),
        ("2026-01-18T12:00:00Z", "open"),
    ] {
        assert_eq!(opens(&hours, at), expected, "{at}");
    }
}

#[test]
fn days_may_wrap_around_the_week_and_be_listed() {
    let hours = hours(&json!({"days": {"sat-mon, wed": "00:00-24:00"}}));
    let open = (5..=11).filter(|day| hours.is_open(micros(&format!("2026-01-{day:02}T12:00:00Z"))));
    // Monday, Wednesday, Saturday, Sunday.
    assert_eq!(open.collect::<Vec<_>>(), [5, 7, 10, 11]);
}

#[test]
fn a_year_of_exceptions_and_the_end_of_time_are_bounded() {
    let start = NaiveDate::from_ymd_opt(2026, 1, 1).unwrap();
    let dates: Vec<String> = (0..366)
        .map(|days| (start + Days::new(days)).to_string())
        .collect();
    let hours = hours(&json!({"days": {"mon-sun": "09:00-10:00"}, "except": dates}));
    assert_eq!(
        opens(&hours, "2026-01-01T00:00:00Z"),
        "2027-01-02T09:00:00+00:00"
    );
    for at in [i64::MIN, i64::MAX, 0] {
        let _ = hours.closed_until(at);
    }
}

#[test]
fn a_faulty_option_is_refused_with_its_fault() {
    let days = json!({"mon": "09:00-17:00"});
    for (option, fault) in [
        (json!([]), "It is not an object."),
        (json!({"zones": "UTC"}), r#"It has no member "zones"."#),
        (json!({}), "Its days are missing, or not an object."),
        (
            json!({"days": {}}),
            "Its days are missing, or not an object.",
        ),
        (
            json!({"zone": "Europe/Berlim", "days": days}),
            r#"Its zone is "Europe/Berlim", which is no time zone."#,
        ),
        (
            json!({"zone": 1, "days": days}),
            "Its zone is 1, which is no time zone.",
        ),
        (
            json!({"days": {"monday": "09:00-17:00"}}),
            r#"Its days have "monday", which is no day or days."#,
        ),
        (
            json!({"days": {"mon-": "09:00-17:00"}}),
            r#"Its days have "mon-", which is no day or days."#,
        ),
        (
            json!({"days": {"mon": "9:00-17:00"}}),
            r#"Its hours have "9:00-17:00", which is no range."#,
        ),
        (
            json!({"days": {"mon": "09:00"}}),
            r#"Its hours have "09:00", which is no range."#,
        ),
        (
            json!({"days": {"mon": "09:00-09:00"}}),
            r#"Its hours have "09:00-09:00", which is no range."#,
        ),
        (
            json!({"days": {"mon": "24:00-09:00"}}),
            r#"Its hours have "24:00-09:00", which is no range."#,
        ),
        (
            json!({"days": {"mon": "09:60-10:00"}}),
            r#"Its hours have "09:60-10:00", which is no range."#,
        ),
        (
            json!({"days": {"mon": 9}}),
            "Its hours have 9, which is no range.",
        ),
        (
            json!({"days": {"mon": vec!["01:00-02:00"; 11]}}),
            "A day has 11 times; allowed are 10.",
        ),
        (
            json!({"days": days, "except": "2026-12-25"}),
            "Its except is not a list.",
        ),
        (
            json!({"days": days, "except": ["2026-13-25"]}),
            r#"Its except has "2026-13-25", which is no date."#,
        ),
        (
            json!({"days": days, "except": vec!["2026-12-25"; 367]}),
            "Its except has 367 dates; allowed are 366.",
        ),
        (
            json!({"days": days, "outside": "drop"}),
            "Its outside is neither hold nor skip.",
        ),
    ] {
        let error = ActiveHours::parse(&option).unwrap_err();
        assert_eq!(error.detail().unwrap(), fault, "{option}");
    }
    let error = ActiveHours::parse(&json!({"zone": "Europe/Berlim", "days": days})).unwrap_err();
    assert_eq!(
        error.hint().unwrap(),
        r#"Perhaps you meant "Europe/Berlin"."#
    );
}
