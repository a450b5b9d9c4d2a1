//! The expressions that a watch may have.

/// What an expression decides about an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expression {
    Condition,
    Data,
    Type,
    Subject,
    Key,
    Tenant,
    Priority,
}

impl Expression {
    /// Returns the expression with this argument name of `watch()`.
    pub fn of_name(name: &str) -> Option<Self> {
        Some(match name {
            "condition" => Self::Condition,
            "data" => Self::Data,
            "type_expression" => Self::Type,
            "subject" => Self::Subject,
            "key" => Self::Key,
            "tenant" => Self::Tenant,
            "priority" => Self::Priority,
            _ => return None,
        })
    }

    /// Returns the name of its argument of `watch()`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Condition => "condition",
            Self::Data => "data",
            Self::Type => "type_expression",
            Self::Subject => "subject",
            Self::Key => "key",
            Self::Tenant => "tenant",
            Self::Priority => "priority",
        }
    }
}
