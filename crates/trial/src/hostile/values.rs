//! Values that nobody should be able to store, as SQL, for any role to try.

use crate::workload::Dice;

/// Templates that exhaust a parser's stack, or never end.
const TEMPLATES: &[&str] = &[
    "'{{ ' || repeat('-', 20848) || '1 }}'",
    "'{{ ' || repeat('-', 65000) || '1 }}'",
    "'{{ 1' || repeat('~1', 32000) || ' }}'",
    "'{{ ' || repeat('(', 20000) || '1' || repeat(')', 20000) || ' }}'",
    "repeat('{% if 1 %}', 6000)",
    "'{% for i in range(100000) %}{% for j in range(100000) %}x{% endfor %}{% endfor %}'",
];

/// Options that no worker could load: nulls, several dimensions, spans beyond any clock.
const UNREADABLE: &[&str] = &[
    "retry_schedule => '{null}'",
    "retry_schedule => '{1 s,null}'",
    "retry_schedule => '{{1 s},{2 s}}'",
    "retry_schedule => '{178000000 years}'",
    "types => '{a,null}'",
    "types => '{{a},{b}}'",
    "types => '{}'",
    "success => '{200,null}'",
    "success => '{2000000000}'",
    "max_age => '178000000 years'",
    "timeout => '-178000000 years'",
    "retry_duration => '178000000 years'",
    "timeout_delay => '-1 s'",
    "dead_letter_retention => '178000000 years'",
    "retry_jitter => 'NaN'",
    "max_concurrency => 2147483647",
    "max_backlog => 9223372036854775807",
];

/// Options that would fill memory, the log or the audit.
const ENDLESS: &[&str] = &[
    "types => array_fill('x'::text, array[100000])",
    "types => array[repeat('x', 20000000)]",
    "success => array_fill(200, array[1000000])",
    "retry_schedule => array_fill('1 s'::interval, array[100000])",
    "description => repeat('d', 20000000)",
    "user_agent => repeat('u', 5000000)",
    "headers => jsonb_build_object('X-Long', repeat('h', 20000000))",
    "signing => jsonb_build_object('content', repeat('{body}', 1000000))",
    "auth => jsonb_build_object('type', 'bearer', 'token', repeat('t', 20000000))",
    "tls => jsonb_build_object('ca', repeat('c', 20000000))",
];

pub(super) fn template(dice: &mut Dice) -> &'static str {
    one_of(TEMPLATES, dice)
}

pub(super) fn unreadable(dice: &mut Dice) -> &'static str {
    one_of(UNREADABLE, dice)
}

pub(super) fn endless(dice: &mut Dice) -> &'static str {
    one_of(ENDLESS, dice)
}

pub(super) fn one_of<T: Copy>(values: &[T], dice: &mut Dice) -> T {
    values[dice.below(values.len() as u64) as usize]
}

/// Rewrites an option of `subscribe` for an UPDATE.
pub(super) fn assigned(option: &str) -> String {
    option.replacen("=>", "=", 1)
}

/// Returns a filter, as large as one may be, and data that it takes long to compare.
pub(super) fn slow_filter(dice: &mut Dice) -> (&'static str, &'static str) {
    let filters = [
        "(select jsonb_build_object('data', jsonb_build_object('a', jsonb_agg('*a*a*a*a*a*a*a*b' || n)))
          from generate_series(1, 900) n)",
        "(select jsonb_build_object('data', jsonb_build_object('a', jsonb_agg(jsonb_build_object('gt', n, 'lt', 0))))
          from generate_series(1, 400) n)",
        "(select jsonb_build_object('any', jsonb_agg(jsonb_build_object('sql', 'subject LIKE ''%a%a%a%a%a%a%b''')))
          from generate_series(1, 900) n)",
    ];
    let data = [
        "jsonb_build_object('a', repeat('a', 250000)), subject => repeat('a', 1000)",
        "(select jsonb_build_object('a', jsonb_agg(1)) from generate_series(1, 9900))",
        "(select jsonb_build_object('a', jsonb_agg(1)) from generate_series(1, 80000))",
    ];
    (
        filters[dice.below(3) as usize],
        data[dice.below(3) as usize],
    )
}

/// Returns a filter that is refused.
pub(super) fn endless_filter(dice: &mut Dice) -> String {
    let depth = one_of(&[20, 1_300, 6_000], dice);
    let length = one_of(&[70_000, 5_000_000], dice);
    let filters = [
        format!(
            "(repeat('{{\"not\":', {depth}) || '{{\"exact\":{{\"type\":\"a\"}}}}' || repeat('}}', {depth}))::jsonb"
        ),
        format!("(repeat('[', {depth}) || repeat(']', {depth}))::jsonb"),
        format!("jsonb_build_object('data', jsonb_build_object('a', repeat('x', {length})))"),
        format!("jsonb_build_object('sql', repeat('NOT ', {length}) || 'TRUE')"),
        "'{\"sql\": \"LENGTH(subject)\"}'".to_owned(),
    ];
    filters[dice.below(5) as usize].clone()
}
