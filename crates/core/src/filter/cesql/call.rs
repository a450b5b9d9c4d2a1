//! What the built-in functions do (CESQL, section 3.5).

use std::borrow::Cow;
use std::ops::Range;
use std::vec;

use super::budget::Budget;
use super::error::{EvaluationError, Failure};
use super::function::Function;
use super::value::{Type, Value};

const NEGATIVE: &str = "the number of characters is negative";
const OUTSIDE: &str = "the position is outside the string";

/// Applies a function to its arguments, of which it gets as many as it takes. Casts them to what it takes.
pub(super) fn apply<'a>(
    function: Function,
    arguments: Vec<Value<'a>>,
    budget: &mut Budget,
) -> Result<Value<'a>, Failure<'a>> {
    let mut arguments = Arguments(arguments.into_iter());
    Ok(match function {
        Function::Concat => concat("".into(), arguments, budget)?,
        Function::ConcatWs => concat(arguments.text(), arguments, budget)?,
        Function::Lower => built(arguments.text().to_lowercase(), budget)?,
        Function::Upper => built(arguments.text().to_uppercase(), budget)?,
        Function::Trim => {
            let text = arguments.text();
            let start = text.len() - text.trim_start().len();
            // A text of nothing but white space ends before it starts.
            let end = text.trim_end().len().max(start);
            cut(text, start..end)
        }
        Function::Length => {
            let length = arguments.text().chars().count();
            Value::Integer(i32::try_from(length).unwrap_or(i32::MAX))
        }
        Function::Left | Function::Right => {
            end_of(arguments.text(), arguments.integer()?, function)?
        }
        Function::SubstringFrom => substring(arguments.text(), arguments.integer()?, None)?,
        Function::Substring => {
            let (text, position) = (arguments.text(), arguments.integer()?);
            substring(text, position, Some(arguments.integer()?))?
        }
        Function::Abs => {
            let absolute = arguments.integer()?.checked_abs().map(Value::Integer);
            absolute.ok_or(EvaluationError::OutOfRange.beside(i32::MAX.into()))?
        }
        Function::Int | Function::Bool | Function::String => {
            arguments.next().cast(function.gives())?
        }
        Function::IsInt => arguments.next().cast(Type::Integer).is_ok().into(),
        Function::IsBool => arguments.next().cast(Type::Boolean).is_ok().into(),
    })
}

/// The arguments that are not yet taken.
struct Arguments<'a>(vec::IntoIter<Value<'a>>);

impl<'a> Arguments<'a> {
    fn next(&mut self) -> Value<'a> {
        self.0.next().unwrap_or(Value::Boolean(false))
    }

    fn text(&mut self) -> Cow<'a, str> {
        self.next().into_text()
    }

    fn integer(&mut self) -> Result<i32, EvaluationError<'a>> {
        self.next().into_integer()
    }
}

fn concat<'a>(
    separator: Cow<'a, str>,
    arguments: Arguments<'a>,
    budget: &mut Budget,
) -> Result<Value<'a>, EvaluationError<'a>> {
    let mut text = String::new();
    for (place, argument) in arguments.0.enumerate() {
        let argument = argument.into_text();
        let separator = if place == 0 { "" } else { &separator };
        budget.build(separator.len() + argument.len())?;
        text += separator;
        text += &argument;
    }
    Ok(Value::String(text.into()))
}

fn built<'a>(text: String, budget: &mut Budget) -> Result<Value<'a>, EvaluationError<'a>> {
    budget.build(text.len())?;
    Ok(Value::String(text.into()))
}

/// LEFT and RIGHT: a negative length gives the whole string and an error.
fn end_of<'a>(
    text: Cow<'a, str>,
    length: i32,
    function: Function,
) -> Result<Value<'a>, Failure<'a>> {
    let Ok(length) = usize::try_from(length) else {
        let error = fault(function, NEGATIVE);
        return Err(error.beside(Value::String(text)));
    };
    let range = if function == Function::Left {
        0..byte_of(&text, length)
    } else {
        let before = text.chars().count().saturating_sub(length);
        byte_of(&text, before)..text.len()
    };
    Ok(cut(text, range))
}

fn substring<'a>(
    text: Cow<'a, str>,
    position: i32,
    length: Option<i32>,
) -> Result<Value<'a>, EvaluationError<'a>> {
    let length = length.map(usize::try_from).transpose();
    let length = length.map_err(|_| fault(Function::Substring, NEGATIVE))?;
    let distance = position.unsigned_abs() as usize;
    let characters = text.chars().count();
    let before = match position {
        0 => return Ok("".into()),
        _ if distance > characters => return Err(fault(Function::Substring, OUTSIDE)),
        1.. => distance - 1,
        _ => characters - distance,
    };
    let end = before.saturating_add(length.unwrap_or(characters));
    let range = byte_of(&text, before)..byte_of(&text, end);
    Ok(cut(text, range))
}

fn fault<'a>(function: Function, fault: &'static str) -> EvaluationError<'a> {
    EvaluationError::Argument {
        function: function.name(),
        fault,
    }
}

/// Returns where the character after this many begins, or the end of the text.
fn byte_of(text: &str, characters: usize) -> usize {
    let mut starts = text.char_indices();
    starts
        .nth(characters)
        .map_or(text.len(), |(start, _)| start)
}

fn cut(text: Cow<'_, str>, range: Range<usize>) -> Value<'_> {
    Value::String(match text {
        Cow::Borrowed(text) => text.get(range).unwrap_or_default().into(),
        Cow::Owned(text) => text.get(range).unwrap_or_default().to_owned().into(),
    })
}
