//! Splits the text of an expression into tokens (CESQL, sections 2.2 to 2.4).

use super::fault::Fault;
use super::operator::Operator;

/// The smallest part of an expression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Token<'t> {
    /// ASCII letters, digits and underscores, neither a keyword nor digits alone.
    Word(&'t str),
    Digits(&'t str),
    /// What is between two quotes, with its escapes.
    Text {
        raw: &'t str,
        quote: char,
    },
    True,
    False,
    Not,
    Like,
    Exists,
    In,
    Operator(Operator),
    Open,
    Close,
    Comma,
    End,
}

/// A token and its place in the text, in bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lexeme<'t> {
    pub token: Token<'t>,
    pub start: usize,
    pub end: usize,
}

#[derive(Debug, Clone)]
pub(super) struct Lexer<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Lexer<'t> {
    pub fn new(text: &'t str) -> Self {
        Lexer { text, at: 0 }
    }

    pub fn text(&self) -> &'t str {
        self.text
    }

    /// Returns the next token; at the end, [`Token::End`] again and again.
    pub fn next(&mut self) -> Result<Lexeme<'t>, Fault> {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start_matches([' ', '\t', '\r', '\n']).len();
        let start = self.at;
        let rest = self.rest();
        let token = match rest.chars().next() {
            None => Token::End,
            Some(quote @ ('\'' | '"')) => self.split_text(quote)?,
            Some(first) if is_of_words(first) => self.split_word(),
            Some(first) => {
                let (length, token) = symbol(rest).ok_or_else(|| {
                    let wrong = format!("unexpected character {first:?}");
                    Fault::at(self.text, start, wrong)
                })?;
                self.at += length;
                token
            }
        };
        let end = self.at;
        Ok(Lexeme { token, start, end })
    }

    /// Returns what [`next`](Self::next) will.
    pub fn peek(&self) -> Result<Lexeme<'t>, Fault> {
        self.clone().next()
    }

    fn rest(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn split_word(&mut self) -> Token<'t> {
        let rest = self.rest();
        let length = rest.find(|next| !is_of_words(next)).unwrap_or(rest.len());
        let word = rest.get(..length).unwrap_or(rest);
        self.at += length;
        if word.bytes().all(|byte| byte.is_ascii_digit()) {
            return Token::Digits(word);
        }
        keyword(word).unwrap_or(Token::Word(word))
    }

    /// Splits a string at its closing quote. A backslash and the character behind it stay together.
    fn split_text(&mut self, quote: char) -> Result<Token<'t>, Fault> {
        let rest = self.rest();
        let mut characters = rest.char_indices().skip(1);
        while let Some((end, character)) = characters.next() {
            if character == '\\' {
                characters.next();
            } else if character == quote {
                let raw = rest.get(1..end).unwrap_or_default();
                self.at += end + 1;
                if self.rest().starts_with(quote) {
                    let wrong = format!("a quote within a string must be written as \\{quote}");
                    return Err(Fault::at(self.text, self.at - 1, wrong));
                }
                return Ok(Token::Text { raw, quote });
            }
        }
        Err(Fault::at(self.text, self.at, "unterminated string"))
    }
}

/// Returns the string that a literal stands for. Only the literal's own quote is ever escaped: other backslashes stay.
pub(super) fn unescaped(raw: &str, quote: char) -> String {
    let mut text = String::with_capacity(raw.len());
    let mut characters = raw.chars();
    while let Some(character) = characters.next() {
        if character != '\\' {
            text.push(character);
            continue;
        }
        let escaped = characters.next();
        if escaped != Some(quote) {
            text.push('\\');
        }
        text.extend(escaped);
    }
    text
}

fn is_of_words(character: char) -> bool {
    character.is_ascii_alphanumeric() || character == '_'
}

fn keyword(word: &str) -> Option<Token<'static>> {
    const KEYWORDS: [(&str, Token); 9] = [
        ("AND", Token::Operator(Operator::And)),
        ("OR", Token::Operator(Operator::Or)),
        ("XOR", Token::Operator(Operator::Xor)),
        ("NOT", Token::Not),
        ("LIKE", Token::Like),
        ("EXISTS", Token::Exists),
        ("IN", Token::In),
        ("TRUE", Token::True),
        ("FALSE", Token::False),
    ];
    let mut keywords = KEYWORDS.into_iter();
    let (_, token) = keywords.find(|(keyword, _)| keyword.eq_ignore_ascii_case(word))?;
    Some(token)
}

