//! Tests that no files use each other in a circle, so that each can be read after those it uses.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use proc_macro2::{Delimiter, TokenStream, TokenTree};

const CRATES: &[&str] = &[
    "src",
    "crates/core/src",
    "crates/dispatch/src",
    "crates/sender/src",
    "crates/simulation/src",
    "crates/trial/src",
    "crates/bench/src",
    "xtask/src",
];

/// The modules of a crate, each with the modules that it uses. A module's name is its path, empty for the root.
type Uses = BTreeMap<String, BTreeSet<String>>;

#[test]
fn no_files_use_each_other_in_a_circle() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut faults = Vec::new();
    for folder in CRATES {
        let mut sources = BTreeMap::new();
        collect(&root.join(folder), &[], &mut sources);
        let uses = uses(&sources);
        faults.extend(circle(&uses).map(|circle| format!("{folder}: {}", circle.join(" -> "))));
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn a_circle_is_found_through_lists_and_parents() {
    let sources = [
        ("", "mod a; mod b;"),
        ("a", "use crate::{b::{self, Thing}};"),
        (
            "b",
            "fn f() { g!(super::a::one()) } #[cfg(test)] mod tests { use crate::c::X; }",
        ),
        ("c", "use crate::a;"),
    ];
    let sources = sources.map(|(name, source)| (name.to_owned(), source.to_owned()));
    let uses = uses(&sources.into());
    assert_eq!(
        circle(&uses),
        Some(["a", "b", "a"].map(str::to_owned).to_vec())
    );
}

#[test]
fn a_child_may_be_used_by_its_parent() {
    let sources = [
        ("a", "mod b; use b::C; fn f() { b::g() }"),
        ("a::b", "use crate::d; pub(super) fn g() {}"),
        ("d", ""),
    ];
    let uses = uses(
        &sources
            .map(|(name, source)| (name.to_owned(), source.to_owned()))
            .into(),
    );
    assert_eq!(uses["a"], BTreeSet::from(["a::b".to_owned()]));
    assert_eq!(circle(&uses), None);
}

/// Reads the files of a module's folder.
fn collect(folder: &Path, module: &[String], sources: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let stem = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let mut name = module.to_vec();
        if path.is_dir() {
            name.push(stem);
            collect(&path, &name, sources);
        } else if stem != "tests" {
            if !["lib", "main", "mod"].contains(&stem.as_str()) {
                name.push(stem);
            }
            sources.insert(name.join("::"), fs::read_to_string(&path).unwrap());
        }
    }
}

fn uses(sources: &BTreeMap<String, String>) -> Uses {
    let used_by = |(name, source): (&String, &String)| {
        let tokens: TokenStream = source.parse().expect("the source is Rust");
        let mut paths = Vec::new();
        let module = Module { name, sources };
        module.find(&tokens.into_iter().collect::<Vec<_>>(), &mut paths);
        let used = paths.iter().filter_map(|path| module.resolve(path));
        (name.clone(), used.filter(|used| used != name).collect())
    };
    sources.iter().map(used_by).collect()
}

struct Module<'m> {
    name: &'m str,
    sources: &'m BTreeMap<String, String>,
}

