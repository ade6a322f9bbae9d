//! How old documents are: a sorted set beside each hash, `<hash>:ages`, holds when each field was last put, in milliseconds of the server's
//! clock. What has become too old is removed from both by a script, which runs as a whole or not at all. Pure but for the clock.

use std::collections::BTreeSet;
use std::time::Duration;

use redis::{Value, cmd};
use sluicebox_contract::Fault;
use tokio::time::Instant;

use super::reaction;

/// So many fields are removed by one run of the script.
pub(super) const MOST_AT_ONCE: usize = 1_000;
/// So many hashes are looked after.
const MOST_HASHES: usize = 1_000;
/// For so long we count on ourselves how the server's clock goes on.
const CLOCK_FRESH: Duration = Duration::from_secs(10);

/// The cutoff is made of the server's clock as well, so that clocks of collectors do not matter.
const SCRIPT: &str = "\
local time = redis.call('TIME')
local oldest = time[1] * 1000 + math.floor(time[2] / 1000) - tonumber(ARGV[1])
local due = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', oldest, 'LIMIT', 0, tonumber(ARGV[2]))
if #due > 0 then
  redis.call('HDEL', KEYS[1], unpack(due))
  redis.call('ZREM', KEYS[2], unpack(due))
end
return #due";

/// The ages of documents.
pub(super) struct Ages {
    after: Duration,
    /// Where documents are.
    hashes: BTreeSet<String>,
    /// When the old ones are removed next.
    pub(super) next: Instant,
    /// What the server's clock said, and when.
    clock: Option<(u64, Instant)>,
}

/// The sorted set beside a hash.
pub(super) fn key(hash: &str) -> String {
    format!("{hash}:ages")
}

impl Ages {
    pub(super) fn new(after: Duration, hash: Option<&str>) -> Self {
        let hashes = hash.map(ToOwned::to_owned).into_iter().collect();
        Self { after, hashes, next: Instant::now(), clock: None }
    }

    /// A document is put into this hash, or removed from it.
    pub(super) fn note(&mut self, hash: &str) {
        if !self.hashes.contains(hash) && self.hashes.len() < MOST_HASHES {
            self.hashes.insert(hash.to_owned());
        }
    }

    pub(super) fn hashes(&self) -> Vec<String> {
        self.hashes.iter().cloned().collect()
    }

    /// Old ones were removed: the next time is later.
    pub(super) fn rest(&mut self) {
        self.next = Instant::now() + (self.after / 10).max(Duration::from_secs(1));
    }

    /// What the server's clock says now, if that is known.
    pub(super) fn now(&self) -> Option<u64> {
        let (milliseconds, read) = self.clock.filter(|(_, read)| read.elapsed() < CLOCK_FRESH)?;
        Some(milliseconds.saturating_add(u64::try_from(read.elapsed().as_millis()).unwrap_or_default()))
    }

    /// Takes the answer to `TIME`.
    pub(super) fn set_clock(&mut self, answer: Option<&Value>, address: &str) -> Result<u64, Fault> {
        let tried = || format!("cannot read the clock of redis at {address}");
        let milliseconds = match answer {
            Some(Value::ServerError(error)) => {
                return Err(reaction::to_fault_of_age(error, tried()));
            }
            Some(Value::Array(parts)) => milliseconds(parts),
            _ => None,
        };
        let milliseconds = milliseconds.ok_or_else(|| Fault::retry(tried(), "the server's answer is not that of redis"))?;
        self.clock = Some((milliseconds, Instant::now()));
        Ok(milliseconds)
    }

    /// The command that removes what is too old.
    pub(super) fn removal(&self, hash: &str) -> Vec<u8> {
        let after = u64::try_from(self.after.as_millis()).unwrap_or(u64::MAX);
        cmd("EVAL").arg(SCRIPT).arg(2).arg(hash).arg(key(hash)).arg(after).arg(MOST_AT_ONCE).get_packed_command()
    }
}

/// What is needed besides.
pub(super) const RIGHTS: &str = "`expire-after` needs the rights `+zadd +zrem +zrangebyscore +hdel +time +eval`, and beside each hash the key \
                                 `<hash>:ages` (`~...`), which must be nothing else's";

/// Seconds and microseconds as redis tells them.
fn milliseconds(parts: &[Value]) -> Option<u64> {
    let [Value::BulkString(seconds), Value::BulkString(microseconds)] = parts else {
        return None;
    };
    let number = |text: &[u8]| std::str::from_utf8(text).ok()?.parse::<u64>().ok();
    number(seconds)?.checked_mul(1000)?.checked_add(number(microseconds)? / 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_servers_clock_is_counted_on() {
        let mut ages = Ages::new(Duration::from_mins(1), Some("h"));
        assert_eq!(ages.now(), None);
        let time = |parts: [&str; 2]| Value::Array(parts.map(|part| Value::BulkString(part.into())).into());
        assert_eq!(ages.set_clock(Some(&time(["1732834000", "123456"])), "r:1").ok(), Some(1_732_834_000_123));
        assert!(ages.now().is_some_and(|now| (1_732_834_000_123..1_732_834_009_123).contains(&now)));
        for answer in [None, Some(Value::Okay), Some(time(["x", "1"])), Some(time(["18446744073709551615", "1"]))] {
            assert!(ages.set_clock(answer.as_ref(), "r:1").is_err(), "{answer:?}");
        }
    }

    #[test]
    fn hashes_are_bounded() {
        let mut ages = Ages::new(Duration::from_mins(1), Some("h"));
        for number in 0..2 * MOST_HASHES {
            ages.note(&number.to_string());
        }
        assert!(ages.hashes().len() == MOST_HASHES && ages.hashes().contains(&"h".to_owned()));
    }
}
