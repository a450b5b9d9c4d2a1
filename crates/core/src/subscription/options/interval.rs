//! Time spans as PostgreSQL writes them and people read them.
//!
//! A stored document contains them as `to_jsonb(interval)` writes them under `intervalstyle = postgres`. A span too
//! long for 64 bits reads as the longest one, which the option's limits then refuse.

/// Returns an interval in microseconds, as `extract(epoch from ...)` counts: a month has 30 days, a year 365.25.
/// Returns `None` if the text is not an interval.
///
/// ```
/// use herald_core::subscription::options::interval_micros;
///
/// assert_eq!(interval_micros("00:00:30"), Some(30_000_000));
/// assert_eq!(interval_micros("1 year 2 mons -3 days +04:05:06.000007"), Some(36_497_106_000_007));
/// assert_eq!(interval_micros("5 min"), Some(300_000_000));
/// assert_eq!(interval_micros("soon"), None);
/// ```
pub fn interval_micros(text: &str) -> Option<i64> {
    if text.is_empty() {
        return None;
    }
    // PostgreSQL's own fields: it neither writes nor reads larger values.
    let (mut months, mut days, mut micros) = (0_i64, 0_i64, 0_i128);
    let mut words = text.split(' ');
    while let Some(word) = words.next() {
        if word.contains(':') {
            micros += time(word)?;
            continue;
        }
        let number = i64::from(word.parse::<i32>().ok()?);
        match words.next()? {
            "year" | "years" => months += number * 12,
            "mon" | "mons" => months += number,
            "day" | "days" => days += number,
            unit => micros += i128::from(number) * unit_micros(unit)?,
        }
    }
    let (months, days) = (i32::try_from(months).ok()?, i32::try_from(days).ok()?);
    let micros = i128::from(i64::try_from(micros).ok()?);
    let (years, months) = (i128::from(months / 12), i128::from(months % 12));
    let all = years * (1_461 * DAY / 4) + (months * 30 + i128::from(days)) * DAY + micros;
    Some(all.clamp(i64::MIN.into(), i64::MAX.into()) as i64)
}

const SECOND: i128 = 1_000_000;
const DAY: i128 = 86_400 * SECOND;

/// Returns a unit of time, as used in declared defaults, in microseconds.
fn unit_micros(unit: &str) -> Option<i128> {
    Some(match unit {
        "ms" => SECOND / 1_000,
        "s" => SECOND,
        "min" => 60 * SECOND,
        "h" => 3_600 * SECOND,
        _ => return None,
    })
}

/// Parses `[+-]HH:MM:SS[.ffffff]` into microseconds.
fn time(word: &str) -> Option<i128> {
    let (sign, digits) = match word.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, word.strip_prefix('+').unwrap_or(word)),
    };
    let mut parts = digits.splitn(3, ':');
    let mut whole = || parts.next()?.parse::<u64>().ok().map(i128::from);
    let (hours, minutes) = (whole()?, whole()?);
    let seconds = parts.next()?;
    let (seconds, fraction) = seconds.split_once('.').unwrap_or((seconds, ""));
    if fraction.len() > 6 || fraction.bytes().any(|byte| !byte.is_ascii_digit()) {
        return None;
    }
    let seconds = i128::from(seconds.parse::<u64>().ok()?);
    let fraction: i128 = format!("{fraction:0<6}").parse().ok()?;
    Some(sign * ((hours * 3_600 + minutes * 60 + seconds) * SECOND + fraction))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_postgresql_writes_is_read_as_it_counts() {
        for (text, micros) in [
            ("00:00:00", 0),
            ("00:00:00.1", 100_000),
            ("-00:00:00.000001", -1),
            ("24:00:00", 86_400_000_000),
            ("-1 days", -86_400_000_000),
            ("-1 days +02:03:00", -79_020_000_000),
            ("1 mon", 2_592_000_000_000),
            ("1 year", 31_557_600_000_000),
            ("-1 years -2 mons", -36_741_600_000_000),
            ("178956970 years 7 mons", i64::MAX),
            ("-178956970 years -8 mons", i64::MIN),
            ("2562047788:00:54.775807", 9_223_372_036_854_775_807),
        ] {
            assert_eq!(interval_micros(text), Some(micros), "{text}");
        }
    }

    #[test]
    fn what_is_no_interval_is_refused() {
        for text in [
            "",
            " ",
            "1",
            "days",
            "1 fortnight",
            "1:2",
            "a:b:c",
            "00:00:1e3",
            "00:00:00.0000001",
            "P1D",
            "1  day",
            "99999999999999999999 days",
            "00:00:00.-1",
            "--1 days",
            "infinity",
            "2147483648 days",
            "178956971 years",
            "2562047788:00:54.775808",
            "+-01:00:00",
        ] {
            assert_eq!(interval_micros(text), None, "{text:?}");
        }
    }
}
