//! The required result of a statement, where an attack knows it: a comment before the statement states it.

use postgres::error::SqlState;

const MUST_SUCCEED: &str = "/* must succeed */ ";
const MUST_FAIL: &str = "/* must fail */ ";

/// Marks a statement that pg_herald must not make fail.
pub(super) fn succeeds(sql: &str) -> String {
    format!("{MUST_SUCCEED}{sql}")
}

/// Marks a statement that must be refused.
pub(super) fn fails(sql: &str) -> String {
    format!("{MUST_FAIL}{sql}")
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expected {
    Anything,
    Success,
    Refusal,
}

impl Expected {
    pub(super) fn of(statement: &str) -> Self {
        if statement.starts_with(MUST_SUCCEED) {
            Self::Success
        } else if statement.starts_with(MUST_FAIL) {
            Self::Refusal
        } else {
            Self::Anything
        }
    }

    /// Returns what is wrong with the answer, given its error.
    pub(super) fn fault(self, error: Option<&postgres::Error>) -> Option<String> {
        match (self, error) {
            (Self::Success, Some(error)) if !is_due_to_others(error) => {
                let words = error.as_db_error().map_or("", |error| error.message());
                Some(format!("failed ({words})"))
            }
            (Self::Refusal, None) => Some("was not refused".to_owned()),
            _ => None,
        }
    }
}

/// Returns true if a statement failed because it had to wait or lost its session: deaths are counted elsewhere.
fn is_due_to_others(error: &postgres::Error) -> bool {
    const WAITED: [SqlState; 3] = [
        SqlState::QUERY_CANCELED,
        SqlState::T_R_DEADLOCK_DETECTED,
        SqlState::LOCK_NOT_AVAILABLE,
    ];
    error.code().is_none_or(|code| WAITED.contains(code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_that_must_fail_and_does_not_is_a_fault() {
        assert_eq!(
            Expected::of(&fails("select 1")).fault(None).as_deref(),
            Some("was not refused")
        );
        assert_eq!(Expected::of(&succeeds("select 1")).fault(None), None);
        assert_eq!(Expected::of("select 1").fault(None), None);
    }
}
