//! Redis: messages are published, documents are fields of hashes.
//!
//! Entries are sent in groups and every reply is awaited before the next group goes out. Messages go as they are; documents go as
//! a transaction, of which the server carries out all or nothing. So at every moment it is known which entry is the first that may
//! not have arrived, and nothing after it has been sent in another group. Within a group of messages the server may have taken what
//! stands behind one that it refused for now.

mod ages;
mod command;
mod config;
mod connection;
#[cfg(test)]
mod fuzz;
mod reaction;

use std::collections::HashMap;
use std::fmt;
use std::future::pending;

use redis::{Value, cmd};
use sluicebox_contract::{Entry, Fault, Outcome, Refusal, Sink};
use tokio::time::{Instant, sleep_until, timeout};
use tracing::{debug, warn};

pub use config::{Config, TlsVerify};

use crate::retention::Retention;
use crate::shown::{NAME, shown};
use crate::unusable;
use ages::Ages;
use command::{Command, Field, Group, Transaction, Verdict};
use config::Target;
use connection::Connection;

/// Entries sent together, at most.
const GROUP_ENTRIES: usize = 1_024;

/// Bytes sent together, at most, unless one entry alone has more.
const GROUP_BYTES: usize = 4 << 20;

/// The sink.
pub struct Redis {
    config: Config,
    target: Target,
    address: String,
    connection: Option<Connection>,
    retention: Retention<Field>,
    /// How old documents are, where that matters.
    ages: Option<Ages>,
    /// The last group of messages was stopped by the server: the next one begins with a single message, so that those behind it
    /// are not published again with every try.
    careful: bool,
}

/// Shows no password.
impl fmt::Debug for Redis {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Redis").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Redis {
    /// Touches nothing: the first write connects.
    pub fn new(config: &Config) -> Result<Self, Fault> {
        let target = config.target().map_err(|problem| unusable("redis", problem))?;
        Ok(Self {
            config: config.clone(),
            address: target.address.to_string(),
            target,
            connection: None,
            retention: Retention::new(Field::weight),
            ages: config.expire_after.map(|after| Ages::new(after.0, config.hash.as_deref())),
            careful: false,
        })
    }

