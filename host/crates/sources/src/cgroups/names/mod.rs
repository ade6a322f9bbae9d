//! Who a cgroup is: a pod of this node, a container of one, or nobody that is known.
//!
//! `pods.rs` follows the pods of this node, with the runs of `runs.rs`, `index.rs` keeps what they are called, `subject.rs` makes a subject of a cgroup, and
//! `roster.rs` keeps the cgroups (`cgroup.rs`): those that are told, those that wait for their names, and those that are left out. What was read of
//! those that wait stands in `held.rs`, who has which name in `claims.rs`, and who has a new id in `renumbered.rs`.

mod cgroup;
mod claims;
mod held;
mod index;
mod pods;
mod renumbered;
mod roster;
mod runs;
mod subject;

pub(super) use pods::{Heard, Teller, follow};
pub(super) use roster::{Orders, Roster, Rules};
