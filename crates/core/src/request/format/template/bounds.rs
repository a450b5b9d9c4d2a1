//! Bounds of a template, counted on its text before minijinja reads it.
//!
//! minijinja parses, compiles and drops an expression recursively, one level for each operator that hangs on another,
//! and bounds only brackets. So this module scans the tokens as minijinja's lexer does, without recursion. If in doubt,
//! it counts too much, never too little.
//!
//! Values must not grow without end either, because they are written and dropped level by level. Nothing may be carried
//! from one turn of a loop to the next: `namespace` and macros do not exist, and templates may only read attributes of
//! `loop`, so that no loop is called and none contains itself. What assignments put around a value is counted for the
//! whole template.

/// The maximum size of a template, in bytes.
pub(super) const MAX_BYTES: usize = 65_536;
/// The maximum number of operators and brackets in one tag that hang on each other. Commas separate them.
pub(super) const MAX_OPERATORS: usize = 128;
/// The maximum number of these in all statements that may assign a value, such as `set`, `with` and `for`.
pub(super) const MAX_ASSIGNED: usize = 256;
/// The maximum number of `elif` in a template: each hangs on the previous.
pub(super) const MAX_BRANCHES: usize = 128;

/// Words that are operators.
const OPERATORS: [&str; 7] = ["and", "else", "if", "in", "is", "not", "or"];
/// Statements that assign nothing.
const ASSIGNS_NOTHING: [&str; 9] = [
    "autoescape",
    "elif",
    "else",
    "endautoescape",
    "endfor",
    "endif",
    "endset",
    "endwith",
    "if",
];

/// Refuses a template that is too long or too deep; the error is the fault in full sentences.
pub(super) fn check(source: &str) -> Result<(), String> {
    if source.len() > MAX_BYTES {
        return Err(format!(
            "It has {} bytes; allowed are {MAX_BYTES}.",
            source.len()
        ));
    }
    let (mut assigned, mut branches) = (0, 0);
    let mut tags = Tags {
        rest: source,
        open_brackets: 0,
    };
    while let Some(tag) = tags.next() {
        if tag.depth > MAX_OPERATORS {
            return Err(format!(
                "More than {MAX_OPERATORS} operators and brackets of one tag hang on each other."
            ));
        }
        if tag.takes_loop {
            return Err(
                "It takes loop for a value, where it may only ask for loop.index and the like."
                    .into(),
            );
        }
        match tag.statement {
            Some("elif") => branches += 1,
            Some(word) if !ASSIGNS_NOTHING.contains(&word) => assigned += tag.depth,
            _ => {}
        }
    }
    if assigned > MAX_ASSIGNED {
        return Err(format!(
            "Its statements that assign values have {assigned} operators and brackets; allowed are {MAX_ASSIGNED}."
        ));
    }
    if branches > MAX_BRANCHES {
        return Err(format!(
            "It has {branches} elif; allowed are {MAX_BRANCHES}."
        ));
    }
    Ok(())
}

/// `{{ ... }}` or `{% ... %}`.
#[derive(Debug, Default)]
struct Tag<'a> {
    /// The first word of a statement.
    statement: Option<&'a str>,
    /// The maximum number of operators and brackets that hang on each other.
    depth: usize,
    /// Whether `loop` is used as a value.
    takes_loop: bool,
}

/// Iterates over tags as minijinja's lexer does, in its default syntax.
struct Tags<'a> {
    rest: &'a str,
    /// The number of open brackets; it carries over from tag to tag, and may be negative.
    open_brackets: i64,
}

