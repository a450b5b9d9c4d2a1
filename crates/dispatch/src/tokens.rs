//! Tokens: numbers for requests at the sender, so that each gives back exactly what it took.

/// The last token that was given.
#[derive(Debug, Default)]
pub struct Tokens(u64);

impl Tokens {
    /// Returns a token that was never given before.
    ///
    /// ```
    /// use herald_dispatch::tokens::Tokens;
    ///
    /// let mut tokens = Tokens::default();
    /// assert_ne!(tokens.give(), tokens.give());
    /// ```
    pub fn give(&mut self) -> u64 {
        self.0 += 1;
        self.0
    }
}
