//! How long and how deep what users give may be.

use crate::mutants::mutant::{Mutant, Test};

pub const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "depth-of-data",
        breaks: "A template reads data of 128 levels and no more.",
        file: "crates/core/src/depth.rs",
        from: "if levels > MAX_LEVELS {",
        to: "if levels > MAX_LEVELS + 1 {",
        killed_by: Test::Unit {
            package: "herald-core",
            name: "format::template::values::tests::data_is_read_to_the_last_level_that_is_allowed",
        },
        says: "called `Result::unwrap_err()` on an `Ok` value",
    },
    Mutant {
        name: "depth-of-a-signed-body",
        breaks: "A body that is read to be signed has 128 levels at most.",
        file: "crates/core/src/signature/hmac.rs",
        from: "depth::check(&body).map_err",
        to: "depth::check(b\"\").map_err",
        killed_by: Test::Unit {
            package: "herald-core",
            name: "request::tests::data_that_is_too_deep_to_be_read_is_poison_where_it_has_to_be_read",
        },
        says: "called `Result::unwrap_err()` on an `Ok` value",
    },
    Mutant {
        name: "depth-of-a-canonical-body",
        breaks: "A body has 128 levels at most where its receiver signs what it parsed.",
        file: "crates/core/src/ecmascript.rs",
        from: "self.depth == MAX_LEVELS",
        to: "self.depth == 2 * MAX_LEVELS",
        killed_by: Test::Unit {
            package: "herald-core",
            name: "request::tests::data_that_is_too_deep_to_be_read_is_poison_where_it_has_to_be_read",
        },
        says: "called `Result::unwrap_err()` on an `Ok` value",
    },
    Mutant {
        name: "operators-of-a-template",
        breaks: "No expression of a template is deeper than the stack.",
        file: "crates/core/src/format/template/bounds.rs",
        from: "byte if byte.is_ascii_punctuation() => levels.hang(),",
        to: "byte if byte.is_ascii_punctuation() => {}",
        killed_by: Test::Unit {
            package: "herald-core",
            name: "format::template::bounds::tests::no_operator_that_minijinja_finds_is_missed",
        },
        says: "Test failed",
    },
    Mutant {
        name: "strings-of-a-template",
        breaks: "No string hides the end of a template's tag, nor what follows it.",
        file: "crates/core/src/format/template/bounds.rs",
        from: "b'\"' | b'\\'' => length = string_length(self.rest, byte),",
        to: "b'\"' | b'\\'' => {}",
        killed_by: Test::Unit {
            package: "herald-core",
            name: "format::template::bounds::tests::what_stands_in_strings_comments_and_raw_blocks_is_no_operator",
        },
        says: "panicked",
    },
    Mutant {
        name: "values-without-end",
        breaks: "No template puts values around values for ever.",
        file: "crates/core/src/format/template.rs",
        from: "        environment.remove_global(\"namespace\");\n",
        to: "",
        killed_by: Test::Unit {
            package: "herald-core",
            name: "format::template::tests::nothing_is_carried_from_one_turn_of_a_loop_to_the_next",
        },
        says: "namespace(x=1)",
    },
    Mutant {
        name: "signature-in-a-preview",
        breaks: "preview() shows no signature in the body.",
        file: "crates/core/src/request.rs",
        from: "let hidden = self.signature_at.filter(|_| !show_secrets);",
        to: "let hidden = self.signature_at.filter(|_| show_secrets);",
        killed_by: Test::Unit {
            package: "herald-core",
            name: "request::tests::a_signature_in_the_body_is_hidden_whatever_its_member_is_called",
        },
        says: "left",
    },
];
