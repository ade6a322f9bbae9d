//! Queues, lanes, outlets and their supervision. Knows only the contract: no source, no engine, no client library.
//!
//! Data flows one way: a source speaks to its [`fanout`], which fills the [`queue`] of each [`lane`]; a lane asks its shaper and
//! hands the entries to the queue of each [`outlet`]; an outlet writes them. [`supervise`] starts all of it and ends it by closing.

pub mod fanout;
pub mod lane;
pub mod outlet;
pub mod queue;
mod revive;
pub mod supervise;
mod trouble;

pub use lane::LaneSettings;
pub use outlet::OutletSettings;
pub use queue::{Bounds, WhenFull};
pub use supervise::{LaneHandle, LaneTerms, OutletHandle, OutletTerms, Pipeline, Report};
pub use trouble::Patience;
