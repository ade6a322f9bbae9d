//! Brings one `ConfigMap` to what it is to be: reads it where that is needed, makes it, writes what is ours, and looks again when somebody
//! was faster.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use sluicebox_contract::{Backoff, Fault};
use sluicebox_kubernetes::Trouble;
use tokio::time::{Instant, sleep, sleep_until};
use tracing::{info, warn};

use super::config::Config;
use super::map::{Displaced, Known, Map};
use super::reaction::{OVERLOADED, Reaction, immutable, to_trouble};
use super::remote::Remote;

/// So often somebody may be faster until it is left for later.
const TRIES: u32 = 16;
/// The first pause after somebody was faster; the next ones are longer.
const FIRST_WAIT: Duration = Duration::from_millis(20);
/// However often somebody was faster.
const LONGEST_WAIT: Duration = Duration::from_millis(500);
/// However long a wait the API asks for.
const LONGEST_WAIT_ASKED: Duration = Duration::from_mins(1);
/// So long one call waits at most; what is left of it is for the calls after it. Less than an outlet lets a write take.
const LONGEST_WAIT_AT_ONCE: Duration = Duration::from_secs(10);

/// What is the same for all of the sink's `ConfigMap`s.
pub(super) struct Terms<'a> {
    pub(super) sink: &'a Arc<str>,
    pub(super) config: &'a Config,
    pub(super) remote: &'a Remote,
    /// Whether what an earlier run has left is taken over.
    pub(super) adopts: bool,
}

/// How far one try came.
enum Step {
    Done,
    Again,
}

