//! Makes a tree of an expression's text (CESQL, sections 2 and 3.6).
//!
//! A Pratt parser: it takes an operand, and then the operators behind it as long as they bind tighter than the one
//! before it. Each parenthesis, list, NOT and minus is a level of nesting, and their number bounds every recursion.

use super::ast::{Node, Step};
use super::fault::Fault;
use super::function::Function;
use super::lexer::{Lexeme, Lexer, Token, unescaped};
use super::like::Pattern;
use super::operator::{Operator, Precedence};
use super::value::Value;
use crate::error::shortened;
use crate::suggest;

/// The maximum size of an expression, in bytes.
pub const MAX_TEXT_BYTES: usize = 16_384;

/// The maximum nesting of parentheses, lists of arguments and of IN, NOT, and minus before an operand, in levels.
pub const MAX_NESTING: usize = 64;

const SHOWN_TOKEN: usize = 24;

/// How to treat a call of a function that does not exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MissingFunctions {
    Accept,
    Refuse,
}

/// Returns the tree of an expression.
pub(super) fn parse(text: &str, missing_functions: MissingFunctions) -> Result<Node, Fault> {
    if text.len() > MAX_TEXT_BYTES {
        let wrong = format!("the expression is longer than {MAX_TEXT_BYTES} bytes");
        let end = text.floor_char_boundary(MAX_TEXT_BYTES);
        return Err(Fault::at(text, end, wrong));
    }
    let mut lexer = Lexer::new(text);
    let current = lexer.next()?;
    if current.token == Token::End {
        return Err(Fault::at(text, 0, "the expression is empty"));
    }
    let mut parser = Parser {
        lexer,
        before: "",
        current,
        levels: 0,
        missing_functions,
    };
    let root = parser.parse_expression(Precedence::Outside)?;
    match parser.current.token {
        Token::End => Ok(root),
        Token::Close => Err(parser.fault(r#"unmatched ")""#)),
        _ => Err(parser.expected("an operator")),
    }
}

struct Parser<'t> {
    lexer: Lexer<'t>,
    /// The token before the current one, as it is written.
    before: &'t str,
    current: Lexeme<'t>,
    levels: usize,
    missing_functions: MissingFunctions,
}

/// What may follow an operand.
enum Follower {
    Operator(Operator),
    Like,
    In,
    /// Belongs to a LIKE or an IN.
    Not,
}

impl<'t> Parser<'t> {
    /// Takes an operand, and the operators behind it that bind tighter than `outside`, with their operands.
    fn parse_expression(&mut self, outside: Precedence) -> Result<Node, Fault> {
        let first = self.parse_operand()?;
        let mut steps = Vec::new();
        while let Some(follower) = self.follower()
            && follower.precedence() > outside
        {
            self.advance()?;
            steps.push(self.parse_step(follower)?);
        }
        Ok(first.followed_by(steps))
    }

    fn parse_step(&mut self, follower: Follower) -> Result<Step, Fault> {
        match follower {
            Follower::Operator(operator) => {
                let right = self.parse_expression(operator.precedence())?;
                Ok(Step::Binary(operator, right))
            }
            Follower::Like => self.parse_like(false),
            Follower::In => self.parse_in(false),
            Follower::Not => match self.current.token {
                Token::Like => self.advance().and_then(|_| self.parse_like(true)),
                Token::In => self.advance().and_then(|_| self.parse_in(true)),
                _ => Err(self.expected(r#""LIKE" or "IN""#)),
            },
        }
    }

    fn parse_like(&mut self, is_negated: bool) -> Result<Step, Fault> {
        let Token::Text { raw, quote } = self.current.token else {
            return Err(self.expected("a string"));
        };
        self.advance()?;
        let pattern = Pattern::new(unescaped(raw, quote));
        Ok(Step::Like {
            pattern,
            is_negated,
        })
    }

    fn parse_in(&mut self, is_negated: bool) -> Result<Step, Fault> {
        if self.current.token != Token::Open {
            return Err(self.expected(r#""(""#));
        }
        self.enter()?;
        let members = self.parse_list()?;
        self.leave();
        Ok(Step::In {
            members,
            is_negated,
        })
    }

    fn parse_operand(&mut self) -> Result<Node, Fault> {
        match self.current.token {
            Token::Open => self.parse_parenthesis(),
            Token::Operator(Operator::Subtract | Operator::Add) => self.parse_signed(),
            Token::Digits(digits) => {
                let node = self.integer("", digits, self.current.start)?;
                self.advance()?;
                Ok(node)
            }
            Token::Text { raw, quote } => {
                self.advance()?;
                let text = unescaped(raw, quote);
                Ok(Node::Literal(Value::String(text.into())))
            }
            Token::True => self.advance().map(|_| Node::Literal(true.into())),
            Token::False => self.advance().map(|_| Node::Literal(false.into())),
            Token::Not => {
                self.enter()?;
                let operand = self.parse_operand()?;
                self.leave();
                Ok(Node::Not(Box::new(operand)))
            }
            Token::Exists => {
                self.advance()?;
                let Token::Word(word) = self.current.token else {
                    return Err(self.expected("an attribute"));
                };
                let name = self.attribute(word)?;
                self.advance()?;
                Ok(Node::Exists(name))
            }
            Token::Word(word) => self.parse_word(word),
            _ => Err(self.expected("an operand")),
        }
    }

    fn parse_parenthesis(&mut self) -> Result<Node, Fault> {
        self.enter()?;
        let node = self.parse_expression(Precedence::Outside)?;
        if self.current.token != Token::Close {
            return Err(self.expected(r#"an operator or ")""#));
        }
        self.advance()?;
        self.leave();
        Ok(node)
    }

    /// A sign immediately before digits belongs to the integer. Otherwise, a minus negates any operand.
    fn parse_signed(&mut self) -> Result<Node, Fault> {
        let sign = self.current;
        let is_minus = sign.token == Token::Operator(Operator::Subtract);
        let next = self.lexer.peek()?;
        if let Token::Digits(digits) = next.token
            && next.start == sign.end
        {
            let node = self.integer(if is_minus { "-" } else { "+" }, digits, sign.start)?;
            self.advance()?;
            self.advance()?;
            return Ok(node);
        }
        if !is_minus {
            return Err(self.expected("an operand"));
        }
        self.enter()?;
        let operand = self.parse_operand()?;
        self.leave();
        Ok(Node::Negate(Box::new(operand)))
    }

    fn integer(&self, sign: &str, digits: &str, start: usize) -> Result<Node, Fault> {
        let written = format!("{sign}{digits}");
        match written.parse() {
            Ok(integer) => Ok(Node::Literal(Value::Integer(integer))),
            Err(_) => {
                let shown = shortened(&written, SHOWN_TOKEN);
                let wrong = format!("integer {shown} is out of range");
                Err(Fault::at(self.lexer.text(), start, wrong))
            }
        }
    }

    /// A word is a function if a parenthesis follows, and otherwise an attribute.
    fn parse_word(&mut self, word: &'t str) -> Result<Node, Fault> {
        if self.lexer.peek()?.token != Token::Open {
            let name = self.attribute(word)?;
            self.advance()?;
            return Ok(Node::Attribute(name));
        }
        let start = self.current.start;
        let is_function = !word.starts_with('_') && !word.bytes().any(|byte| byte.is_ascii_digit());
        if !is_function {
            return Err(self.fault(&format!("invalid function name {:?}", shown(word))));
        }
        self.advance()?;
        self.enter()?;
        let arguments = if self.current.token == Token::Close {
            self.advance()?;
            Vec::new()
        } else {
            self.parse_list()?
        };
        self.leave();
        let call = Node::call(word.to_ascii_uppercase(), arguments);
        if let (MissingFunctions::Refuse, Node::MissingCall { name, arguments }) =
            (self.missing_functions, &call)
        {
            let wrong = missing_function(name, arguments.len());
            return Err(Fault::at(self.lexer.text(), start, wrong));
        }
        Ok(call)
    }

    /// Takes expressions with commas between them, and the closing parenthesis.
    fn parse_list(&mut self) -> Result<Vec<Node>, Fault> {
        let mut nodes = Vec::new();
        loop {
            nodes.push(self.parse_expression(Precedence::Outside)?);
            match self.current.token {
                Token::Comma => self.advance()?,
                Token::Close => {
                    self.advance()?;
                    return Ok(nodes);
                }
                _ => return Err(self.expected(r#"an operator, "," or ")""#)),
            }
        }
    }

    /// Returns an attribute's name, in lower case like all such names.
    fn attribute(&self, word: &str) -> Result<String, Fault> {
        let name = word.to_ascii_lowercase();
        if name.contains('_') {
            return Err(self.fault(&format!("invalid attribute name {:?}", shown(word))));
        }
        // CloudEvents 1.0.2, section 3.1: no attribute has this name.
        if name == "data" {
            return Err(self.fault("an expression cannot read an event's data"));
        }
        Ok(name)
    }

    fn follower(&self) -> Option<Follower> {
        match self.current.token {
            Token::Operator(operator) => Some(Follower::Operator(operator)),
            Token::Like => Some(Follower::Like),
            Token::In => Some(Follower::In),
            Token::Not => Some(Follower::Not),
            _ => None,
        }
    }

    fn advance(&mut self) -> Result<(), Fault> {
        self.before = self.written();
        self.current = self.lexer.next()?;
        Ok(())
    }

    /// Takes the token that begins another level.
    fn enter(&mut self) -> Result<(), Fault> {
        if self.levels == MAX_NESTING {
            return Err(self.fault(&format!("nested in more than {MAX_NESTING} levels")));
        }
        self.levels += 1;
        self.advance()
    }

    fn leave(&mut self) {
        self.levels -= 1;
    }

    fn written(&self) -> &'t str {
        let text = self.lexer.text();
        text.get(self.current.start..self.current.end)
            .unwrap_or_default()
    }

    fn expected(&self, what: &str) -> Fault {
        let mut wrong = format!("expected {what}");
        if !self.before.is_empty() {
            wrong += &format!(" after {}", in_quotes(self.before));
        }
        if self.current.token != Token::End {
            wrong += &format!(", not {}", in_quotes(self.written()));
        }
        self.fault(&wrong)
    }

    fn fault(&self, wrong: &str) -> Fault {
        Fault::at(self.lexer.text(), self.current.start, wrong)
    }
}

impl Follower {
    fn precedence(&self) -> Precedence {
        match self {
            Follower::Operator(operator) => operator.precedence(),
            Follower::Like | Follower::In | Follower::Not => Precedence::Test,
        }
    }
}

fn missing_function(name: &str, arguments: usize) -> String {
    match Function::arities(name) {
        Some(arities) => format!("{name} takes {arities}, not {arguments}"),
        None => {
            let nearest = suggest::nearest(name, Function::names());
            let hint = nearest.map(|nearest| format!(", perhaps you meant {nearest}"));
            format!(
                "unknown function {}{}",
                shown(name),
                hint.unwrap_or_default()
            )
        }
    }
}

fn shown(word: &str) -> String {
    shortened(word, SHOWN_TOKEN)
}

/// Returns a token in quotes, unless it has its own.
fn in_quotes(token: &str) -> String {
    let shown = shown(token);
    if token.starts_with(['\'', '"']) {
        shown
    } else {
        format!("\"{shown}\"")
    }
}

#[cfg(test)]
mod tests;
