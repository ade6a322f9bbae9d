//! One cgroup: where it is, whose it is, and whether lanes are told of it. Pure.

use std::collections::HashSet;
use std::sync::Arc;

use sluicebox_contract::Subject;
use tokio::time::Instant;

use super::subject::{key, text};
use crate::cgroups::place::Place;

#[derive(Debug)]
pub(super) struct Cgroup {
    pub(super) path: String,
    pub(super) place: Option<Place>,
    pub(super) state: State,
    /// Another one has its name. What is read of it meanwhile is nobody's: it would be counted twice.
    pub(super) is_double: bool,
}

#[derive(Debug)]
pub(super) enum State {
    /// For its name, until then. One that is gone is told in retrospect.
    Waits {
        until: Instant,
        is_gone: bool,
    },
    Told(Arc<Subject>),
    LeftOut,
}

impl Cgroup {
    /// Whether it waits for its name and is not there any more.
    pub(super) fn is_gone(&self) -> bool {
        matches!(self.state, State::Waits { is_gone: true, .. })
    }

    /// Whether what is read of it waits for its name.
    pub(super) fn is_kept(&self) -> bool {
        matches!(self.state, State::Waits { .. }) && !self.is_double
    }

    /// Whether it lacks a name that it ought to have: a container that was left out is a sandbox.
    pub(super) fn is_nameless(&self) -> bool {
        match self.state {
            State::Waits { .. } => true,
            State::LeftOut => self.is_double || self.is_pod(),
            State::Told(_) => self.is_double,
        }
    }

    pub(super) fn is_pod(&self) -> bool {
        matches!(self.place, Some(Place::Pod { .. }))
    }

    /// Whether something was heard of the pod or container that it is.
    pub(super) fn is_among(&self, heard: &HashSet<Arc<str>>) -> bool {
        self.place.as_ref().is_some_and(|place| match place {
            Place::Container { id, .. } if heard.contains(id.as_str()) => true,
            place => heard.contains(text(key(place))),
        })
    }
}
