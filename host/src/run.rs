//! `sluicebox run`: from the configuration to a clean end.

use std::convert::Infallible;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use sluicebox_pipeline::Report;
use sluicebox_sources::kubernetes::lease::{Election, Leadership};
use tokio::task::spawn_blocking;
use tokio::time::sleep;
use tracing::{debug, error, info, warn};

use crate::admin::Shown;
use crate::cli::ConfigArguments;
use crate::config::Problem;
use crate::config::load::{Checked, load};
use crate::config::yaml::Document;
use crate::live::Live;
use crate::live::watch::{Fingerprint, fingerprint};
use crate::metrics::{LaneRow, Meters, SinkRow};
use crate::plan::Plan;
use crate::say;
use crate::wire::{self, Wired};
use crate::{admin, log, signals};

/// After so long everything that the beginning needs has most often been done.
const BEGINNING: Duration = Duration::from_secs(15);
/// Time between two looks for memory that can be given back.
const TIDYING: Duration = Duration::from_mins(1);

/// Runs until told to stop.
pub fn run(arguments: &ConfigArguments) -> ExitCode {
    sluicebox_trim::share_heap();
    let as_read = fingerprint(&arguments.config);
    let (plan, document) = match load(&arguments.config) {
        Checked { plan: Some(plan), document, problems } if problems.is_empty() => (plan, document),
        Checked { problems, .. } => {
            complain(&arguments.config.display().to_string(), &problems);
            return ExitCode::from(2);
        }
    };
    log::start(&plan.log);
    take_all_descriptors();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            error!(%error, "cannot start");
            return ExitCode::FAILURE;
        }
    };
    let outcome = runtime.block_on(work(&plan, (document, as_read), arguments));
    // What still blocks, such as a write into a full pipe, had its time.
    runtime.shutdown_background();
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs for the lease, where there is one.
async fn campaign(election: Option<&mut Election>) -> Infallible {
    match election {
        Some(election) => election.run().await,
        None => std::future::pending().await,
    }
}

/// Gives back what only the beginning needed, and from time to time what lies between what is in use.
async fn tidy() -> Infallible {
    sleep(BEGINNING).await;
    let _unless_the_runtime_ends = spawn_blocking(sluicebox_trim::code).await;
    loop {
        let _unless_the_runtime_ends = spawn_blocking(sluicebox_trim::heap).await;
        sleep(TIDYING).await;
    }
}

/// Files of cgroups are held open: as many as the administrator allows, and not as few as a shell begins with.
fn take_all_descriptors() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum
        && let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })
    {
        debug!(%error, "the limit of open files stays as it is");
    }
}

/// Says whether everything ended as asked.
async fn work(plan: &Plan, (document, as_read): (Document, Fingerprint), arguments: &ConfigArguments) -> anyhow::Result<bool> {
    let stop = signals::asked(1)?;
    let hurry = signals::asked(2)?;
    let hangups = signals::hangups()?;
    signals::survive_large_files()?;
    let listener = match plan.admin.listen {
        Some(address) => Some(admin::listen(address).await?),
        None => None,
    };
    // Probes are answered from the beginning: compiling modules takes a while.
    let shown = Arc::<Shown>::default();
    let serving = async {
        match listener {
            Some(listener) => match admin::serve(listener, Arc::clone(&shown)).await {},
            None => std::future::pending::<()>().await,
        }
    };
    let running = async {
        tokio::pin!(stop);
        let wired = tokio::select! {
            wired = wire::wire(plan, arguments.node_name.as_deref()) => wired?,
            () = &mut stop => return Ok(Report::default()),
        };
        let Wired { mut pipeline, changes, parts, mut election } = wired;
        let parts = Arc::new(parts);
        shown.meters.get_or_init(|| Arc::clone(&parts.meters));
        let begun = tokio::select! {
            begun = Live::begin(Arc::clone(&parts), changes, &mut pipeline, (&arguments.config, as_read), document) => Some(begun),
            () = &mut stop => None,
        };
        let Some(Ok(live)) = begun else {
            // The sinks are at work already: what they have written of an earlier run is not to be written twice.
            let report = pipeline.run_until(std::future::ready(()), plan.shutdown_grace).await;
            return begun.map_or(Ok(report), |begun| begun.map(|_| Report::default()));
        };
        shown.status.get_or_init(|| live.status());
        let announced = Arc::clone(&parts.announced);
        let leadership = election.as_ref().map(Election::leadership);
        let mut kept = None;
        // What was begun under the lease is written before another collector begins.
        let stop = async {
            stop.await;
            kept = leadership.as_ref().and_then(Leadership::prolong);
        };
        let report = tokio::select! {
            report = pipeline.run_until(stop, plan.shutdown_grace) => report,
            never = live.run(hangups) => match never {},
            never = campaign(election.as_mut()) => match never {},
            never = Arc::clone(&announced).keep() => match never {},
        };
        announced.write().await;
        if let Some(election) = &mut election {
            election.release().await;
        }
        drop(kept);
        anyhow::Ok(report)
    };
    let report = tokio::select! {
        report = running => report?,
        () = serving => return Ok(false),
        never = tidy() => match never {},
        () = hurry => {
            error!("asked to stop a second time");
            account(shown.meters.get());
            return Ok(false);
        }
    };
    account(shown.meters.get());
    if report.is_clean() {
        info!("stopped");
    } else {
        error!(faults = ?report.faults, late = ?report.late, "stopped, but not as asked");
    }
    Ok(report.is_clean())
}

/// Says what was not dealt with at the end: what is lost, and what the next run goes on with.
fn account(meters: Option<&Arc<Meters>>) {
    let Some(meters) = meters else { return };
    for LaneRow { name, meter, .. } in meters.lanes() {
        let events = meter.fates.in_work.get() + meter.queue.droppable.get();
        if events > 0 {
            warn!(lane = %name, events, hint = "objects are told again at the next start; samples are not", "events were not shaped");
        }
    }
    for SinkRow { name, meter } in meters.sinks() {
        let (stored, lost) = (meter.stored(), meter.held() - meter.stored());
        if stored > 0 {
            info!(sink = %name, entries = stored, "entries stay in the store: the next start writes them first");
        }
        if lost > 0 {
            let hint = match meter.store.get() {
                Some(_) => {
                    "its store did not take them: it is full, its disk refuses, or there was no time; see to the disk, give it more `bytes`, or a longer `shutdown-grace`"
                }
                None => "with a `store` they would be kept on the disk",
            };
            error!(sink = %name, entries = lost, hint, "entries were not written and are lost");
        }
    }
}

/// Prints the problems of a configuration for people.
pub fn complain(name: &str, problems: &[Problem]) {
    for problem in problems {
        say::complaint(format_args!("error: {name}: {problem}"));
    }
    let count = problems.len();
    say::complaint(format_args!("{count} mistake{} in {name}", if count == 1 { "" } else { "s" }));
}