impl Terms<'_> {
    /// Reads it, if that has never been done.
    pub(super) async fn look_first(&self, name: &str, map: &mut Map) -> Result<(), Fault> {
        let mut tries = 0;
        while map.read_at.is_none() && tries < TRIES {
            tries += 1;
            self.look(name, map).await?;
        }
        Ok(())
    }

    /// Brings it to what it is to be; says what had to make room. `own` is one that the configuration names.
    pub(super) async fn flush(&self, name: &str, map: &mut Map, own: bool) -> Result<Vec<Displaced>, Fault> {
        let mut displaced = Vec::new();
        let mut backoff = Backoff::new(FIRST_WAIT, LONGEST_WAIT);
        let begin = Instant::now();
        for _ in 0..TRIES {
            // Nothing is left out because of what may have changed meanwhile.
            if !map.fits(self.budget()) && map.read_at.is_none_or(|at| at < begin) {
                map.known = Known::Nothing;
            }
            match self.step(name, map, own, &mut displaced).await? {
                Step::Done => return Ok(displaced),
                Step::Again => sleep(backoff.wait()).await,
            }
        }
        let tried = self.remote.tried("write", name);
        Err(Fault::retry(tried, format!("others were faster {TRIES} times in a row"))
            .hint("too many write to it: a longer `period` for all of them, or several `shards`"))
    }

    /// Removes the keys of owners who are gone for good.
    pub(super) async fn sweep(&self, name: &str, map: &mut Map) -> Result<(), Fault> {
        let Some(after) = self.config.abandoned_after.filter(|_| !map.immutable) else {
            return Ok(());
        };
        for manager in map.abandoned(after.0, Instant::now()) {
            if map.known == Known::Nothing {
                self.look(name, map).await?;
            }
            let lives = !map.abandoned(after.0, Instant::now()).contains(&manager);
            self.leave_alone(name, map).await?;
            let Known::Version(version) = std::mem::take(&mut map.known) else { break };
            if lives {
                continue;
            }
            match self.remote.clear(&manager, name, &version).await {
                Ok(()) => {
                    info!(sink = %self.sink, config_map = name, owner = manager, "removed the keys of an owner who is gone");
                }
                Err(trouble) => {
                    self.react(trouble, "patch", map, &mut Vec::new())?;
                }
            }
        }
        Ok(())
    }

    async fn step(&self, name: &str, map: &mut Map, own: bool, displaced: &mut Vec<Displaced>) -> Result<Step, Fault> {
        let is_old = map.read_at.is_none_or(|at| at.elapsed() >= self.config.resync.0);
        if map.known == Known::Nothing || is_old {
            self.look(name, map).await?;
        }
        if map.known == Known::Missing && (own || map.is_wanted()) && !self.create(name, map).await? {
            return Ok(Step::Again);
        }
        if let Some(after) = self.config.touch_after() {
            map.touch(after, Instant::now());
        }
        self.make_room(name, map, displaced);
        if !map.is_changed() {
            return Ok(Step::Done);
        }
        if map.immutable {
            // It may have been replaced by the next time.
            map.known = Known::Nothing;
            let tried = self.remote.tried("write", name);
            if own {
                return Err(Fault::retry(tried, "it is immutable").hint(immutable()));
            }
            displaced.extend(map.displace_all(&format!("{tried}: {}", immutable())));
            return Ok(Step::Done);
        }
        self.write(name, map, displaced).await
    }

    fn budget(&self) -> usize {
        usize::try_from(self.config.budget.0).unwrap_or(usize::MAX)
    }

    /// Waits as long as the API has asked for, or gives up meanwhile: nothing is asked before that.
    async fn leave_alone(&self, name: &str, map: &Map) -> Result<(), Fault> {
        let left = map.asked_until.saturating_duration_since(Instant::now());
        sleep(left.min(LONGEST_WAIT_AT_ONCE)).await;
        let left = map.asked_until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        let cause = format!("the API asks to be left alone for {} seconds more", left.as_secs() + 1);
        Err(Fault::retry(self.remote.tried("write", name), cause).hint(OVERLOADED))
    }

    async fn look(&self, name: &str, map: &mut Map) -> Result<(), Fault> {
        self.leave_alone(name, map).await?;
        let observed = self.remote.read(name).await;
        let observed = match observed {
            Ok(observed) => observed,
            Err(trouble) => return self.react(trouble, "get", map, &mut Vec::new()).map(|_| ()),
        };
        let before = map.twins;
        map.observe(observed, self.adopts, Instant::now());
        if before.checked_ilog2() != map.twins.checked_ilog2() {
            let (manager, so_far) = (&self.remote.manager, map.twins);
            let hint = "two collectors have the same `owner`: give each its own";
            warn!(sink = %self.sink, config_map = name, manager, so_far, hint, "another program writes a ConfigMap in our name: each removes the keys of the other");
        }
        Ok(())
    }

    /// Says whether it is there now.
    async fn create(&self, name: &str, map: &mut Map) -> Result<bool, Fault> {
        self.leave_alone(name, map).await?;
        map.known = Known::Nothing;
        match self.remote.create(name).await {
            Ok(version) => {
                info!(sink = %self.sink, config_map = name, namespace = self.config.namespace, "made a ConfigMap");
                map.known = Known::Version(version);
                Ok(true)
            }
            Err(trouble) => self.react(trouble, "create", map, &mut Vec::new()).map(|_| false),
        }
    }

    fn make_room(&self, name: &str, map: &mut Map, displaced: &mut Vec<Displaced>) {
        let more = map.make_room(self.budget());
        if more.is_empty() {
            return;
        }
        let before = map.displaced;
        map.displaced += more.len() as u64;
        if before.checked_ilog2() != map.displaced.checked_ilog2() {
            let so_far = map.displaced;
            warn!(sink = %self.sink, config_map = name, so_far, "a ConfigMap is full: documents have to make room");
        }
        displaced.extend(more);
    }

    async fn write(&self, name: &str, map: &mut Map, displaced: &mut Vec<Displaced>) -> Result<Step, Fault> {
        sleep_until(map.not_before).await;
        self.leave_alone(name, map).await?;
        // Nothing is known until the answer is there: it may never be.
        let Known::Version(version) = std::mem::take(&mut map.known) else {
            return Ok(Step::Again);
        };
        let signed = map.signed.take();
        let written = if map.is_calm(self.budget()) {
            let answer = self.remote.apply_freely(name, &map.data()).await;
            answer.map(|observed| map.written_and_seen(observed, Instant::now()))
        } else {
            let answer = self.remote.apply(name, &version, &map.data()).await;
            answer.map(|receipt| {
                map.written(receipt.version, Instant::now());
                map.signed = Some(receipt.time);
            })
        };
        match written {
            Ok(()) => {
                map.not_before = Instant::now() + self.config.period.0;
                // Without a version, more may have come to it than there is room for.
                Ok(if map.fits(self.budget()) { Step::Done } else { Step::Again })
            }
            Err(trouble) => {
                if trouble.status.is_some_and(|status| status.is_client_error()) {
                    // It is sure that it was not done.
                    map.signed = signed;
                }
                map.contested |= trouble.status == Some(StatusCode::CONFLICT);
                self.react(trouble, "patch", map, displaced)
            }
        }
    }

    fn react(&self, trouble: Trouble, verb: &str, map: &mut Map, displaced: &mut Vec<Displaced>) -> Result<Step, Fault> {
        if let Some(wait) = trouble.retry_after {
            map.asked_until = map.asked_until.max(Instant::now() + wait.min(LONGEST_WAIT_ASKED));
        }
        let tried = trouble.tried.clone();
        match to_trouble(trouble, verb, &self.config.namespace) {
            Reaction::LookAgain => Ok(Step::Again),
            Reaction::LeaveOut(key, reason) => {
                if !map.remove(&key) {
                    return Err(Fault::retry(tried, reason));
                }
                displaced.push(Displaced { key: key.as_str().into(), reason });
                Ok(Step::Again)
            }
            Reaction::TryLater(fault) => Err(fault),
        }
    }
}
