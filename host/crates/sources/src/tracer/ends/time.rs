//! Moments as Kubernetes writes them, and moments as a tracer tells them. Pure.

use std::time::Duration;

use sluicebox_contract::UnixNanos;

/// A moment in the form in which the API server writes all of them: `2021-08-17T18:29:58Z`, RFC 3339 in UTC without parts of seconds.
pub(super) fn rfc3339(text: &str) -> Option<UnixNanos> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let mut date = date.splitn(3, '-').map(|part| part.parse::<u64>().ok());
    let (year, month, day) = (date.next()??, date.next()??, date.next()??);
    let mut time = time.splitn(3, ':').map(|part| part.split('.').next().and_then(|part| part.parse::<u64>().ok()));
    let (hour, minute, second) = (time.next()??, time.next()??, time.next()??);
    if !(1970..=2500).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    // Years are counted from March, so that the leap day is the last of its year.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1 - 719_468;
    let seconds = days * 86_400 + hour.min(23) * 3_600 + minute.min(59) * 60 + second.min(60);
    Some(UnixNanos(seconds * 1_000_000_000))
}

/// When something was, of which a tracer says how long after the start of the node: `now` and `since_boot` are the same moment. What cannot
/// be is taken for now.
pub(super) fn moment(last_seen: u64, now: UnixNanos, since_boot: Duration) -> UnixNanos {
    let since_boot = u64::try_from(since_boot.as_nanos()).unwrap_or(u64::MAX);
    if last_seen == 0 || last_seen > since_boot {
        return now;
    }
    UnixNanos(now.0.saturating_sub(since_boot - last_seen))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_of_the_api_are_read() {
        let seconds = |text| rfc3339(text).map(|time| time.0 / 1_000_000_000);
        for (text, expected) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2000-02-29T00:00:00Z", 951_782_400),
            ("2021-09-09T15:35:00Z", 1_631_201_700),
            ("2021-09-09T15:35:00.5Z", 1_631_201_700),
            ("2100-03-01T00:00:00Z", 4_107_542_400),
        ] {
            assert_eq!(seconds(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_moment_is_none() {
        for text in
            ["", "2021", "2021-09-09", "2021-09-09T15:35:00", "2021-13-09T15:35:00Z", "x-09-09T15:35:00Z", "0001-01-01T00:00:00Z"]
        {
            assert_eq!(rfc3339(text), None, "{text}");
        }
    }

    #[test]
    fn a_moment_since_boot_is_no_date() {
        let now = UnixNanos(1_000_000);
        assert_eq!(moment(400, now, Duration::from_nanos(500)), UnixNanos(999_900));
        assert_eq!(moment(0, now, Duration::from_nanos(500)), now);
        assert_eq!(moment(501, now, Duration::from_nanos(500)), now, "it was not running yet");
    }
}
