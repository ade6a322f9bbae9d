//! From entries to commands, and from replies to what became of the entries. Pure.

use redis::{Cmd, ServerError, Value, cmd};
use sluicebox_contract::{Entry, Fault};

use super::ages;
use super::config::Config;
use super::reaction::{text, to_error, to_fault_of_age};
use crate::obstacle::Obstacle;
use crate::shown::{NAME, shown};

/// A field of a hash.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Field {
    pub(super) hash: String,
    pub(super) name: String,
}

impl Field {
    pub(super) fn weight(&self) -> usize {
        self.hash.len() + self.name.len()
    }
}

/// What is sent for one entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Command<'a> {
    Publish {
        channel: &'a str,
        body: &'a [u8],
    },
    Put {
        hash: &'a str,
        name: &'a str,
        body: &'a [u8],
    },
    Remove {
        hash: &'a str,
        name: &'a str,
    },
    /// A document is put at this time of the server.
    Date {
        hash: &'a str,
        name: &'a str,
        at: u64,
    },
    /// A document has no age any more.
    Undate {
        hash: &'a str,
        name: &'a str,
    },
}

/// Commands that are sent together: messages, or documents in one transaction.
pub(super) type Group<'a> = [(usize, Command<'a>)];

/// What became of a group: entries refused for good, by position in the group, and where it stopped.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) refused: Vec<(usize, String)>,
    pub(super) stopped: Option<(usize, Fault)>,
}

/// What became of a transaction.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Transaction {
    /// It was carried out.
    Done(Verdict),
    /// Nothing of it was, because of the commands that the verdict names.
    Aborted(Verdict),
}

impl<'a> Command<'a> {
    /// The command for an entry; the reason when there can be none.
    pub(super) fn new(entry: &'a Entry, config: &'a Config) -> Result<Self, String> {
        let hash = |collection: &'a Option<String>| {
            collection.as_deref().or(config.hash.as_deref()).ok_or("it names no collection, and the sink has no `hash`")
        };
        Ok(match entry {
            Entry::Message(message) => {
                let channel = message.channel.as_deref().or(config.channel.as_deref());
                let channel = channel.ok_or("it names no channel, and the sink has no `channel`: set one of the two")?;
                Self::Publish { channel, body: &message.body }
            }
            Entry::Document(document) => {
                Self::Put { hash: hash(&document.collection)?, name: &document.name, body: &document.body }
            }
            Entry::Forget(forget) => Self::Remove { hash: hash(&forget.collection)?, name: &forget.name },
        })
    }

    /// What has to be done for the age of the document, before the command itself: where the right to that is missing, nothing is done.
    pub(super) fn of_age(&self, now: u64) -> Option<Self> {
        match *self {
            Self::Put { hash, name, .. } => Some(Self::Date { hash, name, at: now }),
            Self::Remove { hash, name } => Some(Self::Undate { hash, name }),
            Self::Publish { .. } | Self::Date { .. } | Self::Undate { .. } => None,
        }
    }

    fn is_of_age(&self) -> bool {
        matches!(self, Self::Date { .. } | Self::Undate { .. })
    }

    pub(super) fn is_message(&self) -> bool {
        matches!(self, Self::Publish { .. })
    }

    /// Roughly how many bytes are sent.
    pub(super) fn size(&self) -> usize {
        64 + match self {
            Self::Publish { channel, body } => channel.len() + body.len(),
            Self::Put { hash, name, body } => hash.len() + name.len() + body.len(),
            Self::Remove { hash, name } | Self::Date { hash, name, .. } | Self::Undate { hash, name } => hash.len() + name.len(),
        }
    }

    fn packed(&self) -> Cmd {
        match self {
            Self::Publish { channel, body } => cmd("PUBLISH").arg(channel).arg(body).clone(),
            Self::Put { hash, name, body } => cmd("HSET").arg(hash).arg(name).arg(body).clone(),
            Self::Remove { hash, name } => cmd("HDEL").arg(hash).arg(name).clone(),
            Self::Date { hash, name, at } => cmd("ZADD").arg(ages::key(hash)).arg(at).arg(name).clone(),
            Self::Undate { hash, name } => cmd("ZREM").arg(ages::key(hash)).arg(name).clone(),
        }
    }

    /// What is tried, for a fault.
    pub(super) fn tried(&self, address: &str) -> String {
        match self {
            Self::Publish { channel, .. } => {
                format!("cannot publish to `{}` on redis at {address}", shown(channel, NAME))
            }
            Self::Put { hash, .. } => format!("cannot write to `{}` in redis at {address}", shown(hash, NAME)),
            Self::Remove { hash, .. } => {
                format!("cannot delete from `{}` in redis at {address}", shown(hash, NAME))
            }
            Self::Date { hash, .. } | Self::Undate { hash, .. } => {
                format!("cannot write to `{}` in redis at {address}", shown(&ages::key(hash), NAME))
            }
        }
    }
}

