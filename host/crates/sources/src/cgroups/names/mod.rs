//! Who a cgroup is: a pod of this node, a container of one, or nobody that is known.
//!
//! `pods.rs` follows the pods of this node, `index.rs` keeps what they are called, `subject.rs` makes a subject of a cgroup, and
//! `roster.rs` keeps the cgroups: those that are told, those that wait for their names, and those that are left out. What was read of
//! those that wait stands in `held.rs`.

mod held;
mod index;
mod pods;
mod roster;
mod subject;

pub(super) use pods::{Heard, Mirror, Teller, follow};
pub(super) use roster::{Orders, Roster, Rules};
