//! Filters of the naive evaluator, written as JSON.

use super::json::{Json, number};
use super::naive::{Form, Matcher, Part, Pattern, Rule};

pub(super) fn written(rule: &Rule) -> String {
    let list = |rules: &[Rule]| rules.iter().map(written).collect::<Vec<_>>().join(",");
    match rule {
        Rule::All(rules) => format!(r#"{{"all":[{}]}}"#, list(rules)),
        Rule::Any(rules) => format!(r#"{{"any":[{}]}}"#, list(rules)),
        Rule::Not(rule) => format!(r#"{{"not":{}}}"#, written(rule)),
        Rule::Exact(name, text) => format!(r#"{{"exact":{{"{name}":"{text}"}}}}"#),
        Rule::Data(path, form) => {
            format!(r#"{{"data":{{"{}":{}}}}}"#, path.join("."), form_text(form))
        }
        Rule::Pattern(pattern) => format!(r#"{{"pattern":{}}}"#, pattern_text(pattern)),
    }
}

fn form_text(form: &Form) -> String {
    match form {
        Form::Plain(plain) => plain.text(),
        Form::Starred(text) => format!("\"{text}\""),
        Form::Compared(sign, Json::Number(hundredths, way)) => {
            format!("\"{sign} {}\"", number(*hundredths, *way))
        }
        Form::Compared(..) => unreachable!("strings are compared with numbers"),
        Form::List(forms) => {
            let forms: Vec<String> = forms.iter().map(form_text).collect();
            format!("[{}]", forms.join(","))
        }
        Form::Operators {
            ranges,
            prefix,
            exists,
            not,
            contains,
        } => {
            let ranges = ranges
                .iter()
                .map(|(name, limit)| format!(r#""{name}":{}"#, limit.text()));
            let operators: Vec<String> = ranges
                .chain(
                    prefix
                        .iter()
                        .map(|prefix| format!(r#""prefix":"{prefix}""#)),
                )
                .chain(exists.iter().map(|exists| format!(r#""exists":{exists}"#)))
                .chain(
                    not.iter()
                        .map(|form| format!(r#""not":{}"#, form_text(form))),
                )
                .chain(
                    contains
                        .iter()
                        .map(|part| format!(r#""contains":{}"#, part.text())),
                )
                .collect();
            format!("{{{}}}", operators.join(","))
        }
    }
}

fn pattern_text(pattern: &Pattern) -> String {
    let fields = pattern.fields.iter().map(|(name, part)| match part {
        Part::Leaf(matchers) => {
            let matchers: Vec<String> = matchers.iter().map(matcher_text).collect();
            format!(r#""{name}":[{}]"#, matchers.join(","))
        }
        Part::Object(pattern) => format!(r#""{name}":{}"#, pattern_text(pattern)),
    });
    // An object has one `$or`, as in jsonb.
    let choices = pattern.choices.iter().map(|branches| {
        let branches: Vec<String> = branches.iter().map(pattern_text).collect();
        format!(r#""$or":[{}]"#, branches.join(","))
    });
    format!(
        "{{{}}}",
        fields.chain(choices).collect::<Vec<_>>().join(",")
    )
}

fn matcher_text(matcher: &Matcher) -> String {
    match matcher {
        Matcher::Value(value) => value.text(),
        Matcher::Exists(is_expected) => format!(r#"{{"exists":{is_expected}}}"#),
        Matcher::Prefix(prefix) => format!(r#"{{"prefix":"{prefix}"}}"#),
        Matcher::Numeric(sign, limit) => format!(r#"{{"numeric":["{sign}",{}]}}"#, limit.text()),
        Matcher::AnythingBut(values) => {
            let values: Vec<String> = values.iter().map(Json::text).collect();
            format!(r#"{{"anything-but":[{}]}}"#, values.join(","))
        }
    }
}
