//! Numbers as they are written, compared by value with all their digits.
//!
//! A double would take 9007199254740993 for 9007199254740992. So the digits of both texts are compared, without
//! computing anything: not even 1e999999999 needs memory.

use std::cmp::Ordering;

use crate::signing::canonical::split_number;

/// Larger exponents, of either sign, count as this.
const MAX_EXPONENT: i64 = 1_000_000_000_000_000_000;

/// The value 0.`whole``fraction` * 10^`point` of a JSON number, whose digits it borrows.
///
/// The digits neither begin nor end with a zero, and zero has none.
///
/// ```
/// use herald_core::filter::Number;
///
/// let number = |text| Number::parse(text).unwrap();
/// assert_eq!(number("0.10"), number("1e-1"));
/// assert!(number("9007199254740993") > number("9007199254740992"));
/// assert!(number("1e999999999") > number("123456789012345678901234567890"));
/// assert_eq!(Number::parse("1_000"), None);
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Number<'a> {
    is_negative: bool,
    whole: &'a str,
    fraction: &'a str,
    point: i64,
}

impl<'a> Number<'a> {
    /// Reads a text that is a JSON number and nothing else (RFC 8259, section 6).
    pub fn parse(text: &'a str) -> Option<Number<'a>> {
        let (text, "") = split_number(text)? else {
            return None;
        };
        let is_negative = text.starts_with('-');
        let digits = text.trim_start_matches('-');
        let (digits, exponent) = digits.split_once(['e', 'E']).unwrap_or((digits, ""));
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let number = Number {
            is_negative,
            whole,
            fraction,
            point: exponent_of(exponent),
        };
        Some(number.without_outer_zeros())
    }

    fn without_outer_zeros(self) -> Number<'a> {
        let mut whole = self.whole.trim_start_matches('0');
        let mut fraction = self.fraction.trim_end_matches('0');
        let mut point = self.point.saturating_add(length(whole));
        if whole.is_empty() {
            let significant = fraction.trim_start_matches('0');
            point = point.saturating_sub(length(fraction) - length(significant));
            fraction = significant;
        }
        if fraction.is_empty() {
            whole = whole.trim_end_matches('0');
        }
        let is_zero = whole.is_empty() && fraction.is_empty();
        Number {
            is_negative: self.is_negative && !is_zero,
            whole,
            fraction,
            point: if is_zero { 0 } else { point },
        }
    }

    /// Returns doubles below and above the value, and near it; infinite ones beyond their range.
    pub fn about(self) -> (f64, f64) {
        const DIGITS: usize = 17;
        let digits = self.digits().take(DIGITS);
        let (whole, count) = digits.fold((0_u64, 0_i64), |(whole, count), digit| {
            (whole * 10 + u64::from(digit - b'0'), count + 1)
        });
        // Halves, because a power of ten may be too small where the product is not.
        let exponent = (self.point.saturating_sub(count)).clamp(-800, 800) as i32;
        let (half, rest) = (exponent / 2, exponent - exponent / 2);
        let size = whole as f64 * 10_f64.powi(half) * 10_f64.powi(rest);
        let (low, high) = (size * (1.0 - 1e-9), size * (1.0 + 1e-9) + f64::MIN_POSITIVE);
        if self.is_negative {
            (-high, -low)
        } else {
            (low, high)
        }
    }

    fn sign(self) -> i8 {
        match (self.is_negative, self.digits().next()) {
            (_, None) => 0,
            (true, Some(_)) => -1,
            (false, Some(_)) => 1,
        }
    }

    fn digits(self) -> impl Iterator<Item = u8> {
        self.whole.bytes().chain(self.fraction.bytes())
    }
}

impl Ord for Number<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        let by_size = || {
            let by_point = self.point.cmp(&other.point);
            by_point.then_with(|| self.digits().cmp(other.digits()))
        };
        self.sign()
            .cmp(&other.sign())
            .then_with(|| match self.is_negative {
                true => by_size().reverse(),
                false => by_size(),
            })
    }
}

impl PartialOrd for Number<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Number<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Number<'_> {}

/// A number of a filter: equal values are equal in all fields.
///
/// ```
/// use herald_core::filter::{Decimal, Number};
///
/// let [tenth, same] = ["0.10", "1e-1"].map(|text| Decimal::from(Number::parse(text).unwrap()));
/// assert_eq!(tenth, same);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Decimal {
    is_negative: bool,
    digits: Box<str>,
    point: i64,
}

impl Decimal {
    pub fn number(&self) -> Number<'_> {
        Number {
            is_negative: self.is_negative,
            whole: &self.digits,
            fraction: "",
            point: self.point,
        }
    }
}

