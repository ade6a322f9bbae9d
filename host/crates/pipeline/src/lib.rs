//! Queues, lanes, outlets and their supervision. Knows only the contract: no source, no engine, no client library.
//!
//! Data flows one way: a source speaks to its [`fanout`], which fills the [`queue`] of each [`lane`]; a lane asks its shaper and
//! hands the entries to the queue of each [`outlet`]; an outlet writes them. [`supervise`] starts all of it and ends it by closing. While it
//! runs, an [`order`] puts another module into a lane, and [`Changes`] add and remove lanes.

mod audience;
mod batch;
mod change;
pub mod fanout;
pub mod lane;
mod letters;
pub mod order;
pub mod outlet;
mod part;
pub mod queue;
mod receipts;
mod rehearse;
mod replay;
mod revive;
mod shape;
mod share;
pub mod supervise;
mod swap;
mod tap;
mod trouble;
mod wait;

pub use audience::Audience;
pub use change::Changes;
pub use lane::LaneSettings;
pub use order::{LaneControl, NotBegun, Snapshot, StateMove, Successor, Swapped};
pub use outlet::{OutletSettings, StoreSettings, StoreTerms};
pub use part::Report;
pub use queue::{Adjust, Bounds, WhenFull};
pub use rehearse::rehearse;
pub use replay::{EntryAgain, EventAgain, Reshaped, Writing};
pub use supervise::{LaneHandle, LaneTerms, OutletHandle, OutletTerms, Pipeline};
pub use tap::{Heard, Tap};
pub use trouble::Patience;
