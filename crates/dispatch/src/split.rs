//! Who of those that want an event get it: one member of each group, and samples.
//!
//! It comes last in matching, because a member that did not exist yet, or whose filter refuses the event, must not keep it
//! from the others.

use std::collections::{BTreeMap, BTreeSet};

use herald_core::subscription::matcher::Found;
use herald_core::subscription::split::{Member, taker};
use herald_core::subscription::wanted::Wanted;

use crate::former::Unchanged;
use crate::log::{Logged, Window};
use crate::subscriptions::{Loaded, Subscriptions};

impl Subscriptions {
    /// Removes the subscriptions that leave the event to another, or to nobody.
    pub(crate) fn leave_to_takers(
        &self,
        logged: &Logged,
        window: &Window,
        unchanged: &Unchanged,
        found: &mut Found,
    ) {
        let event = &logged.event;
        let at = |place: usize| {
            let loaded = self
                .at(place)
                .filter(|loaded| loaded.since.gets(logged, window))?;
            Some((
                loaded,
                unchanged.wanted(place).unwrap_or(&loaded.config.wanted),
            ))
        };
        let mut groups: BTreeMap<_, Vec<Member<'_>>> = BTreeMap::new();
        for (places, is_decided) in [(&found.matching, true), (&found.undecided, false)] {
            for (loaded, wanted) in places.iter().filter_map(|place| at(*place)) {
                if let Some(split) = &wanted.split {
                    let group = groups.entry(group_of(loaded, wanted)).or_default();
                    group.push(Member {
                        subscription: loaded.config.id,
                        split,
                        is_decided,
                    });
                }
            }
        }
        let takers = groups.into_values();
        let takers: BTreeSet<i64> = takers.filter_map(|members| taker(event, members)).collect();
        for places in [&mut found.matching, &mut found.undecided] {
            places.retain(|place| {
                at(*place).is_some_and(|(loaded, wanted)| {
                    let is_taker = wanted.split.is_none() || takers.contains(&loaded.config.id);
                    is_taker && wanted.takes(event)
                })
            });
        }
    }
}

