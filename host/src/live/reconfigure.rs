//! A changed configuration: what of it can be done now is done, what needs a restart is named.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use tracing::{error, info, warn};

use super::difference::needs_restart;
use super::lane::Lane;
use super::reading::Reading;
use super::{ConfigReading, Done, Live};
use crate::config::Problem;
use crate::config::load::{Checked, load};
use crate::plan::{LanePlan, feeds};

/// A configuration that could not be read is read again after this.
const AGAIN: Duration = Duration::from_secs(30);
/// Mistakes that are logged; `sluicebox check` names the others.
const MISTAKES: usize = 20;

impl Live {
    /// Reads the configuration again, beside the loop.
    pub(super) fn read_config(&mut self) {
        let Some(path) = self.config.clone() else { return };
        self.config_retry_at = None;
        if self.config_reading != ConfigReading::None {
            self.config_reading = ConfigReading::Again;
            return;
        }
        self.config_reading = ConfigReading::UnderWay;
        let reading = self.reading.clone();
        self.work.push(Box::pin(async move { Done::Config(Box::new(read(&reading, path).await)) }));
    }

    /// Does what the configuration asks for.
    pub(super) fn reconfigure(&mut self, read: Result<Checked, Problem>) {
        if std::mem::replace(&mut self.config_reading, ConfigReading::None) == ConfigReading::Again {
            return self.read_config();
        }
        let Checked { plan, document, problems } = match read {
            Ok(checked) => checked,
            Err(problem) => {
                self.config_retry_at = Some(Instant::now() + AGAIN);
                return self.refuse_config(&[problem]);
            }
        };
        let Some(plan) = plan.filter(|_| problems.is_empty()) else { return self.refuse_config(&problems) };
        let waiting = needs_restart(&self.started.value, &document.value);
        let meter = self.parts.meters.config();
        meter.needs_restart.set(i64::try_from(waiting.len()).unwrap_or(i64::MAX));
        if !waiting.is_empty() && waiting != self.status.needs_restart() {
            warn!(changed = %waiting.join(", "), "these changes of the configuration need a restart; until then they are as they were");
        }
        self.status.config(&self.config_name(), Vec::new(), waiting);
        meter.taken.increment();
        info!("configuration read again");
        self.take_lanes(plan.lanes);
        self.follow();
        self.try_all();
    }

    fn refuse_config(&mut self, problems: &[Problem]) {
        let name = self.config_name();
        let texts: Vec<String> = problems.iter().map(|problem| problem.to_string().replace('\n', " ")).collect();
        for problem in texts.iter().take(MISTAKES) {
            error!(config = %name, %problem, "changed configuration refused; the one before goes on");
        }
        self.parts.meters.config().refused.increment();
        let message = format!("{name}: {} mistakes, the first: {}", texts.len(), texts.first().map_or("", String::as_str));
        let waiting = self.status.needs_restart();
        self.status.config(&name, texts, waiting);
        if let Some(posting) = self.reporter.post("ConfigurationRefused", message) {
            self.aside(posting);
        }
    }

    /// Adds, removes and changes lanes. What is to run in them is brought there afterwards.
    fn take_lanes(&mut self, wanted: Vec<LanePlan>) {
        let is_gone = |lane: &&Lane| lane.is_configured() && wanted.iter().all(|plan| plan.name != lane.plan.name);
        let gone: Vec<String> = self.lanes.values().filter(is_gone).map(|lane| lane.plan.name.clone()).collect();
        for name in gone {
            self.remove_lane(&name);
        }
        for mut plan in wanted {
            if !plan.from_is_explicit {
                // Sources change with a restart.
                plan.from = self.parts.sources();
                plan.from.retain(|source| feeds(source, plan.scope, &self.parts.plan.sources));
            }
            match self.lanes.get_mut(&plan.name) {
                None => {
                    info!(lane = %plan.name, module = %plan.component, "lane added");
                    self.lanes.insert(plan.name.clone(), Lane::new(plan));
                }
                Some(lane) if lane.has_left() => lane.come_back(plan),
                Some(lane) => lane.plan = plan,
            }
        }
        self.share_out();
    }

    /// The lane shapes what it has, and ends.
    fn remove_lane(&mut self, name: &str) {
        let Some(lane) = self.lanes.get_mut(name) else { return };
        let running = lane.leave();
        if !lane.is_busy() {
            self.lanes.remove(name);
        }
        if let Some(running) = running {
            let handle = running.control.handle();
            self.leaving.push((name.to_owned(), running.control));
            let changes = self.changes.clone();
            self.aside(async move {
                // When the pipeline stops, the lane ends with it.
                let _stopped = changes.insist(move |pipeline| pipeline.remove_lane(handle)).await;
            });
        }
        self.parts.meters.remove_lane(name);
        self.status.removed(name);
        self.forget_strangers();
        info!(lane = %name, "lane removed: it shapes what it has, and ends");
    }
}

async fn read(reading: &Reading, path: PathBuf) -> Result<Checked, Problem> {
    let file = path.clone();
    let read = reading.with("configuration", &path, move || {
        // Opening a pipe would wait for somebody to write into it. What is not there at all is told by whoever reads it.
        if std::fs::metadata(&file).is_ok_and(|found| !found.is_file()) {
            return Err(Problem::whole("cannot be read: it is no regular file"));
        }
        Ok(load(&file))
    });
    read.await.unwrap_or_else(|reason| Err(Problem::whole(reason)))
}
