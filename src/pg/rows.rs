//! Rows of a transition table, and what capture makes of them: JSON, text, comparisons.
//!
//! Whatever converts a value here calls the type's own functions, which may be a user's. Callers switch to the
//! table's owner first (`pg::user`).

use super::symbols::datum_image_eq;
use pgrx::{PgMemoryContexts, PgRelation, pg_sys};
use std::ffi::CStr;
use std::marker::PhantomData;

/// One of the columns of a [`Shape`].
#[derive(Debug, Clone)]
pub struct Column {
    pub name: String,
    pub number: i16,
    pub type_oid: pg_sys::Oid,
    length: i16,
    by_value: bool,
}

/// The row format of a watched table, and how to get to it from the format of one of its partitions or children.
pub struct Shape {
    /// Without dropped columns.
    pub columns: Vec<Column>,
    /// The row type of the watched table.
    pub row_type: pg_sys::Oid,
    relation: PgRelation,
    projection: Option<Projection>,
    conversion: *mut pg_sys::TupleConversionMap,
}

struct Projection {
    descriptor: pg_sys::TupleDesc,
    numbers: Vec<i16>,
}

impl Shape {
    /// The format of `watched`, read from rows of `fired`, with only the `kept` columns in the JSON (all when `None`).
    pub fn new(
        watched: pg_sys::Oid,
        fired: pg_sys::Oid,
        kept: Option<&dyn Fn(&str) -> bool>,
    ) -> Self {
        // SAFETY: both relations exist and are locked: `fired` by the statement, `watched` by this call. What is
        // palloc'ed lives in the trigger's memory context, longer than this value.
        unsafe {
            let relation = PgRelation::with_lock(watched, pg_sys::AccessShareLock as i32);
            let columns: Vec<Column> = relation
                .tuple_desc()
                .iter()
                .filter(|attribute| !attribute.attisdropped)
                .map(|attribute| Column {
                    name: attribute.name().to_owned(),
                    number: attribute.attnum,
                    type_oid: attribute.atttypid,
                    length: attribute.attlen,
                    by_value: attribute.attbyval,
                })
                .collect();
            let full = (*relation.as_ptr()).rd_att;
            let conversion = if watched == fired {
                std::ptr::null_mut()
            } else {
                let part = PgRelation::with_lock(fired, pg_sys::AccessShareLock as i32);
                pg_sys::convert_tuples_by_name((*part.as_ptr()).rd_att, full)
            };
            let projection = kept.map(|kept| {
                let numbers: Vec<i16> = columns
                    .iter()
                    .filter(|column| kept(&column.name))
                    .map(|column| column.number)
                    .collect();
                let descriptor = pg_sys::CreateTemplateTupleDesc(numbers.len() as i32);
                for (position, number) in numbers.iter().enumerate() {
                    pg_sys::TupleDescCopyEntry(descriptor, position as i16 + 1, full, *number);
                }
                Projection {
                    descriptor: pg_sys::BlessTupleDesc(descriptor),
                    numbers,
                }
            });
            let row_type = (*full).tdtypeid;
            Self {
                columns,
                row_type,
                relation,
                projection,
                conversion,
            }
        }
    }

    fn descriptor(&self) -> pg_sys::TupleDesc {
        // SAFETY: `relation` is open as long as this value lives.
        unsafe { (*self.relation.as_ptr()).rd_att }
    }
}

/// The rows of one transition table, from the first to the last.
pub struct Rows<'a> {
    store: *mut pg_sys::Tuplestorestate,
    slot: *mut pg_sys::TupleTableSlot,
    trigger: PhantomData<&'a ()>,
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
                store,
                slot,
                trigger: PhantomData,
            })
        }
    }

    /// How many rows there are in all.
    pub fn len(&self) -> i64 {
        // SAFETY: the tuplestore lives as long as this value.
        unsafe { pg_sys::tuplestore_tuple_count(self.store) }
    }

    /// The next row, in the format of `shape`. It lives until the memory context of the call is reset.
    pub fn next<'s>(&mut self, shape: &'s Shape) -> Option<Row<'s>> {
        // SAFETY: store and slot live as long as this value; the slot has the format of the tuplestore. The tuple is
        // copied into the current memory context (deformed datums point into that copy).
        unsafe {
            if !pg_sys::tuplestore_gettupleslot(self.store, true, false, self.slot) {
                return None;
            }
            let mut tuple = pg_sys::ExecCopySlotHeapTuple(self.slot);
            if !shape.conversion.is_null() {
                tuple = pg_sys::execute_attr_map_tuple(tuple, shape.conversion);
            }
            let descriptor = shape.descriptor();
            let natts = (*descriptor).natts as usize;
            let mut values = vec![pg_sys::Datum::from(0usize); natts];
            let mut nulls = vec![true; natts];
            pg_sys::heap_deform_tuple(tuple, descriptor, values.as_mut_ptr(), nulls.as_mut_ptr());
            Some(Row {
                tuple,
                values,
                nulls,
                shape,
            })
        }
    }
}

