//! What is known of one lane: what it should run, what it runs, what was refused; and how it does.

use std::time::{Duration, Instant};

use super::candidate::{Refused, Running, Step};
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
    trust: Trust,
    /// When the last good module was asked for because what runs is bad, and how often that had rested by then.
    asked_back: Option<(Instant, u64)>,
    attempt: Attempt,
    wait: Duration,
    retry_at: Option<Instant>,
}

/// How good what runs is known to be.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Trust {
    /// Since when it has been seen to work.
    OnTrial { works_since: Option<Instant> },
    /// It is being kept as the last good module.
    Keeping,
    /// It is kept.
    Kept,
    /// It is the last good module: there is nothing else to come back to.
    LastGood,
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
            trust: Trust::OnTrial { works_since: None },
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
        self.trust = if last_good { Trust::LastGood } else { Trust::OnTrial { works_since: None } };
        self.asked_back = None;
        if !last_good {
            self.wait = FIRST_WAIT;
            self.retry_at = None;
            self.refused = None;
        }
    }

    /// What runs is what the configuration wants. Says whether it works, too: then whatever was refused is of no interest any more.
    pub(super) fn is_wanted(&mut self) -> bool {
        let works = self.running.as_ref().is_some_and(|running| running.row.meter.ready.get() == 1);
        if self.trust == Trust::LastGood {
            self.trust = Trust::Kept;
        }
        self.refused = self.refused.take().filter(|_| !works);
        self.retry_at = self.refused.is_some().then(|| Instant::now() + self.wait);
        works
    }

    /// The last good module is at work in place of the present one; gives what is wrong with that.
    pub(super) fn roll_back(&mut self, running: Running) -> Refused {
        let bad = self.running.take();
        let fault = bad.as_ref().and_then(|bad| bad.row.meter.last_fault.get());
        let bad = bad.map(|bad| bad.tried);
        let reason = format!("it fails again and again, the last time: {}", fault.unwrap_or_default());
        let refused = || Refused { step: Step::Work, reason: reason.clone(), tried: bad.clone(), again: false };
        // What is known of a still newer one stays.
        let newer = self.refused.take().filter(|known| known.digest() != bad.as_ref().map(|bad| bad.digest.as_str()));
        self.refused = Some(newer.unwrap_or_else(refused));
        self.runs(running, true);
        refused()
    }

    /// Says whether that is news.
    pub(super) fn refuse(&mut self, refused: Refused) -> bool {
        let known = self.refused.as_ref().is_some_and(|known| known.step == refused.step && known.reason == refused.reason);
        if self.refused.as_ref().is_none_or(|known| known.digest() != refused.digest()) {
            self.wait = FIRST_WAIT;
        }
        self.retry_at = refused.again.then(|| Instant::now() + self.wait);
        if refused.again {
            self.wait = (self.wait * 2).min(LONGEST_WAIT);
        }
        self.refused = Some(refused);
        !known
    }

    pub(super) fn is_due(&self, now: Instant) -> bool {
        !self.is_busy() && self.retry_at.is_some_and(|time| now >= time)
    }

    /// What runs if it has failed again and again although another one was good, and that is news: the last good one is to be asked for. When
    /// it could not be put back, as with a lane that waits for its sink, it is asked for again while the module goes on failing.
    pub(super) fn take_back(&mut self) -> Option<Running> {
        let running = self.running.as_ref()?;
        let rests = running.row.meter.rests.get();
        let is_news = self.asked_back.is_none_or(|(time, known)| rests > known && time.elapsed() >= FIRST_WAIT);
        if rests == 0 || self.is_busy() || self.trust == Trust::LastGood || !is_news {
            return None;
        }
        self.asked_back = Some((Instant::now(), rests));
        self.attempt = Attempt::UnderWay;
        Some(running.clone())
    }

    /// What runs if it has worked for so long without being in the way: it is to be kept. Time without a call is no work.
    pub(super) fn is_good(&mut self, after: Duration) -> Option<Running> {
        let running = self.running.as_ref()?;
        let meter = &running.row.meter;
        let Trust::OnTrial { works_since } = &mut self.trust else { return None };
        if meter.calls.count() == 0 || meter.rests.get() > 0 {
            return None;
        }
        let since = *works_since.get_or_insert_with(Instant::now);
        if self.attempt != Attempt::None || since.elapsed() < after {
            return None;
        }
        self.trust = Trust::Keeping;
        Some(running.clone())
    }

    /// What was to be kept is, or is not and begins its trial anew. It may run no more.
    pub(super) fn kept(&mut self, digest: &str, done: bool) {
        let runs = self.running.as_ref().is_some_and(|running| running.tried.digest == digest);
        if runs && self.trust == Trust::Keeping {
            self.trust = if done { Trust::Kept } else { Trust::OnTrial { works_since: None } };
        }
    }
}
