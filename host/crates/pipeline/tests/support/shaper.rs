//! A shaper that does as it is told, and sees to it that it is called as the contract says.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use sluicebox_contract::{Class, Entry, Event, Fault, Handlers, Message, Saved, Shaper, Subject, SubjectId};

use super::Log;

/// What a step is to do wrong: after so many calls that go well, so many fail.
#[derive(Clone, Copy)]
pub struct Failing {
    pub after: usize,
    pub times: usize,
    pub class: Class,
}

/// A shaper that turns each event into a message with its name, unless it is told otherwise.
#[allow(clippy::struct_excessive_bools, reason = "each is a way of its own to misbehave")]
#[derive(Clone, Default)]
pub struct Scripted {
    /// Names that kill the instance.
    pub deadly: BTreeSet<usize>,
    /// Names that are refused.
    pub refused: BTreeSet<usize>,
    /// How many starts fail.
    pub bad_starts: Arc<Mutex<usize>>,
    /// Time for each call.
    pub takes: Duration,
    /// Time for a call that ends in a trap, as one that runs into its deadline.
    pub trap_takes: Duration,
    /// Subjects whose definition kills the instance.
    pub deadly_subjects: BTreeSet<u32>,
    /// Starts, definitions and calls, in order.
    pub log: Log,
    /// Stands before each name in the output.
    pub version: &'static str,
    /// Steps that fail: `start`, `define`, `forget`, `shape`, `save`, `restore`.
    pub failing: Arc<Mutex<BTreeMap<&'static str, Failing>>>,
    /// It counts its events, and asks its successor to go on counting.
    pub counts: bool,
    /// Calls of `shape` stand in the log.
    pub tells_calls: bool,
    /// It panics at an event about a subject that it was not told of.
    pub strict: bool,
    /// Bytes that it says it holds.
    pub memory: Arc<AtomicUsize>,
    /// Processor time for each event.
    pub burns: Duration,
    /// Calls of `shape` do not return while this is so.
    pub held: Arc<AtomicBool>,
    /// Calls of `restore` do not return while this is so.
    pub held_restore: Arc<AtomicBool>,
    /// It wants to know nothing of subjects.
    pub untold: bool,
    /// Each event whose number this divides has this text before its name.
    pub large: Option<(usize, &'static str)>,
    /// What the instance at work has.
    pub instance: Option<Instance>,
}

#[derive(Clone, Default)]
pub struct Instance {
    pub known: BTreeSet<u32>,
    pub count: u64,
}

impl Scripted {
    pub fn of(version: &'static str) -> Self {
        Self { version, ..Self::default() }
    }

    /// With a step that fails with this class each time.
    pub fn failing(self, step: &'static str, class: Class) -> Self {
        self.fail(step, Failing { after: 0, times: usize::MAX, class });
        self
    }

    pub fn fail(&self, step: &'static str, failing: Failing) {
        self.failing.lock().unwrap().insert(step, failing);
    }

    fn say(&self, line: impl Into<String>) {
        self.log.lock().unwrap().push(line.into());
    }

    fn instance(&mut self) -> &mut Instance {
        self.instance.as_mut().expect("only `renew` may be called without a living instance")
    }

    fn die(&mut self, step: &str) -> Fault {
        self.instance = None;
        Fault::replace(step, "trap")
    }

    fn step(&mut self, step: &'static str) -> Result<(), Fault> {
        let mut failing = self.failing.lock().unwrap();
        let Some(failing) = failing.get_mut(step) else { return Ok(()) };
        if failing.after > 0 {
            failing.after -= 1;
            return Ok(());
        }
        if failing.times == 0 {
            return Ok(());
        }
        failing.times -= 1;
        if failing.class != Class::Skip {
            self.instance = None;
        }
        Err(Fault::new(failing.class, step, "as scripted"))
    }
}

impl Shaper for Scripted {
    fn handlers(&self) -> Handlers {
        Handlers { subjects: !self.untold, objects: true, samples: true, connections: true, series: true, ..Handlers::default() }
    }

    fn define(&mut self, subjects: &[Arc<Subject>]) -> Result<(), Fault> {
        let names: Vec<&str> = subjects.iter().map(|subject| subject.name.as_str()).collect();
        self.say(format!("define {}", names.join(" ")));
        self.instance().known.extend(subjects.iter().map(|subject| subject.id.0));
        if subjects.iter().any(|subject| self.deadly_subjects.contains(&subject.id.0)) {
            return Err(self.die("define"));
        }
        self.step("define")
    }

