//! herald-trial
