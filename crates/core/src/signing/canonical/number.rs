//! Numbers as ECMAScript and Python write them, and whether a double holds them exactly.

use std::fmt::Write;

/// A JSON number in its parts.
pub(super) struct Number<'a> {
    pub(super) text: &'a str,
    whole: &'a str,
    fraction: &'a str,
    exponent: &'a str,
}

impl<'a> Number<'a> {
    pub(super) fn split_from(text: &'a str) -> Option<(Self, &'a str)> {
        let (whole, mut rest) = split_digits(text.strip_prefix('-').unwrap_or(text))?;
        if whole.len() > 1 && whole.starts_with('0') {
            return None;
        }
        let (mut fraction, mut exponent) = ("", "");
        if let Some(after) = rest.strip_prefix('.') {
            (fraction, rest) = split_digits(after)?;
        }
        if let Some(after) = rest.strip_prefix(['e', 'E']) {
            (_, rest) = split_digits(after.strip_prefix(['+', '-']).unwrap_or(after))?;
            (exponent, rest) = after.split_at_checked(after.len() - rest.len())?;
        }
        let (text, rest) = text.split_at_checked(text.len() - rest.len())?;
        let number = Number {
            text,
            whole,
            fraction,
            exponent,
        };
        Some((number, rest))
    }

    /// Returns whether the number has neither fraction nor exponent.
    pub(super) fn is_integer(&self) -> bool {
        self.fraction.is_empty() && self.exponent.is_empty()
    }

    /// Returns the shortest digits of its double, if they have the number's value.
    ///
    /// Compares digits, so that the result does not depend on how well the double was parsed: digits of the same value
    /// lead to the same double.
    pub(super) fn exact_double(&self) -> Option<Decimal> {
        let value = self.decimal()?;
        // In this range, different numbers of at most 15 digits have different doubles (C's DBL_DIG): these are the
        // shortest.
        if value.digits.len() <= 15 && (-300..=300).contains(&value.point) {
            return Some(value);
        }
        shortest(self.text.parse().ok()?).filter(|shortest| *shortest == value)
    }

    /// Returns none if the exponent exceeds 64 bits.
    fn decimal(&self) -> Option<Decimal> {
        let all = [self.whole, self.fraction].concat();
        let digits = all.trim_start_matches('0');
        if digits.is_empty() {
            return Some(Decimal {
                is_negative: false,
                digits: "0".into(),
                point: 1,
            });
        }
        let exponent = match self.exponent {
            "" => 0,
            exponent => exponent.parse().ok()?,
        };
        let leading_zeros = i64::try_from(all.len() - digits.len()).ok()?;
        let point = i64::try_from(self.whole.len()).ok()? - leading_zeros;
        Some(Decimal {
            is_negative: self.text.starts_with('-'),
            digits: digits.trim_end_matches('0').into(),
            point: point.checked_add(exponent)?,
        })
    }
}

/// Returns the shortest digits that lead to the double: of several the nearest, and of two equally near the even ones
/// (ECMA-262, Number::toString, note 2). Rust finds how many digits are needed, but of two it takes the larger.
fn shortest(double: f64) -> Option<Decimal> {
    let read = |text: &str| Number::split_from(text)?.0.decimal();
    // Infinity has no digits.
    let shortest = read(&format!("{double:e}"))?;
    let places = shortest.digits.len() - 1;
    let nearest = format!("{double:.places$e}");
    // They lead to another double where doubles below are closer to each other than those above.
    if nearest.parse() == Ok(double) {
        read(&nearest)
    } else {
        Some(shortest)
    }
}

fn split_digits(text: &str) -> Option<(&str, &str)> {
    let count = text.bytes().take_while(u8::is_ascii_digit).count();
    text.split_at_checked(count).filter(|_| count > 0)
}

/// The value 0.`digits` * 10^`point`, in a unique form: digits neither begin nor end with a zero, and zero itself is
/// 0.0 * 10^1.
#[derive(PartialEq, Eq)]
pub(super) struct Decimal {
    is_negative: bool,
    digits: String,
    point: i64,
}

impl Decimal {
    /// Appends the number as Number::toString with radix 10 does (ECMA-262, where `point` is n).
    pub(super) fn push_to(&self, json: &mut String) {
        if self.is_negative {
            json.push('-');
        }
        let digits = &self.digits;
        let distance = usize::try_from(self.point.unsigned_abs()).unwrap_or(usize::MAX);
        // Writing to a String cannot fail.
        let _ = match self.point {
            1..=21 => match digits.split_at_checked(distance) {
                Some((whole, fraction)) if !fraction.is_empty() => {
                    write!(json, "{whole}.{fraction}")
                }
                _ => write!(json, "{digits:0<distance$}"),
            },
            -5..=0 => {
                let places = distance + digits.len();
                write!(json, "0.{digits:0>places$}")
            }
            point => {
                let (first, others) = digits.split_at_checked(1).unwrap_or((digits, ""));
                let dot = if others.is_empty() { "" } else { "." };
                write!(json, "{first}{dot}{others}e{:+}", point - 1)
            }
        };
    }
    /// Appends the number as Python's `float.__repr__` does, where zero has a sign.
    pub(super) fn push_float_to(&self, json: &mut String, is_negative: bool) {
        if is_negative {
            json.push('-');
        }
        let digits = &self.digits;
        let distance = usize::try_from(self.point.unsigned_abs()).unwrap_or(usize::MAX);
        // Writing to a String cannot fail.
        let _ = match self.point {
            1..=16 => match digits.split_at_checked(distance) {
                Some((whole, fraction)) if !fraction.is_empty() => {
                    write!(json, "{whole}.{fraction}")
                }
                _ => write!(json, "{digits:0<distance$}.0"),
            },
            -3..=0 => {
                let places = distance + digits.len();
                write!(json, "0.{digits:0>places$}")
            }
            point => {
                let (first, others) = digits.split_at_checked(1).unwrap_or((digits, ""));
                let dot = if others.is_empty() { "" } else { "." };
                write!(json, "{first}{dot}{others}e{:+03}", point - 1)
            }
        };
    }
}
