//! Suggestions: the nearest known name, for hints.
//!
//! SQL functions use them, outside the pipeline. A suggestion must only be shown, never acted upon.

/// The maximum size of a name to compare, in bytes: comparing costs the product of two lengths.
pub const MAX_NAME_BYTES: usize = 128;

/// Returns the candidate that the user most likely meant, or `None` if none is near.
///
/// Up to a third of the name's characters may be wrong, missing, extra or swapped; case does not matter.
///
/// ```
/// use herald_core::suggest::nearest;
///
/// assert_eq!(nearest("max_payloda", ["max_age", "max_payload"]), Some("max_payload"));
/// assert_eq!(nearest("colour", ["max_age", "max_payload"]), None);
/// ```
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if name.len() > MAX_NAME_BYTES {
        return None;
    }
    let lower = name.to_lowercase();
    let tolerance = (lower.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .filter(|candidate| candidate.len() <= MAX_NAME_BYTES)
        .map(|candidate| {
            (
                strsim::damerau_levenshtein(&lower, &candidate.to_lowercase()),
                candidate,
            )
        })
        .filter(|(distance, candidate)| {
            *distance <= tolerance && *distance < candidate.chars().count()
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_wins_and_strangers_are_not_suggested() {
        let cases = [
            ("Shop", Some("shop")),
            ("shpo", Some("shop")),
            ("shops", Some("shop")),
            ("shop-e", Some("shop-eu")),
            ("billing", None),
            ("x", None),
            ("", None),
        ];
        for (name, expected) in cases {
            assert_eq!(
                nearest(name, ["shop", "shop-eu", "crm", "a"]),
                expected,
                "{name}"
            );
        }
    }

    #[test]
    fn nothing_is_suggested_for_names_that_take_long_to_compare() {
        let (longest, longer) = ("x".repeat(MAX_NAME_BYTES), "x".repeat(MAX_NAME_BYTES + 1));
        assert_eq!(
            nearest(&longest, [longest.as_str()]),
            Some(longest.as_str())
        );
        assert_eq!(nearest(&longer, [longest.as_str()]), None);
        assert_eq!(nearest(&longest, [longer.as_str()]), None);
    }
}
