//! Paths into an event's data, and the tree of all paths that filters ask for.

use std::collections::HashMap;
use std::fmt;

/// The names of the members on the way to a value.
///
/// In text, a `.` stands between them; `\.` is a dot in a name, and `\\` a backslash.
///
/// ```
/// use herald_core::filter::Path;
///
/// let path = Path::parse(r"species.local\.name").unwrap();
/// assert_eq!(path.members(), ["species".into(), "local.name".into()]);
/// assert_eq!(path.to_string(), r"species.local\.name");
/// assert_eq!(Path::parse("species..name"), None);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Path(Vec<Box<str>>);

impl Path {
    /// Reads a path; `None` if a name is empty, or a backslash stands before another character.
    pub fn parse(text: &str) -> Option<Path> {
        let mut members = vec![String::new()];
        let mut characters = text.chars();
        while let Some(character) = characters.next() {
            let member = members.last_mut()?;
            match character {
                '.' => members.push(String::new()),
                '\\' => member.push(
                    characters
                        .next()
                        .filter(|next| ['.', '\\'].contains(next))?,
                ),
                other => member.push(other),
            }
        }
        let is_complete = members.iter().all(|member| !member.is_empty());
        is_complete.then(|| members.into_iter().map(String::into_boxed_str).collect())
    }

    pub fn members(&self) -> &[Box<str>] {
        &self.0
    }

    /// Returns the size of all names, in bytes.
    pub fn size(&self) -> usize {
        self.0.iter().map(|member| member.len()).sum()
    }

    /// Returns the path to a member of the value at its end.
    #[must_use]
    pub fn to_member(&self, name: &str) -> Path {
        let members = self.0.iter().cloned();
        members.chain([Box::from(name)]).collect()
    }
}

impl FromIterator<Box<str>> for Path {
    fn from_iter<I: IntoIterator<Item = Box<str>>>(members: I) -> Path {
        Path(members.into_iter().collect())
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, member) in self.0.iter().enumerate() {
            let dot = if place == 0 { "" } else { "." };
            let escaped = member.replace('\\', r"\\").replace('.', r"\.");
            write!(f, "{dot}{escaped}")?;
        }
        Ok(())
    }
}

/// A tree of paths: those that filters ask for.
///
/// ```
/// use herald_core::filter::{Path, Paths};
///
/// let mut paths = Paths::default();
/// paths.insert(&Path::parse("order.total").unwrap());
/// assert!(paths.member("order").unwrap().member("total").unwrap().is_end());
/// assert!(paths.member("total").is_none());
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Paths {
    /// How often a path that ends here was added.
    ends: usize,
    members: HashMap<Box<str>, Paths>,
}

impl Paths {
    pub fn insert(&mut self, path: &Path) {
        let mut paths = self;
        for member in path.members() {
            paths = paths.members.entry(member.clone()).or_default();
        }
        paths.ends = 1;
    }

    /// Adds the paths of another tree.
    pub fn extend(&mut self, other: &Paths) {
        self.ends += other.ends;
        for (name, paths) in &other.members {
            self.members.entry(name.clone()).or_default().extend(paths);
        }
    }

    /// Removes the paths of another tree, given as it was added; those that were added more often stay.
    pub fn remove(&mut self, other: &Paths) {
        self.ends = self.ends.saturating_sub(other.ends);
        for (name, paths) in &other.members {
            if let Some(own) = self.members.get_mut(name) {
                own.remove(paths);
                if own.is_empty() {
                    self.members.remove(name);
                }
            }
        }
    }

    pub fn is_empty(&self) -> bool {
        self.ends == 0 && self.members.is_empty()
    }

    /// Returns whether a path ends here.
    pub fn is_end(&self) -> bool {
        self.ends > 0
    }

    /// Returns whether a path leads on from here.
    pub fn has_members(&self) -> bool {
        !self.members.is_empty()
    }

    /// Returns the paths that lead on through a member.
    pub fn member(&self, name: &str) -> Option<&Paths> {
        self.members.get(name)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_path_without_a_name_or_with_another_escape_is_refused() {
        for text in ["", ".", "a.", ".a", "a..b", r"a\", r"a\b", r"\"] {
            assert_eq!(Path::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_tree_of_all_filters_follows_each_that_comes_and_goes() {
        let tree = |texts: &[&str]| {
            let mut paths = Paths::default();
            for text in texts {
                paths.insert(&Path::parse(text).unwrap());
            }
            paths
        };
        let (one, two) = (tree(&["a.b", "c", "c"]), tree(&["a", "a.d", "c"]));
        let mut both = Paths::default();
        both.extend(&one);
        both.extend(&two);
        assert!(both.member("a").unwrap().is_end() && both.member("c").unwrap().is_end());
        both.remove(&two);
        assert_eq!(both, one);
        both.remove(&one);
        assert!(both.is_empty());
    }

    proptest! {
        #[test]
        fn a_path_is_read_back_as_it_is_shown(members in proptest::collection::vec(r"[a-c.\\]{1,3}", 1..4)) {
            let path: Path = members.iter().map(|member| Box::from(member.as_str())).collect();
            prop_assert_eq!(Path::parse(&path.to_string()), Some(path));
        }
    }
}