impl Module<'_> {
    /// Finds the paths that begin with `crate`, `super`, `self` or a child of this module, except in its tests.
    fn find(&self, tokens: &[TokenTree], paths: &mut Vec<Vec<String>>) {
        for (place, token) in tokens.iter().enumerate() {
            match token {
                TokenTree::Group(_) if is_of_tests(&tokens[..place]) => {}
                // The module in `pub(super)` may use the item; the item does not use the module.
                TokenTree::Group(_) if ends_with_pub(&tokens[..place]) => {}
                TokenTree::Group(group) => {
                    self.find(&group.stream().into_iter().collect::<Vec<_>>(), paths);
                }
                TokenTree::Ident(name)
                    if self.is_first(&name.to_string()) && !ends_with_colons(&tokens[..place]) =>
                {
                    follow(&tokens[place + 1..], vec![name.to_string()], paths);
                }
                _ => {}
            }
        }
    }

    fn is_first(&self, name: &str) -> bool {
        ["crate", "super", "self"].contains(&name) || self.sources.contains_key(&self.child(name))
    }

    fn child(&self, name: &str) -> String {
        if self.name.is_empty() {
            name.to_owned()
        } else {
            format!("{}::{name}", self.name)
        }
    }

    /// Returns the module that a path leads to, or that has what it leads to.
    fn resolve(&self, path: &[String]) -> Option<String> {
        let own = || self.name.split("::").filter(|part| !part.is_empty());
        let mut full: Vec<&str> = match path[0].as_str() {
            "crate" => Vec::new(),
            _ => own().collect(),
        };
        for part in path {
            match part.as_str() {
                "crate" | "self" => {}
                "super" => drop(full.pop()),
                name => full.push(name),
            }
        }
        let lengths = (1..=full.len()).rev();
        let mut prefixes = lengths.map(|length| full[..length].join("::"));
        prefixes.find(|prefix| self.sources.contains_key(prefix))
    }
}

/// Adds the paths that go on from `path`, each of a list.
fn follow(mut tokens: &[TokenTree], mut path: Vec<String>, paths: &mut Vec<Vec<String>>) {
    while starts_with_colons(tokens) {
        match tokens.get(2) {
            Some(TokenTree::Ident(name)) => path.push(name.to_string()),
            Some(TokenTree::Group(list)) if list.delimiter() == Delimiter::Brace => {
                let list: Vec<TokenTree> = list.stream().into_iter().collect();
                for member in list.split(is_comma) {
                    if let Some(TokenTree::Ident(name)) = member.first() {
                        let path = [&path[..], &[name.to_string()]].concat();
                        follow(&member[1..], path, paths);
                    }
                }
                return;
            }
            _ => break,
        }
        tokens = &tokens[3..];
    }
    paths.push(path);
}

fn is_comma(token: &TokenTree) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == ',')
}

fn is_colon(token: &TokenTree) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == ':')
}

fn starts_with_colons(tokens: &[TokenTree]) -> bool {
    tokens.len() > 2 && tokens[..2].iter().all(is_colon)
}

fn ends_with_colons(tokens: &[TokenTree]) -> bool {
    tokens
        .last_chunk::<2>()
        .is_some_and(|last| last.iter().all(is_colon))
}

fn ends_with_pub(tokens: &[TokenTree]) -> bool {
    matches!(tokens.last(), Some(TokenTree::Ident(name)) if name == "pub")
}

/// Whether what comes after these tokens is the body of `#[cfg(test)] mod`.
fn is_of_tests(before: &[TokenTree]) -> bool {
    let Some(
        [
            ..,
            TokenTree::Group(attribute),
            TokenTree::Ident(keyword),
            TokenTree::Ident(_),
        ],
    ) = before.last_chunk::<3>()
    else {
        return false;
    };
    keyword == "mod" && attribute.stream().to_string().replace(' ', "") == "cfg(test)"
}

/// Returns a circle, if some modules use each other in one.
fn circle(uses: &Uses) -> Option<Vec<String>> {
    let mut left = uses.clone();
    loop {
        let names: BTreeSet<String> = left.keys().cloned().collect();
        let before = left.len();
        left.retain(|_, used| used.iter().any(|name| names.contains(name)));
        if left.len() == before {
            break;
        }
    }
    // Each of those left uses another of them, so that a walk comes back.
    let mut walk = vec![left.keys().next()?.clone()];
    loop {
        let used = &left[walk.last()?];
        let next = used.iter().find(|name| left.contains_key(*name))?.clone();
        let start = walk.iter().position(|name| *name == next);
        walk.push(next);
        if let Some(start) = start {
            return Some(walk.split_off(start));
        }
    }
}
