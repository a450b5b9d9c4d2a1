use std::collections::BTreeMap;

use serde_json::json;

use super::*;

fn event(number: usize) -> Event {
    Event::new(&format!("event-{number}"), "/shop", "order.paid", 0)
}

fn split(weight: u32) -> Split {
    Split {
        group: "ab".into(),
        weight,
        is_active: true,
    }
}

/// Returns who gets each of 10,000 events.
fn takers(splits: &[(i64, Split)]) -> Vec<i64> {
    (0..10_000)
        .map(|number| taker(&event(number), members(splits)).unwrap())
        .collect()
}

fn members(splits: &[(i64, Split)]) -> impl Iterator<Item = Member<'_>> {
    splits.iter().map(|(subscription, split)| Member {
        subscription: *subscription,
        split,
        is_decided: true,
    })
}

fn shares(takers: &[i64]) -> BTreeMap<i64, usize> {
    let mut shares = BTreeMap::new();
    for taker in takers {
        *shares.entry(*taker).or_default() += 1;
    }
    shares
}

#[test]
fn shares_are_in_proportion_to_weights() {
    let shares = shares(&takers(&[(1, split(20)), (2, split(70)), (3, split(10))]));
    for (member, percent) in [(1, 20), (2, 70), (3, 10)] {
        let share = shares[&member].div_ceil(100);
        assert!(share.abs_diff(percent) <= 2, "{member}: {share} %");
    }
}

#[test]
fn a_member_that_joins_takes_only_what_becomes_its_own() {
    let before = takers(&[(1, split(1)), (2, split(1))]);
    let after = takers(&[(1, split(1)), (2, split(1)), (3, split(1))]);
    let moved = before.iter().zip(&after).filter(|(was, is)| was != is);
    assert!(moved.into_iter().all(|(_, is)| *is == 3));
    assert!(shares(&after)[&3].abs_diff(3333) < 200);
}

#[test]
fn events_of_a_key_go_to_one_member() {
    let splits = [(1, split(1)), (2, split(1)), (3, split(1))];
    let of_key = |number, key: &str| Event {
        key: Some(key.into()),
        ..event(number)
    };
    for key in ["a", "b", "c", "d", "e", "f"] {
        let first = taker(&of_key(0, key), members(&splits));
        for number in 1..20 {
            assert_eq!(
                taker(&of_key(number, key), members(&splits)),
                first,
                "{key}"
            );
        }
    }
    let all = takers(&splits);
    assert_eq!(shares(&all).len(), 3);
}

#[test]
fn groups_divide_independently() {
    let of_group = |group: &str| {
        let split = |weight| Split {
            group: group.into(),
            ..split(weight)
        };
        takers(&[(1, split(1)), (2, split(1))])
    };
    let (one, other) = (of_group("ab"), of_group("cd"));
    let same = one.iter().zip(&other).filter(|(one, other)| one == other);
    assert!(same.count().abs_diff(5000) < 300);
}

#[test]
fn a_member_that_is_not_active_or_cannot_decide_stands_back() {
    let paused = Split {
        is_active: false,
        ..split(1000)
    };
    let active = split(0);
    let of = |first: (&Split, bool), second: (&Split, bool)| {
        let members = [(1, first), (2, second)].map(|(subscription, (split, is_decided))| Member {
            subscription,
            split,
            is_decided,
        });
        (0..20)
            .map(|number| taker(&event(number), members).unwrap())
            .collect::<Vec<_>>()
    };
    assert_eq!(of((&paused, true), (&active, true)), [2; 20]);
    assert_eq!(of((&split(1000), false), (&active, true)), [2; 20]);
    let alone = of((&paused, true), (&active, false));
    assert_eq!(
        alone, [1; 20],
        "of members that stand back, the weights decide"
    );
    assert_eq!(taker(&event(1), []), None);
}

#[test]
fn a_member_without_weight_gets_what_nobody_else_wants() {
    let splits = [(1, split(0)), (2, split(1))];
    assert_eq!(shares(&takers(&splits)), BTreeMap::from([(2, 10_000)]));
    assert_eq!(shares(&takers(&splits[..1])), BTreeMap::from([(1, 10_000)]));
}

/// Whoever matches an event again, in another version too, has to choose the same.
#[test]
fn the_choice_is_fixed() {
    let splits = [(1, split(20)), (2, split(80))];
    let first: Vec<i64> = takers(&splits).into_iter().take(24).collect();
    assert_eq!(
        first,
        [
            2, 2, 2, 2, 2, 2, 1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 1, 1, 2, 2, 2, 1, 1
        ]
    );
    let sample = Sample::new(4).unwrap();
    let sampled: Vec<usize> = (0..40).filter(|n| sample.includes(&event(*n))).collect();
    assert_eq!(sampled, [2, 3, 4, 5, 6, 8, 24, 25, 32, 33, 35]);
}

#[test]
fn a_larger_sample_has_every_event_of_a_smaller_one() {
    let (ten, hundred) = (Sample::new(10).unwrap(), Sample::new(100).unwrap());
    let events: Vec<Event> = (0..10_000).map(event).collect();
    let hundreds: Vec<&Event> = events.iter().filter(|e| hundred.includes(e)).collect();
    assert!(hundreds.len().abs_diff(100) < 40, "{}", hundreds.len());
    assert!(hundreds.iter().all(|event| ten.includes(event)));
    let every = Sample::new(1).unwrap();
    assert!(events.iter().all(|event| every.includes(event)));
}

#[test]
fn a_faulty_option_is_refused_with_its_fault() {
    for (option, fault) in [
        (json!("ab"), "It is not an object."),
        (
            json!({"group": "ab", "wieght": 1}),
            r#"It has no member "wieght"."#,
        ),
        (json!({"weight": 1}), "Its group is not a name"),
        (json!({"group": ""}), "Its group is not a name"),
        (json!({"group": "a b"}), "Its group is not a name"),
        (json!({"group": "a".repeat(64)}), "Its group is not a name"),
        (
            json!({"group": "ab", "weight": -1}),
            "Its weight is not an integer of 0 to 1000000.",
        ),
        (
            json!({"group": "ab", "weight": 1_000_001}),
            "Its weight is not",
        ),
        (json!({"group": "ab", "weight": "1"}), "Its weight is not"),
        (json!({"group": "ab", "weight": 1.5}), "Its weight is not"),
    ] {
        let error = Split::parse(&option, State::Active).unwrap_err();
        let detail = error.detail().unwrap();
        assert!(detail.starts_with(fault), "{option}: {detail}");
    }
    let largest = json!({"group": "a".repeat(63), "weight": MAX_WEIGHT});
    assert_eq!(
        Split::parse(&largest, State::Paused).unwrap().weight,
        MAX_WEIGHT
    );
    assert!(Sample::new(0).is_err() && Sample::new(1_000_001).is_err());
    assert_eq!(Sample::new(1_000_000).unwrap().one_in(), 1_000_000);
}
