//! What the sink makes of a refusal by the server: whether the entry can never be written, or not now. Pure.

use redis::{ServerError, Value};
use sluicebox_contract::Fault;

use super::ages;
use crate::obstacle::Obstacle;
use crate::shown::shown;

/// Characters of an error reply that are repeated: redis itself needs no more than half of that.
const LONGEST: usize = 800;

/// What an error reply means. Whatever is not known to lie in the entry alone is tried again: nothing is lost by mistake.
pub(super) fn to_error(error: &ServerError, tried: String) -> Obstacle {
    let text = text(error);
    let hint = hint(error.code(), error.details().unwrap_or_default());
    if lies_in_entry(error) {
        let hint = hint.map(|hint| format!("; hint: {hint}")).unwrap_or_default();
        return Obstacle::Refused(format!("redis refuses it: {text} ({tried}{hint})"));
    }
    let fault = Fault::retry(tried, &text);
    Obstacle::Stopped(match hint {
        Some(hint) => fault.hint(hint),
        None => fault,
    })
}

/// What an error reply to a command for ages means. The operator has asked for ages and the entry knows nothing of them: nothing of it lies
/// in the entry.
pub(super) fn to_fault_of_age(error: &ServerError, tried: String) -> Fault {
    let is_of_rights = matches!(error.code(), "NOPERM" | "WRONGTYPE");
    let hint = hint(error.code(), error.details().unwrap_or_default()).filter(|_| !is_of_rights);
    Fault::retry(tried, text(error)).hint(hint.unwrap_or(ages::RIGHTS))
}

/// Whether a reply says that this server, or this log-in, is not the one to write with: a new connection may lead to another, as a name does
/// after a fail-over.
pub(super) fn is_of_connection(reply: &Value) -> bool {
    const CODES: [&str; 9] =
        ["NOAUTH", "WRONGPASS", "READONLY", "MASTERDOWN", "LOADING", "MOVED", "ASK", "CLUSTERDOWN", "NOREPLICAS"];
    match reply {
        Value::ServerError(error) => {
            let code =
                if error.code() == "EXECABORT" { because(error.details().unwrap_or_default()) } else { Some(error.code()) };
            code.is_some_and(|code| CODES.contains(&code))
        }
        Value::Array(replies) => replies.iter().any(is_of_connection),
        _ => false,
    }
}

/// The code in `Transaction discarded because of: OOM command not allowed ...`.
fn because(details: &str) -> Option<&str> {
    details.split_once("because of: ")?.1.split_whitespace().next()
}

/// The error as the server wrote it, made fit for a line.
pub(super) fn text(error: &ServerError) -> String {
    match error.details() {
        Some(details) => shown(&format!("{} {details}", error.code()), LONGEST),
        None => shown(error.code(), LONGEST),
    }
}

fn lies_in_entry(error: &ServerError) -> bool {
    let details = error.details().unwrap_or_default();
    match error.code() {
        // The key is there and is no hash.
        "WRONGTYPE" => true,
        // The channel or the key is the entry's; a command that may not be run is nobody's, and all entries wait for the right to it.
        "NOPERM" => {
            details.split_once("permissions to access ").is_some_and(|(_, what)| what.contains("key") || what.contains("channel"))
        }
        "ERR" => is_too_large(details),
        _ => false,
    }
}

fn is_too_large(details: &str) -> bool {
    ["invalid bulk length", "string exceeds maximum allowed size"].iter().any(|part| details.contains(part))
}

