//! The loss of packets: worked out for each container when all queries of a cycle have been told, from what four of them found.
//!
//! Nothing here depends on the order in which these are told, and reports of several cycles may come in turns. What is remembered is
//! bounded, and what does not fit is left out.

use std::collections::{HashMap, VecDeque};
use std::rc::Rc;

use sluicebox_sdk::log;

use crate::table::PACKETS;

/// The cycles that go on, and the containers of those that are over.
#[derive(Debug)]
pub(crate) struct Loss {
    /// In the order in which they began.
    pub(crate) open: Vec<Cycle>,
    /// Not told yet.
    pub(crate) due: VecDeque<Packets>,
    /// How many containers there may be in all of them together.
    most: usize,
    held: usize,
    warned: bool,
}

/// What was found in a cycle.
#[derive(Debug)]
pub(crate) struct Cycle {
    pub(crate) name: String,
    pub(crate) observed_at: u64,
    places: HashMap<Rc<str>, usize>,
    /// In the order in which they came.
    pub(crate) containers: Vec<Packets>,
    left_out: usize,
}

/// When, in milliseconds since 1970 UTC, and how many.
pub(crate) type Reading = (i64, f64);

/// The packets of a container.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Packets {
    pub(crate) container_id: Rc<str>,
    /// What was found for each metric of [`PACKETS`]; always finite.
    pub(crate) found: [Option<Reading>; PACKETS.len()],
}

/// There is seldom more than one for each target that is scraped at the same time; cycles whose end is missing stay until the next.
const MOST_CYCLES: usize = 256;

impl Loss {
    /// Remembers so many containers at most.
    pub(crate) fn new(most: usize) -> Self {
        Self { open: Vec::new(), due: VecDeque::new(), most, held: 0, warned: false }
    }

    /// A report of this cycle has come: cycles of the same name that began before it are over. One that comes late, as when it is
    /// replayed, ends none.
    pub(crate) fn begin(&mut self, name: &str, observed_at: u64) {
        while let Some(place) = self.open.iter().position(|cycle| cycle.name == name && cycle.observed_at < observed_at) {
            self.close(place);
        }
    }

    /// The cycle whose report has come, to add what it found.
    pub(crate) fn cycle(&mut self, name: &str, observed_at: u64) -> Adding<'_> {
        let place = self.place(name, observed_at).unwrap_or_else(|| {
            if self.open.len() >= MOST_CYCLES {
                self.close(0);
            }
            self.open.push(Cycle::new(name.to_owned(), observed_at, Vec::new()));
            self.open.len() - 1
        });
        Adding { cycle: self.open.get_mut(place), held: &mut self.held, most: self.most }
    }

    /// No report of this cycle follows.
    pub(crate) fn end(&mut self, name: &str, observed_at: u64) {
        if let Some(place) = self.place(name, observed_at) {
            self.close(place);
        }
    }

    /// The next container to be told of.
    pub(crate) fn next(&mut self) -> Option<Packets> {
        let packets = self.due.pop_front()?;
        self.held = self.held.saturating_sub(1);
        Some(packets)
    }

    fn place(&self, name: &str, observed_at: u64) -> Option<usize> {
        self.open.iter().position(|cycle| cycle.observed_at == observed_at && cycle.name == name)
    }

    fn close(&mut self, place: usize) {
        let Cycle { containers, left_out, .. } = self.open.remove(place);
        let all = containers.len();
        let before = self.due.len();
        // Without one half of it there is nothing to tell.
        self.due.extend(containers.into_iter().filter(|packets| packets.percentages().iter().any(Option::is_some)));
        self.held = (self.held + self.due.len()).saturating_sub(before + all);
        if left_out > 0 && !std::mem::replace(&mut self.warned, true) {
            log::warn(format!(
                "there are more containers than `remember` allows, {}: what {left_out} of them have lost of their packets in this cycle \
                 is not told",
                self.most
            ));
        }
    }

    /// Takes over what was remembered before; what does not fit is left out.
    pub(crate) fn restore(&mut self, open: Vec<Cycle>, due: Vec<Packets>) {
        self.open = open;
        self.due = due.into();
        self.due.truncate(self.most);
        self.held = self.due.len();
        for cycle in &mut self.open {
            cycle.containers.truncate(self.most - self.held);
            self.held += cycle.containers.len();
            cycle.places =
                cycle.containers.iter().enumerate().map(|(place, packets)| (packets.container_id.clone(), place)).collect();
        }
    }
}

impl Cycle {
    pub(crate) fn new(name: String, observed_at: u64, containers: Vec<Packets>) -> Self {
        Self { name, observed_at, places: HashMap::new(), containers, left_out: 0 }
    }
}

impl Packets {
    /// How many percent of what was received and of what was transmitted were lost, at the time of the last metric that was found.
    pub(crate) fn percentages(&self) -> [Option<Reading>; 2] {
        let [received_dropped, received, transmitted_dropped, transmitted] = self.found;
        let last = self.found.iter().rev().flatten().next().map_or(0, |(millis, _)| *millis);
        let percentage = |dropped: Option<Reading>, total: Option<Reading>| {
            let ((_, dropped), (_, total)) = (dropped?, total?);
            let percentage = if total == 0.0 { 0.0 } else { dropped * 100.0 / total };
            percentage.is_finite().then_some((last, percentage))
        };
        [percentage(received_dropped, received), percentage(transmitted_dropped, transmitted)]
    }
}

/// A cycle to which something is added.
#[derive(Debug)]
pub(crate) struct Adding<'loss> {
    cycle: Option<&'loss mut Cycle>,
    held: &'loss mut usize,
    most: usize,
}

impl Adding<'_> {
    /// Adds what one of the metrics tells of a container; the last one counts where several series are about it.
    pub(crate) fn add(&mut self, container_id: &Rc<str>, metric: usize, reading: Reading) {
        let Some(cycle) = &mut self.cycle else { return };
        let place = cycle.places.get(container_id).copied().unwrap_or(cycle.containers.len());
        if place == cycle.containers.len() {
            if *self.held >= self.most {
                cycle.left_out += 1;
                return;
            }
            *self.held += 1;
            cycle.places.insert(container_id.clone(), place);
            cycle.containers.push(Packets { container_id: container_id.clone(), found: Default::default() });
        }
        if let Some(found) = cycle.containers.get_mut(place).and_then(|packets| packets.found.get_mut(metric)) {
            *found = Some(reading);
        }
    }
}
