//! Changes while the program runs.

pub mod watch;
