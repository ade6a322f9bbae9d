//! Time series out of a Prometheus: asks its query API at every period, and tells what each query finds.
//!
//! `config.rs` is what the user writes; `plan.rs` makes single queries of it, with `template.rs` and the table of metrics in `mape.rs`. `request.rs`
//! says what is asked, `ask.rs` asks, `answer.rs` reads. `cycle.rs` is one turn of all queries, `course.rs` how each has fared, `work.rs` decides what is done when,
//! `outage.rs` what an operator reads of queries that fail.

mod answer;
mod ask;
mod config;
mod course;
mod cycle;
#[cfg(test)]
mod fuzz;
mod mape;
mod outage;
mod plan;
mod request;
mod template;
mod work;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use futures::stream::FuturesUnordered;
use sluicebox_contract::meter::SourceMeter;
use sluicebox_contract::{Fault, Feed, Source, SubjectIds};

use crate::http::Client;
use crate::series::{Bounds, Registry};
use answer::Limits;
use ask::Server;
use course::Reach;
use cycle::Group;
use work::Work;

pub use config::{Config, Kind, Method, Metric, Metrics, Query};
pub use course::Courses;

/// A series that no query has found for so long is forgotten; and after three periods at the earliest.
const UNSEEN: Duration = Duration::from_mins(5);

/// What is known beyond the term in which a source works. The default is for one collector alone.
#[derive(Clone, Debug, Default)]
pub struct Terms {
    /// How long nobody may have asked when a term begins: the first range of each query then reaches back so far, or as far as
    /// `catch-up` says if that is more.
    pub silence: Option<Duration>,
    /// How the queries have fared in the terms before. The same for all sources of one configuration, and for no other.
    pub courses: Courses,
}

/// The source.
pub struct Prometheus {
    work: Work,
}

impl Prometheus {
    /// Asks as `config` says; `node` stands for `{{node}}`. `terms` is for one of several collectors that ask in turns. Fails where the
    /// configuration has mistakes.
    pub fn new(config: &Config, node: &str, terms: Terms, ids: Arc<SubjectIds>, meter: Arc<SourceMeter>) -> Result<Self, Fault> {
        let (asked, mistakes) = plan::plan(config, node);
        let base = config.base().filter(|_| mistakes.is_empty());
        let Some(base) = base else {
            return Err(
                Fault::fatal("cannot ask Prometheus", "its configuration has mistakes").hint("`sluicebox check` names them")
            );
        };
        meter.reads.set(1);
        let mut by_period: BTreeMap<Duration, Vec<usize>> = BTreeMap::new();
        for (index, asked) in asked.iter().enumerate() {
            by_period.entry(asked.period).or_default().push(index);
        }
        let longest = by_period.last_key_value().map_or(Duration::ZERO, |(period, _)| *period);
        let bytes = usize::try_from(config.max_series_bytes.0).unwrap_or(usize::MAX);
        let bounds = Bounds { series: config.max_series, bytes, unseen: UNSEEN.max(longest * 3), shares: 0 };
        let limits = Limits { samples: config.max_samples };
        let work = Work {
            client: Arc::new(Client::new(&config.http, &base)),
            server: Arc::new(Server::new(config, base)),
            queries: asked.iter().map(|asked| Arc::clone(&asked.query)).collect(),
            courses: terms.courses,
            asked,
            groups: by_period.into_iter().map(|(period, queries)| Group::new(period, queries)).collect(),
            waiting: VecDeque::new(),
            running: FuturesUnordered::new(),
            under_way: 0,
            late_under_way: 0,
            parallel: config.parallel,
            reach: Reach { catch_up: config.catch_up.0, silence: terms.silence },
            limits,
            registry: Registry::new(bounds, ids),
            metadata: HashMap::new(),
            outages: BTreeMap::new(),
            is_listed: false,
            has_warned_of_limit: false,
            meter,
        };
        Ok(Self { work })
    }
}

impl Source for Prometheus {
    async fn run(self, feed: impl Feed, stop: impl Future<Output = ()> + Send + 'static) -> Result<(), Fault> {
        tokio::select! {
            biased;
            () = stop => Ok(()),
            ended = self.work.run(feed) => ended,
        }
    }
}