/// Returns what names a group: each tenant has its own groups, and none is the platform's.
fn group_of<'a>(loaded: &Loaded, wanted: &'a Wanted) -> (bool, Option<&'a str>, &'a str) {
    let group = wanted.split.as_ref().map_or("", |split| &split.group);
    (loaded.agent.is_tenants, wanted.tenant.as_deref(), group)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use herald_core::egress::agent::AgentKey;
    use herald_core::egress::url_policy::UrlPolicy;
    use herald_core::snapshot::Snapshot;
    use herald_core::subscription::{State, SubscriptionOptions};

    use super::*;
    use crate::former::Former;
    use crate::subscriptions::Since;
    use crate::testing::{loaded, logged};

    fn options(id: i64, options: &str) -> SubscriptionOptions {
        SubscriptionOptions {
            id,
            ..SubscriptionOptions::new("shop", "https://example.com/").with_selecting(options)
        }
    }

    fn with(options: SubscriptionOptions) -> Loaded {
        let config = options.compile(&UrlPolicy::default()).unwrap();
        Loaded {
            config: Arc::new(config),
            ..loaded(options.id)
        }
    }

    fn member(id: i64) -> Loaded {
        with(options(id, r#"{"split": {"group": "ab"}}"#))
    }

    fn snapshot(xmax: u64) -> Snapshot {
        format!("{xmax}:{xmax}:").parse().unwrap()
    }

    /// Returns who gets each of twenty events of a window up to this snapshot.
    fn takers(all: Vec<Loaded>, to: u64) -> Vec<Vec<i64>> {
        let mut subscriptions = Subscriptions::unloaded();
        let ids: Vec<i64> = all.iter().map(|loaded| loaded.config.id).collect();
        subscriptions.put_all(&ids, all);
        let window = Window::recovered(1, (snapshot(1), snapshot(to)), (0, 100), 0);
        let (mut unchanged, mut found) = (subscriptions.unchanged_in(&window), Found::default());
        let takers = |number: i64| {
            let mut logged = logged(number);
            logged.event.id = format!("event-{number}");
            logged.event.uid.clone_from(&logged.event.id);
            let matching = subscriptions.matching(&logged, &window, &mut unchanged, &mut found);
            matching.map(|(to, _)| to.config.id).collect()
        };
        (1..=20).map(takers).collect()
    }

    fn gets(takers: &[Vec<i64>], id: i64) -> usize {
        takers.iter().filter(|takers| takers.contains(&id)).count()
    }

    #[test]
    fn each_event_goes_to_one_member_and_to_everybody_outside() {
        let takers = takers(vec![member(1), member(2), loaded(3)], 9);
        assert!(
            takers
                .iter()
                .all(|takers| takers.len() == 2 && takers[1] == 3)
        );
        assert!(gets(&takers, 1) > 0 && gets(&takers, 2) > 0);
    }

    #[test]
    fn a_member_takes_nothing_from_before_its_creation() {
        let late = Loaded {
            since: Since {
                xid: 5,
                ..Since::ever()
            },
            ..member(2)
        };
        let takers = takers(vec![member(1), late], 4);
        assert_eq!(takers, vec![vec![1]; 20]);
    }

    #[test]
    fn tenants_and_the_platform_have_groups_of_their_own() {
        let of = |id, tenant: Option<&str>, is_tenants| {
            let options = SubscriptionOptions {
                tenant: tenant.map(Into::into),
                ..options(id, r#"{"split": {"group": "ab"}}"#)
            };
            Loaded {
                agent: AgentKey {
                    is_tenants,
                    ..AgentKey::default()
                },
                ..with(options)
            }
        };
        let mut subscriptions = Subscriptions::unloaded();
        let all = vec![
            of(1, None, false),
            of(2, Some("acme"), false),
            of(3, Some("acme"), true),
        ];
        subscriptions.put_all(&[1, 2, 3], all);
        let window = Window::recovered(1, (snapshot(1), snapshot(9)), (0, 100), 0);
        let (mut unchanged, mut found) = (subscriptions.unchanged_in(&window), Found::default());
        let mut logged = logged(1);
        logged.event.tenant = Some("acme".into());
        let matching = subscriptions.matching(&logged, &window, &mut unchanged, &mut found);
        assert_eq!(matching.count(), 3);
    }

    #[test]
    fn a_window_is_divided_as_the_members_were_then() {
        let paused = |id| SubscriptionOptions {
            state: State::Paused,
            ..options(id, r#"{"split": {"group": "ab"}}"#)
        };
        let now_paused = Loaded {
            former: vec![Former {
                until_xid: 10,
                wanted: Arc::clone(&member(1).config.wanted),
            }],
            ..with(paused(1))
        };
        let left = Loaded {
            former: vec![Former {
                until_xid: 10,
                wanted: Arc::clone(&member(3).config.wanted),
            }],
            ..loaded(3)
        };
        let all = || {
            vec![
                Loaded {
                    former: now_paused.former.clone(),
                    ..with(paused(1))
                },
                member(2),
            ]
        };
        let before = takers(all(), 9);
        assert!(gets(&before, 1) > 0 && gets(&before, 2) > 0);
        assert_eq!(takers(all(), 11), vec![vec![2]; 20]);
        let before = takers(vec![member(2), left], 9);
        assert!(gets(&before, 3) < 20, "it was in the group, and is not now");
    }

    #[test]
    fn a_sample_leaves_events_to_nobody() {
        let takers = takers(vec![with(options(1, r#"{"sample": 4}"#)), loaded(2)], 9);
        assert_eq!(gets(&takers, 2), 20);
        assert!((1..12).contains(&gets(&takers, 1)), "{}", gets(&takers, 1));
    }

    #[test]
    fn a_member_whose_filter_cannot_decide_leaves_the_event_to_one_that_can() {
        let filtered =
            r#"{"split": {"group": "ab", "weight": 1000}, "filter": {"data": {"a": 1}}}"#;
        let mut subscriptions = Subscriptions::unloaded();
        let all = vec![with(options(1, filtered)), member(2)];
        subscriptions.put_all(&[1, 2], all);
        let window = Window::recovered(1, (snapshot(1), snapshot(9)), (0, 100), 0);
        let (mut unchanged, mut found) = (subscriptions.unchanged_in(&window), Found::default());
        let mut logged = logged(1);
        // Its data was not loaded.
        logged.event.size = 100;
        let matching = subscriptions.matching(&logged, &window, &mut unchanged, &mut found);
        assert_eq!(
            matching.map(|(to, _)| to.config.id).collect::<Vec<_>>(),
            [2]
        );
    }
}
