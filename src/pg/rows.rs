//! Rows of a transition table, and what capture makes of them: JSON, text, comparisons.
//!
//! Converting a value calls the type's own functions, which may be a user's. Callers first switch to the table's owner
//! (`pg::user`), unless [`Shape::is_plain`] and [`Column::has_plain_text`] say that no such function is called.

use super::json::Encoding;
use super::memory::Memory;
use super::symbols::datum_image_eq;
use super::varlena;
use herald_core::json::{minify, push_string};
use pgrx::{PgRelation, pg_sys};
use std::cell::OnceCell;
use std::ffi::CStr;
use std::marker::PhantomData;

/// A column of a [`Shape`].
#[derive(Debug, Clone)]
pub struct Column {
    pub name: String,
    number: i16,
    type_oid: pg_sys::Oid,
    length: i16,
    by_value: bool,
    encoding: Option<Encoding>,
}

impl Column {
    fn of(attribute: &pg_sys::FormData_pg_attribute) -> Self {
        Self {
            name: attribute.name().to_owned(),
            number: attribute.attnum,
            type_oid: attribute.atttypid,
            length: attribute.attlen,
            by_value: attribute.attbyval,
            encoding: Encoding::of(attribute.atttypid),
        }
    }

    /// Returns whether [`Row::text`] calls no user's function and depends on no setting.
    pub fn has_plain_text(&self) -> bool {
        self.encoding.is_some_and(Encoding::has_text)
    }
}

/// The row format of a watched table, and how to convert rows of one of its partitions or children to it.
///
/// It holds nothing of a transaction, so it may be kept until the definition of either table changes.
pub struct Shape {
    /// Without dropped columns and those that PostgreSQL does not compute for triggers.
    pub columns: Vec<Column>,
    descriptor: pg_sys::TupleDesc,
    members: Option<Vec<Member>>,
    projection: Option<Projection>,
    conversion: *mut pg_sys::TupleConversionMap,
    // Owns what the pointers point to.
    _memory: Memory,
}

/// A column in the JSON of a row written without `row_to_json`.
struct Member {
    position: usize,
    /// `"name":`
    start: String,
    encoding: Encoding,
}

struct Projection {
    descriptor: pg_sys::TupleDesc,
    numbers: Vec<i16>,
}

impl Shape {
    /// Returns the format of `watched`, read from rows of `fired`, with only the `kept` columns in the JSON (all if
    /// `None`).
    pub fn new(
        watched: pg_sys::Oid,
        fired: pg_sys::Oid,
        kept: Option<&dyn Fn(&str) -> bool>,
    ) -> Self {
        let memory = Memory::of_session(c"pg_herald shape");
        // SAFETY: both relations exist and are locked: `fired` by the statement, `watched` by this call. Their
        // descriptors are copied, and everything made here lives in `memory`, as long as the value.
        unsafe {
            let relation = PgRelation::with_lock(watched, pg_sys::AccessShareLock as i32);
            let descriptor = relation.tuple_desc();
            let attributes = descriptor
                .iter()
                .filter(|attribute| !attribute.attisdropped);
            let (computed, stored): (Vec<_>, Vec<_>) =
                attributes.partition(|attribute| is_virtual(attribute));
            let columns: Vec<Column> = stored.into_iter().map(Column::of).collect();
            let kept = kept.or((!computed.is_empty()).then_some(&|_: &str| true));
            let (descriptor, conversion, projection) = memory.run(|| {
                // With the defaults of columns, for rows older than a column.
                let descriptor = pg_sys::CreateTupleDescCopyConstr((*relation.as_ptr()).rd_att);
                let conversion = if watched == fired {
                    std::ptr::null_mut()
                } else {
                    let part = PgRelation::with_lock(fired, pg_sys::AccessShareLock as i32);
                    let part = pg_sys::CreateTupleDescCopyConstr((*part.as_ptr()).rd_att);
                    pg_sys::convert_tuples_by_name(part, descriptor)
                };
                let projection = kept.map(|kept| Projection::of(descriptor, &columns, kept));
                (descriptor, conversion, projection)
            });
            Self {
                members: Member::of_all(&columns, kept),
                columns,
                descriptor,
                projection,
                conversion,
                _memory: memory,
            }
        }
    }

