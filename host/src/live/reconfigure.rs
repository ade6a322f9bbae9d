//! A changed configuration: what of it can be done now is done, what needs a restart is named.

use std::path::Path;
use std::time::Duration;

use tokio::time::timeout;
use tracing::{error, info, warn};

use super::Live;
use super::difference::{begins_anew, needs_restart};
use super::lane::Lane;
use super::watch::{Fingerprint, fingerprint};
use crate::config::Problem;
use crate::config::load::{Checked, load};
use crate::plan::LanePlan;

/// Time for reading the configuration, and for a change of the pipeline.
const PATIENCE: Duration = Duration::from_secs(10);
/// Mistakes that are logged; `sluicebox check` names the others.
const MISTAKES: usize = 20;

impl Live {
    /// Reads the configuration again and does what it asks for.
    pub(super) async fn reconfigure(&mut self) {
        let Some(path) = self.config.clone() else { return };
        let (as_read, checked) = match read(&path).await {
            Ok(read) => read,
            Err(problem) => return self.refuse_config(&[problem]),
        };
        let Checked { plan, document, problems } = checked;
        let Some(plan) = plan.filter(|_| problems.is_empty()) else { return self.refuse_config(&problems) };
        let waiting = needs_restart(&self.started.value, &document.value);
        let meter = self.parts.meters.config();
        meter.needs_restart.set(i64::try_from(waiting.len()).unwrap_or(i64::MAX));
        if !waiting.is_empty() && waiting != self.status.needs_restart() {
            warn!(changed = %waiting.join(", "), "these changes of the configuration need a restart; until then they are as they were");
        }
        self.status.config(&path.display().to_string(), Vec::new(), waiting);
        meter.taken.increment();
        info!("configuration read again");
        self.take_lanes(plan.lanes).await;
        match self.fingerprints(as_read).await {
            Ok(known) => self.watch.follow(known),
            Err(error) => error!(%error, "files are followed as before"),
        }
        // What has changed before its file was followed.
        let names: Vec<String> = self.lanes.keys().cloned().collect();
        for name in names {
            self.try_lane(&name, true);
        }
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
    async fn take_lanes(&mut self, wanted: Vec<LanePlan>) {
        let is_gone = |lane: &&Lane| lane.is_configured() && wanted.iter().all(|plan| plan.name != lane.plan.name);
        let gone: Vec<String> = self.lanes.values().filter(is_gone).map(|lane| lane.plan.name.clone()).collect();
        for name in gone {
            self.remove_lane(&name).await;
        }
        for mut plan in wanted {
            if !plan.from_is_explicit {
                plan.from.retain(|source| self.parts.has_source(source));
            }
            match self.lanes.get_mut(&plan.name) {
                None => {
                    info!(lane = %plan.name, module = %plan.component, "lane added");
                    self.lanes.insert(plan.name.clone(), Lane::new(plan));
                }
                Some(lane) if lane.has_left() => lane.come_back(plan),
                Some(lane) => {
                    if let Some(running) = &lane.running
                        && !begins_anew(&running.tried.lane, &plan)
                    {
                        running.control.set_bounds(plan.bounds);
                    }
                    lane.plan = plan;
                }
            }
        }
    }

    /// The lane shapes what it has, and ends.
    async fn remove_lane(&mut self, name: &str) {
        let Some(lane) = self.lanes.get_mut(name) else { return };
        let running = lane.leave();
        if !lane.is_busy() {
            self.lanes.remove(name);
        }
        if let Some(running) = running {
            let handle = running.control.handle();
            self.leaving.push((name.to_owned(), running.control));
            let removing = self.changes.insist(move |pipeline| pipeline.remove_lane(handle));
            if !matches!(timeout(PATIENCE, removing).await, Ok(Ok(()))) {
                error!(lane = %name, "lane not removed: the pipeline does not answer");
            }
        }
        self.parts.meters.remove_lane(name);
        self.status.removed(name);
        self.forget_strangers();
        info!(lane = %name, "lane removed: it shapes what it has, and ends");
    }
}

/// A file that hangs is one that cannot be read.
async fn read(path: &Path) -> Result<(Fingerprint, Checked), Problem> {
    let file = path.to_owned();
    let reading = move || {
        // Opening a pipe would wait for somebody to write into it. What is not there at all is told by whoever reads it.
        if std::fs::metadata(&file).is_ok_and(|found| !found.is_file()) {
            return Err(Problem::whole("cannot be read: it is no regular file"));
        }
        Ok((fingerprint(&file), load(&file)))
    };
    match timeout(PATIENCE, tokio::task::spawn_blocking(reading)).await {
        Ok(Ok(read)) => read,
        Ok(Err(error)) => Err(Problem::whole(format!("cannot be read: {error}"))),
        Err(_) => Err(Problem::whole(format!("was not read within {PATIENCE:?}")).hint("does its file system answer?")),
    }
}
