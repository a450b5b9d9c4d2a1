//! Writes values as JSON, byte for byte as `row_to_json` does.
//!
//! `row_to_json` looks up each value's type again for each row, which takes longer than writing the value. This module
//! calls only PostgreSQL's own functions and depends on a single setting, which it reads: so callers need not act as
//! the table's owner, under settings of pg_herald.

use super::varlena;
use herald_core::json::{minify, push_string};
use pgrx::pg_sys;
use pgrx::pg_sys::{BuiltinOid, Datum};
use std::borrow::Cow;
use std::ffi::CStr;
use std::fmt::Write;

/// How to write the values of a type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    Boolean,
    Int2,
    Int4,
    Int8,
    /// By the type's output function, in quotes unless it is a number (`NaN` is not).
    Number(Output),
    /// The same, but with all its digits only if `extra_float_digits` is above 0.
    Float(Output),
    Text,
    Uuid,
    /// A date or a timestamp; in UTC if it has a time zone.
    DateTime(pg_sys::Oid),
    Json(Output),
}

/// One of PostgreSQL's output functions.
type Output = pg_sys::Oid;

impl Encoding {
    /// Returns the encoding of this type, or of a domain over it. `None` for types that `row_to_json` must write: those
    /// that a user has defined, those that consist of other values, and rare ones.
    pub fn of(type_oid: pg_sys::Oid) -> Option<Self> {
        // SAFETY: the type is that of a column, or PostgreSQL raises an ERROR.
        let base = unsafe { pg_sys::getBaseType(type_oid) };
        let output = || {
            let (mut output, mut is_varlena) = (pg_sys::InvalidOid, false);
            // SAFETY: as above; both are written to.
            unsafe { pg_sys::getTypeOutputInfo(base, &mut output, &mut is_varlena) };
            output
        };
        match BuiltinOid::try_from(base).ok()? {
            BuiltinOid::BOOLOID => Some(Self::Boolean),
            BuiltinOid::INT2OID => Some(Self::Int2),
            BuiltinOid::INT4OID => Some(Self::Int4),
            BuiltinOid::INT8OID => Some(Self::Int8),
            BuiltinOid::NUMERICOID => Some(Self::Number(output())),
            BuiltinOid::FLOAT4OID | BuiltinOid::FLOAT8OID => Some(Self::Float(output())),
            BuiltinOid::TEXTOID | BuiltinOid::VARCHAROID | BuiltinOid::BPCHAROID => {
                Some(Self::Text)
            }
            BuiltinOid::UUIDOID => Some(Self::Uuid),
            BuiltinOid::DATEOID | BuiltinOid::TIMESTAMPOID | BuiltinOid::TIMESTAMPTZOID => {
                Some(Self::DateTime(base))
            }
            BuiltinOid::JSONOID | BuiltinOid::JSONBOID => Some(Self::Json(output())),
            _ => None,
        }
    }

    /// Returns whether values are written as in every other session under this session's settings.
    pub fn is_exact(self) -> bool {
        // SAFETY: a plain read of the variable behind the setting.
        !matches!(self, Self::Float(_)) || unsafe { pg_sys::extra_float_digits > 0 }
    }

    /// Appends a value.
    ///
    /// # Safety
    /// `value` has the type of this encoding, and is not null.
    pub unsafe fn push(self, json: &mut String, value: Datum) {
        // SAFETY: by the contract.
        unsafe {
            match self {
                Self::Boolean => json.push_str(if value.value() == 0 { "false" } else { "true" }),
                Self::Int2 | Self::Int4 | Self::Int8 => push_integer(json, self.integer(value)),
                Self::Number(output) | Self::Float(output) => {
                    let text = printed(output, value);
                    let digits = text.strip_prefix('-').unwrap_or(&text);
                    if digits.starts_with(|first: char| first.is_ascii_digit()) {
                        json.push_str(&text);
                    } else {
                        push_string(json, &text);
                    }
                }
                Self::Text => push_string(json, &text_of(value)),
                Self::Uuid => push_string(json, &uuid_text(value)),
                Self::DateTime(type_oid) => push_string(json, &date_time(type_oid, value)),
                Self::Json(output) => json.push_str(&minify(&printed(output, value))),
            }
        }
    }

