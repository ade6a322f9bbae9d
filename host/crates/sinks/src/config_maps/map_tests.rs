//! The tests of `map.rs`.

use super::super::observed::Key;
use super::*;

const SECOND: Duration = Duration::from_secs(1);
const MINE: (bool, bool) = (true, false);
const THEIRS: (bool, bool) = (false, true);
const BOTH: (bool, bool) = (true, true);
const NOBODYS: (bool, bool) = (false, false);

fn observed(keys: &[(&str, &str, (bool, bool))]) -> Observed {
    let keys = keys.iter().map(|(name, text, (mine, others))| Key {
        name: (*name).to_owned(),
        value: Value::Text((*text).to_owned()),
        mine: *mine,
        others: *others,
    });
    let largest = Some(("sluicebox/b/s".to_owned(), 7));
    Observed { version: "1".to_owned(), keys: keys.collect(), largest, ..Observed::default() }
}

fn data(map: &Map) -> String {
    let mut keys: Vec<_> = map.data().into_iter().map(|(key, value)| format!("{key}={value}")).collect();
    keys.sort_unstable();
    keys.join(" ")
}

/// A map that was read while it had these keys, and written since.
fn map(keys: &[(&str, &str, (bool, bool))], puts: &[(&str, &str)]) -> (Map, Instant) {
    let now = Instant::now();
    let mut map = Map::new(now);
    map.observe(Some(observed(keys)), true, now);
    for (number, (key, value)) in (1..).zip(puts) {
        map.put(key, value, now + SECOND * number);
    }
    map.written("2".to_owned(), now);
    (map, now)
}

#[test]
fn what_is_put_unchanged_is_no_change() {
    let (mut map, now) = map(&[], &[("a", "1"), ("b", "2")]);
    map.put("a", "1", now + SECOND * 9);
    assert!(!map.is_changed() && map.oldest().is_some_and(|(key, _)| &**key == "b"));
    map.put("a", "3", now);
    assert!(map.is_changed() && data(&map) == "a=3 b=2");
    map.written("3".to_owned(), now);
    assert!(!map.remove("c") && !map.is_changed() && map.remove("a") && map.is_changed());
    assert_eq!((data(&map).as_str(), &map.known), ("b=2", &Known::Version("3".to_owned())));
}

#[test]
fn what_an_earlier_run_left_is_taken_over_and_goes_unless_it_is_put_again() {
    let (mut map, now) = map(&[("a", "1", MINE), ("b", "2", MINE), ("c", "3", THEIRS), ("d", "4", BOTH)], &[("b", "2")]);
    assert!(!map.is_changed());
    assert_eq!(data(&map), "a=1 b=2 d=4");
    map.remove_adopted(|key| key == "d");
    assert!(map.is_changed());
    assert_eq!(data(&map), "b=2 d=4");
    map.expire(SECOND, now + SECOND);
    assert_eq!(data(&map), "b=2", "its age began when it was taken over");
    map.expire(SECOND, now + SECOND * 2);
    assert!(map.is_changed() && !map.is_wanted());
}

#[test]
fn what_an_earlier_run_left_where_nothing_is_taken_over_is_a_change() {
    let now = Instant::now();
    let mut map = Map::new(now);
    map.observe(Some(observed(&[("a", "1", MINE), ("b", "2", THEIRS)])), false, now);
    assert!(map.is_changed() && !map.is_wanted());
}

#[test]
fn what_somebody_has_removed_or_changed_is_written_again() {
    for seen in [&[("a", "1", MINE)][..], &[("a", "1", MINE), ("b", "9", MINE)], &[("a", "1", NOBODYS), ("b", "2", MINE)], &[]] {
        let (mut map, now) = map(&[], &[("a", "1"), ("b", "2")]);
        map.observe(Some(observed(seen)), true, now);
        assert!(map.is_changed() && data(&map) == "a=1 b=2", "{seen:?}");
    }
    let (mut map, now) = map(&[], &[("a", "1")]);
    map.observe(None, true, now);
    assert!(map.is_changed() && map.known == Known::Missing);
    map.written("3".to_owned(), now);
    map.observe(Some(observed(&[("a", "1", MINE), ("b", "2", THEIRS)])), true, now);
    assert!(!map.is_changed());
}

#[test]
fn whoever_puts_the_same_key_later_has_it() {
    let (mut map, now) = map(&[], &[("a", "1"), ("b", "2")]);
    map.observe(Some(observed(&[("a", "5", THEIRS), ("b", "2", MINE)])), true, now);
    assert!(!map.is_changed());
    assert_eq!(data(&map), "b=2");
    map.put("a", "1", now);
    map.observe(Some(observed(&[("a", "5", THEIRS), ("b", "2", MINE)])), true, now);
    assert!(map.is_changed());
    assert_eq!(data(&map), "a=1 b=2", "it was put after theirs");
}

#[test]
fn the_oldest_make_room() {
    let (mut map, now) = map(&[("x", "123456", THEIRS)], &[("a", "1"), ("b", "2"), ("c", "3")]);
    assert_eq!(map.make_room(13), []);
    map.put("a", "1", now + SECOND * 9);
    map.put("d", "4", now);
    let displaced = map.make_room(13);
    assert_eq!(displaced.iter().map(|displaced| &*displaced.key).collect::<Vec<_>>(), ["b"]);
    assert_eq!(
        displaced[0].reason,
        "there is no room for it: of 13 bytes (`budget`) 7 are taken by others, 7 of them by `sluicebox/b/s`, and the rest by \
         documents of this sink that were put later or are smaller"
    );
    assert_eq!(data(&map), "a=1 c=3 d=4");
}

