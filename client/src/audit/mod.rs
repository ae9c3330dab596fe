//! The auditor: replays every entry of the log and checks all that it says.

pub mod trust;
