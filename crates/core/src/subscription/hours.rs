//! The option `active_hours`: the times of day at which a receiver wants deliveries, in its own time zone.
//!
//! Hours are those on a clock on the wall there, so that summer time needs no rule of its own: an hour that occurs twice
//! counts twice, and one that is left out does not occur.

use std::collections::BTreeSet;

use chrono::{DateTime, Datelike, Days, Duration, NaiveDate, NaiveDateTime, TimeZone, Timelike};
use chrono_tz::Tz;
use serde_json::{Map, Value};

use crate::error::Error;
use crate::suggest::nearest;

const MEMBERS: [&str; 4] = ["zone", "days", "except", "outside"];
const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
/// The minutes of a day.
const DAY: u32 = 1_440;
/// At most this many times of a day.
const MAX_RANGES: usize = 10;
/// At most this many dates.
const MAX_DATES: usize = 366;
/// The next hours are looked for on so many days: all dates may be exceptions.
const DAYS_AHEAD: u64 = MAX_DATES as u64 + 8;

/// Times of day, by the day of the week.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActiveHours {
    zone: Tz,
    /// From Monday on: minutes of the day, from the one up to the other.
    days: [Vec<(u32, u32)>; 7],
    /// Dates without hours.
    except: BTreeSet<NaiveDate>,
    /// Events that are recorded outside are left out, and not held.
    pub skips: bool,
}

impl ActiveHours {
    /// Parses the option.
    ///
    /// ```
    /// use herald_core::subscription::hours::ActiveHours;
    ///
    /// let option = serde_json::json!({"zone": "Europe/Berlin", "days": {"mon-fri": "09:00-17:00"}});
    /// let hours = ActiveHours::parse(&option).unwrap();
    /// // A Thursday in winter, at 07:59 and at 08:00 in UTC.
    /// let eight = 1_767_254_400_000_000;
    /// assert_eq!(hours.closed_until(eight - 60_000_000), Some(eight));
    /// assert_eq!(hours.closed_until(eight), None);
    /// ```
    pub fn parse(option: &Value) -> Result<ActiveHours, Error> {
        let members = option.as_object().ok_or_else(|| {
            let hint = r#"Use active_hours => '{"zone": "Europe/Berlin", "days": {"mon-fri": "09:00-17:00"}}'."#;
            refused("It is not an object.", hint)
        })?;
        if let Some(unknown) = members
            .keys()
            .find(|name| !MEMBERS.contains(&name.as_str()))
        {
            let hint = match nearest(unknown, MEMBERS) {
                Some(nearest) => format!("Perhaps you meant {nearest:?}."),
                None => format!("Its members are {}.", MEMBERS.join(", ")),
            };
            return Err(refused(&format!("It has no member {unknown:?}."), &hint));
        }
        Ok(ActiveHours {
            zone: zone(members.get("zone"))?,
            days: days(members)?,
            except: except(members.get("except"))?,
            skips: match members.get("outside").map(Value::as_str) {
                None | Some(Some("hold")) => false,
                Some(Some("skip")) => true,
                Some(_) => {
                    return Err(refused(
                        "Its outside is neither hold nor skip.",
                        r#"Use "outside": "hold", or leave it out."#,
                    ));
                }
            },
        })
    }

    /// Returns whether this time, in microseconds since 1970, is within the hours. A time that no calendar has is.
    pub fn is_open(&self, micros: i64) -> bool {
        let utc = DateTime::from_timestamp_micros(micros);
        utc.is_none_or(|utc| self.is_open_at(utc.with_timezone(&self.zone).naive_local()))
    }

    /// Returns when the next hours begin, if this time is not within any.
    pub fn closed_until(&self, micros: i64) -> Option<i64> {
        if self.is_open(micros) {
            return None;
        }
        let utc = DateTime::from_timestamp_micros(micros)?;
        let today = utc.with_timezone(&self.zone).date_naive();
        let days = (0..=DAYS_AHEAD).filter_map(|days| today.checked_add_days(Days::new(days)));
        let begins = days.flat_map(|date| {
            let ranges = self.ranges(date).iter();
            let mut begins: Vec<i64> = ranges
                .filter_map(|(from, _)| {
                    Some(date.and_hms_opt(0, 0, 0)? + Duration::minutes((*from).into()))
                })
                .flat_map(|local| self.times_of(local))
                .collect();
            begins.sort_unstable();
            begins
        });
        // Where a zone skips hours or days, a later beginning may be the first.
        let mut begins = begins.filter(|begins| *begins > micros && self.is_open(*begins));
        // None in over a year: look again in a day.
        Some(
            begins
                .next()
                .unwrap_or(micros.saturating_add(86_400_000_000)),
        )
    }

    fn ranges(&self, date: NaiveDate) -> &[(u32, u32)] {
        if self.except.contains(&date) {
            return &[];
        }
        let day = date.weekday().num_days_from_monday();
        self.days.get(day as usize).map_or(&[], Vec::as_slice)
    }

    fn is_open_at(&self, local: NaiveDateTime) -> bool {
        let minute = local.hour() * 60 + local.minute();
        let mut ranges = self.ranges(local.date()).iter();
        ranges.any(|(from, to)| (*from..*to).contains(&minute))
    }

