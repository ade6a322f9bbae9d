//! `net/dev` of a process: what went through the interfaces of its network namespace. Pure, on bytes.

use sluicebox_contract::Metric as M;

use super::parse::{self, Bad, Number};
use super::values::{Slot, Values};

/// What is told, and in which column of the sixteen it stands.
const COLUMNS: [(M, usize); 8] = [
    (M::NetworkReceivedBytes, 0),
    (M::NetworkReceivedPackets, 1),
    (M::NetworkReceivedErrors, 2),
    (M::NetworkReceivedDropped, 3),
    (M::NetworkTransmittedBytes, 8),
    (M::NetworkTransmittedPackets, 9),
    (M::NetworkTransmittedErrors, 10),
    (M::NetworkTransmittedDropped, 11),
];

/// The lines above those of the interfaces.
const HEADINGS: usize = 2;

/// Adds up all interfaces but the loopback one.
pub(crate) fn read(text: &[u8], values: &mut Values) {
    let mut sums: [Number; COLUMNS.len()] = [Ok(0); COLUMNS.len()];
    if !text.starts_with(b"Inter-|") {
        sums = [Err(Bad); COLUMNS.len()];
    }
    for line in parse::lines(text).skip(HEADINGS) {
        // A name may hold all but a slash and white space; a number holds no colon. On old kernels no space follows it.
        let Some((name, numbers)) = memchr::memrchr(b':', line).and_then(|colon| line.split_at_checked(colon)) else { continue };
        if name.trim_ascii() != b"lo" {
            add(numbers.get(1..).unwrap_or_default(), &mut sums);
        }
    }
    for ((metric, _), sum) in COLUMNS.iter().zip(sums) {
        values.put(Slot::of(*metric), sum);
    }
}

/// What comes from it.
pub(crate) fn metrics() -> impl Iterator<Item = M> {
    COLUMNS.iter().map(|(metric, _)| *metric)
}

fn add(numbers: &[u8], sums: &mut [Number; COLUMNS.len()]) {
    let mut columns = numbers.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    let mut next = 0;
    for ((_, column), sum) in COLUMNS.iter().zip(sums) {
        let word = columns.nth(column - next);
        parse::add(sum, word.map_or(Err(Bad), parse::digits));
        next = column + 1;
    }
}

#[cfg(test)]
mod tests {
    use sluicebox_contract::Reading;

    use super::*;

    const HEAD: &str = "Inter-|   Receive                                                |  Transmit\n face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n";

    /// Received bytes, packets, errors, dropped; the same transmitted. None for what is not told.
    fn check(text: &str, expected: [Option<u64>; 8]) {
        let mut values = Values::new();
        read(text.as_bytes(), &mut values);
        let told: Vec<_> = values.readings(|_, total| Reading::Value(total)).collect();
        let found = COLUMNS.map(|(metric, _)| {
            told.iter().find(|(one, _)| *one == metric).map(|(_, reading)| match reading {
                Reading::Value(value) => *value,
                reading => panic!("{reading:?}"),
            })
        });
        assert_eq!(found, expected, "{text:?}");
        assert_eq!(values.take_bad() as usize, expected.iter().filter(|value| value.is_none()).count(), "{text:?}");
    }

    fn lines(lines: &str) -> String {
        format!("{HEAD}{lines}")
    }

    #[test]
    fn all_interfaces_but_the_loopback_one_are_added_up() {
        let text = lines(
            "    lo:  999  99    9    9    0     0          0         0  999  99    9    9    0     0       0          0\n  \
             eth0: 100 10 1 2 0 0 0 0 200 20 3 4 0 0 0 0\n  net1: 1 1 1 1 0 0 0 0 1 1 1 1 0 0 0 0\n",
        );
        check(&text, [101, 11, 2, 3, 201, 21, 4, 5].map(Some));
    }

    #[test]
    fn names_may_be_odd() {
        check(&lines("eth0:100 10 1 2 0 0 0 0 200 20 3 4 0 0 0 0"), [100, 10, 1, 2, 200, 20, 3, 4].map(Some));
        check(&lines("a:b|=\u{1f980}: 1 2 3 4 0 0 0 0 5 6 7 8 0 0 0 0\r\n"), [1, 2, 3, 4, 5, 6, 7, 8].map(Some));
        check(&lines(" lo0: 1 2 3 4 0 0 0 0 5 6 7 8 0 0 0 0\n"), [1, 2, 3, 4, 5, 6, 7, 8].map(Some));
        check(&lines(": 1 2 3 4 0 0 0 0 5 6 7 8 0 0 0 0\n"), [1, 2, 3, 4, 5, 6, 7, 8].map(Some));
    }

    #[test]
    fn a_namespace_of_the_loopback_alone_is_at_nothing() {
        check(HEAD, [Some(0); 8]);
        check(&lines("lo: 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1\nno colon here\n\n"), [Some(0); 8]);
    }

    #[test]
    fn what_is_missing_or_no_number_is_not_told() {
        check(&lines("eth0: 1 2 3\n"), [Some(1), Some(2), Some(3), None, None, None, None, None]);
        check(
            &lines("eth0: 18446744073709551616 2 -3 4.5 0 0 0 0 5 6 7 8"),
            [None, Some(2), None, None, Some(5), Some(6), Some(7), Some(8)],
        );
        check(&lines("a: 18446744073709551615 0 0 0 0 0 0 0 0 0 0 0\nb: 1 0 0 0 0 0 0 0 0 0 0 0"), {
            let mut expected = [Some(0); 8];
            expected[0] = None;
            expected
        });
        check("", [None; 8]);
        check("\u{0}\u{1}\n\n\n", [None; 8]);
    }
}
