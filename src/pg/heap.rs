//! Writes rows into a table of the log without the executor, which costs several times as much per row.
//!
//! The caller ensures what an INSERT would: defaults, constraints, partition bounds. No user code runs, and no
//! privilege is checked. If the table has more than its [`Layout`] knows, an INSERT writes the rows after all.

use super::insert::Insert;
use super::layout::Layout;
use super::symbols::{self, nextval_internal};
use pgrx::datum::TimestampWithTimeZone;
use pgrx::{IntoDatum, pg_sys, pg_sys::Datum};

/// A value of a row.
#[derive(Debug, Clone, Copy)]
pub enum Value<'a> {
    Null,
    Int2(i16),
    Int4(i32),
    Int8(i64),
    Float4(f32),
    Time(TimestampWithTimeZone),
    Uuid(&'a [u8; 16]),
    /// A text, or JSON.
    Text(&'a str),
}

impl<'a, T> From<Option<T>> for Value<'a>
where
    Value<'a>: From<T>,
{
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Self::from)
    }
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(text)
    }
}

/// A table being written to. It stays locked until the end of the transaction, as after an INSERT.
pub struct Heap<'l> {
    way: Way<'l>,
    values: Vec<Datum>,
    nulls: Vec<bool>,
    /// The texts of a row, each with its length before it; words, to be aligned as PostgreSQL reads them.
    texts: Vec<u64>,
}

/// How rows get into the table.
enum Way<'l> {
    Direct(Direct<'l>),
    Ordinary(Insert),
}

/// An open table with its indexes, and the positions of a row's values.
struct Direct<'l> {
    relation: pg_sys::Relation,
    indexes: pg_sys::CatalogIndexState,
    positions: &'l [usize],
}

impl<'l> Heap<'l> {
    /// Opens a table, which must be locked for writing.
    pub fn open(layout: &'l Layout) -> Self {
        let (way, columns) = match &layout.positions {
            Some(positions) => {
                let (direct, columns) = Direct::open(layout.table, positions);
                (Way::Direct(direct), columns)
            }
            None => {
                let insert = Insert::into_table(layout.known);
                (Way::Ordinary(insert), layout.known.columns.len())
            }
        };
        Self {
            way,
            values: vec![Datum::from(0usize); columns],
            nulls: vec![true; columns],
            texts: Vec::new(),
        }
    }

    /// Writes one row: the values of the known columns, in order. They must have the columns' types.
    pub fn insert<const N: usize>(&mut self, row: [Value<'_>; N]) {
        let words = row.iter().map(|value| value.words()).sum();
        self.texts.clear();
        self.texts.resize(words, 0);
        let mut rest = self.texts.as_mut_slice();
        for (at, value) in row.iter().enumerate() {
            let position = match &self.way {
                Way::Direct(direct) => direct.positions[at],
                Way::Ordinary(_) => at,
            };
            let (text, behind) = rest.split_at_mut(value.words());
            rest = behind;
            let datum = value.datum(text);
            self.nulls[position] = datum.is_none();
            self.values[position] = datum.unwrap_or(Datum::from(0usize));
        }
        match &self.way {
            Way::Direct(direct) => direct.insert(&mut self.values, &mut self.nulls),
            Way::Ordinary(insert) => insert.run(&mut self.values, &self.nulls),
        }
    }
}

impl<'l> Direct<'l> {
    /// Opens a table. Also returns its number of columns, dropped ones included.
    fn open(table: pg_sys::Oid, positions: &'l [usize]) -> (Self, usize) {
        // SAFETY: an ERROR unless the table exists; it is open from then on. No Rust value needs to be dropped if an
        // ERROR is raised inside.
        let (relation, indexes, columns) = unsafe {
            pg_sys::ffi::pg_guard_ffi_boundary(|| {
                let relation = symbols::table_open(table, pg_sys::NoLock as i32);
                let columns = (*(*relation).rd_att).natts as usize;
                (relation, symbols::CatalogOpenIndexes(relation), columns)
            })
        };
        let direct = Self {
            relation,
            indexes,
            positions,
        };
        (direct, columns)
    }

    fn insert(&self, values: &mut [Datum], nulls: &mut [bool]) {
        let (relation, indexes) = (self.relation, self.indexes);
        let (values, nulls) = (values.as_mut_ptr(), nulls.as_mut_ptr());
        // SAFETY: relation and indexes are open while this value lives; each column has a value, and what it points to
        // is kept until the tuple is made. No Rust value needs to be dropped if an ERROR is raised inside.
        unsafe {
            pg_sys::ffi::pg_guard_ffi_boundary(|| {
                let tuple = symbols::heap_form_tuple((*relation).rd_att, values, nulls);
                symbols::CatalogTupleInsertWithInfo(relation, tuple, indexes);
                symbols::heap_freetuple(tuple);
            });
        }
    }
}

/// Bytes of the length that is stored before a text.
const LENGTH: usize = pg_sys::VARHDRSZ;
/// Bytes of the longest storable text.
pub const LONGEST: usize = 0x3fff_ffff - LENGTH;

impl Value<'_> {
    /// Returns how many words of memory it needs besides its datum.
    fn words(&self) -> usize {
        match self {
            Self::Text(text) => (LENGTH + text.len()).div_ceil(size_of::<u64>()),
            _ => 0,
        }
    }

    /// Returns its datum. `memory` has [`Self::words`] words, and must outlive the datum.
    fn datum(&self, memory: &mut [u64]) -> Option<Datum> {
        match self {
            Self::Null => None,
            Self::Int2(value) => value.into_datum(),
            Self::Int4(value) => value.into_datum(),
            Self::Int8(value) => value.into_datum(),
            Self::Float4(value) => value.into_datum(),
            Self::Time(value) => value.into_datum(),
            Self::Uuid(bytes) => Some(Datum::from(bytes.as_ptr())),
            Self::Text(text) => {
                assert!(text.len() <= LONGEST, "a text of {} bytes", text.len());
                let length = LENGTH + text.len();
                let start = memory.as_mut_ptr().cast::<u8>();
                // SAFETY: the memory has the words of this value, and is aligned for the length.
                unsafe {
                    pgrx::varlena::set_varsize_4b(start.cast(), length as i32);
                    start
                        .add(LENGTH)
                        .copy_from_nonoverlapping(text.as_ptr(), text.len());
                }
                Some(Datum::from(start))
            }
        }
    }
}

impl Drop for Direct<'_> {
    fn drop(&mut self) {
        // After an ERROR PostgreSQL closes them itself.
        if !std::thread::panicking() {
            let (relation, indexes) = (self.relation, self.indexes);
            // SAFETY: opened in `open`, closed once; the lock stays.
            unsafe {
                pg_sys::ffi::pg_guard_ffi_boundary(|| {
                    symbols::CatalogCloseIndexes(indexes);
                    symbols::table_close(relation, pg_sys::NoLock as i32);
                });
            }
        }
    }
}

/// Draws a number from a sequence of pg_herald.
pub fn next_value(sequence: pg_sys::Oid) -> i64 {
    // SAFETY: an ERROR unless the sequence exists; the call is guarded.
    unsafe { pg_sys::ffi::pg_guard_ffi_boundary(|| nextval_internal(sequence, false)) }
}