    /// Returns whether [`Row::push_json`] calls no user's function and depends on no setting.
    pub fn is_plain(&self) -> bool {
        let members = self.members.as_ref();
        members.is_some_and(|members| members.iter().all(|member| member.encoding.is_exact()))
    }

    /// Returns the position of the column with this name among [`Self::columns`].
    pub fn position(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.name == name)
    }
}

/// Returns whether the column is generated when read (from PostgreSQL 18 on): rows in triggers have null for it.
fn is_virtual(attribute: &pg_sys::FormData_pg_attribute) -> bool {
    attribute.attgenerated as u8 == b'v'
}

impl Member {
    /// Returns the members of a row's JSON, if all of them can be written without `row_to_json`.
    fn of_all(columns: &[Column], kept: Option<&dyn Fn(&str) -> bool>) -> Option<Vec<Self>> {
        let is_kept = |column: &&Column| kept.is_none_or(|kept| kept(&column.name));
        let member = |column: &Column| {
            let mut start = String::new();
            push_string(&mut start, &column.name);
            start.push(':');
            Some(Self {
                position: column.number as usize - 1,
                start,
                encoding: column.encoding?,
            })
        };
        columns.iter().filter(is_kept).map(member).collect()
    }
}

impl Projection {
    /// # Safety
    /// `columns` come from `descriptor`.
    unsafe fn of(
        descriptor: pg_sys::TupleDesc,
        columns: &[Column],
        kept: &dyn Fn(&str) -> bool,
    ) -> Self {
        let numbers: Vec<i16> = columns
            .iter()
            .filter(|column| kept(&column.name))
            .map(|column| column.number)
            .collect();
        // SAFETY: by the contract; every number is that of a column of `descriptor`.
        unsafe {
            let projected = pg_sys::CreateTemplateTupleDesc(numbers.len() as i32);
            for (position, number) in numbers.iter().enumerate() {
                pg_sys::TupleDescCopyEntry(projected, position as i16 + 1, descriptor, *number);
            }
            Self {
                descriptor: pg_sys::BlessTupleDesc(projected),
                numbers,
            }
        }
    }
}

/// The rows of one transition table, in order, or a single row.
pub struct Rows<'a> {
    source: Source,
    trigger: PhantomData<&'a ()>,
}

enum Source {
    Table(Table),
    /// The row, until it is read.
    One(Option<pg_sys::HeapTuple>),
}

struct Table {
    store: *mut pg_sys::Tuplestorestate,
    slot: *mut pg_sys::TupleTableSlot,
    memory: pg_sys::MemoryContext,
}

impl Rows<'_> {
    /// # Safety
    /// `store` is null or a tuplestore of rows in the format of `descriptor`; both outlive the value.
    pub(super) unsafe fn of(
        store: *mut pg_sys::Tuplestorestate,
        descriptor: pg_sys::TupleDesc,
    ) -> Option<Self> {
        if store.is_null() {
            return None;
        }
        // SAFETY: by the contract of this function. The slot is dropped with this value.
        unsafe {
            pg_sys::tuplestore_rescan(store);
            let slot = pg_sys::MakeSingleTupleTableSlot(descriptor, &pg_sys::TTSOpsMinimalTuple);
            Some(Self {
                source: Source::Table(Table {
                    store,
                    slot,
                    memory: pg_sys::CurrentMemoryContext,
                }),
                trigger: PhantomData,
            })
        }
    }

    /// # Safety
    /// `tuple` is null or a row in the format of the relation whose trigger fired; it outlives the value.
    pub(super) unsafe fn of_row(tuple: pg_sys::HeapTuple) -> Option<Self> {
        (!tuple.is_null()).then_some(Self {
            source: Source::One(Some(tuple)),
            trigger: PhantomData,
        })
    }

    /// Returns the number of all rows; for a single row, 1 until it is read.
    pub fn len(&self) -> i64 {
        match &self.source {
            // SAFETY: the tuplestore lives as long as this value.
            Source::Table(table) => unsafe { pg_sys::tuplestore_tuple_count(table.store) },
            Source::One(tuple) => tuple.is_some().into(),
        }
    }

    /// Returns the next row, in the format of `shape`. It lives until the memory context of the call is reset.
    pub fn next<'s>(&mut self, shape: &'s Shape) -> Option<Row<'s>> {
        let mut tuple = match &mut self.source {
            Source::Table(table) => table.next()?,
            Source::One(tuple) => tuple.take()?,
        };
        // SAFETY: the tuple has the format that the shape's conversion takes, and outlives the row, whose datums point
        // into it; what is made from it is in the current memory context.
        unsafe {
            if !shape.conversion.is_null() {
                tuple = pg_sys::execute_attr_map_tuple(tuple, shape.conversion);
            }
            let natts = (*shape.descriptor).natts as usize;
            let stored = u32::from((*(*tuple).t_data).t_infomask2) & pg_sys::HEAP_NATTS_MASK;
            if (stored as usize) < natts {
                tuple = pg_sys::heap_expand_tuple(tuple, shape.descriptor);
            }
            let mut values = vec![pg_sys::Datum::from(0usize); natts];
            let mut nulls = vec![true; natts];
            pg_sys::heap_deform_tuple(
                tuple,
                shape.descriptor,
                values.as_mut_ptr(),
                nulls.as_mut_ptr(),
            );
            Some(Row {
                tuple,
                values,
                nulls,
                shape,
                composite: OnceCell::new(),
            })
        }
    }
}

