//! herald-sender