impl Drop for Rows<'_> {
    fn drop(&mut self) {
        // After an ERROR the slot goes with its memory context; touching it then would be too late.
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
}

impl Row<'_> {
    /// The row as a JSON object, as `to_json(row)` writes it, of the columns that the shape keeps.
    pub fn json(&self) -> String {
        // SAFETY: the composite datum is built from the tuple and its own descriptor; row_to_json takes one of these.
        unsafe {
            let datum = match &self.shape.projection {
                None => pg_sys::heap_copy_tuple_as_datum(self.tuple, self.shape.descriptor()),
                Some(projection) => {
                    let at = |number: &i16| *number as usize - 1;
                    let mut values: Vec<_> = projection
                        .numbers
                        .iter()
                        .map(|n| self.values[at(n)])
                        .collect();
                    let mut nulls: Vec<_> = projection
                        .numbers
                        .iter()
                        .map(|n| self.nulls[at(n)])
                        .collect();
                    let tuple = pg_sys::heap_form_tuple(
                        projection.descriptor,
                        values.as_mut_ptr(),
                        nulls.as_mut_ptr(),
                    );
                    pg_sys::heap_copy_tuple_as_datum(tuple, projection.descriptor)
                }
            };
            pgrx::direct_function_call::<String>(pg_sys::row_to_json, &[Some(datum)])
                .expect("row_to_json of a row is never null")
        }
    }

    /// The column's value as its type writes it; `None` for null.
    pub fn text(&self, column: &Column) -> Option<String> {
        let at = column.number as usize - 1;
        if self.nulls[at] {
            return None;
        }
        // SAFETY: the datum is of the column's type, as both come from one descriptor.
        unsafe {
            let (mut output, mut is_varlena) = (pg_sys::InvalidOid, false);
            pg_sys::getTypeOutputInfo(column.type_oid, &mut output, &mut is_varlena);
            let text = pg_sys::OidOutputFunctionCall(output, self.values[at]);
            Some(CStr::from_ptr(text).to_string_lossy().into_owned())
        }
    }

    /// The column of this name.
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.shape.columns.iter().find(|column| column.name == name)
    }

    /// Whether the column's stored value is the same in both rows, to the bit: no function of the type is called.
    pub fn has_same(&self, other: &Row<'_>, column: &Column) -> bool {
        let at = column.number as usize - 1;
        match (self.nulls[at], other.nulls[at]) {
            (true, true) => true,
            (false, false) => {
                // SAFETY: both datums are of the column's type.
                unsafe {
                    let (one, another) = (self.values[at], other.values[at]);
                    let (by_value, length) = (column.by_value, i32::from(column.length));
                    pg_sys::ffi::pg_guard_ffi_boundary(|| {
                        datum_image_eq(one, another, by_value, length)
                    })
                }
            }
            _ => false,
        }
    }

    /// The row as a value of its table's row type, for an expression that is evaluated at once.
    pub(super) fn composite(&self) -> pg_sys::Datum {
        // SAFETY: the datum is built from the tuple and its own descriptor, in the current memory context.
        unsafe { pg_sys::heap_copy_tuple_as_datum(self.tuple, self.shape.descriptor()) }
    }
}

/// Runs `body` with a memory context that is emptied afterwards, so that a statement of millions of rows needs the
/// memory of one.
pub struct RowMemory {
    context: PgMemoryContexts,
}

impl RowMemory {
    pub fn new() -> Self {
        Self {
            context: PgMemoryContexts::new("pg_herald row"),
        }
    }

    /// What `body` returns must be Rust's own: everything that PostgreSQL allocated in it is gone afterwards.
    pub fn run<R: 'static>(&mut self, body: impl FnOnce() -> R) -> R {
        // SAFETY: R is 'static and so holds no borrowed datum; nothing else lives in the context.
        unsafe {
            let result = self.context.switch_to(|_| body());
            self.context.reset();
            result
        }
    }
}
