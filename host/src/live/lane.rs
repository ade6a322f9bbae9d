//! What is known of one lane: what it should run, what it runs, what was refused; and how it does.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sluicebox_contract::UnixNanos;
use sluicebox_store::Good;
use tracing::{info, warn};

use super::candidate::{Refused, Running, Step, Tried, Wish};
use super::first::last_good;
use super::replays::{Lanes, replay_all};
use super::{Done, Live};
use crate::foundry;
use crate::plan::LanePlan;

/// The first wait before a refused version is tried again that may go better; it doubles up to the longest.
const FIRST_WAIT: Duration = Duration::from_secs(30);
const LONGEST_WAIT: Duration = Duration::from_mins(10);

/// One lane.
pub(super) struct Lane {
    /// As the configuration wants it.
    pub(super) plan: LanePlan,
    pub(super) running: Option<Running>,
    pub(super) refused: Option<Refused>,
    /// Since when what runs has been seen to work.
    works_since: Option<Instant>,
    last_good: bool,
    /// Whether what runs is kept as the last good module, or need not be.
    kept: bool,
    /// Whether what runs is the last good module: there is nothing else to come back to.
    taken_back: bool,
    /// When the last good module was asked for because what runs is bad, and how often that had rested by then.
    asked_back: Option<(Instant, u64)>,
    attempt: Attempt,
    wait: Duration,
    retry_at: Option<Instant>,
}

/// Bringing a module into a lane; one at a time.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Attempt {
    None,
    UnderWay,
    /// Something has changed since it began: another one follows.
    Again,
    /// The configuration has been without the lane since it began.
    Left,
    /// The configuration was without the lane meanwhile, and has it again: another one follows.
    Back,
}

impl Lane {
    pub(super) fn new(plan: LanePlan) -> Self {
        Self {
            plan,
            running: None,
            refused: None,
            works_since: None,
            last_good: false,
            kept: false,
            taken_back: false,
            asked_back: None,
            attempt: Attempt::None,
            wait: FIRST_WAIT,
            retry_at: None,
        }
    }

    /// One attempt at a time; says whether this is it.
    pub(super) fn begin_attempt(&mut self) -> bool {
        let before = self.attempt;
        self.attempt = match before {
            Attempt::None => Attempt::UnderWay,
            Attempt::UnderWay | Attempt::Again => Attempt::Again,
            Attempt::Left | Attempt::Back => before,
        };
        before == Attempt::None
    }

    /// Says whether another attempt was asked for meanwhile.
    pub(super) fn end_attempt(&mut self) -> bool {
        let before = std::mem::replace(&mut self.attempt, Attempt::None);
        matches!(before, Attempt::Again | Attempt::Back)
    }

    /// The configuration has this lane no more; gives what runs in it. What is under way comes to its end first.
    pub(super) fn leave(&mut self) -> Option<Running> {
        let running = self.running.take();
        let attempt = if self.is_busy() { Attempt::Left } else { Attempt::None };
        *self = Self { attempt, ..Self::new(self.plan.clone()) };
        running
    }

    /// The configuration has this lane again.
    pub(super) fn come_back(&mut self, plan: LanePlan) {
        self.plan = plan;
        self.attempt = Attempt::Back;
    }

    pub(super) fn is_busy(&self) -> bool {
        self.attempt != Attempt::None
    }

    /// Whether what is under way began before the configuration was without this lane.
    pub(super) fn has_left(&self) -> bool {
        matches!(self.attempt, Attempt::Left | Attempt::Back)
    }

    /// Whether the configuration has this lane.
    pub(super) fn is_configured(&self) -> bool {
        self.attempt != Attempt::Left
    }

    /// A module is at work.
    pub(super) fn runs(&mut self, running: Running, last_good: bool) {
        self.running = Some(running);
        self.works_since = None;
        self.last_good = last_good;
        // The last good module is there already.
        self.kept = last_good;
        self.taken_back = last_good;
        self.asked_back = None;
        self.wait = FIRST_WAIT;
        self.retry_at = None;
        if !last_good {
            self.refused = None;
        }
    }

    /// What runs is what the configuration wants. Says whether it works, too: then whatever was refused is of no interest any more.
    pub(super) fn is_wanted(&mut self) -> bool {
        let works = self.running.as_ref().is_some_and(|running| running.row.meter.ready.get() == 1);
        self.last_good = false;
        self.refused = self.refused.take().filter(|_| !works);
        self.retry_at = self.refused.is_some().then(|| Instant::now() + self.wait);
        works
    }

    /// The last good module is at work in place of the present one; gives what is wrong with that.
    pub(super) fn roll_back(&mut self, running: Running) -> Refused {
        let bad = self.running.take().map(|bad| bad.tried);
        let reason = "it fails again and again".to_owned();
        let again = false;
        self.refused = Some(Refused { step: Step::Start, reason: reason.clone(), tried: bad.clone(), again });
        self.runs(running, true);
        Refused { step: Step::Start, reason, tried: bad, again }
    }