impl<'a> Tags<'a> {
    fn next(&mut self) -> Option<Tag<'a>> {
        loop {
            let (_, from) = self.rest.split_at_checked(self.rest.find('{')?)?;
            let inside = without_sign(from.get(2..).unwrap_or_default());
            match from.as_bytes().get(1) {
                Some(b'{') => {
                    self.rest = inside;
                    return Some(self.tag(b"}}", None));
                }
                Some(b'%') => match after_plain_tag(inside, "raw") {
                    Some(raw) => self.rest = after_raw(raw)?,
                    None => {
                        self.rest = inside;
                        let word = word_of(inside.trim_ascii_start());
                        return Some(self.tag(b"%}", Some(word)));
                    }
                },
                Some(b'#') => self.rest = inside.split_once("#}")?.1,
                _ => self.rest = from.get(1..)?,
            }
        }
    }

    /// Reads the tag that `rest` is inside of, and leaves `rest` behind it.
    fn tag(&mut self, end: &[u8], statement: Option<&'a str>) -> Tag<'a> {
        let (mut levels, mut last) = (Levels::default(), b' ');
        let mut tag = Tag {
            statement,
            ..Tag::default()
        };
        while let Some(byte) = self.rest.bytes().next() {
            if self.open_brackets == 0 {
                let behind = without_sign(self.rest);
                if let Some(behind) = behind.as_bytes().strip_prefix(end) {
                    self.rest = &self.rest[self.rest.len() - behind.len()..];
                    break;
                }
            }
            let mut length = 1;
            match byte {
                b'"' | b'\'' => length = string_length(self.rest, byte),
                b'(' | b'[' | b'{' => {
                    self.open_brackets += 1;
                    levels.open();
                }
                b')' | b']' | b'}' => {
                    self.open_brackets -= 1;
                    levels.close();
                }
                b',' | b':' => levels.divide(),
                byte if byte.is_ascii_alphanumeric() || byte == b'_' => {
                    let word = word_of(self.rest);
                    length = word.len();
                    let after = self.rest.get(length..).unwrap_or_default();
                    let is_asked = after.trim_ascii_start().starts_with('.') || last == b'.';
                    tag.takes_loop |= word == "loop" && !is_asked;
                    // A number may run into the next word at any place.
                    let is_number = byte.is_ascii_digit();
                    let is_operator =
                        |known: &&str| word == *known || is_number && word.ends_with(*known);
                    if OPERATORS.iter().any(is_operator) {
                        levels.hang();
                    }
                }
                byte if byte.is_ascii_punctuation() => levels.hang(),
                byte if byte.is_ascii() => {}
                // No identifier has such a character: minijinja stops reading here.
                _ => {
                    self.rest = "";
                    break;
                }
            }
            if !byte.is_ascii_whitespace() {
                last = byte;
            }
            self.rest = self.rest.get(length..).unwrap_or_default();
        }
        tag.depth = levels.deepest();
        tag
    }
}

/// Counts operators and brackets that hang on each other.
#[derive(Debug, Default)]
struct Levels {
    now: usize,
    /// The level where the members of the current brackets begin.
    base: usize,
    deepest: usize,
    /// `base` and `deepest` of the outer brackets.
    outer: Vec<(usize, usize)>,
}

impl Levels {
    fn hang(&mut self) {
        self.now += 1;
        self.deepest = self.deepest.max(self.now);
    }

    fn divide(&mut self) {
        self.now = self.base;
    }

    fn open(&mut self) {
        self.hang();
        self.outer.push((self.base, self.deepest));
        (self.base, self.deepest) = (self.now, self.now);
    }

    /// Text after a bracket hangs on everything inside it.
    fn close(&mut self) {
        let inside = self.deepest;
        let (base, deepest) = self.outer.pop().unwrap_or_default();
        self.now = inside;
        self.base = base;
        self.deepest = deepest.max(inside);
    }

    fn deepest(&self) -> usize {
        let outer = self.outer.iter().map(|(_, deepest)| *deepest);
        outer.fold(self.deepest, usize::max)
    }
}

/// Strips the sign of a tag, which controls blanks around it.
fn without_sign(text: &str) -> &str {
    text.strip_prefix(['-', '+']).unwrap_or(text)
}

fn word_of(text: &str) -> &str {
    let is_word_byte = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    let length = text.bytes().take_while(|byte| is_word_byte(byte)).count();
    text.get(..length).unwrap_or_default()
}

