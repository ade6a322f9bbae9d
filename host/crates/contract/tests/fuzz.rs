//! Whatever people write for a quantity, and whatever others say that is shown to people.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::fmt::Display;
use std::str::FromStr;
use std::time::Duration;

use sluicebox_contract::quantity::{ByteSize, TimeSpan};
use sluicebox_contract::text::{harmless, in_few_words, is_harmful};
use sluicebox_contract::{CpuShare, UnixNanos};
use sluicebox_testkit::fuzz::Fuzz;

/// What is read is written, and what is written is read as the same.
fn check<T: FromStr<Err: Display> + Display + PartialEq + std::fmt::Debug>(text: &str) {
    match text.parse::<T>() {
        Ok(quantity) => assert_eq!(quantity.to_string().parse::<T>().ok().as_ref(), Some(&quantity), "{text}"),
        Err(error) => assert!(error.to_string().contains('`'), "{error}"),
    }
}

#[test]
fn quantities_are_read_as_what_they_say_or_refused_with_words() {
    let samples = ["500ms", "1h30m", "584y", "213503d", "64MiB", "10MB", "16777216TiB", "0.5", "2", "1500m", "4294967.295"];
    Fuzz::of(samples).words(["d", "h", "m", "s", "us", "ns", "B", "KiB", "TiB", "kB"]).longest(300).run(|input, _| {
        let Ok(text) = std::str::from_utf8(input) else { return };
        check::<TimeSpan>(text);
        check::<ByteSize>(text);
        check::<CpuShare>(text);
        if let Ok(span) = text.parse::<TimeSpan>() {
            // Far enough from what a clock can show that nobody has to ask.
            assert!(std::time::Instant::now().checked_add(span.0).is_some());
        }
        let json = serde_json::to_string(text).unwrap();
        assert_eq!(serde_json::from_str::<TimeSpan>(&json).ok(), text.parse().ok());
        assert_eq!(serde_json::from_str::<ByteSize>(&json).ok(), text.parse().ok());
        let _whatever = (serde_json::from_str::<TimeSpan>(text), serde_json::from_str::<CpuShare>(text));
    });
}

#[test]
fn what_others_say_is_shown_without_harm_on_one_line_and_in_few_words() {
    Fuzz::of(["all is well: ü 好 🙂", "a\u{1b}[2J\nb\u{9b}\u{202e}", "at line 1 column 7"]).run(|input, _| {
        let text = String::from_utf8_lossy(input);
        let shown = harmless(&text);
        assert!(!shown.contains(is_harmful));
        assert_eq!(harmless(&shown), shown);
        let few = in_few_words(&text);
        assert!(few.chars().count() <= 301 && !few.contains(is_harmful));
        assert!(few == shown || few.contains('…') && shown.ends_with(few.rsplit('…').next().unwrap()));
    });
}

#[test]
fn times_never_overflow() {
    Fuzz::of([""]).run(|_, dice| {
        let (one, other) = (UnixNanos(dice.any()), UnixNanos(dice.any()));
        assert!(one.elapsed_until(other) <= Duration::from_nanos(u64::MAX));
    });
}