fn hint(code: &str, details: &str) -> Option<&'static str> {
    Some(match code {
        "WRONGTYPE" => "a value of another kind has this name: delete it, or have the module name another hash",
        "ERR" if is_too_large(details) => {
            "it is larger than the server's `proto-max-bulk-len`: raise that, or have the module write less"
        }
        "EXECABORT" => return because(details).and_then(|code| hint(code, "")),
        "NOAUTH" => "the server wants a password: set `password-file`; it is read again at the next try",
        "WRONGPASS" => {
            "user and password do not fit, or the user is off: correct `username` or the password; a `password-file` is read again at the next try"
        }
        "NOPERM" => "the user lacks a right: see `ACL GETUSER`, and grant the command and the channel (`&...`) or key (`~...`)",
        "READONLY" => "this server is a replica: the url must lead to the primary",
        "OOM" => "the server's `maxmemory` is reached: raise it, or let something be evicted or deleted",
        "LOADING" => "the server is still reading its data; it will answer when it has done so",
        "MISCONF" => "the server cannot save to its disk: see the server's log",
        "MASTERDOWN" => "this server is a replica that has lost its primary: the url must lead to the primary",
        "BUSY" => "a script on the server keeps it busy: see `SCRIPT KILL`",
        "MOVED" | "ASK" | "CROSSSLOT" | "CLUSTERDOWN" | "TRYAGAIN" => {
            "this server is part of a cluster, which sluicebox does not speak to: use a server that stands alone"
        }
        "NOREPLICAS" => "too few replicas are there for `min-replicas-to-write`",
        "ERR" if details.contains("max number of clients") => {
            "raise the server's `maxclients`, or find who holds the connections"
        }
        "ERR" if details.contains("unknown command") => {
            "the server does not have this command: it is renamed, or this is no redis"
        }
        "ERR" if details.contains("DB index") => "the server has fewer databases: correct `database`",
        "ERR" if details.contains("AUTH") => {
            "the server has no password: remove the password from the settings, or set one there"
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use redis::parse_redis_value;
    use sluicebox_contract::Class;

    use super::*;

    fn obstacle(line: &str) -> Obstacle {
        match parse_redis_value(format!("-{line}\r\n").as_bytes()) {
            Ok(Value::ServerError(error)) => to_error(&error, "cannot write".to_owned()),
            other => panic!("no error reply: {other:?}"),
        }
    }

    #[test]
    fn what_the_operator_can_cure_is_tried_again_with_a_hint() {
        for line in [
            "NOAUTH Authentication required.",
            "WRONGPASS invalid username-password pair or user is disabled.",
            "NOPERM this user has no permissions to run the 'publish' command",
            "NOPERM User channel has no permissions to run the 'hset' command",
            "READONLY You can't write against a read only replica.",
            "OOM command not allowed when used memory > 'maxmemory'.",
            "LOADING Redis is loading the dataset in memory",
            "MISCONF Redis is configured to save RDB snapshots",
            "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
            "MOVED 3999 127.0.0.1:6381",
            "ERR max number of clients reached",
            "ERR unknown command 'HSET'",
            "ERR DB index is out of range",
            "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.",
            "CLUSTERDOWN Hash slot not served",
            "NOREPLICAS Not enough good replicas to write.",
            "EXECABORT Transaction discarded because of: OOM command not allowed when used memory > 'maxmemory'.",
        ] {
            match obstacle(line) {
                Obstacle::Stopped(fault) => {
                    assert!(fault.class == Class::Retry && fault.hint.is_some(), "{fault}");
                    assert_eq!(fault.cause, line);
                }
                Obstacle::Refused(reason) => panic!("{line}: {reason}"),
            }
        }
    }

    #[test]
    fn what_lies_in_the_entry_is_refused() {
        for line in [
            "WRONGTYPE Operation against a key holding the wrong kind of value",
            "ERR Protocol error: invalid bulk length",
            "ERR string exceeds maximum allowed size (proto-max-bulk-len)",
            // The places that an entry names, in the words of redis 6 and 7.
            "NOPERM this user has no permissions to access one of the channels used as arguments",
            "NOPERM this user has no permissions to access one of the keys used as arguments",
            "NOPERM No permissions to access a channel",
            "NOPERM No permissions to access a key",
            "NOPERM User u has no permissions to access the 'h' key",
        ] {
            assert!(matches!(obstacle(line), Obstacle::Refused(_)), "{line}");
        }
    }

    #[test]
    fn what_another_connection_may_cure_is_known() {
        let reply = |text: &str| parse_redis_value(text.as_bytes()).expect("a reply");
        for line in ["-READONLY x\r\n", "-NOAUTH x\r\n", "*2\r\n:1\r\n-READONLY x\r\n", "-EXECABORT because of: MASTERDOWN x\r\n"]
        {
            assert!(is_of_connection(&reply(line)), "{line}");
        }
        // Whoever gives a connection up while the server takes no others may not get in again.
        for line in
            ["-OOM x\r\n", "-EXECABORT because of: OOM x\r\n", "-WRONGTYPE x\r\n", "-NOPERM x\r\n", "+READONLY\r\n", ":1\r\n"]
        {
            assert!(!is_of_connection(&reply(line)), "{line}");
        }
    }

    #[test]
    fn what_an_age_meets_is_told_with_its_own_cure() {
        let fault = |line: &str| match parse_redis_value(format!("-{line}\r\n").as_bytes()) {
            Ok(Value::ServerError(error)) => to_fault_of_age(&error, "cannot write".to_owned()),
            other => panic!("no error reply: {other:?}"),
        };
        for line in ["NOPERM No permissions to access a key", "WRONGTYPE x", "STRANGE things happen"] {
            assert_eq!((fault(line).class, fault(line).hint.as_deref()), (Class::Retry, Some(ages::RIGHTS)), "{line}");
        }
        assert!(fault("OOM x").hint.is_some_and(|hint| hint.contains("`maxmemory`")));
        assert!(fault("READONLY x").hint.is_some_and(|hint| hint.contains("primary")));
    }

    #[test]
    fn an_unknown_error_is_tried_again() {
        assert!(matches!(obstacle("STRANGE things happen"), Obstacle::Stopped(_)));
    }
}