/// Returns the length of the symbol at the beginning of a text, and its token.
fn symbol(text: &str) -> Option<(usize, Token<'static>)> {
    // Of two symbols with the same beginning, the longer one is first.
    const SYMBOLS: [(&str, Token); 15] = [
        ("(", Token::Open),
        (")", Token::Close),
        (",", Token::Comma),
        ("!=", Token::Operator(Operator::NotEqual)),
        ("<>", Token::Operator(Operator::NotEqual)),
        ("<=", Token::Operator(Operator::LessOrEqual)),
        (">=", Token::Operator(Operator::GreaterOrEqual)),
        ("<", Token::Operator(Operator::Less)),
        (">", Token::Operator(Operator::Greater)),
        ("=", Token::Operator(Operator::Equal)),
        ("+", Token::Operator(Operator::Add)),
        ("-", Token::Operator(Operator::Subtract)),
        ("*", Token::Operator(Operator::Multiply)),
        ("/", Token::Operator(Operator::Divide)),
        ("%", Token::Operator(Operator::Remainder)),
    ];
    let mut symbols = SYMBOLS.into_iter();
    let (symbol, token) = symbols.find(|(symbol, _)| text.starts_with(symbol))?;
    Some((symbol.len(), token))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(text: &str) -> Vec<Token<'_>> {
        let mut lexer = Lexer::new(text);
        let mut tokens = Vec::new();
        loop {
            match lexer.next().unwrap().token {
                Token::End => return tokens,
                token => tokens.push(token),
            }
        }
    }

    #[test]
    fn blanks_are_needed_between_words_only() {
        let expected = [
            Token::Word("a"),
            Token::Operator(Operator::LessOrEqual),
            Token::Digits("01"),
            Token::Operator(Operator::And),
            Token::Not,
            Token::Word("IS_INT"),
            Token::Open,
            Token::Word("1b"),
            Token::Close,
        ];
        assert_eq!(tokens("a<=01 and not IS_INT(1b)"), expected);
        assert_eq!(tokens(" a\t<= 01\r\nAND nOt IS_INT ( 1b ) "), expected);
        assert_eq!(tokens("1and"), [Token::Word("1and")]);
        assert_eq!(tokens(""), []);
    }

    #[test]
    fn only_the_quote_of_a_string_is_escaped() {
        for (text, expected) in [
            (r"'a\'b'", "a'b"),
            (r#"'a"b\"c'"#, r#"a"b\"c"#),
            (r#""a'b\"c\'""#, r#"a'b"c\'"#),
            (r"'\\'", r"\\"),
            (r"'\\\''", r"\\'"),
            (r"'\%\n'", r"\%\n"),
            ("'\u{0}\n😀'", "\u{0}\n😀"),
            ("''", ""),
        ] {
            let [Token::Text { raw, quote }] = tokens(text)[..] else {
                panic!("{text}");
            };
            assert_eq!(unescaped(raw, quote), expected, "{text}");
        }
    }

    #[test]
    fn faults_have_a_position_in_characters() {
        for (text, expected) in [
            ("'é' # 1", "unexpected character '#' at character 5"),
            ("a ! b", "unexpected character '!' at character 3"),
            ("é", "unexpected character 'é' at character 1"),
            ("a\u{a0}", "unexpected character '\\u{a0}' at character 2"),
            ("1 = 'a", "unterminated string at character 5"),
            (r"'a\'", "unterminated string at character 1"),
            (
                "'it''s'",
                r"a quote within a string must be written as \' at character 4",
            ),
        ] {
            let mut lexer = Lexer::new(text);
            let fault = loop {
                match lexer.next() {
                    Ok(lexeme) => assert_ne!(lexeme.token, Token::End, "{text}"),
                    Err(fault) => break fault,
                }
            };
            assert_eq!(fault.to_string(), expected, "{text}");
        }
    }
}
