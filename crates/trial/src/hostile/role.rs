//! The roles that attack.

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Writer,
    Tenant(&'static str),
    /// Of the level admin, with its own tables and CREATE on the database.
    Admin,
    Operator,
}

impl Role {
    pub(super) fn kind(self) -> &'static str {
        match self {
            Self::Writer => "writer",
            Self::Tenant(_) => "tenant",
            Self::Admin => "admin",
            Self::Operator => "operator",
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Writer => "writer",
            Self::Tenant(name) => name,
            Self::Admin => "carol",
            Self::Operator => "postgres",
        }
    }
}
