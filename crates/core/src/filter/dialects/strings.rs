//! Strings that say more than themselves: with stars, or a comparison with a number.

use crate::error::Error;
use crate::filter::bounds::MAX_STARS;
use crate::filter::number::Number;
use crate::filter::scalar::{Constant, Scalar};
use crate::filter::site::Site;
use crate::filter::test::Range;
use crate::filter::wildcard::{Malformed, Starred, Wildcard};

/// The signs that begin a comparison, the longer ones first.
const SIGNS: [&str; 5] = ["<=", ">=", "!=", "<", ">"];

/// What a string of the dialect `data` says.
pub(super) enum Said {
    /// The text itself.
    Text(Box<str>),
    Wildcard(Wildcard),
    Range(Range),
    /// Not this number.
    Differs(Constant),
}

/// Reads a string of the dialect `data`. A comparison may have blanks around its number.
pub(super) fn said(text: &str, site: &Site<'_>) -> Result<Said, Error> {
    let found = SIGNS
        .iter()
        .find_map(|sign| Some((*sign, text.strip_prefix(sign)?)));
    let Some((sign, rest)) = found else {
        return Ok(match starred(text, site)? {
            Starred::Literal(text) => Said::Text(text),
            Starred::Wildcard(wildcard) => Said::Wildcard(wildcard),
        });
    };
    let number = Number::parse(rest.trim_matches(' ')).ok_or_else(|| {
        site.refuse(
            &format!("begins with {sign}, and no number follows"),
            r#"Write {"equals": "..."} for the text itself, {"gte": "..."} for a range of texts."#,
        )
    })?;
    let limit = Scalar::Number(number);
    Ok(Range::beside(limit, sign).map_or(Said::Differs(limit.into()), Said::Range))
}

/// Reads a string in which `*` stands for any characters.
pub(super) fn starred(text: &str, site: &Site<'_>) -> Result<Starred, Error> {
    Wildcard::parse(text).map_err(|fault| match fault {
        Malformed::Escape => site.refuse(
            r"has a backslash before another character than * and \",
            r"Write a backslash as \\, in JSON four backslashes.",
        ),
        Malformed::TooManyStars => site.refuse(
            &format!("has more than {MAX_STARS} stars"),
            r"Use fewer stars; \* is a star that stands for itself.",
        ),
    })
}
