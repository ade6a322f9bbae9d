//! One of several collectors is chosen by a Lease of `coordination.k8s.io/v1`, and knows for itself when its time is over.
//!
//! `core.rs` decides (pure: the rules that keep two from working at once stand there), `record.rs` is what stands in a Lease, `ask.rs`
//! asks the API server, `run.rs` does what was decided until it is dropped, `standing.rs` tells those who work under it, `tale.rs` what an
//! operator reads, `config.rs` is what the user writes, `place.rs` finds namespace and name.

mod ask;
mod config;
mod core;
#[cfg(test)]
mod fuzz;
mod place;
mod record;
mod run;
mod standing;
mod tale;

pub use config::{Config, Standby};
pub use place::identity;
pub use run::Election;
pub use standing::{Candidacy, Leadership, Shown};