impl Table {
    /// Copies the next row into the current memory context.
    fn next(&mut self) -> Option<pg_sys::HeapTuple> {
        // SAFETY: store and slot live as long as this value; the slot has the format of the tuplestore. A tuple read
        // back from disk is allocated in the slot's memory and freed by the slot at the next call: it must not be in
        // memory that is reset before.
        unsafe {
            let row_memory = pg_sys::CurrentMemoryContext;
            pg_sys::CurrentMemoryContext = self.memory;
            let found = pg_sys::tuplestore_gettupleslot(self.store, true, false, self.slot);
            pg_sys::CurrentMemoryContext = row_memory;
            found.then(|| pg_sys::ExecCopySlotHeapTuple(self.slot))
        }
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        // After an ERROR the slot goes with its memory context: too late to touch it.
        if !std::thread::panicking() {
            // SAFETY: made in `of`, dropped once.
            unsafe { pg_sys::ExecDropSingleTupleTableSlot(self.slot) }
        }
    }
}

/// One row in the format of its [`Shape`].
pub struct Row<'s> {
    tuple: pg_sys::HeapTuple,
    values: Vec<pg_sys::Datum>,
    nulls: Vec<bool>,
    shape: &'s Shape,
    composite: OnceCell<pg_sys::Datum>,
}

