//! Books against a model, cut and changed anywhere.

use sluicebox_contract::ObjectKind;
use tempfile::TempDir;

use super::*;

const MOST: u64 = 1 << 20;

fn object(uid: &str, version: &str) -> Announcement {
    Announcement {
        kind: ObjectKind::Pod,
        uid: uid.into(),
        namespace: "n".into(),
        name: format!("pod-{uid}").into(),
        version: version.into(),
        attributes: Vec::new(),
        typed: None,
        json: None,
    }
}

fn there(uid: &str, version: &str) -> Announced {
    Announced::There(Box::new(object(uid, version)))
}

fn large(uid: &str, version: &str, bytes: usize) -> Announced {
    Announced::There(Box::new(Announcement { json: Some("x".repeat(bytes).into()), ..object(uid, version) }))
}

fn gone(uid: &str) -> Announced {
    Announced::Gone(uid.into())
}

fn open(folder: &TempDir, most: u64) -> (Book, Recalled) {
    Announcements::open(folder.path()).unwrap().book("pods", "node n1", most).unwrap()
}

fn path(folder: &TempDir) -> std::path::PathBuf {
    folder.path().join("announced/pods.announced")
}

/// What is found, as `uid-version@mark`.
fn found(folder: &TempDir) -> (Vec<String>, Option<String>) {
    let (_book, recalled) = open(folder, MOST);
    (words(&recalled), recalled.trouble)
}

fn words(recalled: &Recalled) -> Vec<String> {
    recalled.objects.iter().map(|(object, mark)| format!("{}-{}@{mark}", object.uid, object.version)).collect()
}

#[test]
fn what_was_announced_is_known_as_it_was_last() {
    let folder = TempDir::new().unwrap();
    let (mut book, recalled) = open(&folder, MOST);
    assert!(book.is_empty() && recalled.objects.is_empty() && recalled.trouble.is_none());
    assert_eq!(book.write(&[there("a", "1"), there("b", "1"), there("c", "1")], 7).unwrap(), 0);
    book.write(&[there("b", "2"), gone("c"), gone("stranger")], 8).unwrap();
    assert_eq!(book.len(), 2);
    drop(book);
    assert_eq!(found(&folder), (vec!["a-1@7".to_owned(), "b-2@8".to_owned()], None));
}

#[test]
fn a_whole_object_comes_back_as_it_was() {
    let folder = TempDir::new().unwrap();
    let pod = sluicebox_contract::Pod { name: "ä\"\n".to_owned(), host_network: true, ..sluicebox_contract::Pod::default() };
    let whole = Announcement {
        attributes: vec![("zone".to_owned(), "a".to_owned())],
        typed: Some(pod.into()),
        json: Some("{\"a\":1}".into()),
        ..object("a", "1")
    };
    let (mut book, _) = open(&folder, MOST);
    book.write(&[Announced::There(Box::new(whole.clone()))], u64::MAX).unwrap();
    drop(book);
    let (_book, recalled) = open(&folder, MOST);
    assert_eq!(recalled.objects, [(whole, u64::MAX)]);
}

#[test]
fn a_file_that_is_cut_anywhere_is_known_as_it_was_before() {
    let folder = TempDir::new().unwrap();
    let (mut book, _) = open(&folder, MOST);
    let (mut ends, mut states) = (vec![book.bytes], vec![Vec::new()]);
    let steps: [(&[Announced], &[&str]); 4] = [
        (&[there("a", "1")], &["a-1@0"]),
        (&[there("b", "1")], &["a-1@0", "b-1@0"]),
        (&[there("a", "2")], &["a-2@0", "b-1@0"]),
        (&[gone("b")], &["a-2@0"]),
    ];
    for (announced, state) in steps {
        book.write(announced, 0).unwrap();
        ends.push(book.bytes);
        states.push(state.iter().map(ToString::to_string).collect());
    }
    drop(book);
    let whole = std::fs::read(path(&folder)).unwrap();
    assert_eq!(whole.len() as u64, *ends.last().unwrap());
    for cut in 0..=whole.len() {
        std::fs::write(path(&folder), &whole[..cut]).unwrap();
        let (objects, trouble) = found(&folder);
        let before = ends.iter().rposition(|end| *end <= cut as u64);
        assert_eq!(objects, before.map(|before| states[before].clone()).unwrap_or_default(), "{cut}");
        assert_eq!(trouble.is_none(), before.is_some_and(|before| ends[before] == cut as u64), "{cut}: {trouble:?}");
        // What was cut off is gone for good, and writing goes on.
        assert_eq!(found(&folder), (objects, None), "{cut}");
    }
}

