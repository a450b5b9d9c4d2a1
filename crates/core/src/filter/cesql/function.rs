//! The built-in functions: their names, their arguments and their types (CESQL, section 3.5).

use super::value::Type;

/// A built-in function. Functions of the same name differ in the number of their arguments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Function {
    Length,
    Concat,
    ConcatWs,
    Lower,
    Upper,
    Trim,
    Left,
    Right,
    /// To the end of the string.
    SubstringFrom,
    Substring,
    Abs,
    /// The casts are in the conformance tests of the specification, and in its examples.
    Int,
    Bool,
    String,
    /// Whether INT succeeds. This and the next are from the drafts of the specification, and in its implementations.
    IsInt,
    IsBool,
}

const ALL: [Function; 16] = [
    Function::Length,
    Function::Concat,
    Function::ConcatWs,
    Function::Lower,
    Function::Upper,
    Function::Trim,
    Function::Left,
    Function::Right,
    Function::SubstringFrom,
    Function::Substring,
    Function::Abs,
    Function::Int,
    Function::Bool,
    Function::String,
    Function::IsInt,
    Function::IsBool,
];

/// How many arguments a function takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Arity {
    Exactly(usize),
    AtLeast(usize),
}

impl Function {
    /// Returns the function with this name, in upper case, and this number of arguments.
    pub fn find(name: &str, arguments: usize) -> Option<Function> {
        named(name).find(|function| match function.arity() {
            Arity::Exactly(number) => arguments == number,
            Arity::AtLeast(number) => arguments >= number,
        })
    }

    /// Returns the names of all functions.
    pub fn names() -> impl Iterator<Item = &'static str> {
        ALL.into_iter().map(Function::name)
    }

    /// Returns the number of arguments that functions of this name take, such as `2 or 3 arguments`.
    pub fn arities(name: &str) -> Option<String> {
        let numbers: Vec<String> = named(name)
            .map(|function| match function.arity() {
                Arity::Exactly(number) => number.to_string(),
                Arity::AtLeast(number) => format!("at least {number}"),
            })
            .collect();
        let plural = if numbers.last()?.ends_with('1') {
            ""
        } else {
            "s"
        };
        Some(format!("{} argument{plural}", numbers.join(" or ")))
    }

    pub fn name(self) -> &'static str {
        match self {
            Function::Length => "LENGTH",
            Function::Concat => "CONCAT",
            Function::ConcatWs => "CONCAT_WS",
            Function::Lower => "LOWER",
            Function::Upper => "UPPER",
            Function::Trim => "TRIM",
            Function::Left => "LEFT",
            Function::Right => "RIGHT",
            Function::SubstringFrom | Function::Substring => "SUBSTRING",
            Function::Abs => "ABS",
            Function::Int => "INT",
            Function::Bool => "BOOL",
            Function::String => "STRING",
            Function::IsInt => "IS_INT",
            Function::IsBool => "IS_BOOL",
        }
    }

    fn arity(self) -> Arity {
        match self {
            Function::Concat => Arity::AtLeast(0),
            Function::ConcatWs => Arity::AtLeast(1),
            Function::Left | Function::Right | Function::SubstringFrom => Arity::Exactly(2),
            Function::Substring => Arity::Exactly(3),
            Function::Length
            | Function::Lower
            | Function::Upper
            | Function::Trim
            | Function::Abs
            | Function::Int
            | Function::Bool
            | Function::String
            | Function::IsInt
            | Function::IsBool => Arity::Exactly(1),
        }
    }

    /// Returns the type of the result.
    pub fn gives(self) -> Type {
        match self {
            Function::Length | Function::Abs | Function::Int => Type::Integer,
            Function::Bool | Function::IsInt | Function::IsBool => Type::Boolean,
            Function::Concat
            | Function::ConcatWs
            | Function::Lower
            | Function::Upper
            | Function::Trim
            | Function::Left
            | Function::Right
            | Function::SubstringFrom
            | Function::Substring
            | Function::String => Type::String,
        }
    }
}

fn named(name: &str) -> impl Iterator<Item = Function> {
    ALL.into_iter()
        .filter(move |function| function.name() == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_found_by_name_and_number_of_arguments() {
        for (name, arguments, expected) in [
            ("SUBSTRING", 2, Some(Function::SubstringFrom)),
            ("SUBSTRING", 3, Some(Function::Substring)),
            ("SUBSTRING", 4, None),
            ("CONCAT", 0, Some(Function::Concat)),
            ("CONCAT", 1_000, Some(Function::Concat)),
            ("CONCAT_WS", 0, None),
            ("CONCAT_WS", 1, Some(Function::ConcatWs)),
            ("ABS", 0, None),
            ("abs", 1, None),
        ] {
            assert_eq!(
                Function::find(name, arguments),
                expected,
                "{name}/{arguments}"
            );
        }
        for function in ALL {
            let arguments =
                (0..4).find(|arguments| Function::find(function.name(), *arguments).is_some());
            assert!(arguments.is_some(), "{function:?}");
        }
    }

    #[test]
    fn arities_are_told_in_words() {
        for (name, expected) in [
            ("ABS", Some("1 argument")),
            ("SUBSTRING", Some("2 or 3 arguments")),
            ("CONCAT_WS", Some("at least 1 argument")),
            ("NOTHING", None),
        ] {
            assert_eq!(Function::arities(name).as_deref(), expected);
        }
    }
}
