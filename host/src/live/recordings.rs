//! Recordings that an author wants: the lane is asked for its last batch again and again, and nothing of its way is slowed down.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout};
use tracing::{info, warn};

use super::candidate::Running;
use super::{Done, Live};
use crate::author::recording::{Answer, Asked, Recorded, Request, finish};
use crate::directories;

/// Time between two looks at the lane.
const LOOK: Duration = Duration::from_millis(50);
/// Time until a lane answers; one that is busy longer is looked at again.
const ANSWER: Duration = Duration::from_secs(5);

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
        Err(format!("no lane `{lane}` runs; there are {}", names.join(", ")))
    };
    match &answer {
        Ok(_) => info!(%lane, "events recorded for an author"),
        Err(reason) => warn!(%lane, %reason, "events not recorded"),
    }
    let replied = tokio::task::spawn_blocking(move || asked.reply(&answer)).await;
    if let Ok(Err(error)) = replied {
        warn!(%lane, %error, "recording cannot be written");
    }
}

async fn record(running: &Running, request: &Request, node: &str) -> Answer {
    let end = Instant::now() + request.patience();
    let mut recorded = Recorded::new(request.events);
    loop {
        match timeout(ANSWER, running.control.look()).await {
            Ok(Ok(snapshot)) => {
                recorded.take(&snapshot.batch, &snapshot.subjects).map_err(|error| format!("cannot write an event: {error}"))?;
            }
            Ok(Err(_)) => break,
            Err(_) => {}
        }
        if recorded.is_full() || Instant::now() >= end {
            break;
        }
        sleep(LOOK).await;
    }
    let plan = &running.tried.lane;
    let settings: Value = serde_json::from_str(&plan.settings).map_err(|error| format!("cannot read the settings: {error}"))?;
    let context = json!({"lane": plan.name, "node-name": node, "sources": plan.from});
    finish(recorded, &settings, &context, &request.redact)
}