    /// Says whether that is news.
    pub(super) fn refuse(&mut self, refused: Refused) -> bool {
        let known = self.refused.as_ref().is_some_and(|known| known.step == refused.step && known.reason == refused.reason);
        self.retry_at = refused.again.then(|| Instant::now() + self.wait);
        if refused.again {
            self.wait = (self.wait * 2).min(LONGEST_WAIT);
        }
        self.refused = Some(refused);
        !known
    }

    fn is_due(&self, now: Instant) -> bool {
        !self.is_busy() && self.retry_at.is_some_and(|time| now >= time)
    }

    /// How often what runs has failed again and again although another one was good: none when that is no news. When the last good one
    /// could not be put back, as with a lane that waits for its sink, it is asked for again while the module goes on failing.
    fn bad(&self) -> Option<u64> {
        let rests = self.running.as_ref().map(|running| running.row.meter.rests.get()).filter(|rests| *rests > 0)?;
        let is_news = self.asked_back.is_none_or(|(time, known)| rests > known && time.elapsed() >= FIRST_WAIT);
        (!self.is_busy() && !self.taken_back && is_news).then_some(rests)
    }

    /// A module that has worked for so long without being in the way is one to come back to. Time without a call is no work.
    fn is_good(&mut self, after: Duration) -> bool {
        let works = |running: &Running| running.row.meter.calls.count() > 0 && running.row.meter.rests.get() == 0;
        if self.kept || !self.running.as_ref().is_some_and(works) {
            return false;
        }
        let since = *self.works_since.get_or_insert_with(Instant::now);
        !self.is_busy() && since.elapsed() >= after
    }
}

/// What is done at each tick.
impl Live {
    pub(super) fn tend(&mut self) {
        let now = Instant::now();
        let due: Vec<String> = self.lanes.values().filter(|lane| lane.is_due(now)).map(|lane| lane.plan.name.clone()).collect();
        for name in due {
            self.try_lane(&name, false);
        }
        self.keep_the_good();
        self.take_back_the_bad();
        self.replay();
    }

    fn keep_the_good(&mut self) {
        let after = self.parts.plan.reload.good_after.0;
        let mut good = Vec::new();
        for lane in self.lanes.values_mut() {
            if lane.is_good(after) {
                lane.kept = true;
                good.extend(lane.running.clone());
            }
        }
        for running in good {
            let parts = Arc::clone(&self.parts);
            let keep = move || {
                let Some(last_good) = &parts.last_good else { return };
                if let Err(reason) = keep(last_good, &running) {
                    let (lane, module) = (&running.row.name, &running.row.module);
                    warn!(%lane, %module, %reason, "module not kept as the last good one");
                }
            };
            self.aside(async move { drop(tokio::task::spawn_blocking(keep).await) });
        }
    }

    fn take_back_the_bad(&mut self) {
        let bad: Vec<LanePlan> = self.lanes.values_mut().filter_map(Lane::take_back).collect();
        for lane in bad {
            let Some(running) = self.lanes.get(&lane.name).and_then(|lane| lane.running.clone()) else { continue };
            let (parts, changes) = (Arc::clone(&self.parts), self.changes.clone());
            let (name, began) = (lane.name.clone(), Instant::now());
            let attempt = async move {
                let loading = {
                    let parts = Arc::clone(&parts);
                    tokio::task::spawn_blocking(move || last_good(&parts, &lane)).await
                };
                let Ok(Some((lane, good))) = loading else { return Ok(super::Placed::Unchanged { runs: false }) };
                let wish = Wish { lane, good: Some(good), running: Some(running), before: Vec::new(), refused: None };
                super::place(parts, changes, wish).await
            };
            self.work.push(Box::pin(async move {
                Done::Placed { lane: name, began, rollback: true, result: Box::new(attempt.await) }
            }));
        }
    }

    fn replay(&mut self) {
        let Some(letters) = self.parts.letters.clone().filter(|_| !self.replaying) else { return };
        self.replaying = true;
        let running = self.lanes.values().filter_map(|lane| lane.running.as_ref());
        let lanes: Lanes =
            running.map(|running| (running.row.name.clone(), running.control.clone(), running.row.module.clone())).collect();
        let replaying = replay_all(Arc::clone(&self.parts), self.changes.clone(), letters, lanes);
        self.work.push(Box::pin(async move {
            replaying.await;
            Done::Replayed
        }));
    }
}

impl Lane {
    /// The lane whose last good module must be asked for, if so.
    fn take_back(&mut self) -> Option<LanePlan> {
        let rests = self.bad()?;
        self.asked_back = Some((Instant::now(), rests));
        self.attempt = Attempt::UnderWay;
        Some(self.plan.clone())
    }
}

/// Keeps the component that runs, if it is still to be had: the file may be another one by now. Blocks.
fn keep(last_good: &sluicebox_store::LastGood, running: &Running) -> Result<(), String> {
    let Tried { lane, digest } = &running.tried;
    let component = foundry::read(lane).map_err(|error| error.to_string())?;
    if sluicebox_wasm::digest(&component) != *digest {
        return Ok(());
    }
    let (module, settings) = (running.row.module.clone(), lane.settings.clone());
    last_good
        .keep(&lane.name, &Good { module, settings, component, kept_at: UnixNanos::now() })
        .map_err(|error| error.to_string())?;
    info!(lane = %lane.name, module = %running.row.module, "module kept as the last good one");
    Ok(())
}
