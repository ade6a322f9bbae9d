//! Several collectors of one cluster, and everything that each of them writes, with the time at which it came.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use sluicebox_testkit::program::Program;

use super::{PATIENCE, Place, binary};

/// A line on somebody's standard output.
#[derive(Clone, Debug)]
pub struct Line {
    pub at: Instant,
    /// The number of the collector; none is given twice.
    pub by: usize,
    pub text: String,
}

/// Collectors that come and go.
pub struct Replicas {
    place: Place,
    api: PathBuf,
    rest: String,
    lines: Arc<Mutex<Vec<Line>>>,
    started: usize,
}

/// One of them.
pub struct Replica {
    pub number: usize,
    pub program: Program,
}

impl Replicas {
    /// Of the API server that this kubeconfig names, all with this configuration.
    pub fn new(api: &Path, rest: &str) -> Self {
        Self { place: Place::new(), api: api.to_owned(), rest: rest.to_owned(), lines: Arc::default(), started: 0 }
    }

    /// Starts another one.
    pub async fn start(&mut self) -> Replica {
        let number = self.started;
        self.started += 1;
        let text = self.place.configuration("http://unused.invalid", &self.rest);
        let reached = format!("kubernetes: {{access: kubeconfig, kubeconfig: {}}}", self.api.display());
        let state = format!("state-directory: {}", self.place.path(&format!("state-{number}")).display());
        let own = text.lines().map(|line| match line.split_once(':') {
            Some(("kubernetes", _)) => reached.as_str(),
            Some(("state-directory", _)) => state.as_str(),
            _ => line,
        });
        let config = self.place.path(&format!("{number}.yaml"));
        std::fs::write(&config, own.collect::<Vec<_>>().join("\n")).unwrap();
        let lines = Arc::clone(&self.lines);
        let show = move |text: &str| {
            lines.lock().unwrap().push(Line { at: Instant::now(), by: number, text: text.to_owned() });
        };
        let log = self.place.path(&format!("{number}.log"));
        let mut program = Program::start(binary(), &config, &log, show).unwrap();
        program.until_ready(PATIENCE).await.unwrap();
        Replica { number, program }
    }

    /// Everything that was written so far.
    pub fn lines(&self) -> Vec<Line> {
        self.lines.lock().unwrap().clone()
    }

    /// Never two have written at once: whoever began later than another has begun after that one's last line.
    pub fn never_two(&self) {
        let lines = self.lines();
        let spell = |by: usize| {
            let mut own = lines.iter().filter(|line| line.by == by).map(|line| line.at);
            own.next().map(|first| (first, own.next_back().unwrap_or(first)))
        };
        let mut spells: Vec<(usize, (Instant, Instant))> =
            (0..self.started).filter_map(|by| spell(by).map(|spell| (by, spell))).collect();
        spells.sort_by_key(|(_, (first, _))| *first);
        for pair in spells.windows(2) {
            let [(one, (_, end)), (other, (begin, _))] = pair else { panic!("two of them") };
            assert!(end < begin, "{one} has written until {:?} after {other} began", *end - *begin);
        }
    }
}

/// A test that fails tells what they logged of the lease, and whatever was no news.
impl Drop for Replicas {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        for number in 0..self.started {
            let log = std::fs::read_to_string(self.place.path(&format!("{number}.log"))).unwrap_or_default();
            println!("the log of collector {number}:");
            for line in
                log.lines().filter(|line| line.contains("lease") || line.contains("standing by") || !line.contains("INFO"))
            {
                println!("  {line}");
            }
        }
    }
}

impl Replica {
    /// Whether it holds the lease.
    pub async fn holds(&self) -> bool {
        self.program.metric("sluicebox_lease_held", "").await.unwrap() > 0.5
    }

    pub async fn until_it_holds(&self) -> Instant {
        let begin = Instant::now();
        while !self.holds().await {
            assert!(begin.elapsed() < PATIENCE, "it does not come to hold the lease:\n{}", self.program.log().unwrap());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Instant::now()
    }

    pub fn signal(&self, signal: &str) {
        let id = self.program.id().to_string();
        assert!(std::process::Command::new("kill").args([signal, &id]).status().unwrap().success());
    }
}

/// The one that holds the lease, then the other.
pub async fn in_order(one: Replica, other: Replica) -> (Replica, Replica) {
    let begin = Instant::now();
    loop {
        match (one.holds().await, other.holds().await) {
            (true, false) => return (one, other),
            (false, true) => return (other, one),
            (false, false) => assert!(begin.elapsed() < PATIENCE, "nobody holds the lease"),
            (true, true) => panic!("both hold the lease"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
