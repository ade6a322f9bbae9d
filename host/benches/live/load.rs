//! Events that flow: 64 each millisecond, numbered for each subject, and the sink that looks whether all of them come, once and in order.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use sluicebox_contract::{
    Change, Entry, Event, Fault, Feed, Notice, ObjectEvent, ObjectKind, Outcome, Sink, Source, SubjectId, UnixNanos,
};
use tokio::time::MissedTickBehavior;

/// Events at a time, one for each subject.
pub(crate) const BATCH: u64 = 64;

/// Says a batch each millisecond.
pub(crate) struct Ticks {
    /// How many batches a second.
    pub(crate) every: Duration,
}

impl Source for Ticks {
    async fn run(self, mut feed: impl Feed, stop: impl Future<Output = ()> + Send + 'static) -> Result<(), Fault> {
        let mut tick = tokio::time::interval(self.every);
        tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
        tokio::pin!(stop);
        for number in 0_u64.. {
            tokio::select! {
                _ = tick.tick() => {}
                () = &mut stop => break,
            }
            let now = UnixNanos::now();
            for subject in 0..BATCH {
                if feed.send(event(subject, number, now)).await.is_err() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}

fn event(subject: u64, number: u64, now: UnixNanos) -> Notice {
    Notice::Event(Event::Object(ObjectEvent {
        subject: SubjectId(u32::try_from(subject + 1).unwrap_or(u32::MAX)),
        // The module takes pods typed only.
        kind: ObjectKind::Node,
        change: Change::Modified,
        observed_at: now,
        uid: "uid".into(),
        namespace: "shop".into(),
        name: "web".into(),
        json: Some(format!("{subject} {number} {}", now.0).into()),
    }))
}

/// What has come.
#[derive(Default)]
pub(crate) struct Seen {
    /// The next number of each subject.
    next: Vec<u64>,
    /// Events.
    pub(crate) events: u64,
    /// Events that never came.
    pub(crate) lost: u64,
    /// Events that came twice or out of order.
    pub(crate) wrong: u64,
    /// From the observation of a batch until its first entry came, nanoseconds.
    pub(crate) delays: Vec<u64>,
    /// When an entry came of an instance's first call.
    pub(crate) firsts: Vec<Instant>,
}

/// Looks at what comes.
#[derive(Clone, Default)]
pub(crate) struct Recorder(Arc<Mutex<Seen>>);

impl Recorder {
    pub(crate) fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().expect("nobody panics here")
    }

    /// The delays since the last question, in order of their length.
    pub(crate) fn take_delays(&self) -> Vec<u64> {
        let mut delays = std::mem::take(&mut self.seen().delays);
        delays.sort_unstable();
        delays
    }
}

impl Sink for Recorder {
    async fn write(&mut self, batch: &[Entry]) -> Outcome {
        let now = UnixNanos::now().0;
        let mut seen = self.seen();
        for entry in batch {
            let Entry::Message(message) = entry else { continue };
            let text = std::str::from_utf8(&message.body).expect("the module hands on what it is given");
            let mut parts = text.split(' ').map(|part| part.parse::<u64>().expect("numbers"));
            let (subject, number, at) = (parts.next().unwrap_or(0), parts.next().unwrap_or(0), parts.next().unwrap_or(0));
            let index = usize::try_from(subject).unwrap_or(0);
            if seen.next.len() <= index {
                seen.next.resize(index + 1, 0);
            }
            let expected = seen.next[index];
            seen.lost += number.saturating_sub(expected);
            seen.wrong += u64::from(number < expected);
            seen.next[index] = expected.max(number + 1);
            seen.events += 1;
            if subject == 0 {
                seen.delays.push(now.saturating_sub(at));
            }
            // The module says how many calls its instance has seen.
            if message.key.as_deref() == Some("1")
                && seen.firsts.last().is_none_or(|last| last.elapsed() > Duration::from_millis(5))
            {
                seen.firsts.push(Instant::now());
            }
        }
        Outcome::written()
    }
}
