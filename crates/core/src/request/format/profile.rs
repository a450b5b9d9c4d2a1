//! How much of an event a request tells.

/// How much of an event to tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Profile {
    /// The attributes without the data.
    Minimal,
    /// With the data.
    #[default]
    Standard,
    /// With the data, and who wrote the event, when, and its number in the log.
    Detailed,
}

impl Profile {
    pub(crate) fn has_data(self) -> bool {
        self != Profile::Minimal
    }

    /// Returns the next smaller profile.
    pub fn smaller(self) -> Option<Profile> {
        match self {
            Profile::Detailed => Some(Profile::Standard),
            Profile::Standard => Some(Profile::Minimal),
            Profile::Minimal => None,
        }
    }
}
