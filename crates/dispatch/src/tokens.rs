//! Numbers for what is with the sender, so that each request gives back what it took and no other does.

/// The last one that was given.
#[derive(Debug, Default)]
pub struct Tokens(u64);

impl Tokens {
    /// One that was never given before.
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