    /// Writes from `index` on until the end of a group; says where the next one begins.
    async fn write_group(&mut self, batch: &[Entry], index: usize, refused: &mut Vec<Refusal>) -> Result<usize, (usize, Fault)> {
        // Borrowed by the commands while `self` is at work.
        let config = self.config.clone();
        let now = self.server_time().await.map_err(|fault| (index, fault))?;
        let mut group: Vec<(usize, Command<'_>)> = Vec::new();
        let mut bytes = 0;
        let mut next = index;
        for entry in batch.get(index..).unwrap_or_default() {
            match Command::new(entry, &config) {
                Err(reason) => refused.push(Refusal { index: next, reason }),
                Ok(command) => {
                    bytes += command.size();
                    if self.is_full(&group, &command, bytes) {
                        break;
                    }
                    if !self.postpone(entry, &command) {
                        group.extend(now.and_then(|now| command.of_age(now)).map(|of_age| (next, of_age)));
                        group.push((next, command));
                    }
                }
            }
            next += 1;
        }
        self.send(&group, refused).await?;
        Ok(next)
    }

    fn is_full(&self, group: &Group<'_>, command: &Command<'_>, bytes: usize) -> bool {
        let Some((_, first)) = group.first() else {
            return false;
        };
        let longest = if self.careful && first.is_message() { 1 } else { GROUP_ENTRIES };
        first.is_message() != command.is_message() || group.len() >= longest || bytes > GROUP_BYTES
    }

    /// Remembers what is to be forgotten later, and that what is put again is not.
    fn postpone(&mut self, entry: &Entry, command: &Command<'_>) -> bool {
        let (Command::Put { hash, name, .. } | Command::Remove { hash, name }) = command else {
            return false;
        };
        if let Some(ages) = &mut self.ages {
            ages.note(hash);
        }
        let field = Field { hash: (*hash).to_owned(), name: (*name).to_owned() };
        if let Entry::Forget(forget) = entry
            && !forget.after.is_zero()
        {
            // Longer than the clock can count is for ever.
            if let Some(at) = Instant::now().checked_add(forget.after) {
                self.retention.forget_at(field, at);
            }
            return true;
        }
        self.retention.keep(&field);
        false
    }

    /// Sends a group until all of it is written or refused, or it is stopped.
    async fn send(&mut self, group: &Group<'_>, refused: &mut Vec<Refusal>) -> Result<(), (usize, Fault)> {
        let is_message = group.first().is_some_and(|(_, command)| command.is_message());
        let verdict = if is_message { self.publish(group).await } else { self.transact(group).await };
        let index = |position: usize| group.get(position).map_or(0, |(index, _)| *index);
        refused.extend(verdict.refused.into_iter().map(|(position, reason)| Refusal { index: index(position), reason }));
        if is_message {
            self.careful = verdict.stopped.is_some();
        }
        match verdict.stopped {
            None => Ok(()),
            Some((position, fault)) => Err((index(position), fault)),
        }
    }

    async fn publish(&mut self, group: &Group<'_>) -> Verdict {
        let (bytes, count) = command::plain(group);
        let (replies, lost) = self.exchange(&bytes, count).await;
        command::judge_plain(group, &replies, lost, &self.address)
    }

    /// All of the group in one transaction. What the server refuses for good is left out; before what it refuses for now comes
    /// what it takes.
    async fn transact(&mut self, group: &Group<'_>) -> Verdict {
        let mut rest: Vec<(usize, Command<'_>)> = group.iter().map(|(_, command)| *command).enumerate().collect();
        let mut verdict = Verdict::default();
        while !rest.is_empty() {
            let (is_done, judged) = match self.transact_once(&rest).await {
                Transaction::Done(judged) => (true, judged),
                Transaction::Aborted(judged) => (false, judged),
            };
            let position = |at: usize| rest.get(at).map_or(0, |(position, _)| *position);
            let refused: HashMap<_, _> = judged.refused.into_iter().map(|(at, reason)| (position(at), reason)).collect();
            if let Some((at, fault)) = judged.stopped {
                verdict.stopped = Some((position(at), fault));
                rest.truncate(at);
            }
            rest.retain(|(position, _)| !refused.contains_key(position));
            verdict.refused.extend(refused);
            if is_done {
                break;
            }
        }
        verdict
    }

    async fn transact_once(&mut self, group: &Group<'_>) -> Transaction {
        if group.len() == 1 {
            let (bytes, count) = command::plain(group);
            let (replies, lost) = self.exchange(&bytes, count).await;
            return Transaction::Done(command::judge_plain(group, &replies, lost, &self.address));
        }
        let (bytes, count) = command::transaction(group);
        let (replies, lost) = self.exchange(&bytes, count).await;
        command::judge_transaction(group, &replies, lost, &self.address)
    }

    /// Sends and reads the replies; fewer than asked for come with the reason. The connection is kept only if all came, and none says that
    /// this is not the server to write to: when this is dropped half-way, it is closed.
    async fn exchange(&mut self, bytes: &[u8], count: usize) -> (Vec<Value>, Option<Fault>) {
        let mut connection = match self.connect().await {
            Ok(connection) => connection,
            Err(fault) => return (Vec::new(), Some(fault)),
        };
        let mut replies = Vec::with_capacity(count);
        let limit = self.config.write_timeout;
        let talk = connection.ask(bytes, count, &mut replies);
        let tried = || format!("cannot talk to redis at {}", self.address);
        let lost = match timeout(limit.0, talk).await {
            Ok(Ok(())) => None,
            Ok(Err(broken)) => Some(broken.into_fault(tried())),
            Err(_) => Some(
                Fault::retry(tried(), format!("no answer within {limit}"))
                    .hint("the server hangs, or the network loses what is sent"),
            ),
        };
        if lost.is_none() && !replies.iter().any(reaction::is_of_connection) {
            self.connection = Some(connection);
        }
        (replies, lost)
    }

    /// The connection that there is, if it is still good, else a new one.
    async fn connect(&mut self) -> Result<Connection, Fault> {
        if let Some(mut connection) = self.connection.take()
            && !connection.is_stale()
        {
            return Ok(connection);
        }
        Connection::open(&self.config, &self.target).await
    }

    async fn forget_due(&mut self) -> Result<(), Fault> {
        let due: Vec<_> = self.retention.due(Instant::now()).cloned().collect();
        for fields in due.chunks(GROUP_ENTRIES) {
            let now = self.server_time().await?;
            let mut group = Vec::new();
            for (index, field) in fields.iter().enumerate() {
                let command = Command::Remove { hash: &field.hash, name: &field.name };
                group.extend(now.and_then(|now| command.of_age(now)).map(|of_age| (index, of_age)));
                group.push((index, command));
            }
            let verdict = self.transact(&group).await;
            let index = |position: &usize| group.get(*position).map_or(fields.len(), |(index, _)| *index);
            for (position, reason) in &verdict.refused {
                let field = fields.get(index(position));
                let field = field.map(|field| format!("{} of {}", shown(&field.name, NAME), shown(&field.hash, NAME)));
                warn!(address = %self.address, field, reason, "a field cannot be forgotten");
            }
            let done = verdict.stopped.as_ref().map_or(fields.len(), |(position, _)| index(position));
            for field in fields.iter().take(done) {
                self.retention.keep(field);
            }
            if let Some((_, fault)) = verdict.stopped {
                return Err(fault);
            }
        }
        Ok(())
    }

    /// What the server's clock says, where ages of documents matter.
    async fn server_time(&mut self) -> Result<Option<u64>, Fault> {
        let Some(ages) = &self.ages else {
            return Ok(None);
        };
        if let Some(now) = ages.now() {
            return Ok(Some(now));
        }
        let (replies, lost) = self.exchange(&cmd("TIME").get_packed_command(), 1).await;
        match (lost, &mut self.ages) {
            (Some(fault), _) => Err(fault),
            (None, Some(ages)) => ages.set_clock(replies.first(), &self.address).map(Some),
            (None, None) => Ok(None),
        }
    }

    /// Removes what nobody has put for too long, whoever has put it.
    async fn remove_old(&mut self) -> Result<(), Fault> {
        let Some(ages) = self.ages.as_ref().filter(|ages| ages.next <= Instant::now()) else {
            return Ok(());
        };
        let commands: Vec<_> = ages.hashes().into_iter().map(|hash| (ages.removal(&hash), hash)).collect();
        for (command, hash) in commands {
            loop {
                let (replies, lost) = self.exchange(&command, 1).await;
                let tried = || format!("cannot remove what is old from `{}` in redis at {}", shown(&hash, NAME), self.address);
                let removed = match (replies.first(), lost) {
                    (_, Some(fault)) => return Err(fault),
                    (Some(Value::Int(removed)), None) => *removed,
                    (Some(Value::ServerError(error)), None) => {
                        return Err(reaction::to_fault_of_age(error, tried()));
                    }
                    (_, None) => return Err(Fault::retry(tried(), "the server's answer is not that of redis")),
                };
                if usize::try_from(removed).unwrap_or_default() < ages::MOST_AT_ONCE {
                    break;
                }
            }
        }
        if let Some(ages) = &mut self.ages {
            ages.rest();
        }
        Ok(())
    }

    /// The sink's own work, as far as it is due.
    async fn tidy(&mut self) -> Result<(), Fault> {
        self.forget_due().await?;
        self.remove_old().await
    }
}

impl Sink for Redis {
    async fn write(&mut self, batch: &[Entry]) -> Outcome {
        // What is remembered has a bound also while the server is away.
        if self.retention.is_full()
            && let Err(fault) = self.forget_due().await
        {
            return Outcome::stopped_at(0, fault);
        }
        let mut outcome = Outcome::default();
        let mut next = 0;
        while next < batch.len() && outcome.stopped.is_none() {
            match self.write_group(batch, next, &mut outcome.refused).await {
                Ok(after) => next = after,
                Err(stopped) => outcome.stopped = Some(stopped),
            }
        }
        outcome.refused.sort_by_key(|refusal| refusal.index);
        if outcome.stopped.is_none()
            && let Err(fault) = self.tidy().await
        {
            // It stays due: the upkeep that follows meets the same and reports it.
            debug!(address = %self.address, %fault, "a field could not be forgotten yet");
        }
        outcome
    }

    async fn upkeep(&mut self) -> Result<(), Fault> {
        let old = self.ages.as_ref().map(|ages| ages.next);
        match self.retention.next(Instant::now()).into_iter().chain(old).min() {
            Some(at) => sleep_until(at).await,
            None => pending().await,
        }
        self.tidy().await
    }
}
