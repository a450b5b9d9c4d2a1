//! Why a delivery was given up.

/// The reason why a delivery was buried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DeadReason {
    /// The schedule or `max_attempts` was used up.
    Exhausted,
    /// The receiver's status means that no retry can help.
    PermanentStatus,
    /// The receiver answered 410, or the subscription was disabled.
    Gone,
    /// The body is larger than `max_payload`.
    TooLarge,
    /// The delivery waited longer than `max_age`.
    Expired,
    /// The subscription was removed.
    Unsubscribed,
    /// `discard()` or `max_backlog` dropped the delivery, or it was skipped after a restore.
    Discarded,
    /// The event itself could not be handled.
    Poison,
    /// The tenant has used up its plan's quota for the month.
    Quota,
}

impl DeadReason {
    /// Returns the text stored in `herald.dead_letter.reason`.
    ///
    /// ```
    /// use herald_core::attempt::dead_reason::DeadReason;
    ///
    /// assert_eq!(DeadReason::PermanentStatus.as_str(), "permanent_status");
    /// ```
    pub fn as_str(self) -> &'static str {
        match self {
            DeadReason::Exhausted => "exhausted",
            DeadReason::PermanentStatus => "permanent_status",
            DeadReason::Gone => "gone",
            DeadReason::TooLarge => "too_large",
            DeadReason::Expired => "expired",
            DeadReason::Unsubscribed => "unsubscribed",
            DeadReason::Discarded => "discarded",
            DeadReason::Poison => "poison",
            DeadReason::Quota => "quota",
        }
    }
}
