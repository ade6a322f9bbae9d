//! The program in one seed: started, killed and stopped, and what it said of itself while it lived.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use sluicebox_testkit::program::{Program, ask};
use tokio::time::{sleep, timeout};

use super::clock::now_milliseconds;
use super::config::RUN;
use super::metrics::Metrics;

/// How long it may take until its probes answer.
const ALIVE_WITHIN: Duration = Duration::from_secs(20);
/// How long it may take to end, beyond its grace.
const END_WITHIN: Duration = Duration::from_secs(15);
const BETWEEN_LOOKS: Duration = Duration::from_millis(25);

/// One life of the process.
#[derive(Clone, Debug, Default)]
pub(super) struct Run {
    pub(super) began: i64,
    /// When it was ready for the first time, and when it ended.
    pub(super) ready: Option<i64>,
    pub(super) ended: Option<i64>,
    /// What it said last.
    pub(super) last: Option<Metrics>,
    /// Whether it has ended by itself, with nothing lost.
    pub(super) well: bool,
    /// When it has ended by itself, how many entries of which sink it has said to be lost.
    pub(super) lost: Option<BTreeMap<String, f64>>,
}

/// Who looks at the program's metrics all the time, and what was seen last of which run.
#[derive(Default)]
pub(super) struct Watcher {
    now: Mutex<(usize, String)>,
    seen: Mutex<Option<(usize, Metrics)>>,
    /// When which run was ready for the first time.
    ready: Mutex<Option<(usize, i64)>>,
    /// When it has answered, in milliseconds since 1970.
    answers: Mutex<Vec<i64>>,
    /// The longest that this task of ours was late, which has next to nothing to do: so busy is the machine.
    lag: Mutex<Duration>,
}

pub(super) struct Collector {
    binary: PathBuf,
    /// With a place for the number of the run.
    configuration: String,
    folder: PathBuf,
    pub(super) program: Option<Program>,
    pub(super) runs: Vec<Run>,
    pub(super) watcher: Arc<Watcher>,
    /// The longest start so far.
    pub(super) slowest: Duration,
}

impl Watcher {
    pub(super) async fn watch(self: Arc<Self>) {
        loop {
            let (run, address) = self.now.lock().unwrap_or_else(PoisonError::into_inner).clone();
            if !address.is_empty()
                && let Ok(Ok((true, page))) = timeout(Duration::from_secs(2), ask(&address, "/metrics")).await
            {
                let metrics = Metrics::parse(&page);
                self.note_ready(run, &metrics);
                self.answers.lock().unwrap_or_else(PoisonError::into_inner).push(now_milliseconds());
                *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some((run, metrics));
            }
            let before = Instant::now();
            sleep(BETWEEN_LOOKS).await;
            let mut lag = self.lag.lock().unwrap_or_else(PoisonError::into_inner);
            *lag = before.elapsed().saturating_sub(BETWEEN_LOOKS).max(*lag);
        }
    }

    /// How late things are on this machine, in milliseconds.
    pub(super) fn lag(&self) -> i64 {
        let lag = *self.lag.lock().unwrap_or_else(PoisonError::into_inner);
        i64::try_from(lag.as_millis()).unwrap_or(i64::MAX)
    }

    /// A run is ready once all sources have told what was there.
    fn note_ready(&self, run: usize, metrics: &Metrics) {
        let mut ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
        if ready.is_none_or(|(known, _)| known != run) && metrics.sum("sluicebox_source_listed", &["\"pods\""]) > 0.5 {
            *ready = Some((run, now_milliseconds()));
        }
    }

    /// When a run was ready, if it ever was.
    pub(super) fn ready(&self, run: usize) -> Option<i64> {
        let ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
        ready.filter(|(known, _)| *known == run).map(|(_, at)| at)
    }

    /// For how long at most it has not answered in this time, in milliseconds: that is how busy the machine is, or how long the program stood still.
    pub(super) fn longest_silence(&self, from: i64, to: i64) -> i64 {
        let answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut longest, mut last) = (0, from);
        for at in answers.iter().copied().filter(|at| (from..to).contains(at)).chain([to]) {
            longest = longest.max(at - last);
            last = at;
        }
        longest
    }

    fn look_at(&self, run: usize, address: &str) {
        *self.now.lock().unwrap_or_else(PoisonError::into_inner) = (run, address.to_owned());
    }

    fn seen(&self, run: usize) -> Option<Metrics> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.as_ref().filter(|(of, _)| *of == run).map(|(_, metrics)| metrics.clone())
    }
}

