//! What pods, containers and other cgroups use, read from the kernel at every period.
//!
//! `hierarchy.rs` says where cgroups are mounted, `tree/` which there are, `place.rs` whose they are; `cgroup.rs` has the files of one
//! open and reads them with the tables of `files/`, `counters.rs` and `network.rs`. `sampler.rs` does all of it in one call that blocks,
//! with `refused.rs` for what it has no room for; `reader.rs` has a thread for that. `rounds.rs` decides what is read when (`turns.rs` above, `young.rs`) and what is told of it (`names/`).

mod cgroup;
mod config;
mod counters;
mod cpus;
mod files;
#[cfg(test)]
mod fuzz;
mod hierarchy;
mod names;
mod network;
pub(crate) mod place;
mod reader;
mod refused;
mod rounds;
mod sampler;
mod tree;
mod young;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sluicebox_contract::meter::SourceMeter;
use sluicebox_contract::{Fault, Feed, Source, SubjectIds};
use tokio::sync::mpsc;

use crate::kubernetes::Api;
use crate::watch::{Follow, Mirror};
use hierarchy::{Hierarchies, Missing};
use names::{Roster, Rules, Teller};
use rounds::Rounds;

pub use cgroup::Groups;
pub use config::{Config, Level, Of, WhenUnknown};
#[doc(hidden)]
pub use sampler::Sampler;

/// What is heard of pods and waits for being understood. Together with what is just being read this bounds what a list of pods takes.
const HEARD: usize = 64;

/// Where the host's cgroups are mounted, at or below its root directory as this process sees it. Fails where there are none.
pub fn mounts(root: &Path) -> Result<BTreeSet<PathBuf>, Fault> {
    let missing = |missing: Missing| Fault::fatal("cannot measure cgroups", missing.to_string()).hint(missing.hint());
    let Hierarchies { unified, v1 } = Hierarchies::find(root).map_err(missing)?;
    Ok(unified.into_iter().chain(v1.into_values()).collect())
}

/// The source.
pub struct Cgroups {
    rounds: Rounds,
    follow: Option<Follow>,
    teller: Option<Teller>,
}

impl Cgroups {
    /// Measures cgroups as `config` says; `api` is needed to name them as Kubernetes does, `node` is the host's own, for when the
    /// configuration names none. Fails where no cgroups are to be found.
    pub fn new(
        config: &Config,
        api: Option<Api>,
        node: &str,
        ids: Arc<SubjectIds>,
        meter: Arc<SourceMeter>,
    ) -> Result<Self, Fault> {
        meter.reads.set(1);
        let sampler = Sampler::new(config, Arc::clone(&ids))?;
        meter.most_open_files.set(i64::try_from(sampler.most_open_files()).unwrap_or(i64::MAX));
        let kubernetes = config.kubernetes;
        let rules = Rules { kubernetes, when_unknown: config.when_unknown, wait: config.wait.0 };
        let roster = Roster::new(rules, ids);
        let Some(api) = api.filter(|_| kubernetes) else {
            if kubernetes {
                return Err(Fault::fatal("cannot name cgroups", "no way to the API server is configured")
                    .hint("configure `kubernetes`, or write `kubernetes: false` in `sources.cgroups`"));
            }
            return Ok(Self { rounds: Rounds::new(config, sampler, roster, None, meter), follow: None, teller: None });
        };
        let pods = Arc::new(SourceMeter::default());
        let (teller, heard) = mpsc::channel(HEARD);
        let mirror = Mirror::new(vec![Arc::clone(&pods)], Arc::clone(&meter));
        Ok(Self {
            rounds: Rounds::new(config, sampler, roster, Some((heard, mirror)), meter),
            follow: Some(names::follow(config, api, node, pods)),
            teller: Some(Teller(teller)),
        })
    }
}

impl Source for Cgroups {
    async fn run(self, feed: impl Feed, stop: impl Future<Output = ()> + Send + 'static) -> Result<(), Fault> {
        let Self { rounds, follow, teller } = self;
        let follow = async {
            match follow.zip(teller) {
                Some((follow, teller)) => follow.run(teller, std::future::pending()).await,
                None => std::future::pending().await,
            }
        };
        // A reading that hangs is left to its thread: nobody waits for it when the source is to stop.
        tokio::select! {
            biased;
            () = stop => Ok(()),
            ended = follow => ended,
            ended = rounds.run(feed) => ended,
        }
    }
}
