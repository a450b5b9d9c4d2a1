//! Step 2: the event log. [`append`] writes events in the user's transaction; [`read`] reads them by windows.

pub mod append;
pub mod read;
pub mod row;
