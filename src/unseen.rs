//! Paths that filters ask for and that no recent event has, for `subscribe` and `doctor`.
//!
//! It looks at the newest events only, and at those with small data, so that it takes a bounded time at any size of the
//! log.

use crate::log::read;
use crate::prepared::Prepared;
use herald_core::filter::Unseen;
use herald_core::subscription::SubscriptionOptions;
use herald_core::subscription::wanted::Wanted;
use pgrx::prelude::*;
use pgrx::spi::{SpiClient, SpiTupleTable};

/// At most this many events are searched for those of a subscription.
const MOST_SEARCHED: i64 = 10_000;
/// At most this many events of a subscription's types are looked at.
const MOST_EVENTS: usize = 1_000;
/// Events with more data are not looked at, in bytes.
const LARGEST: i32 = 65_536;
/// The first events nearly always have all paths: few of them are read at first, and more each time.
const FIRST_EVENTS: usize = 16;

/// A subscription whose filter looks at data.
struct Filtered {
    id: i64,
    wanted: Wanted,
    unseen: Unseen,
    events: usize,
}

/// An event without its data.
struct Newest {
    place: (i16, i64),
    event_type: String,
    tenant: Option<String>,
}

/// Returns the paths that filters ask for and no recent event of their types has, the nearest one that some event has, and
/// how many events were looked at, of `most_bytes` together. A subscription without such events is passed by.
#[pg_extern(sql = false)]
#[allow(clippy::type_complexity)]
fn unseen_paths(
    ids: Vec<i64>,
    most_bytes: i32,
) -> TableIterator<
    'static,
    (
        name!(subscription_id, i64),
        name!(path, String),
        name!(nearest, Option<String>),
        name!(events, i32),
    ),
> {
    let searched = Spi::connect_mut(|client| {
        let mut filtered = load_filters(client, ids);
        if !filtered.is_empty() {
            search(
                client,
                &mut filtered,
                usize::try_from(most_bytes).unwrap_or(0),
            );
        }
        filtered
    });
    let mut rows = Vec::new();
    for filtered in searched.iter().filter(|filtered| filtered.events > 0) {
        for path in filtered.unseen.paths() {
            rows.push((
                filtered.id,
                path.to_string(),
                filtered.unseen.nearest(path).map(str::to_owned),
                i32::try_from(filtered.events).unwrap_or(i32::MAX),
            ));
        }
    }
    TableIterator::new(rows)
}

/// Loads the subscriptions with these ids whose filters look at data.
fn load_filters(client: &mut SpiClient<'_>, ids: Vec<i64>) -> Vec<Filtered> {
    static STATEMENT: Prepared = Prepared::read(include_str!("../sql/queries/load_filters.sql"));
    let mut rows = STATEMENT.run(client, vec![ids.into()]);
    let mut filtered = Vec::new();
    while rows.next().is_some() {
        let types: Option<Vec<Option<String>>> = get(&rows, "types");
        let options = SubscriptionOptions {
            types: types.into_iter().flatten().flatten().collect(),
            tenant: get(&rows, "tenant"),
            ..SubscriptionOptions::new("", "")
                .with_selecting(&get::<String>(&rows, "options").unwrap_or_default())
        };
        let wanted = options.readable_wanted();
        let unseen = wanted.filter.as_ref().map(Unseen::of);
        if let (Some(id), Some(unseen)) = (get(&rows, "id"), unseen)
            && !unseen.is_empty()
        {
            filtered.push(Filtered {
                id,
                wanted,
                unseen,
                events: 0,
            });
        }
    }
    filtered
}

/// Shows events to the subscriptions that want them by type and tenant, newest first, until all paths were seen.
fn search(client: &mut SpiClient<'_>, filtered: &mut [Filtered], most_bytes: usize) {
    let newest = load_newest(client);
    let mut newest = newest.into_iter();
    let mut bytes = 0;
    let mut size = FIRST_EVENTS;
    while bytes < most_bytes && filtered.iter().any(Filtered::is_searching) {
        let is_wanted = |newest: &Newest| filtered.iter().any(|filtered| filtered.wants(newest));
        let part: Vec<Newest> = newest.by_ref().filter(is_wanted).take(size).collect();
        if part.is_empty() {
            return;
        }
        let places: Vec<(i16, i64)> = part.iter().map(|newest| newest.place).collect();
        let (events, _) = read::load_events(client, &places, LARGEST, most_bytes - bytes);
        for event in events.iter().map(|logged| &logged.event) {
            bytes += event.data.as_ref().map_or(0, String::len);
            for filtered in filtered
                .iter_mut()
                .filter(|filtered| filtered.is_searching())
            {
                let refusal = filtered
                    .wanted
                    .refusal(&event.r#type, event.tenant.as_deref());
                if refusal.is_none() {
                    filtered
                        .unseen
                        .look_at(event.data.as_deref().unwrap_or("null"));
                    filtered.events += 1;
                }
            }
        }
        size *= 4;
    }
}

/// Returns the newest events whose data is small.
fn load_newest(client: &mut SpiClient<'_>) -> Vec<Newest> {
    static STATEMENT: Prepared =
        Prepared::read(include_str!("../sql/queries/load_newest_events.sql"));
    let mut rows = STATEMENT.run(client, vec![MOST_SEARCHED.into(), LARGEST.into()]);
    let mut newest = Vec::with_capacity(rows.len());
    while rows.next().is_some() {
        if let (Some(slot), Some(seq), Some(event_type)) =
            (get(&rows, "slot"), get(&rows, "seq"), get(&rows, "type"))
        {
            newest.push(Newest {
                place: (slot, seq),
                event_type,
                tenant: get(&rows, "tenant"),
            });
        }
    }
    newest
}

fn get<T: IntoDatum + FromDatum>(rows: &SpiTupleTable<'_>, name: &str) -> Option<T> {
    rows.get_by_name(name).ok().flatten()
}

impl Filtered {
    fn is_searching(&self) -> bool {
        !self.unseen.is_empty() && self.events < MOST_EVENTS
    }

    fn wants(&self, newest: &Newest) -> bool {
        let refusal = self
            .wanted
            .refusal(&newest.event_type, newest.tenant.as_deref());
        self.is_searching() && refusal.is_none()
    }
}
