//! Whatever a server says in an error.

use redis::{Value, parse_redis_value};
use sluicebox_contract::Class;
use sluicebox_testkit::fuzz::Fuzz;

use super::reaction::{text, to_error};
use crate::obstacle::Obstacle;

#[test]
fn whatever_an_error_says_it_is_tried_again_unless_it_lies_in_the_entry() {
    let lines = [
        "NOPERM this user has no permissions to access one of the channels used as arguments",
        "WRONGTYPE Operation against a key holding the wrong kind of value",
        "ERR Protocol error: invalid bulk length",
        "MOVED 3999 127.0.0.1:6381",
        "LOADING Redis is loading the dataset in memory",
        "ERR",
    ];
    Fuzz::of(lines).words(["NOAUTH", "READONLY", "OOM", "permissions to access ", "key", "channel"]).run(|input, _| {
        let line: Vec<u8> = input.iter().copied().filter(|byte| !matches!(byte, b'\r' | b'\n')).collect();
        let Ok(Value::ServerError(error)) = parse_redis_value(&[b"-", line.as_slice(), b"\r\n"].concat()) else { return };
        let words = text(&error);
        assert!(words.chars().count() <= 10 * 801 && !words.contains(char::is_control), "{words}");
        match to_error(&error, "cannot write".to_owned()) {
            Obstacle::Stopped(fault) => {
                assert!(fault.class == Class::Retry && fault.tried == "cannot write" && fault.cause == words);
            }
            Obstacle::Refused(reason) => {
                assert!(
                    matches!(error.code(), "WRONGTYPE" | "NOPERM" | "ERR") && reason.contains("redis refuses it"),
                    "{reason}"
                );
            }
        }
    });
}
