//! The state of a subscription, which says what happens to the events that match it.

/// What a subscription does with the events that match it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum State {
    /// Sent.
    #[default]
    Active,
    /// Matched and held.
    Paused,
    /// Not matched from then on.
    Disabled,
    /// Matched, signed and recorded, but not sent.
    Sandbox,
}

impl State {
    /// Returns the text stored in `herald.subscription.state`.
    ///
    /// ```
    /// use herald_core::subscription::State;
    ///
    /// assert_eq!(State::parse(State::Paused.as_str()), Some(State::Paused));
    /// ```
    pub fn as_str(self) -> &'static str {
        match self {
            State::Active => "active",
            State::Paused => "paused",
            State::Disabled => "disabled",
            State::Sandbox => "sandbox",
        }
    }

    /// Returns the state with this name, if any.
    ///
    /// ```
    /// use herald_core::subscription::State;
    ///
    /// assert_eq!(State::parse("active"), Some(State::Active));
    /// assert_eq!(State::parse("Active"), None);
    /// ```
    pub fn parse(text: &str) -> Option<State> {
        [
            State::Active,
            State::Paused,
            State::Disabled,
            State::Sandbox,
        ]
        .into_iter()
        .find(|state| state.as_str() == text)
    }
}