impl Row<'_> {
    /// Returns the bytes of the tuple in memory: fewer than its values have if those are compressed or out of line.
    pub fn length(&self) -> usize {
        // SAFETY: the tuple lives as long as the row.
        unsafe { (*self.tuple).t_len as usize }
    }

    /// Returns the bytes of the values that its JSON shows, decompressed and in line. A short tuple without out-of-line
    /// values is not counted so: compressed values in it cannot be long.
    pub fn bytes(&self) -> usize {
        const SHORT: usize = 64 << 10;
        // SAFETY: the tuple lives as long as the row.
        let flags = unsafe { (*(*self.tuple).t_data).t_infomask };
        let is_whole = u32::from(flags) & pg_sys::HEAP_HASEXTERNAL == 0;
        if is_whole && self.length() <= SHORT {
            return self.length();
        }
        let projection = self.shape.projection.as_ref();
        let is_kept = |column: &&Column| {
            projection.is_none_or(|projection| projection.numbers.contains(&column.number))
        };
        let columns = self.shape.columns.iter().filter(is_kept);
        let values = columns.filter_map(|column| {
            let at = column.number as usize - 1;
            (column.length == -1 && !self.nulls[at]).then(|| self.values[at])
        });
        // SAFETY: the values are of the columns' types, which are varlenas.
        values
            .map(|value| unsafe { varlena::raw_size(value) })
            .sum()
    }

    /// Appends the columns that the shape keeps as a JSON object, as `to_json(row)` writes it but without white space.
    pub fn push_json(&self, json: &mut String) {
        let members = self.shape.members.as_ref();
        match members.filter(|_| self.shape.is_plain()) {
            Some(members) => self.push_members(json, members),
            None => json.push_str(&minify(&self.to_json())),
        }
    }

    fn push_members(&self, json: &mut String, members: &[Member]) {
        let mut separator = '{';
        for member in members {
            json.push(separator);
            separator = ',';
            json.push_str(&member.start);
            if self.nulls[member.position] {
                json.push_str("null");
            } else {
                // SAFETY: not null, and of the column's type, whose encoding this is.
                unsafe { member.encoding.push(json, self.values[member.position]) }
            }
        }
        json.push_str(if members.is_empty() { "{}" } else { "}" });
    }

    fn to_json(&self) -> String {
        // SAFETY: the composite datum is built from the tuple and its own descriptor; row_to_json takes such a datum
        // and returns a text.
        unsafe {
            let datum = match &self.shape.projection {
                None => self.composite(),
                Some(projection) => self.projected(projection),
            };
            let json = pgrx::direct_function_call_as_datum(pg_sys::row_to_json, &[Some(datum)])
                .expect("row_to_json of a row is never null");
            // Before PostgreSQL 16 a "char" may be a byte that is not UTF-8.
            let bytes = pgrx::varlena::varlena_to_byte_slice(json.cast_mut_ptr());
            String::from_utf8_lossy(bytes).into_owned()
        }
    }

    /// Returns the column's value as its type writes it; `None` for null.
    pub fn text(&self, column: &Column) -> Option<String> {
        let at = column.number as usize - 1;
        if self.nulls[at] {
            return None;
        }
        // SAFETY: the datum is of the column's type, as both come from one descriptor.
        unsafe {
            let plain = column
                .encoding
                .and_then(|encoding| encoding.text(self.values[at]));
            if plain.is_some() {
                return plain;
            }
            let (mut output, mut is_varlena) = (pg_sys::InvalidOid, false);
            pg_sys::getTypeOutputInfo(column.type_oid, &mut output, &mut is_varlena);
            let text = pg_sys::OidOutputFunctionCall(output, self.values[at]);
            Some(CStr::from_ptr(text).to_string_lossy().into_owned())
        }
    }

    /// Returns whether the column's stored value is the same in both rows, to the bit. Calls no function of the type.
    pub fn has_same(&self, other: &Row<'_>, column: &Column) -> bool {
        let at = column.number as usize - 1;
        match (self.nulls[at], other.nulls[at]) {
            (true, true) => true,
            (false, false) => {
                // SAFETY: both datums are of the column's type.
                unsafe {
                    let (left, right) = (self.values[at], other.values[at]);
                    let (by_value, length) = (column.by_value, i32::from(column.length));
                    pg_sys::ffi::pg_guard_ffi_boundary(|| {
                        datum_image_eq(left, right, by_value, length)
                    })
                }
            }
            _ => false,
        }
    }

    /// Returns the row as a value of its table's row type. It lives as long as the row.
    pub(super) fn composite(&self) -> pg_sys::Datum {
        // SAFETY: the datum is built from the tuple and its own descriptor, in the memory context of the row.
        *self.composite.get_or_init(|| unsafe {
            pg_sys::heap_copy_tuple_as_datum(self.tuple, self.shape.descriptor)
        })
    }

    /// # Safety
    /// `projection` belongs to the row's shape.
    unsafe fn projected(&self, projection: &Projection) -> pg_sys::Datum {
        let at = |number: &i16| *number as usize - 1;
        let columns = projection.numbers.iter();
        let mut values: Vec<_> = columns.clone().map(|n| self.values[at(n)]).collect();
        let mut nulls: Vec<_> = columns.map(|n| self.nulls[at(n)]).collect();
        // SAFETY: the values have the types of the projected columns, in order.
        unsafe {
            let tuple = pg_sys::heap_form_tuple(
                projection.descriptor,
                values.as_mut_ptr(),
                nulls.as_mut_ptr(),
            );
            pg_sys::heap_copy_tuple_as_datum(tuple, projection.descriptor)
        }
    }
}
