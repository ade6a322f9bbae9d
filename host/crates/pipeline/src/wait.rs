//! A lane that waits, because its module fails again and again or for its share of the processor. Nobody else waits with it: when a
//! source has to wait for its queue, its oldest events are left out.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use sluicebox_contract::{Notice, Shaper};
use tracing::error;

use crate::batch::events_in;
use crate::lane::{GivenUp, Lane, nanos};
use crate::outlet::is_worth_a_line;

/// How long a lane that waits sleeps before it looks for orders.
const NAP: Duration = Duration::from_millis(20);

impl<S: Shaper> Lane<S> {
    /// Waits when the lane's thread has used more than its share of the processor. A lane that ends does not wait.
    pub(crate) fn throttle(&mut self) -> Result<(), GivenUp> {
        let (used, wait) = self.account.settle();
        self.meter.cpu_nanos.add(nanos(used));
        if wait.is_zero() {
            return Ok(());
        }
        let mut counted = Instant::now();
        self.meter.throttled.set(1);
        let missed = self.nap_until(counted + wait, |lane| {
            let now = Instant::now();
            lane.meter.throttled_nanos.add(nanos(now - counted));
            counted = now;
            !lane.orders.is_empty()
        });
        self.meter.throttled.set(0);
        if missed > 0 {
            self.crowded += 1;
            if is_worth_a_line(self.crowded) {
                let (lane, module, share, so_far) =
                    (&self.origin.lane, &self.origin.module, self.settings.share, self.meter.missed.get());
                error!(%lane, %module, events = missed, so_far, %share, hint = "a larger share of the processor lets it keep up", "events left out: the lane has used its share of the processor and its queue was full");
            }
        }
        let untold: Vec<_> = std::mem::take(&mut self.untold).into_values().collect();
        self.define(&untold)?;
        self.forget_all()
    }

    /// Waits before the next try; says whether a successor has been put in place meanwhile, which ends the rest. Ends at once when the
    /// host stops.
    pub(crate) fn rest(&mut self) -> bool {
        let end = Instant::now() + self.backoff.wait();
        self.meter.resting.set(1);
        self.meter.rests.increment();
        let missed = self.nap_until(end, Self::obey_while_resting);
        self.meter.resting.set(0);
        self.trouble.rested();
        if missed > 0 {
            error!(lane = %self.origin.lane, events = missed, "events left out: the lane rests and its queue was full");
        }
        self.alive
    }

    /// Sleeps until then, or until the lane shall end or `enough` says so. Says how many events were left out meanwhile; none of those
    /// that are there when the host stops is.
    fn nap_until(&mut self, end: Instant, mut enough: impl FnMut(&mut Self) -> bool) -> u64 {
        let mut missed = 0;
        loop {
            let now = Instant::now();
            if now >= end || self.queue.is_closed() || enough(self) {
                return missed;
            }
            if self.queue.wait_until_blocked((end - now).min(NAP)) {
                missed += self.make_room();
            }
        }
    }

    /// Takes the oldest notices out of the queue without asking the module; says how many events were among them.
    pub(crate) fn make_room(&mut self) -> u64 {
        let notices = self.queue.take_now(self.settings.batch).0;
        if notices.is_empty() {
            // Whoever waits does so for what is in work, which may take as long as the lane waits.
            self.queue.release();
        }
        let missed = events_in(&notices);
        self.incomplete |= missed > 0 && self.unlisted > 0;
        self.meter.missed.add(missed);
        self.fates.missed.add(missed);
        let mut forgotten: BTreeSet<_> = std::mem::take(&mut self.forgotten).into_iter().collect();
        for notice in notices {
            match notice {
                // An instance that is to be started is told all.
                Notice::Defined(subject) if self.alive => drop(self.untold.insert(subject.id, subject)),
                Notice::Defined(subject) => drop(self.subjects.insert(subject.id, subject)),
                Notice::Forgotten(subject) => {
                    if self.untold.remove(&subject).is_none() {
                        forgotten.insert(subject);
                    }
                }
                // With its receipt: nobody has dealt with it.
                Notice::Event(_) | Notice::Tracked(..) => {}
                Notice::Listed => self.listed(),
            }
        }
        self.forgotten = forgotten.into_iter().collect();
        missed
    }
}
