//! Whatever is taken for a moment or for a range of addresses.

use std::time::Duration;

use sluicebox_contract::UnixNanos;
use sluicebox_testkit::fuzz::Fuzz;

use super::cidr;
use super::time::{moment, rfc3339};

#[test]
fn moments_and_ranges_of_addresses_are_read_or_are_none() {
    let samples = ["2021-08-17T18:29:58Z", "1970-01-01T00:00:00Z", "2500-12-31T23:59:60.999Z", "10.0.0.0/8", "fe80::/10", "::/0"];
    Fuzz::of(samples).longest(200).run(|input, dice| {
        let Ok(text) = std::str::from_utf8(input) else { return };
        rfc3339(text);
        if let Some((bits, length)) = cidr(text) {
            assert!(length <= 128 && (length == 128 || bits << length == 0), "{bits:x} /{length}");
        }
        let (now, seen) = (UnixNanos(dice.any() >> dice.below(64)), dice.any() >> dice.below(64));
        assert!(moment(seen, now, Duration::from_nanos(dice.any() >> dice.below(64))) <= now);
    });
}
