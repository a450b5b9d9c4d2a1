//! A place in the text of a filter, which faults name.

use std::fmt;

use super::bounds::{MAX_FILTER_LEVELS, MAX_PATH_BYTES, MAX_PATH_MEMBERS, MAX_STRING_BYTES};
use super::paths::Path;
use super::value::{Members, Value};
use crate::error::{Error, shortened};
use crate::suggest;

const SHOWN_NAME: usize = 64;

/// A place such as `filter[0].data.total`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Site<'p> {
    around: Option<&'p Site<'p>>,
    step: Step<'p>,
    /// The number of filters around this place.
    level: usize,
}

#[derive(Debug, Clone, Copy)]
enum Step<'p> {
    Member(&'p str),
    Element(usize),
}

impl<'p> Site<'p> {
    /// The place of the whole filter.
    pub(super) const TOP: Site<'static> = Site {
        around: None,
        step: Step::Member("filter"),
        level: 0,
    };

    pub(super) fn member<'s>(&'s self, name: &'s str) -> Site<'s> {
        self.inside(Step::Member(name))
    }

    pub(super) fn element(&self, index: usize) -> Site<'_> {
        self.inside(Step::Element(index))
    }

    fn inside<'s>(&'s self, step: Step<'s>) -> Site<'s> {
        Site {
            around: Some(self),
            step,
            level: self.level,
        }
    }

    /// Returns the same place, one level of filters deeper.
    pub(super) fn deeper(&self) -> Result<Site<'p>, Error> {
        if self.level == MAX_FILTER_LEVELS {
            return Err(self.refuse(
                &format!("is nested in more than {MAX_FILTER_LEVELS} levels of filters"),
                "Combine filters of the same kind into one.",
            ));
        }
        Ok(Site {
            level: self.level + 1,
            ..*self
        })
    }

    /// Refuses what stands here. The fault begins with a verb; its subject is the place.
    pub(super) fn refuse(&self, fault: &str, hint: &str) -> Error {
        Error::Option {
            option: "filter",
            fault: format!("{self} {fault}."),
            hint: hint.into(),
        }
    }

    /// Refuses a name that is not among the known ones.
    pub(super) fn refuse_name(&self, kind: &str, name: &str, known: &[&str]) -> Error {
        self.refuse(
            &format!("has no {kind} {:?}", shortened(name, SHOWN_NAME)),
            &match suggest::nearest(name, known.iter().copied()) {
                Some(nearest) => format!("Perhaps you meant {nearest:?}."),
                None => format!("Use one of {}.", known.join(", ")),
            },
        )
    }

    /// Refuses a path that is too long.
    pub(super) fn check_path(&self, path: &Path) -> Result<(), Error> {
        let hint = "Filter by a member nearer to the top of the data.";
        if path.members().len() > MAX_PATH_MEMBERS {
            let fault = format!("leads through more than {MAX_PATH_MEMBERS} members");
            return Err(self.refuse(&fault, hint));
        }
        if path.size() > MAX_PATH_BYTES {
            let fault = format!("has names of more than {MAX_PATH_BYTES} bytes");
            return Err(self.refuse(&fault, hint));
        }
        Ok(())
    }

    /// Returns the members of an object, which must have some.
    pub(super) fn members<'v, 'a>(
        &self,
        value: &'v Value<'a>,
        hint: &str,
    ) -> Result<&'v Members<'a>, Error> {
        match value {
            Value::Object(members) if !members.is_empty() => Ok(members),
            Value::Object(_) => Err(self.refuse("is an empty object", hint)),
            other => Err(self.refuse(&format!("is {}, not an object", other.kind()), hint)),
        }
    }

    /// Returns a string, which must be short.
    pub(super) fn text<'v>(&self, value: &'v Value<'_>, hint: &str) -> Result<&'v str, Error> {
        let Value::String(text) = value else {
            return Err(self.refuse(&format!("is {}, not a string", value.kind()), hint));
        };
        if text.len() > MAX_STRING_BYTES {
            return Err(self.refuse(
                &format!("has {} bytes; allowed are {MAX_STRING_BYTES}", text.len()),
                "Compare with a shorter text, such as a prefix.",
            ));
        }
        Ok(&**text)
    }
}

impl fmt::Display for Site<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(around) = self.around {
            around.fmt(f)?;
        }
        match (self.step, self.around) {
            (Step::Member(name), None) => f.write_str(name),
            (Step::Member(name), Some(_)) => write!(f, ".{}", shortened(name, SHOWN_NAME)),
            (Step::Element(index), _) => write!(f, "[{index}]"),
        }
    }
}