    /// Returns the value as its type writes it, if that depends on no setting.
    ///
    /// # Safety
    /// As for [`Self::push`].
    pub unsafe fn text(self, value: Datum) -> Option<String> {
        // SAFETY: by the contract.
        unsafe {
            match self {
                Self::Int2 | Self::Int4 | Self::Int8 => {
                    let mut text = String::new();
                    push_integer(&mut text, self.integer(value));
                    Some(text)
                }
                Self::Text => Some(text_of(value).into_owned()),
                Self::Uuid => Some(uuid_text(value)),
                _ => None,
            }
        }
    }

    /// Returns whether [`Self::text`] writes these values.
    pub fn has_text(self) -> bool {
        matches!(
            self,
            Self::Int2 | Self::Int4 | Self::Int8 | Self::Text | Self::Uuid
        )
    }

    fn integer(self, value: Datum) -> i64 {
        match self {
            Self::Int2 => i64::from(value.value() as i16),
            Self::Int4 => i64::from(value.value() as i32),
            _ => value.value() as i64,
        }
    }
}

#[doc(hidden)]
#[unsafe(no_mangle)]
pub extern "C-unwind" fn pg_finfo_as_json_wrapper() -> &'static pg_sys::Pg_finfo_record {
    static V1: pg_sys::Pg_finfo_record = pg_sys::Pg_finfo_record { api_version: 1 };
    &V1
}

/// Implements herald_internal.as_json(text): returns the same value as json. The two types are stored alike; the text is not
/// checked.
///
/// # Safety
/// Only PostgreSQL may call it, as a strict function of the version-1 convention with one argument.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn as_json_wrapper(fcinfo: pg_sys::FunctionCallInfo) -> Datum {
    // SAFETY: by the contract there is an argument, and it is not null.
    unsafe { (*(*fcinfo).args.as_ptr()).value }
}

fn push_integer(json: &mut String, value: i64) {
    write!(json, "{value}").expect("a String takes all");
}

/// # Safety
/// `output` is the output function of the type of `value`.
unsafe fn printed(output: Output, value: Datum) -> String {
    // SAFETY: by the contract; the text is NUL-terminated, and copied at once.
    unsafe {
        let text = pg_sys::OidOutputFunctionCall(output, value);
        CStr::from_ptr(text).to_string_lossy().into_owned()
    }
}

/// # Safety
/// `value` is a text, possibly compressed or stored out of line.
unsafe fn text_of<'a>(value: Datum) -> Cow<'a, str> {
    use pgrx::varlena::varlena_to_byte_slice;
    // SAFETY: by the contract. A compressed or out-of-line value is copied into the current memory context.
    unsafe {
        let stored: *mut pg_sys::varlena = value.cast_mut_ptr();
        let here = if varlena::is_plain(stored) {
            stored
        } else {
            pg_sys::pg_detoast_datum_packed(stored)
        };
        String::from_utf8_lossy(varlena_to_byte_slice(here))
    }
}

/// # Safety
/// `value` is a uuid.
unsafe fn uuid_text(value: Datum) -> String {
    // SAFETY: by the contract: a pointer to its 16 bytes.
    let bytes = unsafe { *value.cast_mut_ptr::<[u8; 16]>() };
    uuid::Uuid::from_bytes(bytes).to_string()
}

/// # Safety
/// `value` is of this type, a date or a timestamp.
unsafe fn date_time(type_oid: pg_sys::Oid, value: Datum) -> String {
    let mut buffer = [0; pg_sys::MAXDATELEN as usize + 1];
    let utc = 0;
    // SAFETY: by the contract; the buffer has the size that is asked for, and is NUL-terminated by the call.
    unsafe {
        let text = pg_sys::JsonEncodeDateTime(buffer.as_mut_ptr(), value, type_oid, &utc);
        CStr::from_ptr(text).to_string_lossy().into_owned()
    }
}
