//! What a statement becomes. These run inside PostgreSQL.

use crate::mutants::mutant::{Mutant, Test};

pub const MUTANTS: &[Mutant] = &[Mutant {
    name: "paired-by-position",
    breaks: "A new row is never shown with the old row of another.",
    file: "src/capture/mod.rs",
    from: "(Some(old), Some(new)) if old.len() != new.len() => self.walk_unpaired(old, new),",
    to: "(Some(old), Some(new)) if false => self.walk_unpaired(old, new),",
    killed_by: Test::InDatabase {
        name: "a_suppressed_move_never_pairs_a_row_with_another_s_old_row",
    },
    says: "s/3 from 2",
}];