impl Collector {
    pub(super) fn new(binary: &Path, configuration: String, folder: &Path) -> Self {
        Self {
            binary: binary.to_owned(),
            configuration,
            folder: folder.to_owned(),
            program: None,
            runs: Vec::new(),
            watcher: Arc::default(),
            slowest: Duration::ZERO,
        }
    }

    /// Starts it, without waiting.
    pub(super) fn launch(&mut self) -> Result<()> {
        let number = self.runs.len();
        let config = self.folder.join("sluicebox.yaml");
        fs::write(&config, self.configuration.replace(RUN, &number.to_string()))?;
        self.runs.push(Run { began: now_milliseconds(), ..Run::default() });
        self.program = Some(Program::start(&self.binary, &config, &self.log(number), |_| {})?);
        Ok(())
    }

    /// Waits until it answers.
    pub(super) async fn until_alive(&mut self) -> Result<()> {
        let begin = Instant::now();
        let number = self.runs.len().saturating_sub(1);
        let program = self.program.as_mut().context("there is no program")?;
        program.until_alive(ALIVE_WITHIN).await.context("start-up has failed")?;
        self.slowest = self.slowest.max(begin.elapsed());
        self.watcher.look_at(number, program.address());
        Ok(())
    }

    pub(super) fn is_there(&self) -> bool {
        self.program.is_some()
    }

    /// Ends it without asking.
    pub(super) fn kill(&mut self) -> Result<()> {
        let Some(mut program) = self.program.take() else { return Ok(()) };
        program.kill()?;
        self.note(false);
        Ok(())
    }

    /// Asks it to end, and says whether nothing was lost.
    pub(super) async fn stop(&mut self) -> Result<bool> {
        let Some(mut program) = self.program.take() else { return Ok(true) };
        program.resume()?;
        let status = program.stop(END_WITHIN).await.context("it does not end")?;
        let well = match status.code() {
            Some(0) => true,
            Some(1) => false,
            _ => bail!("it ended with {status}:\n{}", program.log()?),
        };
        let lost = lost(&program.log()?);
        if well && !lost.is_empty() {
            bail!("it ended with code 0 and has lost {lost:?}");
        }
        self.note(well);
        self.runs.last_mut().into_iter().for_each(|run| run.lost = Some(lost.clone()));
        Ok(well)
    }

    fn note(&mut self, well: bool) {
        let number = self.runs.len().saturating_sub(1);
        let last = self.watcher.seen(number);
        self.watcher.look_at(number, "");
        if let Some(run) = self.runs.last_mut() {
            (run.last, run.well, run.ended) = (last, well, Some(now_milliseconds()));
            run.ready = self.watcher.ready(number);
        }
    }

    /// What it says of itself now.
    pub(super) async fn metrics(&self) -> Result<Metrics> {
        let program = self.program.as_ref().context("there is no program")?;
        let (_, page) = timeout(Duration::from_secs(5), program.get("/metrics")).await.context("its metrics do not come")??;
        Ok(Metrics::parse(&page))
    }

    pub(super) fn log(&self, run: usize) -> PathBuf {
        self.folder.join(format!("run-{run}.log"))
    }
}

/// How many entries of which sink are lost, as the log says.
fn lost(log: &str) -> BTreeMap<String, f64> {
    let lost = |line: &str| {
        let line: Value = serde_json::from_str(line).ok()?;
        let is_it = line.get("message")?.as_str()? == "entries were not written and are lost";
        is_it.then_some((line.get("sink")?.as_str()?.to_owned(), line.get("entries")?.as_f64()?))
    };
    log.lines().filter_map(lost).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lost_is_read_from_the_log() {
        let log = "{\"message\":\"stopped\"}\n\
            {\"level\":\"ERROR\",\"message\":\"entries were not written and are lost\",\"sink\":\"broker\",\"entries\":30,\"hint\":\"x\"}\nx";
        assert_eq!(lost(log), BTreeMap::from([("broker".to_owned(), 30.0)]));
    }
}
