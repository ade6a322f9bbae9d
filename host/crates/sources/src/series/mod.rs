//! Time series, wherever they come from: which subject a set of labels is, and how much is told at once.
//!
//! `registry.rs` gives subjects to sets of labels and forgets those that have gone; `parts.rs` cuts what was found into reports.

mod parts;
mod registry;

pub(crate) use parts::{Found, parts};
pub(crate) use registry::{Bounds, Labels, Registry};
