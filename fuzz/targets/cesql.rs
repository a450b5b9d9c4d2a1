//! An expression is read back from its printed text, and gives the same value each time.
//!
//! The first line of the input is the value of some of the attributes.
#![no_main]

use std::collections::BTreeMap;

use herald_core::filter::cesql::{Expression, MAX_TEXT_BYTES, Value};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &str| {
    let (string, text) = input.split_once('\n').unwrap_or(("", input));
    let Ok(expression) = Expression::parse(text) else {
        assert!(Expression::parse_filter(text).is_err());
        return;
    };
    let printed = expression.to_string();
    // Blanks and parentheses may have been added.
    if printed.len() <= MAX_TEXT_BYTES {
        assert_eq!(Expression::parse(&printed).as_ref(), Ok(&expression), "{printed}");
    }
    let values = [Value::from(string), Value::from(3), Value::from(true), Value::from("-2147483648")];
    let names = expression.attributes().into_iter().map(str::to_owned);
    let event: BTreeMap<String, Value> = names.zip(values.into_iter().cycle()).collect();
    for event in [event, BTreeMap::new()] {
        let evaluation = expression.evaluate(&event);
        assert_eq!(evaluation, expression.evaluate(&event));
        let passes = evaluation.error.is_none() && evaluation.value == Value::Boolean(true);
        assert_eq!(expression.is_true(&event), passes);
    }
});
