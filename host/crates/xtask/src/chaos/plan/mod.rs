//! What happens in one seed: how the program is configured, and which troubles come when. Pure.

mod trouble;

use std::fmt;

use super::random::Random;
use super::spill::Drops;
pub(super) use trouble::{Damage, Ending, Server, Trouble};

/// How long a server is away that is away for long, in milliseconds.
const OUTAGE: u64 = 3500;
/// One of so many seeds has a real API server.
pub(super) const REAL_EACH: u64 = 3;

/// Which API server the program watches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum ApiServers {
    /// A kube-apiserver with its etcd
    Real,
    /// That of the test kit, which can be made to misbehave
    Played,
    /// The real one in each third seed
    #[default]
    Both,
}

impl ApiServers {
    /// Whether a seed has the real one.
    pub(super) fn is_real(self, seed: u64) -> bool {
        match self {
            Self::Real => true,
            Self::Played => false,
            Self::Both => seed.is_multiple_of(REAL_EACH),
        }
    }
}

/// What a seed can have.
#[derive(Clone, Copy, Debug)]
pub(super) struct Means {
    /// Disks of its own can be mounted.
    pub(super) disks: bool,
    pub(super) api_servers: ApiServers,
    /// They break down, too.
    pub(super) broken_disks: bool,
}

/// A trouble, from when on and for how long, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) at: u64,
    pub(super) lasts: u64,
    pub(super) trouble: Trouble,
}

/// How the store of a sink is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StorePlan {
    pub(super) always: bool,
    pub(super) sync: &'static str,
    pub(super) mebibytes: u64,
}

/// How documents are kept in `ConfigMaps`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct MapsPlan {
    pub(super) store: Option<StorePlan>,
    /// Over how many of them they are spread.
    pub(super) shards: u64,
    /// Milliseconds between two times that one is written.
    pub(super) period: u64,
}

/// How a sink is set that may drop what it has no room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SpillPlan {
    pub(super) drops: Drops,
    /// Without one, what has no room in the queue is dropped.
    pub(super) store: Option<StorePlan>,
    /// What has room in the queue.
    pub(super) items: u64,
}

/// One seed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) seed: u64,
    /// Whether the API server is a real one.
    pub(super) is_real: bool,
    /// Of the sinks that take messages, which every seed has.
    pub(super) broker: StorePlan,
    pub(super) lines: StorePlan,
    /// Of those that keep documents, which need none.
    pub(super) meta: Option<StorePlan>,
    pub(super) redis: Option<StorePlan>,
    /// Whether documents are kept in `ConfigMaps` as well, which only a real API server has.
    pub(super) maps: Option<MapsPlan>,
    /// Of one more sink, which may drop.
    pub(super) spill: Option<SpillPlan>,
    /// After how many milliseconds documents in Redis and in `ConfigMaps` go that are not put again; then each pod is told anew all the time.
    pub(super) expires: Option<u64>,
    /// Whether only what has changed is told after a restart.
    pub(super) reconciles: bool,
    /// Pods that there are at most at a time.
    pub(super) pods: usize,
    /// Milliseconds between two changes of pods, at most.
    pub(super) pace: u64,
    /// Milliseconds between two pages.
    pub(super) period: u64,
    /// Values on a page.
    pub(super) series: usize,
    /// Bytes by which each value is longer than it must be.
    pub(super) padding: usize,
    /// Milliseconds from the start to the end of all troubles.
    pub(super) span: u64,
    pub(super) steps: Vec<Step>,
}

