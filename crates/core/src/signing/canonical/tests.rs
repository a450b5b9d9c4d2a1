//! Tests that bodies match what Node writes, and what is refused.

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

const LARGEST_EXACT: i64 = 1 << 53;

fn canonical(json: &str, large_numbers: LargeNumbers) -> Result<String, Fault> {
    let ecmascript = Canonical {
        form: Form::EcmaScript,
        large_numbers,
    };
    ecmascript.of(json)
}

fn written(json: &str) -> String {
    canonical(json, LargeNumbers::Refuse).unwrap_or_else(|fault| panic!("{json}: {fault}"))
}

fn refusal(json: &str) -> String {
    canonical(json, LargeNumbers::Refuse)
        .unwrap_err()
        .to_string()
}

/// The expected texts are from `json.dumps(json.loads(json), separators=(",", ":"))` in Python 3.11.
#[test]
fn for_python_a_body_is_what_python_writes() {
    let python = Canonical {
        form: Form::Python,
        large_numbers: LargeNumbers::Refuse,
    };
    for (json, expected) in [
        (r#"0"#, r#"0"#),
        (r#"-0"#, r#"0"#),
        (r#"-0.0"#, r#"-0.0"#),
        (r#"0e5"#, r#"0.0"#),
        (r#"1.50"#, r#"1.5"#),
        (r#"42.0"#, r#"42.0"#),
        (r#"1E5"#, r#"100000.0"#),
        (
            r#"123456789012345678901234567890"#,
            r#"123456789012345678901234567890"#,
        ),
        (r#"0.0001"#, r#"0.0001"#),
        (r#"0.00001"#, r#"1e-05"#),
        (r#"1e15"#, r#"1000000000000000.0"#),
        (r#"1e16"#, r#"1e+16"#),
        (r#"1.5e16"#, r#"1.5e+16"#),
        (r#"123456789012345.5"#, r#"123456789012345.5"#),
        (r#"1e300"#, r#"1e+300"#),
        (r#"-2.5e-7"#, r#"-2.5e-07"#),
        (r#"1e-300"#, r#"1e-300"#),
        (
            r#""Łódź 😀 \u0141 \ud83d\ude00 \ud800 \u007f / \/""#,
            r#""\u0141\u00f3d\u017a \ud83d\ude00 \u0141 \ud83d\ude00 \ud800 \u007f / /""#,
        ),
        (
            r#"{"b": 1, "2": 2, "b": [1.10, true, null], "é": {}}"#,
            r#"{"b":[1.1,true,null],"2":2,"\u00e9":{}}"#,
        ),
        (r#"[ ]"#, r#"[]"#),
    ] {
        assert_eq!(python.of(json).unwrap(), expected, "{json}");
        assert_eq!(python.of(expected).unwrap(), expected, "{json}");
    }
    // Python would round it.
    assert!(python.of("0.1234567890123456789").is_err());
}

#[test]
fn exact_numbers_are_written_as_ecmascript_does() {
    for (number, expected) in [
        ("0", "0"),
        ("-0", "0"),
        ("-0.00e7", "0"),
        ("0e99999999999999999999", "0"),
        ("7", "7"),
        ("-74.0060", "-74.006"),
        ("1.50", "1.5"),
        ("0.1", "0.1"),
        ("123e5", "12300000"),
        ("12300000e-5", "123"),
        ("0.000001", "0.000001"),
        ("0.00000123", "0.00000123"),
        ("1e-7", "1e-7"),
        ("0.000000123", "1.23e-7"),
        ("9007199254740991", "9007199254740991"),
        ("9007199254740992", "9007199254740992"),
        ("100000000000000000000", "100000000000000000000"),
        ("123456789012345680000", "123456789012345680000"),
        ("1e21", "1e+21"),
        ("1E+30", "1e+30"),
        ("1000000000000000000000000000000", "1e+30"),
        ("-1.25e+0000000000000000000000100", "-1.25e+100"),
        ("5e-324", "5e-324"),
        ("1.7976931348623157e308", "1.7976931348623157e+308"),
        // Halfway between two: the even digits.
        ("709629733850041.2", "709629733850041.2"),
        ("102467633574081.12", "102467633574081.12"),
        ("2.9802322387695312e-8", "2.9802322387695312e-8"),
        // Powers of two: nearer digits lead to the double below.
        ("5.684341886080802e-14", "5.684341886080802e-14"),
        ("5.684341886080801e-14", "5.684341886080801e-14"),
        ("6189700196426902e11", "6.189700196426902e+26"),
    ] {
        for large_numbers in [LargeNumbers::Refuse, LargeNumbers::Strings] {
            let written = canonical(number, large_numbers);
            assert_eq!(written.as_deref(), Ok(expected), "{number}");
        }
    }
}

#[test]
fn inexact_numbers_are_refused_or_become_strings() {
    for number in [
        "9007199254740993",
        "-9223372036854775808",
        "0.1000000000000000055511151231257827",
        "12345678901234567.89",
        "1e400",
        "-1e400",
        "1e-400",
        "4.94e-324",
        "1.7976931348623158e308",
        "709629733850041.3",
        "1e99999999999999999999",
        "1e-99999999999999999999",
        "1e9223372036854775807",
        "10E-9223372036854775808",
    ] {
        let fault = Fault::Inexact {
            number: number.into(),
            path: String::new(),
        };
        assert_eq!(canonical(number, LargeNumbers::Refuse), Err(fault));
        let written = canonical(number, LargeNumbers::Strings);
        assert_eq!(written, Ok(format!("\"{number}\"")));
    }
}

#[test]
fn strings_are_escaped_only_where_they_must_be() {
    for (string, expected) in [
        (r#""\b\t\n\f\r\"\\""#, r#""\b\t\n\f\r\"\\""#),
        (
            r#""\u0008\u0009\u000a\u000C\u000D\u0022\u005c""#,
            r#""\b\t\n\f\r\"\\""#,
        ),
        (r#""\u0000\u001F\u007f""#, "\"\\u0000\\u001f\u{7f}\""),
        (r#""\/ \u002f""#, r#""/ /""#),
        (r#""\u2028 \u00e9 é""#, "\"\u{2028} é é\""),
        (r#""\uD83D\uDE00 \udbff\udfff""#, "\"😀 \u{10ffff}\""),
    ] {
        assert_eq!(written(string), expected, "{string}");
    }
}

#[test]
fn lone_surrogates_stay_escaped() {
    for (string, expected) in [
        (r#""\uD800""#, r#""\ud800""#),
        (r#""\uDFFF x""#, r#""\udfff x""#),
        (r#""\uDE00\uD83D""#, r#""\ude00\ud83d""#),
        (r#""\uD83D\uD83D\uDE00""#, r#""\ud83d😀""#),
        (r#""\uD83D\u0041""#, r#""\ud83dA""#),
        (r#""\uD83D\n""#, r#""\ud83d\n""#),
    ] {
        assert_eq!(written(string), expected, "{string}");
    }
}

#[test]
fn the_last_of_equal_keys_is_kept_at_the_place_of_the_first() {
    for (object, expected) in [
        (r#"{"a":1,"b":2,"a":3}"#, r#"{"a":3,"b":2}"#),
        (r#"{"a":1,"\u0061":2}"#, r#"{"a":2}"#),
        (r#"{"\uD800":1,"x":2,"\ud800":3}"#, r#"{"\ud800":3,"x":2}"#),
        (
            r#"{"__proto__":1,"__proto__":{"x":[]}}"#,
            r#"{"__proto__":{"x":[]}}"#,
        ),
        (r#"{"a":{"b":1,"b":2},"a":3}"#, r#"{"a":3}"#),
        (r#"{"":1,"":2}"#, r#"{"":2}"#),
    ] {
        assert_eq!(written(object), expected, "{object}");
    }
}

#[test]
fn equal_keys_are_found_in_large_objects_as_in_small_ones() {
    for size in [1, SMALL_OBJECT / 2, SMALL_OBJECT, 5000] {
        let members = |values: std::ops::Range<usize>| {
            let members = values.map(|value| format!("\"k{}\":{value}", value % size));
            members.collect::<Vec<_>>().join(",")
        };
        let twice = format!("{{{}}}", members(0..2 * size));
        assert_eq!(written(&twice), format!("{{{}}}", members(size..2 * size)));
    }
}

#[test]
fn array_indexes_come_first_in_ascending_order() {
    assert_eq!(
        written(r#"{"b":0,"10":1,"9":2,"a":3,"0":4,"\u0031":5,"9":6}"#),
        r#"{"0":4,"1":5,"9":6,"10":1,"b":0,"a":3}"#
    );
    assert_eq!(
        written(r#"{"01":0,"+1":1,"-1":2,"1.0":3,"":4,"4294967295":5,"4294967294":6}"#),
        r#"{"4294967294":6,"01":0,"+1":1,"-1":2,"1.0":3,"":4,"4294967295":5}"#
    );
}

#[test]
fn there_are_no_blanks_between_tokens() {
    assert_eq!(
        written("\t{ \"a b\" :\n[ 1 , true,false , null,\r[ ] , { } ] , \"c\" : {} } \n"),
        r#"{"a b":[1,true,false,null,[],{}],"c":{}}"#
    );
}

#[test]
fn a_fault_names_the_number_and_its_path() {
    for (json, fault) in [
        (
            r#"{"x":1,"data":{"items":[0,1,{"id":1e999}]}}"#,
            "the number 1e999 at data.items[2].id has no exact double",
        ),
        (
            r#"[[0],{"a \"":{"0":{"\u00e9_1":1e999}}}]"#,
            r#"the number 1e999 at [1]["a \""]["0"].é_1 has no exact double"#,
        ),
        (
            r#"{"":1e999}"#,
            r#"the number 1e999 at [""] has no exact double"#,
        ),
        ("1e999", "the number 1e999 has no exact double"),
    ] {
        assert_eq!(refusal(json), fault);
    }
}

#[test]
fn a_fault_stays_short() {
    let key = "é".repeat(1000);
    let number = "9".repeat(1000);
    let json = format!("{{\"{key}\":{number}}}");
    let (key, number) = ("é".repeat(40), "9".repeat(40));
    assert_eq!(
        refusal(&json),
        format!("the number {number}… at {key}… has no exact double")
    );
    let deep = "{\"abc\":".repeat(100) + "1e999";
    let path = "abc.".repeat(50);
    assert_eq!(
        refusal(&deep),
        format!("the number 1e999 at {path}… has no exact double")
    );
}

#[test]
fn nesting_has_a_limit() {
    let nested = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
    assert_eq!(written(&nested(MAX_LEVELS)), nested(MAX_LEVELS));
    assert!(refusal(&nested(MAX_LEVELS + 1)).ends_with(" is nested in more than 128 levels"));
    assert!(refusal(&"{\"a\":[".repeat(1_000_000)).starts_with("the body at a[0].a[0]"));
    let wide = format!("[{}0]", "{\"a\":[]},".repeat(2 * MAX_LEVELS));
    assert_eq!(written(&wide), wide);
}

#[test]
fn what_is_not_json_is_refused() {
    let texts = [
        "| |nul|truefalse|True|NaN|Infinity|1 2|1 // one|\u{feff}1|\u{a0}1",
        "-|-Infinity|+1|.5|1.|-.5|01|-01|1e|1e+|1.e5|0x1",
        "[|]|[1|[1,|[1,]|[,1]|[1 2]|[1}",
        r#"{|}|{,}|{"a"|{"a":|{"a":1|{"a":1]|{"a":1,}|{a:1}|{1:1}|{"a" 1}|{"a":1 "b":2}"#,
        r#""|"a|"a"b|'a'|"\"|"\x"|"\u12"|"\u+123"|"\u12é"|"\ud800\u""#,
        "\"\n\"|\"\u{0}\"",
    ];
    for json in texts.iter().flat_map(|texts| texts.split('|')) {
        let fault = canonical(json, LargeNumbers::Strings);
        assert!(
            matches!(fault, Err(Fault::NotJson { .. })),
            "{json}: {fault:?}"
        );
        assert!(serde_json::from_str::<Value>(json).is_err(), "{json}");
    }
    let fault = refusal(r#"{"a": [1, tru]}"#);
    assert_eq!(fault, "the text at a[1] is not JSON after 10 bytes");
}

/// Generates JSON with everything that matters: blanks, needless escapes, equal keys, surrogates.
fn any_json() -> impl Strategy<Value = String> {
    let number = "-?(0|[1-9][0-9]{0,24})([.][0-9]{1,20})?([eE][+-]?[0-9]{1,3})?";
    let string = r#""([ab0-9/é😀]|\\["\\/bfnrt]|\\u([dD][89a-fA-F]|00)[0-9a-fA-F]{2}){0,4}""#;
    let leaf = prop_oneof![number, string, "true|false|null"];
    leaf.prop_recursive(6, 64, 40, move |inner| {
        let member = (string, inner.clone()).prop_map(|(key, value)| format!("{key} : {value}"));
        prop_oneof![
            vec(inner, 0..4).prop_map(|elements| format!("[ {}]", elements.join("\n,"))),
            vec(member, 0..40).prop_map(|members| format!("{{{} }}", members.join(", "))),
        ]
    })
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(Value::from),
        (-LARGEST_EXACT..=LARGEST_EXACT).prop_map(Value::from),
        (-1e300..1e300).prop_map(|number: f64| Value::from(number)),
        ".*".prop_map(Value::from),
        Just(Value::Null),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(Value::from),
            btree_map("[0-9]{1,2}|.*", inner, 0..6).prop_map(|members| json!(members)),
        ]
    })
}

/// Every other double of the second kind is halfway between two candidates for its shortest digits.
fn any_double() -> impl Strategy<Value = f64> {
    prop_oneof![
        proptest::num::f64::NORMAL | proptest::num::f64::SUBNORMAL,
        (1_u64 << 52..1 << 53).prop_map(|number| number as f64 / 8.0),
    ]
}

/// Compares with tolerance: whole numbers lose their ".0", and serde_json is inexact in the last digits.
fn is_same(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => {
            let (left, right) = (left.as_f64().unwrap(), right.as_f64().unwrap());
            (left - right).abs() <= left.abs() * 4.0 * f64::EPSILON
        }
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len()
                && left
                    .iter()
                    .zip(right)
                    .all(|(left, right)| is_same(left, right))
        }
        (Value::Object(left), Value::Object(right)) => {
            let is_in_right =
                |(key, value)| right.get(key).is_some_and(|right| is_same(value, right));
            left.len() == right.len() && left.iter().all(is_in_right)
        }
        _ => left == right,
    }
}

proptest! {
    #[test]
    fn what_was_written_is_written_the_same_again(json in any_json()) {
        let once = canonical(&json, LargeNumbers::Strings).unwrap();
        prop_assert_eq!(written(&once), once);
    }

    #[test]
    fn writing_changes_no_value(value in any_value()) {
        let written = written(&serde_json::to_string_pretty(&value).unwrap());
        let read: Value = serde_json::from_str(&written).unwrap();
        prop_assert!(is_same(&value, &read), "{value} became {read}");
    }

    #[test]
    fn every_double_is_exact_in_its_shortest_digits(number in any_double()) {
        let shortest = serde_json::to_string(&number).unwrap();
        let written = written(&shortest);
        prop_assert_eq!(written.parse::<f64>().unwrap(), number, "{} of {}", written, shortest);
    }

    #[test]
    fn only_json_is_taken(text in r#"[\[\]{}:,"\\u0-9.eE+ntruefalsd -]{0,12}"#) {
        let is_json = serde_json::from_str::<Box<serde_json::value::RawValue>>(&text).is_ok();
        prop_assert_eq!(canonical(&text, LargeNumbers::Strings).is_ok(), is_json);
    }
}
