//! The events that a statement becomes. These tests run inside PostgreSQL.

use crate::mutants::mutant::{InDatabase, Mutant};

pub const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "content-of-a-time-zone",
        breaks: "The same content is the same in every session.",
        file: "sql/delivery/emit.sql",
        from: "extract(epoch from emit.occurred_at)",
        to: "emit.occurred_at",
        killed_by: InDatabase("the_same_content_is_the_same_in_every_session"),
        says: "other content exists",
    },
    Mutant {
        name: "data-that-is-null",
        breaks: "No data is other content than data that is null.",
        file: "sql/delivery/emit.sql",
        from: "emit.type, emit.data::text, emit.subject",
        to: "emit.type, emit.data, emit.subject",
        killed_by: InDatabase("no_data_is_other_content_than_data_that_is_null"),
        says: "it does not fail",
    },
    Mutant {
        name: "paired-by-position",
        breaks: "A new row is never shown with the old row of another.",
        file: "src/capture/mod.rs",
        from: "(Some(old), Some(new)) if old.len() != new.len() => self.walk_unpaired(old, new),",
        to: "(Some(old), Some(new)) if false => self.walk_unpaired(old, new),",
        killed_by: InDatabase("a_suppressed_move_never_pairs_a_row_with_another_s_old_row"),
        says: "s/3 from 2",
    },
    Mutant {
        name: "rows-without-defaults",
        breaks: "A row that is older than a column has the default of that column.",
        file: "src/pg/rows.rs",
        from: "let descriptor = pg_sys::CreateTupleDescCopyConstr(",
        to: "let descriptor = pg_sys::CreateTupleDescCopy(",
        killed_by: InDatabase("rows_older_than_a_column_have_its_default"),
        says: "left == right",
    },
    Mutant {
        name: "partitions-without-defaults",
        breaks: "So has a row of a partition.",
        file: "src/pg/rows.rs",
        from: "let part = pg_sys::CreateTupleDescCopyConstr(",
        to: "let part = pg_sys::CreateTupleDescCopy(",
        killed_by: InDatabase("rows_of_a_partition_older_than_a_column_have_its_default"),
        says: "left == right",
    },
];