#[test]
fn a_bit_that_changes_costs_what_stands_behind_it_and_nothing_else_is_made_of_it() {
    let folder = TempDir::new().unwrap();
    let (mut book, _) = open(&folder, MOST);
    for step in [[there("a", "1")], [there("b", "1")], [there("a", "2")]] {
        book.write(&step, 0).unwrap();
    }
    drop(book);
    let whole = std::fs::read(path(&folder)).unwrap();
    let states: [&[&str]; 4] = [&[], &["a-1@0"], &["a-1@0", "b-1@0"], &["a-2@0", "b-1@0"]];
    for bit in 0..whole.len() * 8 {
        let mut changed = whole.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        std::fs::write(path(&folder), &changed).unwrap();
        let (objects, trouble) = found(&folder);
        assert!(states[..3].iter().any(|state| *state == objects), "{bit}: {objects:?}");
        assert!(trouble.is_some(), "{bit}");
    }
}

#[test]
fn zeros_at_the_end_are_cut_off_and_strange_records_are_passed_over() {
    let folder = TempDir::new().unwrap();
    let (mut book, _) = open(&folder, MOST);
    book.write(&[there("a", "1")], 0).unwrap();
    drop(book);
    let mut bytes = std::fs::read(path(&folder)).unwrap();
    frame::put(&mut bytes, std::num::NonZeroU32::MIN, br#"{"of-tomorrow":1}"#);
    bytes.extend([0; 100]);
    std::fs::write(path(&folder), &bytes).unwrap();
    let (objects, trouble) = found(&folder);
    assert_eq!(objects, ["a-1@0"]);
    assert_eq!(trouble.as_deref(), Some("100 bytes at its end are cut off, and 1 of its records are not understood"));
    assert_eq!(found(&folder).1.as_deref(), Some("1 of its records are not understood"));
}

#[test]
fn a_later_version_is_refused_and_left_as_it_is() {
    let folder = TempDir::new().unwrap();
    drop(open(&folder, MOST));
    let newer = frame::header(Form { version: 2, ..FORM });
    std::fs::write(path(&folder), &newer).unwrap();
    let error = Announcements::open(folder.path()).unwrap().book("pods", "node n1", MOST).unwrap_err();
    assert!(matches!(error, StoreError::Newer { version: 2, .. }));
    let text = error.to_string();
    assert!(text.contains("announced/pods.announced: a later version of sluicebox has written it (format 2)"), "{text}");
    assert!(text.contains("move the file away: what was announced before is then announced once more"), "{text}");
    assert_eq!(std::fs::read(path(&folder)).unwrap(), newer);
}

#[test]
fn what_was_announced_while_something_else_was_watched_is_not_known() {
    let folder = TempDir::new().unwrap();
    let (mut book, _) = open(&folder, MOST);
    book.write(&[there("a", "1")], 0).unwrap();
    drop(book);
    let (book, recalled) = Announcements::open(folder.path()).unwrap().book("pods", "the cluster", MOST).unwrap();
    assert!(book.is_empty() && recalled.objects.is_empty());
    assert_eq!(recalled.trouble.as_deref(), Some("it is about node n1, and now that is the cluster"));
    drop(book);
    assert_eq!(found(&folder).1.as_deref(), Some("it is about the cluster, and now that is node n1"));
}

#[test]
fn another_program_keeps_out_and_what_is_forgotten_is_gone() {
    let folder = TempDir::new().unwrap();
    let announcements = Announcements::open(folder.path()).unwrap();
    assert!(matches!(Announcements::open(folder.path()), Err(StoreError::InUse { .. })));
    let (mut book, _) = announcements.book("pods", "node n1", MOST).unwrap();
    book.write(&[there("a", "1")], 0).unwrap();
    drop(announcements);
    assert!(matches!(Announcements::open(folder.path()), Err(StoreError::InUse { .. })), "a book is enough");
    drop(book);
    Announcements::open(folder.path()).unwrap().forget("pods").unwrap();
    assert_eq!(found(&folder), (Vec::new(), None));
}

#[test]
fn the_file_is_written_anew_when_most_of_it_is_out_of_date() {
    let folder = TempDir::new().unwrap();
    let (mut book, _) = open(&folder, MOST);
    book.write(&[there("stays", "1")], 3).unwrap();
    for round in 0..5_000 {
        book.write(&[there("changes", &round.to_string())], 4).unwrap();
        let size = std::fs::metadata(path(&folder)).unwrap().len();
        assert_eq!(size, book.bytes);
        assert!(size <= 2 * book.live + SLACK, "{size}");
    }
    drop(book);
    assert_eq!(found(&folder), (vec!["changes-4999@4".to_owned(), "stays-1@3".to_owned()], None));
}

#[test]
fn what_does_not_fit_is_known_as_it_was_before() {
    let folder = TempDir::new().unwrap();
    let (mut book, _) = open(&folder, 10_000);
    assert_eq!(book.write(&[there("a", "1"), large("b", "1", 8_000)], 0).unwrap(), 0);
    assert_eq!(book.write(&[large("a", "2", 5_000), large("c", "1", 5_000), there("d", "1")], 0).unwrap(), 2);
    assert_eq!(book.write(&[gone("b"), large("c", "2", 5_000)], 0).unwrap(), 0, "there is room again");
    for round in 0..100 {
        book.write(&[there("d", &round.to_string())], 0).unwrap();
        assert!(std::fs::metadata(path(&folder)).unwrap().len() <= 10_000);
    }
    drop(book);
    assert_eq!(found(&folder), (vec!["a-1@0".to_owned(), "c-2@0".to_owned(), "d-99@0".to_owned()], None));
}

#[test]
fn a_rewrite_that_was_interrupted_leaves_the_old_file() {
    let folder = TempDir::new().unwrap();
    let (mut book, _) = open(&folder, MOST);
    book.write(&[there("a", "1")], 0).unwrap();
    std::fs::write(folder.path().join("announced/.pods.announced.new"), "half").unwrap();
    for round in 0..2_000 {
        book.write(&[there("b", &round.to_string())], 0).unwrap();
    }
    drop(book);
    std::fs::write(folder.path().join("announced/.pods.announced.new"), "half").unwrap();
    assert_eq!(found(&folder), (vec!["a-1@0".to_owned(), "b-1999@0".to_owned()], None));
}

#[test]
fn without_room_for_two_files_the_one_grows_as_long_as_it_may() {
    let folder = TempDir::new().unwrap();
    let (mut book, _) = open(&folder, 200_000);
    book.write(&[there("a", "0")], 0).unwrap();
    // What cannot be made or removed stands where the new file is to be.
    std::fs::create_dir(folder.path().join("announced/.pods.announced.new")).unwrap();
    let mut refused = 0;
    for round in 1..3_000 {
        match book.write(&[there("a", &round.to_string())], 0) {
            Ok(_) => assert_eq!(refused, 0),
            Err(_) => refused += 1,
        }
        assert!(std::fs::metadata(path(&folder)).unwrap().len() <= 200_000);
    }
    assert!(refused > 0 && book.bytes > 199_000, "{}", book.bytes);
    std::fs::remove_dir(folder.path().join("announced/.pods.announced.new")).unwrap();
    book.write(&[there("a", "last")], 0).unwrap();
    drop(book);
    assert_eq!(found(&folder), (vec!["a-last@0".to_owned()], None));
}

#[test]
fn a_text_has_a_mark_of_its_own() {
    assert_eq!(mark("a"), mark("a"));
    assert_ne!(mark("a"), mark("b"));
}

/// xorshift.
struct Random(u64);

impl Random {
    fn below(&mut self, most: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % most
    }
}

#[test]
fn whatever_is_written_and_however_it_ends_it_is_known_as_it_once_was() {
    for seed in 1..=60_u64 {
        let (folder, mut random) = (TempDir::new().unwrap(), Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
        let mut model = BTreeMap::<String, String>::new();
        for life in 0..5 {
            let (mut book, recalled) = open(&folder, 200_000);
            let there_now: BTreeMap<String, String> =
                recalled.objects.iter().map(|(object, _)| (object.uid.to_string(), object.version.to_string())).collect();
            assert_eq!(there_now, model, "seed {seed} life {life}");
            let mut states = vec![model.clone()];
            for write in 0..random.below(60) {
                let mut announced = BTreeMap::new();
                for _ in 0..=random.below(5) {
                    let uid = random.below(20).to_string();
                    let size = usize::try_from(random.below(3_000)).unwrap();
                    let change = if random.below(4) == 0 { gone(&uid) } else { large(&uid, &format!("{life}.{write}"), size) };
                    announced.insert(uid, change);
                }
                for (uid, change) in &announced {
                    match change {
                        Announced::Gone(_) => drop(model.remove(uid)),
                        Announced::There(object) | Announced::Told(object) => {
                            drop(model.insert(uid.clone(), object.version.to_string()));
                        }
                    }
                }
                let announced: Vec<Announced> = announced.into_values().collect();
                assert_eq!(book.write(&announced, 0).unwrap(), 0);
                states.push(model.clone());
            }
            drop(book);
            // Killed while it wrote: what was written last is not whole.
            let length = std::fs::metadata(path(&folder)).unwrap().len();
            let file = File::options().write(true).open(path(&folder)).unwrap();
            file.set_len(length - random.below(length.min(400))).unwrap();
            let (_book, recalled) = open(&folder, 200_000);
            model = recalled.objects.iter().map(|(object, _)| (object.uid.to_string(), object.version.to_string())).collect();
            let is_near = |state: &BTreeMap<String, String>| {
                let differs = |(uid, version): (&String, &String)| state.get(uid) != Some(version);
                model.iter().filter(|pair| differs(*pair)).count() + state.len().abs_diff(model.len()) <= 10
            };
            assert!(states.iter().any(is_near), "seed {seed} life {life}");
        }
    }
}

#[test]
fn whatever_stands_in_the_file_at_the_start_it_opens_and_what_is_written_then_is_known() {
    let folder = TempDir::new().unwrap();
    let (mut book, _) = open(&folder, MOST);
    book.write(&[there("a", "1"), there("b", "1")], 0).unwrap();
    book.write(&[gone("a"), there("b", "2")], 0).unwrap();
    drop(book);
    let good = std::fs::read(path(&folder)).unwrap();
    let head = head("node n1");
    sluicebox_testkit::fuzz::Fuzz::of([good, head]).words(["sluicea\n", "{\"gone\":\"b\"}", "{\"there\":[0,"]).run(|input, _| {
        std::fs::write(path(&folder), input).unwrap();
        let announcements = Announcements::open(folder.path()).unwrap();
        let Ok((mut book, recalled)) = announcements.book("pods", "node n1", MOST) else { return };
        assert_eq!(book.len(), recalled.objects.len());
        book.write(&[there("new", "7")], 3).unwrap();
        drop((book, announcements));
        assert!(found(&folder).0.contains(&"new-7@3".to_owned()));
    });
}

#[test]
fn what_was_told_is_known_until_more_is_and_never_in_place_of_more() {
    let folder = TempDir::new().unwrap();
    let (mut book, _) = open(&folder, MOST);
    let told = |uid: &str, version: &str| Announced::Told(Box::new(object(uid, version)));
    book.write(&[told("a", "1"), there("b", "1")], 7).unwrap();
    book.write(&[told("b", "2"), told("c", "1")], 7).unwrap();
    book.write(&[there("c", "2")], 7).unwrap();
    drop(book);
    let (_, recalled) = open(&folder, MOST);
    let mut found: Vec<(String, String, u64)> =
        recalled.objects.iter().map(|(object, mark)| (object.uid.to_string(), object.version.to_string(), *mark)).collect();
    found.sort();
    let known = |uid: &str, version: &str, mark| (uid.to_owned(), version.to_owned(), mark);
    assert_eq!(found, [known("a", "1", NOBODY), known("b", "1", 7), known("c", "2", 7)]);
    assert_eq!(told_after(&recalled), ["b-2"]);
}

/// What was told of objects after they were announced, as `uid-version`.
fn told_after(recalled: &Recalled) -> Vec<String> {
    recalled.told.values().map(|object| format!("{}-{}", object.uid, object.version)).collect()
}

#[test]
fn what_was_told_last_is_known_beside_what_was_announced() {
    let folder = TempDir::new().unwrap();
    let (mut book, _) = open(&folder, MOST);
    let told = |uid: &str, version: &str| Announced::Told(Box::new(object(uid, version)));
    book.write(&[told("a", "1"), there("b", "1"), there("c", "1"), there("d", "1"), told("d", "2")], 7).unwrap();
    book.write(&[told("a", "2"), told("b", "2"), there("c", "2"), told("c", "3"), gone("d")], 7).unwrap();
    book.write(&[told("b", "3")], 7).unwrap();
    let check = |objects: &[&str], after: &[&str]| {
        let (book, recalled) = open(&folder, MOST);
        let mut found = words(&recalled);
        found.sort();
        assert_eq!(
            (found, told_after(&recalled)),
            (objects.iter().map(ToString::to_string).collect(), after.iter().map(ToString::to_string).collect())
        );
        book
    };
    drop(book);
    let mut book = check(&["a-2@0", "b-1@7", "c-2@7"], &["b-3", "c-3"]);
    // So much that the file is written anew.
    for version in 0..60 {
        book.write(&[large("big", &version.to_string(), 10_000), told("c", "4")], 7).unwrap();
    }
    let length = std::fs::metadata(path(&folder)).unwrap().len();
    assert!(length < 300_000, "{length} bytes");
    drop(book);
    let mut book = check(&["a-2@0", "b-1@7", "big-59@7", "c-2@7"], &["b-3", "c-4"]);
    book.write(&[there("b", "3"), gone("big"), there("a", "2")], 7).unwrap();
    drop(book);
    check(&["a-2@7", "b-3@7", "c-2@7"], &["c-4"]);
}
