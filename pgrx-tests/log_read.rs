//! How much of the log is read at once.

#[pgrx::pg_schema]
mod tests {
    use crate::in_postgres::support::{all, run, value};
    use crate::log::read::load_events;
    use herald_core::limits;
    use herald_dispatch::log::Logged;
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
        assert_eq!((some.len(), bytes), (2, 6_000_004));
    }

    #[pg_test]
    fn an_event_that_is_larger_than_a_slice_is_read_alone() {
        write_large_events();
        run("update herald.event set data = to_json(repeat('x', 10000000)), size = 10000002");
        let (some, is_all) = load(&places(), 16 * MEGABYTE as i32);
        assert_eq!((some.len(), is_all), (1, false));
    }

    #[pg_test]
    fn the_stored_size_of_data_is_not_believed() {
        write_large_events();
        run("update herald.event set size = 0");
        let (all, _) = load(&places(), 2 * MEGABYTE as i32);
        assert!(
            all.iter()
                .all(|logged| logged.event.data.is_none() && logged.event.size == 3_000_002)
        );
    }

    #[pg_test]
    fn attributes_beyond_their_limits_are_cut_marked_and_sent_to_nobody() {
        run("select herald.emit('large', '{}') from generate_series(1, 20)");
        run("with long (text) as (select repeat('é', 10000000))
             update herald.event set type = text, source = text, id = text, subject = text, key = text, tenant = text,
                 dataschema = text, extensions = to_json(text), context = to_json(text)
             from long");
        let (all, is_all) = load(&places(), MEGABYTE as i32);
        assert!(is_all);
        assert_eq!(all.len(), 20);
        for Logged { event, .. } in &all {
            assert!(event.memory() < 40_000, "{} bytes", event.memory());
            assert_eq!((&event.data, event.size), (&None, i32::MAX));
            assert!(event.tenant.as_ref().unwrap().starts_with("éé"));
            assert!(!limits::TENANT.allows(event.tenant.as_ref().unwrap()));
            assert!(!limits::TYPE.allows(&event.r#type));
        }
    }

    #[pg_test]
    fn a_column_that_somebody_adds_is_not_read() {
        run("alter table herald.event add column region text default 'eu'");
        run("select herald.emit('order.paid')");
        assert_eq!(load(&places(), 100).0.len(), 1);
    }

    #[pg_test]
    fn data_that_is_larger_than_anybody_takes_is_left_where_it_is() {
        write_large_events();
        let (all, is_all) = load(&places(), 2 * MEGABYTE as i32);
        assert!(is_all);
        assert_eq!(all.len(), 12);
        assert!(all.iter().all(|logged| logged.event.data.is_none()));
    }

    /// Writes events that are larger than emit() accepts.
    fn write_large_events() {
        run("select herald.emit('large') from generate_series(1, 12)");
        run("update herald.event set size = 3000002, data = to_json(repeat('x', 3000000))");
    }

    fn load(places: &[(i16, i64)], largest: i32) -> (Vec<Logged>, bool) {
        Spi::connect_mut(|client| load_events(client, places, largest, usize::MAX))
    }

    /// Returns the places of all events, read from the log as other tests draw numbers at the same time.
    fn places() -> Vec<(i16, i64)> {
        let slot = value("select distinct slot from herald.event");
        let slot: i16 = slot.parse().unwrap();
        let seqs = all("select seq from herald.event");
        let place = |seq: String| (slot, seq.parse().unwrap());
        seqs.into_iter().map(place).collect()
    }
}
