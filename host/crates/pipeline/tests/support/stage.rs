//! One lane on its way from a source that says what the test tells it to a sink that records, and orders to it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use sluicebox_contract::meter::{DeadLetterMeter, LaneMeter, OutletMeter};
use sluicebox_contract::{DeadLetter, DeadLetters, Fault, Feed, ModuleIdentity, Notice, Source, Subject};
use sluicebox_pipeline::{LaneControl, LaneSettings, LaneTerms, OutletHandle, Pipeline, Successor};
use tokio::sync::mpsc;

use super::{Recorder, Scripted, lane_terms, outlet_terms};

/// Waits for what must come, and patiently.
pub const PATIENCE: Duration = Duration::from_mins(2);

/// Waits until that is so.
pub async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < end, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// What this gives, which must not take for ever.
pub async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("in time")
}

/// Says what it is told, until all who tell are gone or the stop comes.
pub struct Tap(mpsc::Receiver<Notice>);

pub fn tap() -> (mpsc::Sender<Notice>, Tap) {
    let (sender, receiver) = mpsc::channel(4096);
    (sender, Tap(receiver))
}

impl Source for Tap {
    async fn run(mut self, mut feed: impl Feed, stop: impl Future<Output = ()> + Send + 'static) -> Result<(), Fault> {
        tokio::pin!(stop);
        loop {
            tokio::select! {
                // What was told before the stop is said.
                biased;
                Some(notice) = self.0.recv() => if feed.send(notice).await.is_err() { return Ok(()) },
                () = &mut stop => return Ok(()),
            }
        }
    }
}

/// Keeps letters in memory.
#[derive(Clone, Default)]
pub struct Shelf {
    pub letters: Arc<Mutex<Vec<DeadLetter>>>,
    /// It is stuck while this is so.
    pub held: Arc<AtomicBool>,
    /// Keeps nothing.
    pub broken: bool,
    /// Panics at the first letter.
    pub panics: bool,
    pub meter: Arc<DeadLetterMeter>,
}

impl Shelf {
    pub fn letters(&self) -> Vec<DeadLetter> {
        self.letters.lock().unwrap().clone()
    }
}

impl DeadLetters for Shelf {
    fn keep(&mut self, letter: &DeadLetter) -> Result<(), Fault> {
        while self.held.load(Ordering::Relaxed) {
            super::shaper::wait(Duration::from_millis(1));
        }
        assert!(!self.panics, "as scripted");
        if self.broken {
            return Err(Fault::retry("cannot write the letter", "the disk is full"));
        }
        self.letters.lock().unwrap().push(letter.clone());
        Ok(())
    }
}

/// One lane with all that it needs.
pub struct Stage {
    pub pipeline: Pipeline,
    pub control: LaneControl<Scripted>,
    pub outlet: OutletHandle,
    pub meter: Arc<LaneMeter>,
    pub outlet_meter: Arc<OutletMeter>,
    pub sink: Recorder,
    pub tell: mpsc::Sender<Notice>,
}

impl Stage {
    pub fn new(shaper: Scripted) -> Self {
        Self::with(shaper, Recorder::default(), LaneSettings { batch: 4, ..lane_terms(&[]).settings }, None)
    }

    pub fn with(shaper: Scripted, sink: Recorder, settings: LaneSettings, shelf: Option<Shelf>) -> Self {
        let mut pipeline = Pipeline::default();
        if let Some(shelf) = shelf {
            let meter = Arc::clone(&shelf.meter);
            pipeline.dead_letters(shelf, meter).unwrap();
        }
        let terms = outlet_terms(&["lane"]);
        let outlet_meter = Arc::clone(&terms.meter);
        let outlet = pipeline.outlet("out", sink.clone(), terms);
        let meter = Arc::<LaneMeter>::default();
        let terms = LaneTerms { meter: Arc::clone(&meter), settings, ..lane_terms(&[outlet]) };
        let control = pipeline.lane("lane", shaper, terms).unwrap();
        let (tell, tap) = tap();
        pipeline.source("tap", tap, &[control.handle()]);
        Self { pipeline, control, outlet, meter, outlet_meter, sink, tell }
    }
}

/// A module that has been started and told these subjects, and works as [`Stage::new`] has the lane work.
pub fn successor(shaper: Scripted, told: Vec<Arc<Subject>>, meter: &Arc<LaneMeter>) -> Successor<Scripted> {
    Successor {
        module: ModuleIdentity { name: "scripted".into(), version: shaper.version.into(), digest: "11".into() },
        shaper,
        told,
        settings: LaneSettings { batch: 4, ..lane_terms(&[]).settings },
        meter: Arc::new(LaneMeter { queue: Arc::clone(&meter.queue), ..LaneMeter::default() }),
    }
}
