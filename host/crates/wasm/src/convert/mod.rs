//! The border post: contract types on one side, the types of `wit/` on the other, and no third way across.
//!
//! Into the guest nothing can fail and no text is copied: the lists that the border wants live in an arena that is emptied after the
//! call. Out of the guest everything is checked, because a guest may return anything.

mod cluster;
mod connections;
mod entries;
mod events;
mod inventory;
mod samples;
mod series;
mod state;

pub(crate) use cluster::{nodes, services};
pub(crate) use connections::report;
pub(crate) use entries::{BadEntries, entries};
pub(crate) use events::{objects, pods, subjects};
pub(crate) use inventory::inventory;
pub(crate) use samples::{metrics, tick};
pub(crate) use series::series;
pub(crate) use state::{restored, saved};
