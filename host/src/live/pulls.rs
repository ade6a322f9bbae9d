//! Registries are asked again and again: what a tag has come to mean is brought into the lanes that name it, as a changed file is.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sluicebox_registry::{Kind, PullError, Reference};

use super::candidate::{Refused, Step};
use super::lane::Lane;
use super::quiet::quietly;
use super::{Done, Live};
use crate::foundry;
use crate::plan::Component;
use crate::registries::Found;

impl Live {
    /// Has the registries asked whose turn it is, beside the loop.
    pub(super) fn pull(&mut self) {
        for reference in self.parts.registries.due(Instant::now()) {
            let most = self.naming(&reference).map(|lane| foundry::most_bytes(&lane.plan)).max().unwrap_or_default();
            let registries = Arc::clone(&self.parts.registries);
            self.work.push(Box::pin(async move {
                let wanted = reference.clone();
                // The pull has a deadline of its own.
                let looked = quietly(move || registries.look(&wanted, most, Duration::MAX)).await;
                let result = looked.unwrap_or_else(|reason| Err(PullError { kind: Kind::Away, reason }));
                Done::Pulled { reference, result }
            }));
        }
    }

    /// A registry was asked.
    pub(super) fn pulled(&mut self, reference: &Reference, result: &Result<Found, PullError>) {
        let names: Vec<String> = self.naming(reference).map(|lane| lane.plan.name.clone()).collect();
        for name in names {
            match result {
                // Also where nothing runs, or where something was refused that is not there any more.
                Ok(found) if found.is_new || found.is_mended || !self.runs(&name) => self.try_lane(&name, true),
                Ok(_) => {}
                // Nothing is known of what is there: nothing was refused.
                Err(error) if error.is_away() => {}
                Err(error) => {
                    let reason = format!("{error} (hint: {})", error.hint());
                    // The registry is asked again by the clock of its own.
                    self.refused(&name, Refused { step: Step::Pull, reason, tried: None, again: false }, false);
                }
            }
        }
    }

    fn naming<'a>(&'a self, reference: &'a Reference) -> impl Iterator<Item = &'a Lane> {
        self.lanes.values().filter(move |lane| matches!(&lane.plan.component, Component::Registry(named) if named == reference))
    }

    fn runs(&self, name: &str) -> bool {
        self.lanes.get(name).is_some_and(|lane| lane.running.is_some())
    }
}