/// The bytes of a group as they are, and how many replies they bring.
pub(super) fn plain(group: &Group<'_>) -> (Vec<u8>, usize) {
    let mut bytes = Vec::new();
    for (_, command) in group {
        command.packed().write_packed_command(&mut bytes);
    }
    (bytes, group.len())
}

/// The bytes of a group in a transaction, and how many replies they bring.
pub(super) fn transaction(group: &Group<'_>) -> (Vec<u8>, usize) {
    let mut bytes = Vec::new();
    cmd("MULTI").write_packed_command(&mut bytes);
    for (_, command) in group {
        command.packed().write_packed_command(&mut bytes);
    }
    cmd("EXEC").write_packed_command(&mut bytes);
    (bytes, group.len() + 2)
}

/// What the replies to [`plain`] say. Fewer replies than commands: the connection was lost, for the reason given.
pub(super) fn judge_plain(group: &Group<'_>, replies: &[Value], lost: Option<Fault>, address: &str) -> Verdict {
    let mut verdict = Verdict::default();
    for (position, ((_, command), reply)) in group.iter().zip(replies).enumerate() {
        let Value::ServerError(error) = reply else {
            continue;
        };
        match to_error(error, command.tried(address)) {
            _ if command.is_of_age() => {
                verdict.stopped = Some((position, to_fault_of_age(error, command.tried(address))));
                return verdict;
            }
            Obstacle::Refused(reason) => verdict.refused.push((position, reason)),
            Obstacle::Stopped(fault) => {
                verdict.stopped = Some((position, fault));
                return verdict;
            }
        }
    }
    verdict.stopped = lost.map(|fault| (replies.len(), fault));
    verdict
}

/// What the replies to [`transaction`] say.
pub(super) fn judge_transaction(group: &Group<'_>, replies: &[Value], lost: Option<Fault>, address: &str) -> Transaction {
    let first_tried = || group.first().map(|(_, command)| command.tried(address)).unwrap_or_default();
    // What could not even be queued says why nothing was carried out, whether or not more replies came.
    let queued = judge_plain(group, replies.get(1..).unwrap_or_default(), None, address);
    if queued != Verdict::default() {
        return Transaction::Aborted(queued);
    }
    let stopped = |fault| Transaction::Aborted(Verdict { refused: Vec::new(), stopped: Some((0, fault)) });
    if let Some(fault) = lost {
        return stopped(fault);
    }
    if let Some(Value::ServerError(error)) = replies.first() {
        return stopped(never_in_entry(error, first_tried()));
    }
    match replies.last() {
        Some(Value::Array(results)) => Transaction::Done(judge_plain(group, results, None, address)),
        Some(Value::ServerError(error)) => stopped(never_in_entry(error, first_tried())),
        _ => stopped(Fault::retry(first_tried(), "the server's answer is not that of redis")),
    }
}

/// `MULTI` and `EXEC` belong to no entry: what they meet is always tried again.
fn never_in_entry(error: &ServerError, tried: String) -> Fault {
    match to_error(error, tried.clone()) {
        Obstacle::Refused(_) => Fault::retry(tried, text(error)),
        Obstacle::Stopped(fault) => fault,
    }
}

#[cfg(test)]
mod tests {
    use redis::parse_redis_value;

    use super::*;

    const WRONG_TYPE: &str = "redis refuses it: WRONGTYPE x (cannot write to `h` in redis at r:1; hint: a value of another kind has this name: \
                              delete it, or have the module name another hash)";

