//! The rows of a query, a page at a time, each row taken apart once.
//!
//! SPI would copy the whole result, and search for each value from the row's first column.

use super::varlena;
use pgrx::datum::{FromDatum, IntoDatum};
use pgrx::pg_sys;
use pgrx::spi::SpiCursor;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::slice;

/// An open query.
pub struct Pages<'c> {
    cursor: ManuallyDrop<SpiCursor<'c>>,
}

impl<'c> Pages<'c> {
    pub fn of(cursor: SpiCursor<'c>) -> Self {
        Self {
            cursor: ManuallyDrop::new(cursor),
        }
    }

    /// Fetches the next rows, at most `most`; none at the end.
    pub fn next(&mut self, most: usize) -> Page<'_> {
        let most = std::ffi::c_long::try_from(most).unwrap_or(std::ffi::c_long::MAX);
        if let Err(error) = self.cursor.fetch(most) {
            pgrx::error!("pg_herald: {error}");
        }
        Page::fetched()
    }
}

impl Drop for Pages<'_> {
    fn drop(&mut self) {
        // After an ERROR the end of the transaction closes the cursor.
        if !std::thread::panicking() {
            // SAFETY: dropped once, here.
            unsafe { ManuallyDrop::drop(&mut self.cursor) }
        }
    }
}

/// Some rows of a query.
pub struct Page<'p> {
    table: *mut pg_sys::SPITupleTable,
    /// The types of the columns.
    types: Vec<pg_sys::Oid>,
    pages: PhantomData<&'p ()>,
}

impl Page<'_> {
    /// Returns what the last call of SPI fetched.
    pub(super) fn fetched() -> Self {
        // SAFETY: reads a pointer that the call has set, on the only thread that runs PostgreSQL. A fetched table has a
        // descriptor with `natts` columns.
        unsafe {
            let table = pg_sys::SPI_tuptable;
            let types = if table.is_null() {
                Vec::new()
            } else {
                let descriptor = (*table).tupdesc;
                let columns = 1..=(*descriptor).natts;
                columns
                    .map(|column| pg_sys::SPI_gettypeid(descriptor, column))
                    .collect()
            };
            Self {
                table,
                types,
                pages: PhantomData,
            }
        }
    }

    pub fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        let tuples: &[pg_sys::HeapTuple] = if self.table.is_null() {
            &[]
        } else {
            // SAFETY: a fetched table has `numvals` tuples, and lives as long as this value.
            unsafe { slice::from_raw_parts((*self.table).vals, (*self.table).numvals as usize) }
        };
        tuples.iter().map(|tuple| self.row(*tuple))
    }

    fn row(&self, tuple: pg_sys::HeapTuple) -> Row<'_> {
        // SAFETY: the tuple belongs to the table, and has its format.
        unsafe {
            let descriptor = (*self.table).tupdesc;
            let columns = (*descriptor).natts as usize;
            let mut values = vec![pg_sys::Datum::from(0usize); columns];
            let mut nulls = vec![true; columns];
            pg_sys::heap_deform_tuple(tuple, descriptor, values.as_mut_ptr(), nulls.as_mut_ptr());
            Row {
                types: &self.types,
                values,
                nulls,
            }
        }
    }
}

impl Drop for Page<'_> {
    fn drop(&mut self) {
        if !std::thread::panicking() && !self.table.is_null() {
            // SAFETY: fetched by the SPI connection that is still open, and freed once.
            unsafe { pg_sys::SPI_freetuptable(self.table) }
        }
    }
}

/// One row. Columns count from 1, as in SQL.
pub struct Row<'p> {
    types: &'p [pg_sys::Oid],
    values: Vec<pg_sys::Datum>,
    nulls: Vec<bool>,
}

impl Row<'_> {
    /// Returns the column's value; `None` if it is null, or if the column has another type.
    pub fn get<T: FromDatum + IntoDatum>(&self, column: usize) -> Option<T> {
        let (value, oid) = self.value(column)?;
        if !T::is_compatible_with(oid) {
            return None;
        }
        // SAFETY: the value is not null and of a type that T is made from.
        unsafe { T::from_polymorphic_datum(value, false, oid) }
    }

    /// Returns the text of a column of type text or json, which are stored alike.
    pub fn text(&self, column: usize) -> Option<String> {
        let (value, _) = self.text_value(column)?;
        // SAFETY: the value is not null, and a varlena of characters.
        unsafe { String::from_polymorphic_datum(value, false, pg_sys::TEXTOID) }
    }

    /// Returns the bytes of such a column's text; 0 for null. Neither fetches nor decompresses it.
    pub fn text_bytes(&self, column: usize) -> usize {
        let Some((value, _)) = self.text_value(column) else {
            return 0;
        };
        // SAFETY: the value is not null, and a varlena.
        unsafe { varlena::raw_size(value) }
    }

    /// Returns the beginning of such a column's text. Fetches no more than needed.
    pub fn beginning(&self, column: usize, bytes: usize) -> Option<String> {
        let (value, _) = self.text_value(column)?;
        let count = i32::try_from(bytes).unwrap_or(i32::MAX);
        // SAFETY: the value is not null, and a varlena; the slice is allocated in the current memory context.
        unsafe {
            let slice = pg_sys::pg_detoast_datum_slice(value.cast_mut_ptr(), 0, count);
            let bytes = pgrx::varlena::varlena_to_byte_slice(slice);
            // A character that is cut in two is left out.
            let whole = bytes.utf8_chunks().next().map_or("", |chunk| chunk.valid());
            Some(whole.to_owned())
        }
    }

    /// Returns the value of a column of type text or json, which are stored alike.
    fn text_value(&self, column: usize) -> Option<(pg_sys::Datum, pg_sys::Oid)> {
        self.value(column)
            .filter(|(_, oid)| [pg_sys::TEXTOID, pg_sys::JSONOID].contains(oid))
    }

    /// Returns the value of a column of type xid8.
    pub fn transaction_id(&self, column: usize) -> Option<u64> {
        let (value, oid) = self.value(column)?;
        (oid == pg_sys::XID8OID).then(|| value.value() as u64)
    }

    fn value(&self, column: usize) -> Option<(pg_sys::Datum, pg_sys::Oid)> {
        let position = column.checked_sub(1)?;
        if *self.nulls.get(position)? {
            return None;
        }
        Some((self.values[position], self.types[position]))
    }
}
