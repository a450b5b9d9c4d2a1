//! Every example of docs/filters.md is decided as the page says.

use crate::filter::sample::parse_structured;
use crate::filter::{Filter, View};

/// Returns the cells of the rows with a verdict: filter, event or data, verdict.
fn examples() -> Vec<(String, String, bool)> {
    let page = include_str!("../../../../../docs/filters.md");
    let row = |line: &str| {
        let line = line.strip_prefix("| `")?.strip_suffix(" |")?;
        let (cells, verdict) = line.rsplit_once("` | ")?;
        let (filter, event) = cells.split_once("` | `")?;
        let passes = match verdict {
            "yes" => true,
            "no" => false,
            _ => return None,
        };
        let event = if event.contains(r#""type""#) {
            event.to_owned()
        } else {
            format!(r#"{{"type": "a", "data": {event}}}"#)
        };
        Some((filter.to_owned(), event, passes))
    };
    page.lines().filter_map(row).collect()
}

#[test]
fn the_page_about_filters_is_right() {
    let examples = examples();
    assert!(examples.len() > 35, "{}", examples.len());
    for (filter, event, passes) in examples {
        let parsed = Filter::parse(&filter).unwrap_or_else(|error| panic!("{filter}: {error:?}"));
        let event = parse_structured(&event).unwrap();
        let view = View::new(&event, parsed.paths());
        assert_eq!(parsed.matches(&view), Ok(passes), "{filter}");
    }
}