#[test]
fn what_would_not_even_fit_alone_displaces_nothing() {
    let (mut map, now) = map(&[("x", "123456", THEIRS)], &[("a", "1"), ("b", "2")]);
    map.put("large", "1234567", now + SECOND * 9);
    let displaced = map.make_room(18);
    assert_eq!(displaced.iter().map(|displaced| &*displaced.key).collect::<Vec<_>>(), ["large"]);
    assert_eq!(data(&map), "a=1 b=2");
}

#[test]
fn a_key_of_somebody_else_that_is_put_as_well_is_counted_once() {
    let (mut map, now) = map(&[("a", "123456", THEIRS)], &[]);
    map.put("a", "1", now);
    assert_eq!(map.make_room(2), []);
    map.put("b", "2", now);
    assert_eq!(map.make_room(4), []);
    assert_eq!(map.make_room(3).len(), 1);
}

#[test]
fn whoever_has_not_changed_anything_for_long_is_gone() {
    let (mut map, now) = map(&[], &[("a", "1")]);
    let mut see = |seconds: u32, times: &[(&str, &str)]| {
        let neighbours =
            times.iter().map(|(manager, time)| Neighbour { manager: (*manager).to_owned(), time: (*time).to_owned() });
        let now = now + SECOND * seconds;
        map.observe(Some(Observed { neighbours: neighbours.collect(), ..observed(&[("a", "1", MINE)]) }), true, now);
        map.abandoned(SECOND * 10, now).join(" ")
    };
    assert_eq!(see(0, &[("b", "t0"), ("c", "t0")]), "");
    assert_eq!(see(6, &[("b", "t0"), ("c", "t5")]), "");
    assert_eq!(see(12, &[("b", "t0"), ("c", "t5"), ("d", "t0")]), "b");
    assert_eq!(see(17, &[("c", "t5")]), "c");
    assert_eq!(see(18, &[("b", "t0"), ("c", "t17")]), "", "one that has gone and come is seen anew");
}

#[test]
fn who_lives_touches_what_he_has() {
    let (mut map, now) = map(&[], &[("a", "1")]);
    map.touch(SECOND, now);
    assert!(!map.is_changed());
    map.touch(SECOND, now + SECOND);
    assert!(map.is_changed());
    map.written("3".to_owned(), now + SECOND);
    assert!(!map.is_changed() && map.touch_due(SECOND) == Some(now + SECOND * 2));
    map.remove("a");
    map.written("4".to_owned(), now);
    map.touch(SECOND, now + SECOND * 9);
    assert!(!map.is_changed(), "but nothing else");
}

#[test]
fn the_version_matters_only_where_the_budget_may() {
    let (mut map, now) = map(&[("x", &"x".repeat(199), THEIRS)], &[("a", "1")]);
    assert!(map.is_calm(3_200) && !map.is_calm(402), "less than half is free");
    map.put("b", &"x".repeat(99), now);
    assert!(map.is_calm(3_200) && !map.is_calm(3_199), "it adds too much at once");
    map.written("3".to_owned(), now);
    assert!(map.is_calm(3_199), "what is there is added no more");
    map.contested = true;
    assert!(!map.is_calm(3_200));
    map.written("4".to_owned(), now);
    assert!(map.is_calm(3_200));
    map.put("a", "2", now);
    let answer = [("a", "2", MINE), ("x", &"x".repeat(1_599), THEIRS)];
    map.written_and_seen(Observed { version: "5".to_owned(), ..observed(&answer) }, now);
    assert!(!map.is_changed() && map.known == Known::Version("5".to_owned()));
    assert!(!map.is_calm(3_200) && map.fits(1_702) && !map.fits(1_701), "what the answer tells of others counts");
}

#[test]
fn who_writes_in_our_name_is_noticed() {
    let at = |time: &str, keys: &[(&str, &str, (bool, bool))]| Some(Observed { time: time.to_owned(), ..observed(keys) });
    let (mut map, now) = map(&[("a", "1", MINE)], &[]);
    map.observe(at("t1", &[("a", "1", MINE)]), true, now);
    map.twins = 0;
    map.observe(at("t1", &[("a", "1", MINE), ("b", "2", THEIRS)]), true, now);
    map.observe(at("t1", &[("a", "1", BOTH)]), true, now);
    map.observe(None, true, now);
    assert_eq!(map.twins, 0, "others may do as they like");
    map.observe(at("t2", &[]), true, now);
    assert_eq!(map.twins, 1, "a later change");
    map.written("3".to_owned(), now);
    map.observe(at("t2", &[("a", "1", MINE), ("c", "1", MINE)]), true, now);
    assert_eq!(map.twins, 2, "a key");
    map.signed = None;
    map.observe(at("t3", &[("a", "1", MINE)]), true, now);
    assert_eq!(map.twins, 2, "it may have been our own write, whose answer never came");
}