/// Returns the text after a tag of only this name, if `inside` begins in one.
fn after_plain_tag<'a>(inside: &'a str, name: &str) -> Option<&'a str> {
    let rest = inside.trim_ascii_start().strip_prefix(name)?;
    without_sign(rest.trim_ascii_start()).strip_prefix("%}")
}

/// Returns the text after the end of a raw block.
fn after_raw(mut raw: &str) -> Option<&str> {
    loop {
        raw = raw.split_once("{%")?.1;
        if let Some(after) = after_plain_tag(without_sign(raw), "endraw") {
            return Some(after);
        }
    }
}

/// Returns the length of the string at the beginning of a text, with its quotes, in bytes.
fn string_length(text: &str, quote: u8) -> usize {
    let mut is_escaped = false;
    let end = text.bytes().skip(1).position(|byte| {
        let is_end = byte == quote && !is_escaped;
        is_escaped = byte == b'\\' && !is_escaped;
        is_end
    });
    end.map_or(text.len(), |end| end + 2)
}

#[cfg(test)]
mod tests {
    use minijinja::machinery::{Token, tokenize};
    use proptest::prelude::*;

    use super::*;

    fn fault(source: &str) -> Option<String> {
        check(source).err()
    }

    #[test]
    fn operators_of_a_tag_that_hang_on_each_other_are_bounded() {
        let forms: [fn(usize) -> String; 11] = [
            |n| format!("{{{{ {}1 }}}}", " -".repeat(n)),
            |n| format!("{{{{ {}1 }}}}", "not ".repeat(n)),
            |n| format!("{{{{ 1{} }}}}", "~1".repeat(n)),
            |n| format!("{{{{ 1{} }}}}", " and 0x1".repeat(n)),
            |n| format!("{{{{ a{} }}}}", ".b".repeat(n)),
            |n| format!("{{{{ a{} }}}}", "|upper".repeat(n)),
            |n| format!("{{{{ a{} }}}}", " is defined".repeat(n)),
            |n| format!("{{{{ a{} }}}}", "[0]".repeat(n)),
            |n| format!("{{{{ {}1{} }}}}", "[".repeat(n), "]".repeat(n)),
            |n| {
                format!(
                    "{{{{ a if 0x1{} }}}}",
                    "else 0x1if 1 ".repeat(n / 2).split_at(0).1
                )
            },
            |n| format!("{{% if {}1 %}}{{% endif %}}", "-".repeat(n + 1)),
        ];
        for form in forms {
            assert_eq!(fault(&form(MAX_OPERATORS - 2)), None, "{}", form(1));
            let found = fault(&form(MAX_OPERATORS + 2)).unwrap_or_default();
            assert!(found.starts_with("More than 128 operators"), "{}", form(1));
        }
        let exactly = |n| fault(&format!("{{{{ 1{} }}}}", "~1".repeat(n)));
        assert_eq!(exactly(MAX_OPERATORS), None);
        assert!(exactly(MAX_OPERATORS + 1).is_some());
    }

    #[test]
    fn commas_and_tags_separate_operators() {
        let member = r#""a": data.record.a|upper ~ "-","#;
        assert_eq!(
            fault(&format!("{{{{ {{ {} }} }}}}", member.repeat(1000))),
            None
        );
        assert_eq!(fault(&"{{ data.record.a|upper }}".repeat(1000)), None);
        assert_eq!(fault(&"------".repeat(1000)), None);
    }

    #[test]
    fn strings_comments_and_raw_blocks_contain_no_operators() {
        let many = "-".repeat(200);
        for (before, after) in [
            ("{{ \"", "\" }}"),
            ("{{ '", "' }}"),
            ("{{ \"\\\"", "\" }}"),
            ("{# ", " #}"),
            ("{% raw %}{{ ", " }}{% endraw %}"),
            ("{%- raw -%}{% \"", "{%- endraw +%}"),
            ("{{ a }}", "{{ a }}"),
        ] {
            assert_eq!(fault(&format!("{before}{many}{after}")), None, "{before}");
        }
        for (before, after) in [
            ("{{ \"}}\" ~ ", "1 }}"),
            ("{{ {\"a\": {}} ", "1 }}"),
            ("{# {{ #}{{ ", "1 }}"),
            ("{% raw %}{{ \"{% endraw %}{{ ", "1 }}"),
            ("{{ ) }} ", ""),
            ("{{ \"\\\\\" ", "1 }}"),
        ] {
            assert!(
                fault(&format!("{before}{many}{after}")).is_some(),
                "{before}"
            );
        }
    }