impl From<Number<'_>> for Decimal {
    fn from(number: Number<'_>) -> Decimal {
        Decimal {
            is_negative: number.is_negative,
            digits: [number.whole, number.fraction].concat().into(),
            point: number.point,
        }
    }
}

fn exponent_of(text: &str) -> i64 {
    let digits = text.trim_start_matches(['+', '-']).trim_start_matches('0');
    let size = match digits {
        "" => 0,
        digits => digits
            .parse()
            .map_or(MAX_EXPONENT, |size: i64| size.min(MAX_EXPONENT)),
    };
    if text.starts_with('-') { -size } else { size }
}

fn length(digits: &str) -> i64 {
    i64::try_from(digits.len()).unwrap_or(MAX_EXPONENT)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn number(text: &str) -> Number<'_> {
        Number::parse(text).unwrap()
    }

    #[test]
    fn equal_values_are_equal_however_they_are_written() {
        let long = "123456789012345678901234567890";
        for (a, b) in [
            ("0", "-0.00e7"),
            ("0.1", "0.10"),
            ("0.1", "1e-1"),
            ("100", "1E+2"),
            ("100", "0.001e5"),
            ("-42.50", "-4250e-2"),
            ("1e999999999", "10e999999998"),
            ("0e99999999999999999999", "0"),
            (
                "1e000000000000000000000000000000000000000000000000000000000002",
                "100",
            ),
            (long, &format!("{long}.000")),
        ] {
            assert_eq!(number(a), number(b), "{a} {b}");
            assert_eq!(
                Decimal::from(number(a)),
                Decimal::from(number(b)),
                "{a} {b}"
            );
        }
    }

    #[test]
    fn numbers_are_ordered_by_all_their_digits_and_exponents() {
        let ascending = [
            "-1e99999999999999999999",
            "-1e999999999",
            "-9007199254740993",
            "-9007199254740992",
            "-1.5",
            "-0.00000000000000000000000000000000000000001",
            "0",
            "1e-99999999999999999999",
            "1e-999999999",
            "0.1",
            "0.10000000000000000000000000000001",
            "0.2",
            "1",
            "1.05",
            "1.5",
            "2",
            "10",
            "123456789012345678901234567890",
            "123456789012345678901234567891",
            "1e999999999",
            "1e99999999999999999999",
        ];
        for (place, a) in ascending.iter().enumerate() {
            for (other, b) in ascending.iter().enumerate() {
                assert_eq!(number(a).cmp(&number(b)), place.cmp(&other), "{a} {b}");
            }
        }
    }

    #[test]
    fn a_number_is_about_its_value() {
        for (text, value) in [
            ("0", 0.0),
            ("-1.5", -1.5),
            ("123456789012345678901234567890", 1.234_567_890_123_456_8e29),
            ("1e300", 1e300),
            ("-25e-301", -25e-301),
            ("0.000001", 1e-6),
        ] {
            let (low, high) = number(text).about();
            assert!(low <= value && value <= high, "{text}: {low} to {high}");
            assert!(high - low <= value.abs() / 1e6 + 1e-300, "{text}");
        }
        assert_eq!(number("1e999999999").about().1, f64::INFINITY);
        assert!(number("1e-999999999").about().0 <= 0.0);
    }

    #[test]
    fn other_texts_are_no_numbers() {
        for text in [
            "", "-", "01", ".5", "1.", "1e", "+1", "1_000", "0x1", " 1", "1 ", "NaN",
        ] {
            assert_eq!(Number::parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn numbers_compare_as_integers_do(a: i32, b: i32, places in 0_usize..6, zeros in 0_usize..4) {
            // The same value with a fraction and an exponent that cancel each other.
            let written = |number: i32| format!("{number}.{}e-{places}", "0".repeat(zeros + 1));
            let plain = |number: i32| format!("{number}e-{places}");
            let (long, short) = (written(a), plain(b));
            prop_assert_eq!(number(&long).cmp(&number(&short)), a.cmp(&b));
            let (long, short) = (Decimal::from(number(&long)), Decimal::from(number(&short)));
            prop_assert_eq!(long == short, a == b);
            prop_assert_eq!(long.number().cmp(&short.number()), a.cmp(&b));
        }

        #[test]
        fn a_number_is_smaller_than_one_with_a_digit_more(digits in "[1-9][0-9]{0,40}", more in "[1-9]") {
            let longer = digits.clone() + &more;
            prop_assert!(number(&digits) < number(&longer));
            let [short, long] = [digits, longer].map(|digits| format!("0.{digits}"));
            prop_assert!(number(&short) < number(&long));
        }
    }
}
