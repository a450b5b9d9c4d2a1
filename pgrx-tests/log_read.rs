//! How much of the log is read at once.

#[pgrx::pg_schema]
mod tests {
    use crate::in_postgres::support::{all, one, run};
    use crate::log::read::load_events;
    use pgrx::prelude::*;

    const MEGABYTE: usize = 1 << 20;

    #[pg_test]
    fn large_events_are_read_a_few_at_a_time() {
        write_large_events();
        let (some, is_all) = load(&places(), 4 * MEGABYTE as i32);
        let bytes: usize = some
            .iter()
            .map(|logged| logged.event.data.as_ref().map_or(0, String::len))
            .sum();
        assert!(!is_all);
        assert!(
            (8 * MEGABYTE..16 * MEGABYTE).contains(&bytes),
            "{bytes} bytes in {} events",
            some.len()
        );
    }

    #[pg_test]
    fn data_that_is_larger_than_anybody_takes_is_left_where_it_is() {
        write_large_events();
        let (all, is_all) = load(&places(), 2 * MEGABYTE as i32);
        assert!(is_all);
        assert_eq!(all.len(), 12);
        assert!(all.iter().all(|logged| logged.event.data.is_none()));
    }

    /// Larger than emit() takes.
    fn write_large_events() {
        run("select herald.emit('large') from generate_series(1, 12)");
        run("update herald.event set size = 3000002, data = to_json(repeat('x', 3000000))");
    }

    fn load(places: &[(i16, i64)], largest: i32) -> (Vec<crate::log::row::Logged>, bool) {
        Spi::connect_mut(|client| load_events(client, places, largest))
    }

    /// Other tests draw numbers at the same time.
    fn places() -> Vec<(i16, i64)> {
        let slot = one("select distinct slot from herald.event");
        let slot: i16 = slot.parse().unwrap();
        let seqs = all("select seq from herald.event");
        let place = |seq: String| (slot, seq.parse().unwrap());
        seqs.into_iter().map(place).collect()
    }
}
