//! Writing rows into a table of the log without the executor, which costs several times as much for one row.
//!
//! What an INSERT would see to is the caller's: defaults, constraints, the bounds of a partition. Nothing of a user's
//! runs, and no privilege is asked for. Where there is more about the table than its [`Layout`] knows, rows are written
//! by an INSERT after all.

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
    /// Of a text, or of JSON.
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

/// A table that is being written to. It stays locked until the end of the transaction, as after an INSERT.
pub struct Heap<'l> {
    way: Way<'l>,
    values: Vec<Datum>,
    nulls: Vec<bool>,
    /// The texts of a row, each with its length before it. It is made of words because PostgreSQL reads them as such.
    texts: Vec<u64>,
}

/// How rows get into the table.
enum Way<'l> {
    Direct(Direct<'l>),
    Ordinary(Insert),
}

/// An open table with its indexes, and where the values of a row go.
struct Direct<'l> {
    relation: pg_sys::Relation,
    indexes: pg_sys::CatalogIndexState,
    positions: &'l [usize],
}

impl<'l> Heap<'l> {
    /// Opens a table, which has to be locked for writing.
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

    /// Writes one row: the values of the known columns, in their order. They must be of the columns' types.
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
    /// With the number of columns that the table has, dropped ones included.
    fn open(table: pg_sys::Oid, positions: &'l [usize]) -> (Self, usize) {
        // SAFETY: an ERROR if the table does not exist; it is open from then on. Nothing of ours has to be dropped when
        // one is raised inside.
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
        // SAFETY: relation and indexes are open as long as this value lives; there is a value for each column, and what
        // it points to is kept until the tuple is made. Nothing of ours has to be dropped when an ERROR is raised inside.
        unsafe {
            pg_sys::ffi::pg_guard_ffi_boundary(|| {
                let tuple = symbols::heap_form_tuple((*relation).rd_att, values, nulls);
                symbols::CatalogTupleInsertWithInfo(relation, tuple, indexes);
                symbols::heap_freetuple(tuple);
            });
        }
    }
}

/// The length of a text as it is stored before it.
const LENGTH: usize = pg_sys::VARHDRSZ;
/// Bytes of the longest text that can be stored.
pub const LONGEST: usize = 0x3fff_ffff - LENGTH;

impl Value<'_> {
    /// How many words of memory it needs beside its datum.
    fn words(&self) -> usize {
        match self {
            Self::Text(text) => (LENGTH + text.len()).div_ceil(size_of::<u64>()),
            _ => 0,
        }
    }

    /// `memory` has so many words, and must live as long as the datum.
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

/// Draws a number from a sequence of our own.
pub fn next_value(sequence: pg_sys::Oid) -> i64 {
    // SAFETY: the sequence exists (an ERROR says otherwise); the call is guarded.
    unsafe { pg_sys::ffi::pg_guard_ffi_boundary(|| nextval_internal(sequence, false)) }
}
