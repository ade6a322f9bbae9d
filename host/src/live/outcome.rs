//! What follows from what was done beside the loop: what runs and what was refused is noted, shown and told.

use std::sync::Arc;
use std::time::Instant;

use sluicebox_contract::ModuleIdentity;
use tracing::{error, info, warn};

use super::candidate::{Placed, Refused, Running, Step};
use super::lane::Lane;
use super::quiet::quietly;
use super::{Done, Live};
use crate::metrics::LaneRow;
use crate::plan::LanePlan;

impl Live {
    pub(super) fn take(&mut self, done: Done) {
        match done {
            Done::Config(read) => self.reconfigure(*read),
            Done::Kept { lane, digest, done } => {
                if let Some(lane) = self.lanes.get_mut(&lane) {
                    lane.kept(&digest, done);
                }
            }
            Done::Replayed(replays) => self.replays = Some(replays),
            Done::Pulled { reference, result } => self.pulled(&reference, &result),
            Done::Recorded => self.recording = false,
            Done::Aside => {}
            Done::Placed { lane, rollback, result, .. } if self.lanes.get(&lane).is_some_and(Lane::has_left) => {
                self.late(&lane, *result, rollback);
            }
            Done::Placed { lane, began, rollback, result } => {
                match *result {
                    Ok(Placed::Unchanged { runs }) => self.unchanged(&lane, runs && !rollback),
                    Ok(placed) => self.placed(&lane, placed, began, rollback),
                    Err(refused) => self.refused(&lane, refused, rollback),
                }
                self.share_out();
                if self.lanes.get_mut(&lane).is_some_and(Lane::end_attempt) {
                    self.try_lane(&lane, true);
                }
            }
        }
    }

    /// The configuration was without the lane meanwhile: what was done to the lane that was there before is of no interest any more, but
    /// one that has begun is there.
    fn late(&mut self, name: &str, result: Result<Placed, Refused>, rollback: bool) {
        let Some(lane) = self.lanes.get_mut(name) else { return };
        let wanted = lane.end_attempt();
        match result {
            Ok(Placed::Begun(running)) if wanted && !rollback => {
                lane.runs(running, false);
                self.status.at_work(name, false);
                self.hold(name);
                self.share_out();
            }
            Ok(Placed::Begun(running)) => {
                self.parts.meters.remove_lane(name);
                let (changes, handle) = (self.changes.clone(), running.control.handle());
                self.leaving.push((name.to_owned(), running.control));
                self.aside(async move {
                    let _stopped = changes.insist(move |pipeline| pipeline.remove_lane(handle)).await;
                });
            }
            _ => self.parts.meters.remove_lane(name),
        }
        if wanted {
            self.try_lane(name, true);
        } else {
            self.lanes.remove(name);
            self.forget_strangers();
        }
    }

    fn unchanged(&mut self, name: &str, is_wanted: bool) {
        let Some(lane) = self.lanes.get_mut(name).filter(|_| is_wanted) else { return };
        if lane.is_wanted() {
            self.status.is_wanted(name);
        }
    }

    fn placed(&mut self, name: &str, placed: Placed, began: Instant, rollback: bool) {
        let Some(lane) = self.lanes.get_mut(name) else { return };
        let mut dropped = None;
        let running = match placed {
            Placed::Unchanged { .. } => return,
            Placed::Begun(running) => {
                info!(lane = %name, module = %running.row.module, "lane begins");
                running
            }
            Placed::Swapped { running, pause, state, old } => {
                // Shown together with what follows: nobody sees the new module beside what was refused before.
                self.parts.meters.set_lane(running.row.clone());
                // Its memory is given back where that delays nobody.
                dropped = Some(quietly(move || drop(old)));
                running.row.swaps.pauses.observe(pause);
                info!(lane = %name, module = %running.row.module, ?pause, ?state, "module swapped");
                running
            }
        };
        let swaps = Arc::clone(&running.row.swaps);
        if rollback {
            swaps.rolled_back.increment();
            let bad = lane.roll_back(running);
            self.status.at_work(name, true);
            self.status.refused(name, &bad);
            warn!(lane = %name, reason = %bad.reason, "the last good module takes the place of one that fails again and again");
            self.report("ModuleRolledBack", name, &bad.step.to_string(), &bad.reason);
        } else {
            swaps.swapped.increment();
            swaps.reloads.observe(began.elapsed());
            lane.runs(running, false);
            self.status.at_work(name, false);
            self.hold(name);
        }
        if let Some(dropped) = dropped {
            self.aside(async { drop(dropped.await) });
        }
    }

    pub(super) fn refused(&mut self, name: &str, refused: Refused, rollback: bool) {
        if !self.is_news(&refused) {
            return;
        }
        let Some(lane) = self.lanes.get_mut(name) else { return };
        // A lane that had to end first is not there any more, whatever became of its successor.
        let ends = |running: &mut Running| refused.step == Step::End || running.has_ended();
        if let Some(running) = lane.running.take_if(ends) {
            self.leaving.push((name.to_owned(), running.control));
        }
        let goes_on = lane.running.is_some();
        let mut row = self.parts.meters.lane(name).unwrap_or_default();
        if rollback {
            warn!(lane = %name, step = %refused.step, reason = %refused.reason, "the last good module cannot be put back");
            if goes_on {
                return;
            }
        }
        if !goes_on {
            row = LaneRow { swaps: row.swaps, ..not_running(&lane.plan, refused.reason.clone()) };
            self.parts.meters.set_lane(row.clone());
        }
        self.status.refused(name, &refused);
        let (step, reason) = (refused.step.to_string(), refused.reason.clone());
        if lane.refuse(refused) {
            row.swaps.failed.increment();
            error!(lane = %name, module = %lane.plan.component, %step, %reason, old_goes_on = goes_on, "new version refused");
            self.report("ModuleReloadRefused", name, &step, &reason);
        }
    }
}

/// The row of a lane that does not run.
pub(super) fn not_running(lane: &LanePlan, failure: String) -> LaneRow {
    let module = ModuleIdentity { name: lane.component.to_string(), ..ModuleIdentity::default() };
    LaneRow { name: lane.name.clone(), module, failure: Some(failure), ..LaneRow::default() }
}
