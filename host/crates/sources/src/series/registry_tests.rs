use super::*;

fn registry(series: usize) -> Registry {
    Registry::new(Bounds { series, bytes: 4096, unseen: Duration::from_mins(1), shares: 0 }, Arc::default())
}

fn labels(pairs: &[(&str, &str)]) -> Labels {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn the_same_labels_are_the_same_subject_and_are_read_once() {
    let (mut registry, now) = (registry(2), Instant::now());
    let first = registry.subject("a", now, || Some(labels(&[("__name__", "up"), ("job", "x")])));
    assert_eq!(registry.subject("a", now, || panic!("read again")), first);
    let notices = registry.take_notices();
    let [Notice::Defined(subject)] = notices.as_slice() else { panic!("{notices:?}") };
    assert_eq!((subject.name.as_str(), subject.attributes.as_slice()), ("up", &[("job".to_owned(), "x".to_owned())][..]));
}

#[test]
fn bytes_are_bounded_and_come_free_again() {
    let (mut registry, now) = (registry(1000), Instant::now());
    let large = |key: &str, registry: &mut Registry, now| {
        registry.subject(key, now, || Some(labels(&[("x", &"y".repeat(1500))]))).is_some()
    };
    assert_eq!(
        [large("a", &mut registry, now), large("b", &mut registry, now), large("c", &mut registry, now)],
        [true, true, false]
    );
    assert!(!large(&"k".repeat(5000), &mut registry, now));
    let later = now + Duration::from_mins(1);
    registry.expire(later);
    assert_eq!((registry.bytes, registry.len()), (0, 0));
    assert!(large("c", &mut registry, later));
}

#[test]
fn what_has_no_room_has_no_subject_until_others_have_gone() {
    let (mut registry, now) = (registry(1), Instant::now());
    assert!(registry.subject("a", now, || Some(labels(&[]))).is_some());
    assert_eq!(registry.subject("b", now, || Some(labels(&[]))), None);
    registry.expire(now + Duration::from_secs(59));
    assert_eq!(registry.len(), 1);
    registry.expire(now + Duration::from_mins(1));
    assert!(matches!(registry.take_notices().as_slice(), [Notice::Defined(_), Notice::Forgotten(_)]));
    assert!(registry.subject("b", now, || Some(labels(&[]))).is_some());
}

/// An answer of a party: how many of these have a subject.
fn answer(registry: &mut Registry, party: usize, keys: &[&str], now: Instant) -> usize {
    registry.begin(party);
    let known: Vec<bool> = keys.iter().map(|key| registry.find(key, now).is_some()).collect();
    registry.let_go();
    let told = keys.iter().filter(|key| registry.subject(key, now, || Some(labels(&[("x", key)]))).is_some()).count();
    // What was known is known still: nothing of an answer makes room for the rest of it.
    assert!(keys.iter().zip(known).all(|(key, known)| !known || registry.known.contains_key(*key)));
    check(registry);
    told
}

/// All that is counted is there.
#[track_caller]
fn check(registry: &Registry) {
    let counted: usize = registry.parties.iter().map(|party| party.order.len()).sum();
    let bytes: usize = registry.parties.iter().map(|party| party.bytes).sum();
    assert_eq!((counted, bytes), (registry.known.len() - registry.pinned, registry.bytes));
    assert!(counted <= registry.bounds.series && bytes <= registry.bounds.bytes);
}

fn keys(registry: &Registry) -> String {
    let mut keys: Vec<&str> = registry.known.keys().map(|key| &**key).collect();
    keys.sort_unstable();
    keys.concat()
}

fn shared(series: usize, shares: usize) -> Registry {
    Registry::new(Bounds { series, bytes: 1 << 30, unseen: Duration::from_hours(72), shares }, Arc::default())
}

#[test]
fn the_dead_make_room_for_the_living_and_the_lanes_are_told() {
    let (mut registry, now) = (shared(3, 0), Instant::now());
    assert_eq!(answer(&mut registry, 0, &["a", "b", "c"], now), 3);
    let gone = registry.known["a"].subject;
    registry.take_notices();
    // What is new stands before what is known.
    assert_eq!(answer(&mut registry, 0, &["d", "c", "b"], now), 3);
    assert_eq!(keys(&registry), "bcd");
    let notices = registry.take_notices();
    assert!(matches!(notices.as_slice(), [Notice::Forgotten(id), Notice::Defined(_)] if *id == gone), "{notices:?}");
    // More than there is room for: none of the living goes.
    assert_eq!(answer(&mut registry, 0, &["e", "d", "c", "b"], now), 3);
    assert_eq!((keys(&registry).as_str(), registry.take_notices().len()), ("bcd", 0));
}

#[test]
fn the_one_that_was_unseen_longest_goes_first_whose_ever_it_is() {
    let (mut registry, now) = (shared(5, 0), Instant::now());
    answer(&mut registry, 0, &["a", "b"], now);
    answer(&mut registry, 1, &["c", "d"], now);
    answer(&mut registry, 1, &["c"], now);
    answer(&mut registry, 0, &["b"], now);
    assert_eq!(answer(&mut registry, 2, &["e", "f"], now), 2);
    assert_eq!(keys(&registry), "bcdef");
    assert_eq!(answer(&mut registry, 2, &["e", "f", "g"], now), 3);
    assert_eq!(keys(&registry), "bcefg");
    assert_eq!(answer(&mut registry, 2, &["e", "f", "g", "h"], now), 3, "the others live");
    assert!(!registry.let_go(), "and nothing is dead");
}

#[test]
fn what_was_short_of_room_is_worth_another_try_when_something_is_dead() {
    let (mut registry, now) = (shared(1, 0), Instant::now());
    let ask = |registry: &mut Registry, key: &str| registry.subject(key, now, || Some(labels(&[]))).is_some();
    registry.begin(0);
    assert!(ask(&mut registry, "a") && !registry.let_go());
    registry.begin(0);
    assert!(!ask(&mut registry, "b") && registry.let_go() && ask(&mut registry, "b"));
    // An answer that was none makes nothing dead.
    registry.begin(0);
    registry.take_back();
    assert_eq!(answer(&mut registry, 1, &["c"], now), 0);
}

#[test]
fn a_party_within_its_share_always_has_room_and_more_only_while_others_leave_it() {
    let (mut registry, now) = (shared(6, 3), Instant::now());
    assert_eq!(answer(&mut registry, 0, &["a", "b", "c", "d", "e", "f", "g"], now), 6);
    assert_eq!(answer(&mut registry, 1, &["m", "n", "o"], now), 2);
    assert_eq!(keys(&registry), "abcdmn");
    assert_eq!(answer(&mut registry, 2, &["x", "y", "z"], now), 2);
    assert_eq!(keys(&registry), "abmnxy");
    // All have their share: it stays like this.
    registry.take_notices();
    for _ in 0..3 {
        assert_eq!(answer(&mut registry, 0, &["a", "b", "c", "d"], now), 2);
        assert_eq!(answer(&mut registry, 1, &["m", "n", "o"], now), 2);
    }
    assert_eq!(registry.take_notices().len(), 0);
    // What one needs no longer others may have.
    assert_eq!(answer(&mut registry, 2, &[], now), 0);
    assert_eq!(answer(&mut registry, 0, &["a", "b", "c", "d"], now), 4);
}

#[test]
fn bytes_are_shared_likewise() {
    let (mut registry, now) = (shared(1_000, 2), Instant::now());
    registry.bounds.bytes = 20_000;
    let large = |party: usize, count: usize, registry: &mut Registry| {
        registry.begin(party);
        let keys: Vec<String> = (0..count).map(|number| format!("{party} {number}")).collect();
        assert!(keys.iter().all(|key| registry.find(key, now).is_none()));
        registry.let_go();
        let labels = || Some(labels(&[("x", &"y".repeat(1_500))]));
        let told = keys.iter().filter(|key| registry.subject(key, now, labels).is_some()).count();
        check(registry);
        told
    };
    assert!(large(0, 100, &mut registry) > 9);
    assert_eq!((large(1, 5, &mut registry), registry.parties[1].order.len()), (5, 5));
    assert!(registry.parties[0].order.len() >= 5);
    assert_eq!(registry.subject(&"k".repeat(30_000), now, || panic!("read")), None, "and nothing goes for what never fits");
    assert_eq!(registry.parties[1].order.len(), 5);
}

#[test]
fn what_is_pinned_has_room_beside_the_others_and_stays() {
    let (mut registry, now) = (registry(1), Instant::now());
    assert_eq!(answer(&mut registry, 0, &["a"], now), 1);
    registry.pin("up", now, labels(&[("x", &"y".repeat(5_000))]));
    assert_eq!(answer(&mut registry, 0, &["b"], now), 1);
    registry.expire(now + Duration::from_hours(1));
    assert_eq!((keys(&registry).as_str(), registry.bytes), ("up", 0));
    assert!(registry.find("up", now).is_some());
}

#[test]
fn labels_that_all_change_at_each_turn_cost_the_same_at_each() {
    let (mut registry, now) = (shared(50_000, 2), Instant::now());
    let begun = std::time::Instant::now();
    for turn in 0..6 {
        let keys: Vec<String> = (0..60_000).map(|number| format!("{turn} {number}")).collect();
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        let expected = if turn == 0 { 50_000 } else { 25_000 };
        let now = now + PACE * turn;
        assert_eq!(answer(&mut registry, usize::from(turn % 2 == 1), &keys, now), expected);
    }
    // Were one search as long as the list, it would be many minutes.
    assert!(begun.elapsed() < Duration::from_mins(1), "{:?}", begun.elapsed());
}

#[test]
fn series_go_for_others_only_so_fast_that_numbers_last() {
    let (mut registry, now) = (shared(50, 1), Instant::now());
    let mut told = 0;
    for turn in 0..2 * MOST_GONE / 50 {
        let keys: Vec<String> = (0..50).map(|number| format!("{turn} {number}")).collect();
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        told += answer(&mut registry, 0, &keys, now);
    }
    assert_eq!(told, 50 + MOST_GONE);
    assert_eq!(answer(&mut registry, 0, &["later"], now + PACE), 1);
}

#[test]
fn whoever_has_changed_too_many_takes_nothing_from_the_others() {
    let (mut registry, now) = (shared(60, 2), Instant::now());
    let turn = |registry: &mut Registry, party: usize, turn: usize, count: usize| {
        let keys: Vec<String> = (0..count).map(|number| format!("{party} {turn} {number}")).collect();
        answer(registry, party, &keys.iter().map(String::as_str).collect::<Vec<_>>(), now)
    };
    assert_eq!(turn(&mut registry, 1, 0, 10), 10);
    let mut told = 60;
    for number in 0..2 * MOST_GONE / 50 {
        told = turn(&mut registry, 0, number, 50);
    }
    assert_eq!(told, 0, "its part of the minute is used up");
    assert_eq!(turn(&mut registry, 1, 1, 30), 30, "the other has its share nevertheless");
}
