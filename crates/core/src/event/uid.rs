//! Unique ids of events: UUIDs of version 7, which grow with time.

use std::time::Duration;
use uuid::{Builder, Uuid};

/// Generates the ids of one session, each higher than the last.
///
/// Each millisecond has 4096 steps, stored in the 12 bits after it, as in RFC 9562 (6.2, method 3) and PostgreSQL 18:
/// ids of different sessions sort by time, too, to a quarter of a microsecond.
#[derive(Debug, Clone, Copy, Default)]
pub struct Uids {
    last_step: u64,
}

impl Uids {
    pub const fn new() -> Self {
        Self { last_step: 0 }
    }

    /// Returns the id of an event that happens `since_1970`. If the clock stands still or goes back, the id grows by a
    /// step.
    pub fn next(&mut self, since_1970: Duration, random: [u8; 8]) -> Uuid {
        let millis = since_1970.as_millis() as u64;
        let step = u64::from(since_1970.subsec_nanos() % 1_000_000) * 4096 / 1_000_000;
        self.last_step = (millis << 12 | step).max(self.last_step + 1);
        let [high, low] = (self.last_step as u16 & 0xfff).to_be_bytes();
        let [a, b, c, d, e, f, g, h] = random;
        Builder::from_unix_timestamp_millis(
            self.last_step >> 12,
            &[high, low, a, b, c, d, e, f, g, h],
        )
        .into_uuid()
    }
}

/// Returns when the event with this uid was recorded, in microseconds since 1970; `None` if the uid does not tell.
///
/// ```
/// use herald_core::event::uid::recorded_micros;
///
/// assert_eq!(recorded_micros("018bcfe5-687b-7800-bfff-ffffffffffff"), Some(1_700_000_000_123_000));
/// assert_eq!(recorded_micros("7"), None);
/// ```
pub fn recorded_micros(uid: &str) -> Option<i64> {
    let (seconds, nanos) = Uuid::parse_str(uid).ok()?.get_timestamp()?.to_unix();
    Some(i64::try_from(seconds).ok()?.checked_mul(1_000_000)? + i64::from(nanos / 1000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_the_time_in_front_and_random_bits_behind() {
        let time = Duration::new(1_700_000_000, 123_500_000);
        let uid = Uids::new().next(time, [0xff; 8]);
        assert_eq!(uid.to_string(), "018bcfe5-687b-7800-bfff-ffffffffffff");
        assert_eq!(uid.get_version_num(), 7);
    }

    #[test]
    fn ids_grow_also_where_the_clock_stands_or_goes_back() {
        let mut uids = Uids::new();
        let times = [5_000, 5_000, 5_000, 4_000, 6_000].map(Duration::from_micros);
        let made: Vec<Uuid> = (0..5_000)
            .map(|n| uids.next(times[n % 5], [n as u8; 8]))
            .collect();
        assert!(made.is_sorted_by(|former, next| former < next));
    }
}