    fn forget(&mut self, subjects: &[SubjectId]) -> Result<(), Fault> {
        self.say(format!("forget {}", subjects.iter().map(|subject| subject.0.to_string()).collect::<Vec<_>>().join(" ")));
        for subject in subjects {
            assert!(self.instance().known.remove(&subject.0), "told to forget {subject:?}, which it was never told of");
        }
        self.step("forget")
    }

    fn shape(&mut self, batch: &[Event]) -> Result<Vec<Entry>, Fault> {
        let names: Vec<usize> = batch.iter().flat_map(numbers).collect();
        if self.tells_calls {
            self.say(format!("shape {}", names.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")));
        }
        let strict = self.strict;
        let instance = self.instance();
        for event in batch {
            let known =
                event.only(|subject| instance.known.contains(&subject.0)).is_some_and(|rest| rest.parts() == event.parts());
            assert!(!strict || known, "an event about a subject that was not defined");
        }
        while self.held.load(Ordering::Relaxed) {
            wait(Duration::from_millis(1));
        }
        wait(self.takes);
        burn(self.burns * u32::try_from(names.len()).unwrap());
        if names.iter().any(|name| self.deadly.contains(name)) {
            wait(self.trap_takes);
            self.say(format!("trap at {}", names.len()));
            return Err(self.die("called"));
        }
        if names.iter().any(|name| self.refused.contains(name)) {
            return Err(Fault::skip("called", "refused"));
        }
        self.step("shape")?;
        self.instance().count += names.len() as u64;
        let before =
            |name: &usize| self.large.filter(|(each, _)| name.is_multiple_of(*each)).map_or(self.version, |(_, text)| text);
        let body = |name: &usize| format!("{}{name}", before(name)).into_bytes();
        Ok(names.iter().map(|name| Entry::Message(Message { body: body(name), ..Message::default() })).collect())
    }

    fn renew(&mut self) -> Result<(), Fault> {
        self.instance = None;
        {
            let mut bad = self.bad_starts.lock().unwrap();
            if *bad > 0 {
                *bad -= 1;
                return Err(Fault::replace("start", "bad settings"));
            }
        }
        self.step("start")?;
        self.say("start");
        self.instance = Some(Instance::default());
        Ok(())
    }

    fn save(&mut self) -> Result<Option<Saved>, Fault> {
        let count = self.instance().count;
        if !self.counts {
            return self.step("save").map(|()| None);
        }
        self.say(format!("save {count}"));
        self.step("save")?;
        Ok(Some(Saved { version: 1, data: count.to_le_bytes().to_vec() }))
    }

    fn takes_state(&self) -> bool {
        self.counts
    }

    fn restore(&mut self, saved: &Saved) -> Result<(), Fault> {
        let count = u64::from_le_bytes(saved.data.as_slice().try_into().unwrap());
        self.say(format!("restore {count}"));
        while self.held_restore.load(Ordering::Relaxed) {
            wait(Duration::from_millis(1));
        }
        self.step("restore")?;
        self.instance().count = count;
        Ok(())
    }

    fn memory_bytes(&self) -> usize {
        self.memory.load(Ordering::Relaxed)
    }
}

/// What an event is called that is about one thing.
pub fn number(event: &Event) -> usize {
    match numbers(event).as_slice() {
        [number] => *number,
        other => panic!("not one thing: {other:?}"),
    }
}

/// What an event is called; a tick is called as all its subjects are, and connections as the ports of their sources.
pub fn numbers(event: &Event) -> Vec<usize> {
    match event {
        Event::Object(event) => vec![event.name.parse().unwrap()],
        Event::Tick(tick) => tick.by_subject().map(|samples| samples[0].subject.0 as usize).collect(),
        Event::Connections(report) => report.connections.iter().map(|connection| usize::from(connection.source.port)).collect(),
        Event::Series(report) => report.subjects().map(|subject| subject.0 as usize).collect(),
        Event::Pod(_) | Event::Service(_) | Event::Node(_) | Event::Inventory(_) => {
            panic!("none of these here")
        }
    }
}

/// Waits on this thread; a park may end early.
pub fn wait(time: Duration) {
    let end = Instant::now() + time;
    while let Some(rest) = end.checked_duration_since(Instant::now()).filter(|rest| !rest.is_zero()) {
        std::thread::park_timeout(rest);
    }
}

/// Uses so much of the processor on this thread, however long that takes beside others.
pub fn burn(time: Duration) {
    let used = || {
        let time = clock_gettime(ClockId::ThreadCPUTime);
        Duration::new(u64::try_from(time.tv_sec).unwrap(), u32::try_from(time.tv_nsec).unwrap())
    };
    let begin = used();
    while !time.is_zero() && used().saturating_sub(begin) < time {
        std::hint::black_box(());
    }
}