    #[test]
    fn what_is_assigned_is_bounded_over_all_statements() {
        let set = |n: usize| fault(&"{% set x = [x] %}".repeat(n));
        assert_eq!(set(MAX_ASSIGNED / 2), None);
        assert!(
            set(MAX_ASSIGNED / 2 + 1)
                .unwrap()
                .ends_with("allowed are 256.")
        );
        let conditions = "{% if a.b.c %}{% endif %}".repeat(1000);
        assert_eq!(fault(&conditions), None);
        let branches = |n: usize| {
            fault(&format!(
                "{{% if 0 %}}{}{{% endif %}}",
                "{% elif 0 %}".repeat(n)
            ))
        };
        assert_eq!(branches(MAX_BRANCHES), None);
        assert_eq!(
            branches(MAX_BRANCHES + 1).unwrap(),
            "It has 129 elif; allowed are 128."
        );
    }

    #[test]
    fn a_loop_is_neither_called_nor_kept() {
        for source in [
            "{{ loop.index }}",
            "{{ loop . first }}",
            "{{ data.loop }}",
            "{{ looped }}",
            "loop",
            "{{ 'loop' }}",
        ] {
            assert_eq!(fault(source), None, "{source}");
        }
        for source in [
            "{{ loop(x) }}",
            "{{ loop.changed([loop]) }}",
            "{% set l = loop %}",
            "{{ loop|list }}",
            "{{ loop['a'] }}",
        ] {
            assert!(fault(source).is_some(), "{source}");
        }
    }

    /// Counts by minijinja's own lexer: for each tag the operators and opening brackets since the last comma.
    fn lexed(source: &str) -> Vec<usize> {
        let mut tags = Vec::new();
        let (mut run, mut longest) = (0, 0);
        for token in tokenize(source, false, Default::default()) {
            let Ok((token, _)) = token else { break };
            match token {
                Token::VariableStart | Token::BlockStart => (run, longest) = (0, 0),
                Token::VariableEnd | Token::BlockEnd => tags.push(longest),
                Token::Comma | Token::Colon => run = 0,
                Token::Ident(word) if OPERATORS.contains(&word) => run += 1,
                Token::TemplateData(_) | Token::Ident(_) | Token::Str(_) | Token::String(_) => {}
                Token::Int(_) | Token::Int128(_) | Token::Float(_) => {}
                Token::ParenClose | Token::BracketClose | Token::BraceClose => {}
                _ => run += 1,
            }
            longest = longest.max(run);
        }
        tags
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]
        #[test]
        fn no_operator_that_minijinja_finds_is_missed(
            pieces in proptest::collection::vec(proptest::sample::select(vec![
                "{{", "}}", "{%", "%}", "{#", "#}", "{", "}", "[", "]", "(", ")", "\"", "'", "\\", "-", "+", "~", "|", ".",
                ",", ":", "raw", "endraw", " raw ", " endraw ", "if", "not", "1", "0x1", "1e5", "a", "_", " ", "\n", "ü",
                "{%raw%}", "{% endraw %}", "**", "//", "==",
            ]), 0..40)
        ) {
            let source: String = pieces.concat();
            let mut tags = Tags { rest: &source, open_brackets: 0 };
            let counted: Vec<usize> = std::iter::from_fn(|| tags.next()).map(|tag| tag.depth).collect();
            for (at, expected) in lexed(&source).into_iter().enumerate() {
                prop_assert!(counted.get(at).is_some_and(|depth| *depth >= expected), "{source:?}: {counted:?}");
            }
        }
    }
}