impl Plan {
    /// The same for the same seed and the same means. Without disks of their own, nothing happens to disks.
    pub(super) fn new(seed: u64, means: Means) -> Self {
        let mut random = Random::new(seed);
        let random = &mut random;
        let (broker, lines) = (store(random), store(random));
        let meta = random.percent(40).then(|| store(random));
        let redis = random.percent(60).then(|| store(random));
        let reconciles = random.percent(75);
        let (pods, pace) = (random.index(12) + 2, random.between(5, 80));
        let (period, series) = (random.pick(100, &[150, 200]), random.index(20) + 1);
        let span = if random.percent(15) { random.between(3000, 5000) } else { random.between(1200, 2600) };
        let mut steps: Vec<Step> = (0..random.between(1, 6)).map(|_| step(random, span)).collect();
        if !means.disks {
            steps.retain(|step| !matches!(step.trouble, Trouble::FullState | Trouble::FullOutput));
        }
        steps.sort_by_key(|step| step.at);
        let span = if random.percent(6) {
            steps = vec![outage(random)];
            OUTAGE + 400
        } else {
            span
        };
        let is_real = means.api_servers.is_real(seed);
        // Numbers of their own, so that the rest of a plan is the same with either server.
        let random = &mut Random::new(seed ^ 0x0A11_CE00);
        if is_real {
            for step in &mut steps {
                step.trouble = step.trouble.of_a_real_api_server(random);
            }
        }
        let maps = is_real.then(|| maps(random)).flatten();
        let (spill, padding) = (None, 0);
        let expires = expires(seed);
        let mut plan = Self {
            seed,
            is_real,
            broker,
            lines,
            meta,
            redis,
            maps,
            spill,
            expires,
            reconciles,
            pods,
            pace,
            period,
            series,
            padding,
            span,
            steps,
        };
        // An outage is about other sinks, and how long they take.
        if means.disks && plan.outage().is_none() && random.percent(25) {
            plan.spills(random);
        } else if means.disks && means.broken_disks && plan.outage().is_none() && random.percent(12) {
            plan.breaks_a_disk(random);
        }
        plan
    }
}

impl Plan {
    /// A disk breaks down, and what is to survive that is forced onto it.
    fn breaks_a_disk(&mut self, random: &mut Random) {
        self.steps.retain(|step| !step.trouble.ends_the_program() && !step.trouble.is_of_a_disk());
        let trouble = if random.percent(50) {
            let all = [Some(&mut self.broker), Some(&mut self.lines), self.meta.as_mut(), self.redis.as_mut()];
            let more = self.maps.as_mut().and_then(|maps| maps.store.as_mut());
            all.into_iter().flatten().chain(more).for_each(|store| store.sync = "always");
            Trouble::ReadOnlyState(random.pick(Ending::Killed, &[Ending::Asked]))
        } else {
            Trouble::ReadOnlyOutput
        };
        let (at, lasts) = (random.between(200, 900), random.between(100, 1200));
        self.steps.push(Step { at, lasts, trouble });
        self.steps.sort_by_key(|step| step.at);
        self.span = self.span.max(at + lasts + 500);
    }

    /// Whether this goes wrong at some time.
    pub(super) fn has(&self, is_it: impl Fn(Trouble) -> bool) -> bool {
        self.steps.iter().any(|step| is_it(step.trouble))
    }

    /// There is a sink that may drop, and which is away for so long that it has to.
    fn spills(&mut self, random: &mut Random) {
        let drops = random.pick(Drops::Oldest, &[Drops::Newest]);
        let store = random.percent(60).then(|| StorePlan { mebibytes: 1, ..store(random) });
        self.spill = Some(SpillPlan { drops, store, items: random.between(1, 4) });
        let (at, mut lasts) = (random.between(100, 500), random.between(600, 1800));
        if random.percent(70) {
            // What it has dropped is known to the last entry only while it lives.
            self.steps.retain(|step| !step.trouble.ends_the_program());
        }
        self.period = 100;
        if store.is_some() {
            // A MiB in less than a second.
            (self.series, self.padding) = (20, 2000);
            lasts += 900;
        }
        self.steps.push(Step { at, lasts, trouble: Trouble::FullSpill });
        self.steps.sort_by_key(|step| step.at);
        self.span = self.span.max(at + lasts + 500);
    }

    /// The server that is away for a long time, where nothing else goes wrong.
    pub(super) fn outage(&self) -> Option<Server> {
        let [Step { lasts: OUTAGE, trouble, .. }] = self.steps.as_slice() else { return None };
        match trouble {
            Trouble::Pause(server) | Trouble::KillServer(server) | Trouble::Refuse(server) | Trouble::Hold(server) => {
                Some(*server)
            }
            _ => None,
        }
    }

    /// Nothing but kills, one after the other, under as much load as there can be.
    pub(super) fn kills(seed: u64, kills: u64, means: Means) -> Self {
        let mut random = Random::new(seed);
        let random = &mut random;
        let mut kill = || {
            let trouble = if random.percent(25) {
                Trouble::KillStarting(random.between(0, 80))
            } else {
                Trouble::KillLater(random.between(5, 300))
            };
            Step { at: 0, lasts: 0, trouble }
        };
        let steps = (0..kills).map(|_| kill()).collect();
        Self { pods: 12, pace: 10, period: 100, series: 30, span: 0, steps, ..Self::new(seed, means) }
    }
}