    fn put(name: &str) -> Command<'_> {
        Command::Put { hash: "h", name, body: b"1" }
    }

    fn group<'a>(names: &[&'a str]) -> Vec<(usize, Command<'a>)> {
        names.iter().map(|name| put(name)).enumerate().collect()
    }

    fn replies(lines: &[&str]) -> Vec<Value> {
        lines.iter().map(|line| parse_redis_value(line.as_bytes()).expect("a reply")).collect()
    }

    fn lost() -> Fault {
        Fault::retry("talk", "closed")
    }

    #[test]
    fn what_was_tried_fits_in_a_line_whatever_the_names_are() {
        let name = format!("a\nlevel=error {}", "x".repeat(1 << 20));
        for command in [
            Command::Publish { channel: &name, body: b"" },
            Command::Put { hash: &name, name: &name, body: b"" },
            Command::Remove { hash: &name, name: &name },
        ] {
            let tried = command.tried("r:1");
            assert!(tried.contains(r"`a\nlevel=error xxx") && tried.contains("xxx…` ") && tried.len() < 200, "{tried}");
        }
    }

    #[test]
    fn a_transaction_is_sent_between_multi_and_exec() {
        let (bytes, count) = transaction(&group(&["a", "b"]));
        let text = String::from_utf8(bytes).expect("text");
        let words: Vec<_> = text.split("\r\n").filter(|word| !word.starts_with(['*', '$'])).collect();
        assert_eq!(words, ["MULTI", "HSET", "h", "a", "1", "HSET", "h", "b", "1", "EXEC", ""]);
        assert_eq!(count, 4);
    }

    #[test]
    fn what_an_age_meets_is_nobody_elses_fault_and_comes_before_the_document() {
        let age = put("a").of_age(7).expect("an age");
        let (bytes, _) = plain(&[(0, age), (0, put("a"))]);
        let text = String::from_utf8(bytes).expect("text");
        let words: Vec<_> = text.split("\r\n").filter(|word| !word.starts_with(['*', '$'])).collect();
        assert_eq!(words, ["ZADD", "h:ages", "7", "a", "HSET", "h", "a", "1", ""]);
        let group = [(0, age), (0, put("a"))];
        let answers = replies(&["+OK\r\n", "-NOPERM No permissions to access a key\r\n", "+QUEUED\r\n", "-EXECABORT no\r\n"]);
        match judge_transaction(&group, &answers, None, "r:1") {
            Transaction::Aborted(Verdict { refused, stopped: Some((0, fault)) }) => {
                assert!(refused.is_empty() && fault.to_string().contains("`<hash>:ages`"), "{fault}");
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn messages_stop_at_the_first_that_was_not_answered() {
        let group = group(&["a", "b", "c"]);
        let verdict = judge_plain(&group, &replies(&[":1\r\n"]), Some(lost()), "r:1");
        assert_eq!(verdict.stopped, Some((1, lost())));
        let verdict = judge_plain(&group, &replies(&[":1\r\n", "-WRONGTYPE x\r\n", "-OOM y\r\n"]), None, "r:1");
        assert_eq!(verdict.refused, [(1, WRONG_TYPE.to_owned())]);
        assert_eq!(verdict.stopped.map(|(at, fault)| (at, fault.cause)), Some((2, "OOM y".to_owned())));
    }

    #[test]
    fn a_transaction_that_was_not_answered_to_its_end_may_not_have_been_carried_out() {
        let group = group(&["a", "b"]);
        for some in [&[][..], &["+OK\r\n", "+QUEUED\r\n"], &["+OK\r\n", "+QUEUED\r\n", "+QUEUED\r\n"]] {
            let judged = judge_transaction(&group, &replies(some), Some(lost()), "r:1");
            assert_eq!(judged, Transaction::Aborted(Verdict { refused: Vec::new(), stopped: Some((0, lost())) }));
        }
    }

    #[test]
    fn what_could_not_be_queued_aborts_the_transaction_at_its_place() {
        let group = group(&["a", "b"]);
        let answers = replies(&["+OK\r\n", "+QUEUED\r\n", "-OOM no\r\n", "-EXECABORT no\r\n"]);
        match judge_transaction(&group, &answers, None, "r:1") {
            Transaction::Aborted(Verdict { stopped: Some((1, fault)), .. }) => assert_eq!(fault.cause, "OOM no"),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn all_that_is_refused_while_it_is_queued_is_known_after_one_try() {
        let group = group(&["a", "b", "c", "d"]);
        let no = "-NOPERM No permissions to access a key\r\n";
        let answers = replies(&["+OK\r\n", no, "+QUEUED\r\n", no, "-OOM no\r\n", "-EXECABORT no\r\n"]);
        match judge_transaction(&group, &answers, None, "r:1") {
            Transaction::Aborted(verdict) => {
                assert_eq!(verdict.refused.iter().map(|(position, _)| *position).collect::<Vec<_>>(), [0, 2]);
                assert_eq!(verdict.stopped.map(|(position, fault)| (position, fault.cause)), Some((3, "OOM no".to_owned())));
            }
            done @ Transaction::Done(_) => panic!("{done:?}"),
        }
    }

    #[test]
    fn what_fails_in_a_transaction_fails_alone() {
        let group = group(&["a", "b"]);
        let answers = replies(&["+OK\r\n", "+QUEUED\r\n", "+QUEUED\r\n", "*2\r\n-WRONGTYPE x\r\n:1\r\n"]);
        let verdict = Verdict { refused: vec![(0, WRONG_TYPE.to_owned())], stopped: None };
        assert_eq!(judge_transaction(&group, &answers, None, "r:1"), Transaction::Done(verdict));
    }

    #[test]
    fn an_exec_that_fails_as_a_whole_or_answers_nonsense_is_tried_again() {
        let group = group(&["a", "b"]);
        for last in ["-EXECABORT discarded\r\n", "-WRONGTYPE strange\r\n", "*-1\r\n", "+OK\r\n"] {
            let answers = replies(&["+OK\r\n", "+QUEUED\r\n", "+QUEUED\r\n", last]);
            let judged = judge_transaction(&group, &answers, None, "r:1");
            assert!(matches!(judged, Transaction::Aborted(Verdict { stopped: Some((0, _)), .. })), "{last} {judged:?}");
        }
    }
}