    /// Returns when the clock on the wall shows this, or if it never does, first shows something later, in microseconds since
    /// 1970: once, or twice when it is set back.
    fn times_of(&self, local: NaiveDateTime) -> Vec<i64> {
        // No zone has ever left out more than a day.
        let quarters = (0..=100).map(|quarter| local + Duration::minutes(15 * quarter));
        let mut times = quarters
            .map(|local| self.zone.from_local_datetime(&local))
            .filter(|times| times.earliest().is_some());
        let Some(times) = times.next() else {
            return Vec::new();
        };
        let both = [times.earliest(), times.latest()].into_iter().flatten();
        both.map(|time| time.timestamp_micros()).collect()
    }
}

fn zone(value: Option<&Value>) -> Result<Tz, Error> {
    let Some(value) = value else {
        return Ok(Tz::UTC);
    };
    let name = value.as_str().unwrap_or_default();
    name.parse().map_err(|_| {
        let names = chrono_tz::TZ_VARIANTS.iter().map(|zone| zone.name());
        let hint = match nearest(name, names) {
            Some(nearest) => format!("Perhaps you meant {nearest:?}."),
            None => r#"Use a name of the IANA database, such as "Europe/Berlin"."#.into(),
        };
        refused(
            &format!("Its zone is {value}, which is no time zone."),
            &hint,
        )
    })
}

fn days(members: &Map<String, Value>) -> Result<[Vec<(u32, u32)>; 7], Error> {
    let hint = r#"Use "days": {"mon-fri": "09:00-17:00", "sat": ["09:00-12:00", "14:00-16:00"]}."#;
    let given = members
        .get("days")
        .and_then(Value::as_object)
        .filter(|days| !days.is_empty())
        .ok_or_else(|| refused("Its days are missing, or not an object.", hint))?;
    let mut days: [Vec<(u32, u32)>; 7] = Default::default();
    for (names, hours) in given {
        let places = places(names).ok_or_else(|| {
            refused(
                &format!("Its days have {names:?}, which is no day or days."),
                hint,
            )
        })?;
        let texts = match hours {
            Value::Array(texts) => texts.as_slice(),
            text => std::slice::from_ref(text),
        };
        for text in texts {
            let (from, to) = text.as_str().and_then(range).ok_or_else(|| {
                refused(&format!("Its hours have {text}, which is no range."), hint)
            })?;
            for place in &places {
                if from < to {
                    days[*place].push((from, to));
                } else {
                    // Over midnight.
                    days[*place].push((from, DAY));
                    days[(place + 1) % 7].push((0, to));
                }
            }
        }
    }
    for day in &mut days {
        day.retain(|(from, to)| from < to);
        day.sort_unstable();
        if day.len() > MAX_RANGES {
            let fault = format!("A day has {} times; allowed are {MAX_RANGES}.", day.len());
            return Err(refused(&fault, hint));
        }
    }
    Ok(days)
}

/// Returns the places of days such as `mon`, `mon-fri` or `sat,sun`.
fn places(names: &str) -> Option<Vec<usize>> {
    let place = |name: &str| DAYS.iter().position(|day| *day == name.trim());
    let mut places = Vec::new();
    for part in names.split(',') {
        match part.split_once('-') {
            None => places.push(place(part)?),
            Some((first, last)) => {
                let (first, last) = (place(first)?, place(last)?);
                let count = (last + 7 - first) % 7;
                places.extend((0..=count).map(|days| (first + days) % 7));
            }
        }
    }
    Some(places)
}

/// Reads a range such as `09:00-17:00`, in minutes of the day; `24:00` is its end.
fn range(text: &str) -> Option<(u32, u32)> {
    let (from, to) = text.split_once('-')?;
    let (from, to) = (minute(from)?, minute(to)?);
    (from < DAY && from != to).then_some((from, to))
}

fn minute(text: &str) -> Option<u32> {
    let (hour, minute) = text.trim().split_once(':')?;
    let is_number = |text: &str| text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(hour) || !is_number(minute) {
        return None;
    }
    let (hour, minute): (u32, u32) = (hour.parse().ok()?, minute.parse().ok()?);
    (minute < 60 && hour * 60 + minute <= DAY).then_some(hour * 60 + minute)
}

fn except(value: Option<&Value>) -> Result<BTreeSet<NaiveDate>, Error> {
    let hint = r#"Use "except": ["2026-12-25", "2026-12-26"]."#;
    let Some(value) = value else {
        return Ok(BTreeSet::new());
    };
    let dates = value
        .as_array()
        .ok_or_else(|| refused("Its except is not a list.", hint))?;
    if dates.len() > MAX_DATES {
        let fault = format!(
            "Its except has {} dates; allowed are {MAX_DATES}.",
            dates.len()
        );
        return Err(refused(&fault, hint));
    }
    let date = |date: &Value| {
        let text = date.as_str().filter(|text| text.len() == 10);
        let parsed = text.and_then(|text| NaiveDate::parse_from_str(text, "%Y-%m-%d").ok());
        parsed.ok_or_else(|| refused(&format!("Its except has {date}, which is no date."), hint))
    };
    dates.iter().map(date).collect()
}

fn refused(fault: &str, hint: &str) -> Error {
    Error::Option {
        option: "active_hours",
        fault: fault.into(),
        hint: hint.into(),
    }
}

#[cfg(test)]
mod tests;