fn store(random: &mut Random) -> StorePlan {
    StorePlan {
        always: random.percent(60),
        sync: random.pick("1s", &["always", "never", "100ms"]),
        mebibytes: random.between(1, 2),
    }
}

/// Numbers of their own, so that the rest of a plan is the same without.
fn expires(seed: u64) -> Option<u64> {
    let random = &mut Random::new(seed ^ 0x0E89_14E5);
    random.percent(20).then(|| random.between(2500, 3500))
}

fn maps(random: &mut Random) -> Option<MapsPlan> {
    random.percent(70).then(|| MapsPlan {
        store: random.percent(50).then(|| store(random)),
        shards: random.pick(1, &[1, 3]),
        period: random.pick(100, &[400]),
    })
}

fn step(random: &mut Random, span: u64) -> Step {
    let at = random.between(50, span - 200);
    let lasts = if random.percent(50) { random.between(1, 200) } else { random.between(50, 1500) };
    Step { at, lasts, trouble: Trouble::random(random) }
}

/// One server is away for a long time, and all else is as it should be.
fn outage(random: &mut Random) -> Step {
    let server = random.pick(Server::Redis, &[Server::Broker, Server::Api]);
    let sink = random.pick(Server::Redis, &[Server::Broker]);
    let trouble = random.pick(Trouble::Pause(sink), &[Trouble::KillServer(sink), Trouble::Refuse(server), Trouble::Hold(server)]);
    Step { at: 200, lasts: OUTAGE, trouble }
}

impl fmt::Display for Plan {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            formatter,
            "a {} API server; {} pods, one changes within {} ms; a page of {} values each {} ms; {} ms",
            if self.is_real { "real" } else { "played" },
            self.pods,
            self.pace,
            self.series,
            self.period,
            self.span
        )?;
        let stores = [("broker", Some(self.broker)), ("lines", Some(self.lines)), ("meta", self.meta), ("redis", self.redis)];
        if let Some(MapsPlan { store, shards, period }) = self.maps {
            let how = if store.is_some() { "with" } else { "without" };
            writeln!(formatter, "{shards} ConfigMaps, written each {period} ms, {how} a store")?;
        }
        for (sink, store) in stores.into_iter().filter_map(|(sink, store)| Some((sink, store?))) {
            let takes = if store.always { "everything" } else { "what the sink does not take" };
            writeln!(formatter, "the store of {sink}: {takes}, {} MiB, sync {}", store.mebibytes, store.sync)?;
        }
        if let Some(SpillPlan { drops, store, items }) = self.spill {
            let room = if store.is_some() { "a store of 1 MiB".to_owned() } else { format!("a queue of {items}") };
            writeln!(formatter, "one more sink drops the {drops:?} of {room}; values are longer by {} bytes", self.padding)?;
        }
        if let Some(after) = self.expires {
            writeln!(formatter, "documents that are not put again go after {after} ms")?;
        }
        writeln!(formatter, "after a restart {} is told", if self.reconciles { "what has changed" } else { "everything" })?;
        for step in &self.steps {
            writeln!(formatter, "at {:>4} ms for {:>4} ms: {:?}", step.at, step.lasts, step.trouble)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEANS: Means = Means { disks: true, api_servers: ApiServers::Both, broken_disks: true };

    #[test]
    fn a_seed_always_is_the_same_plan() {
        for seed in 0..100 {
            let plan = Plan::new(seed, MEANS);
            assert_eq!(plan, Plan::new(seed, MEANS));
            assert!(!plan.steps.is_empty() && plan.steps.iter().all(|step| step.at < plan.span), "{plan}");
        }
        assert_ne!(Plan::new(1, MEANS).steps, Plan::new(2, MEANS).steps);
    }

    #[test]
    fn two_hundred_seeds_hold_every_trouble() {
        let plans = (0..200).map(|seed| Plan::new(seed, MEANS));
        let names: std::collections::BTreeSet<&str> =
            plans.flat_map(|plan| plan.steps.into_iter().map(|step| step.trouble.name())).collect();
        assert_eq!(names.len(), 24, "{names:?}");
    }
}
