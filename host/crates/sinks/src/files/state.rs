//! What is to be forgotten later, as it is kept in the directory across a restart. Pure: text in, text out.

use sluicebox_contract::text::in_few_words;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::name::Place;

/// More than this is not read: it cannot be ours.
pub(super) const LARGEST: u64 = 256 << 20;

const VERSION: u32 = 1;

/// What fell due while nobody was there may be put again by the first list: it waits so long.
const GRACE: Duration = Duration::from_secs(10);

/// One moment on both clocks: time is waited for on the one that never jumps, and kept on the one that survives a restart.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    pub(super) instant: Instant,
    pub(super) wall: SystemTime,
}

impl Moment {
    pub(super) fn now() -> Self {
        Self { instant: Instant::now(), wall: SystemTime::now() }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct State {
    version: u32,
    forget: Vec<Forget>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Forget {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    collection: Option<String>,
    name: String,
    at_unix_milliseconds: u64,
    /// How much time was left when this was written: however the clock is set afterwards, it is never longer.
    left_milliseconds: u64,
}

/// The text to be kept.
pub(super) fn render<'a>(forget: impl Iterator<Item = (&'a Place, Instant)>, now: Moment) -> Vec<u8> {
    let forget = forget.map(|(place, at)| {
        let left = at.saturating_duration_since(now.instant);
        let at = now.wall.checked_add(left).unwrap_or(now.wall);
        Forget {
            collection: place.collection.clone(),
            name: place.name.clone(),
            at_unix_milliseconds: milliseconds(at.duration_since(UNIX_EPOCH).unwrap_or_default()),
            left_milliseconds: milliseconds(left),
        }
    });
    let state = State { version: VERSION, forget: forget.collect() };
    // Strings and numbers always have a JSON form.
    serde_json::to_vec(&state).unwrap_or_default()
}

/// The names and their times; how many names were left out because the sink could not hold them.
pub(super) fn parse(bytes: &[u8], now: Moment) -> Result<(Vec<(Place, Instant)>, usize), String> {
    let state: State = serde_json::from_slice(bytes).map_err(in_few_words)?;
    if state.version != VERSION {
        return Err(format!("version {} is not known", state.version));
    }
    let all = state.forget.len();
    let forget: Vec<_> = state
        .forget
        .into_iter()
        .filter_map(|forget| {
            let at = UNIX_EPOCH.checked_add(Duration::from_millis(forget.at_unix_milliseconds))?;
            let left = at.duration_since(now.wall).unwrap_or_default();
            let left = left.min(Duration::from_millis(forget.left_milliseconds)).max(GRACE);
            let place = Place::new(forget.collection, forget.name).ok()?;
            Some((place, now.instant.checked_add(left)?))
        })
        .collect();
    let left_out = all - forget.len();
    Ok((forget, left_out))
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(name: &str) -> Place {
        Place { collection: None, name: name.to_owned() }
    }

    fn later(moment: Moment, seconds: u64) -> Moment {
        Moment { instant: moment.instant + Duration::from_hours(1), wall: moment.wall + Duration::from_secs(seconds) }
    }

    #[test]
    fn the_time_away_counts() {
        let before = Moment::now();
        let text = render([(&place("a"), before.instant + Duration::from_mins(1))].into_iter(), before);
        let after = later(before, 20);
        let (forget, _) = parse(&text, after).expect("our own text");
        let left = forget[0].1 - after.instant;
        assert!(left.abs_diff(Duration::from_secs(40)) < Duration::from_millis(2), "{left:?}");
    }

    #[test]
    fn what_fell_due_meanwhile_waits_for_the_first_list() {
        let before = Moment::now();
        let text = render([(&place("a"), before.instant)].into_iter(), before);
        let after = later(before, 86_400);
        let (forget, _) = parse(&text, after).expect("our own text");
        assert_eq!(forget, [(place("a"), after.instant + GRACE)]);
    }

    #[test]
    fn a_clock_set_back_does_not_make_the_wait_longer() {
        let before = Moment::now();
        let text = render([(&place("a"), before.instant + Duration::from_mins(1))].into_iter(), before);
        let after = Moment { instant: before.instant, wall: UNIX_EPOCH };
        let (forget, _) = parse(&text, after).expect("our own text");
        assert_eq!(forget, [(place("a"), after.instant + Duration::from_mins(1))]);
    }

    #[test]
    fn garbage_is_an_error_and_a_name_that_leaves_the_directory_is_left_out() {
        let now = Moment::now();
        for garbage in ["", "{", "[]", r#"{"version":2,"forget":[]}"#, r#"{"version":1,"forget":[{}]}"#, "\0\u{fffd}"] {
            assert!(parse(garbage.as_bytes(), now).is_err(), "{garbage:?}");
        }
        let text = r#"{"version":1,"forget":[{"name":"../x","at-unix-milliseconds":1,"left-milliseconds":1},{"name":"y","at-unix-milliseconds":1,"left-milliseconds":1}]}"#;
        let (forget, left_out) = parse(text.as_bytes(), now).expect("well formed");
        assert_eq!((forget.len(), left_out), (1, 1));
    }
}
