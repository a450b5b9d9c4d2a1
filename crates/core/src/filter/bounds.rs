//! The bounds of filters: a user writes them, and everybody waits while they are evaluated.

/// The maximum size of a filter's text, in bytes.
pub const MAX_FILTER_BYTES: usize = 65_536;
/// The maximum nesting of filters, in levels: each filter inside `all`, `any`, `not` or `$or` is a level deeper.
pub const MAX_FILTER_LEVELS: usize = 16;
/// The maximum number of values that a filter compares with. An `$or` that is multiplied out counts its copies.
pub const MAX_TESTS: usize = 1_000;
/// The maximum number of members on a path into the data.
pub const MAX_PATH_MEMBERS: usize = 32;
/// The maximum size of the names on a path into the data, in bytes.
pub const MAX_PATH_BYTES: usize = 1_024;
/// The maximum size of a string that a filter compares with, in bytes.
pub const MAX_STRING_BYTES: usize = 1_024;
/// The maximum number of `*` in such a string.
pub const MAX_STARS: usize = 10;
/// The maximum number of values that a filter may ask for in an event's data, with all elements of arrays. At most this
/// many times [`MAX_TESTS`] comparisons are made.
pub const MAX_VALUES: usize = 10_000;
/// The maximum length of a rule or a value in an explanation, in characters.
pub const MAX_SHOWN: usize = 200;
/// The maximum size of an event's data that filters look at, in bytes.
pub const MAX_DATA_BYTES: i32 = 16_777_216;
/// The maximum work of all filters on the data of one event: comparisons, times a sixteenth of the bytes compared.
pub const MAX_WORK: u64 = 4_000_000;
