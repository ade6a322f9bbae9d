//! Recordings that an author wants: the lane tells what it is given, and nothing of its way is slowed down.

use std::path::Path;
use std::time::Duration;

use futures::FutureExt as _;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout_at};
use tracing::{info, warn};

use super::candidate::Running;
use super::{Done, Live};
use crate::author::recording::{Asked, Recorded, Request, Unmade, finish};
use crate::directories;

/// Time between two looks at what has come.
const LOOK: Duration = Duration::from_millis(50);

impl Live {
    /// Makes the oldest recording that is asked for, one at a time.
    pub(super) fn record(&mut self) {
        let Some(state) = directories::state(self.parts.plan.state_directory.as_deref()) else { return };
        if std::mem::replace(&mut self.recording, true) {
            return;
        }
        let running: Vec<Running> = self.lanes.values().filter_map(|lane| lane.running.clone()).collect();
        let node = self.parts.node.clone();
        self.work.push(Box::pin(async move {
            serve(&state, &running, &node).await;
            Done::Recorded
        }));
    }
}

async fn serve(state: &Path, running: &[Running], node: &str) {
    let place = state.to_owned();
    let Ok(Some((asked, request))) = tokio::task::spawn_blocking(move || Asked::take(&place)).await else { return };
    let lane = request.lane.clone();
    let answer = if let Some(running) = running.iter().find(|running| running.row.name == lane) {
        record(running, &request, node).await
    } else {
        let names: Vec<&str> = running.iter().map(|running| running.row.name.as_str()).collect();
        Err(Unmade::new(format!("no lane `{lane}` runs; there are {}", names.join(", "))))
    };
    match &answer {
        Ok(_) => info!(%lane, "events recorded for an author"),
        // What an event says is for whoever has asked, and not for the log.
        Err(Unmade { reason, .. }) => warn!(%lane, %reason, "events not recorded"),
    }
    let answer = answer.map_err(|unmade| unmade.to_string());
    let replied = tokio::task::spawn_blocking(move || asked.reply(&answer)).await;
    if let Ok(Err(error)) = replied {
        warn!(%lane, %error, "recording cannot be written");
    }
}

async fn record(running: &Running, request: &Request, node: &str) -> Result<Value, Unmade> {
    let end = Instant::now() + request.patience();
    let mut recorded = Recorded::default();
    // A lane that waits for its sink all the time has nothing to tell either.
    if let Ok(Ok(tap)) = timeout_at(end, running.control.tap(request.events)).await {
        while !tap.is_enough() && Instant::now() < end && running.control.ended().now_or_never().is_none() {
            sleep(LOOK.min(end.saturating_duration_since(Instant::now()))).await;
        }
        for batch in tap.into_heard().chunk_by(|one, other| one.batch == other.batch) {
            let events = batch.iter().map(|heard| (&heard.event, heard.subjects.as_slice()));
            recorded.take(events).map_err(|error| Unmade::of_events("cannot write an event", error.to_string()))?;
        }
    }
    let plan = &running.tried.lane;
    let settings: Value =
        serde_json::from_str(&plan.settings).map_err(|error| Unmade::of_events("cannot read the settings", error.to_string()))?;
    let context = json!({"lane": plan.name, "node-name": node, "sources": plan.from});
    finish(recorded, &settings, &context, &request.redact)
}
