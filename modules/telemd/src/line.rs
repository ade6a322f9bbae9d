//! A line as telemd writes it: `<time> <value>`. Pure.

use std::fmt::Write;

/// Above it not every whole number is a float.
const EXACT: u64 = 1 << 53;

/// Seconds, a point, and the nanoseconds: in nine digits, or, as `legacy`, in as many as the number has.
pub(crate) fn time(unix_nanos: u64, legacy: bool) -> String {
    let (seconds, nanos) = (unix_nanos / 1_000_000_000, unix_nanos % 1_000_000_000);
    if legacy { format!("{seconds}.{nanos}") } else { format!("{seconds}.{nanos:09}") }
}

/// The value is a float with six digits behind the point, as `%f` has it.
pub(crate) fn write(out: &mut String, time: &str, value: u64) {
    out.push_str(time);
    out.push(' ');
    if value <= EXACT {
        out.push_str(itoa::Buffer::new().format(value));
        out.push_str(".000000");
    } else {
        #[allow(clippy::cast_precision_loss, reason = "the value is told as the float that readers make of it")]
        let value = value as f64;
        let _ = write!(out, "{value:.6}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nanoseconds_have_nine_digits() {
        for (unix_nanos, padded, legacy) in [
            (1_631_201_700_087_136_507, "1631201700.087136507", "1631201700.87136507"),
            (1_631_201_700_000_000_001, "1631201700.000000001", "1631201700.1"),
            (1_631_201_700_000_000_000, "1631201700.000000000", "1631201700.0"),
            (0, "0.000000000", "0.0"),
        ] {
            assert_eq!((time(unix_nanos, false).as_str(), time(unix_nanos, true).as_str()), (padded, legacy));
        }
    }

    #[test]
    fn a_value_has_six_digits_behind_the_point() {
        for (value, expected) in [
            (0, "1.0 0.000000"),
            (7_340_032, "1.0 7340032.000000"),
            (EXACT, "1.0 9007199254740992.000000"),
            (EXACT + 1, "1.0 9007199254740992.000000"),
            (u64::MAX, "1.0 18446744073709551616.000000"),
        ] {
            let mut out = String::new();
            write(&mut out, "1.0", value);
            assert_eq!(out, expected);
        }
    }
}
