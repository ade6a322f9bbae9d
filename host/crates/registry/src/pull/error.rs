//! Why nothing was pulled, and how that is read off the end of the process.

use std::os::unix::process::ExitStatusExt as _;
use std::time::Duration;

use rustix::process::Signal;
use serde::{Deserialize, Serialize};
use sluicebox_contract::ByteSize;

use super::Answer;
use super::process::Ending;
use crate::layout::excerpt;

/// How the reason begins where a password would have gone to another machine by plain HTTP.
pub(crate) const KEPT: &str = "the password is sent to no other machine in clear text";

/// Why nothing was pulled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct PullError {
    /// What to do about it.
    pub kind: Kind,
    /// What was found.
    pub reason: String,
}

/// What to do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// The registry does not answer, or not now: it is asked again.
    Away,
    /// It wants to know who asks, or does not let him.
    Denied,
    /// It has no such module.
    Absent,
    /// What it has is not what it is called.
    Mismatch,
    /// What it has is no module, or not in the layout.
    Layout,
    /// It sends more than may be.
    TooMuch,
}

impl PullError {
    pub(crate) fn new(kind: Kind, reason: impl Into<String>) -> Self {
        Self { kind, reason: reason.into() }
    }

    /// Whether nothing is known of what is there: what is here goes on, and nobody is to blame.
    pub fn is_away(&self) -> bool {
        self.kind == Kind::Away
    }

    /// Whether it was refused because a password could have been read on its way to where the registry has it checked.
    pub fn keeps_secret(&self) -> bool {
        self.kind == Kind::Denied && self.reason.starts_with(KEPT)
    }

    /// What would cure it.
    pub fn hint(&self) -> &'static str {
        match self.kind {
            Kind::Denied if self.keeps_secret() => {
                "have the registry name an `https` address for it, or say `secrets-in-clear-text: true` under `registries` where the network encrypts"
            }
            Kind::Away => "is the registry up, and can this node reach it? it is asked again",
            Kind::Denied => "give its user and password under `registries`, and the right to pull",
            Kind::Absent => "push it, or name a tag or a digest that is there",
            Kind::Mismatch => "do not trust that registry, nor who is between: what it sends is not what it says",
            Kind::Layout => "push the component as one layer: `sluicebox module push`, `wkg oci push` or `oras push`",
            Kind::TooMuch => "raise `limits.component` of the lane, or `pull.memory`, if you trust the registry",
        }
    }
}

/// What the process has said, if it has ended well.
pub(super) fn judge(ending: &Ending, memory: ByteSize, deadline: Duration) -> Result<Answer, PullError> {
    let away = |reason: String| Err(PullError::new(Kind::Away, reason));
    let Some(status) = ending.status else {
        return away(format!("the registry did not send everything within {deadline:?}"));
    };
    let words = String::from_utf8_lossy(&ending.words);
    if status.success() {
        return match serde_json::from_slice(&ending.words) {
            Ok(answer) => Ok(answer),
            Err(error) => away(format!("the process that pulls has said nothing of use: {error}")),
        };
    }
    let lacks_memory = status.signal() == Some(Signal::ABORT.as_raw()) && words.contains("memory allocation of ");
    if lacks_memory {
        let reason = format!("what the registry sends needs more than {memory} to be read: does it ever end?");
        return Err(PullError::new(Kind::TooMuch, reason));
    }
    if words.contains("No CA certificates were loaded") {
        let reason =
            "the system has no authorities that could vouch for a registry: install `ca-certificates`, or give `ca-file`";
        return Err(PullError::new(Kind::Denied, reason));
    }
    let last = words.lines().map(str::trim).rfind(|line| !line.is_empty() && !line.starts_with("note: ")).unwrap_or_default();
    away(format!("the process that pulls has ended with {status}: {}", excerpt(last)))
}

#[cfg(test)]
mod tests {
    use std::process::ExitStatus;

    use super::*;

    #[track_caller]
    fn check(raw: Option<i32>, words: &str, kind: Kind, word: &str) {
        let ending = Ending { status: raw.map(ExitStatus::from_raw), words: words.as_bytes().to_vec(), output: Vec::new() };
        let error = judge(&ending, ByteSize(64 << 20), Duration::from_mins(1)).unwrap_err();
        assert!(error.kind == kind && error.reason.contains(word), "{error:?}");
    }

    #[test]
    fn each_end_is_told() {
        check(None, "", Kind::Away, "within 60s");
        check(Some(6), "memory allocation of 8 bytes failed\n", Kind::TooMuch, "64MiB");
        check(Some(9), "", Kind::Away, "signal: 9");
        check(Some(101 << 8), "thread 'main' panicked at x\nbad header\u{1b}\n", Kind::Away, "bad header\\u{1b}");
        check(Some(101 << 8), "General(\"No CA certificates were loaded from the system\")\n", Kind::Denied, "ca-file");
        check(Some(0), "what", Kind::Away, "nothing of use");
    }

    #[test]
    fn who_has_told_a_password_is_not_asked_for_one() {
        let hint = |reason: String| PullError::new(Kind::Denied, reason).hint();
        assert!(hint("401 Unauthorized".to_owned()).contains("give its user and password"));
        let kept = hint(format!("{KEPT}, and the registry has it checked by plain HTTP"));
        assert!(kept.contains("`https`") && kept.contains("`secrets-in-clear-text: true`") && !kept.contains("give"), "{kept}");
    }

    #[test]
    fn what_was_said_at_a_good_end_is_taken() {
        let ending = Ending { status: Some(ExitStatus::from_raw(0)), words: br#""Unchanged""#.to_vec(), output: Vec::new() };
        assert!(matches!(judge(&ending, ByteSize(0), Duration::ZERO), Ok(Answer::Unchanged)));
    }
}
