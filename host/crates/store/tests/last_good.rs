//! The module that worked comes back as it was, or not at all.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::borrow::Cow;
use std::fs::{self, File, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::PathBuf;

use sha2::{Digest as _, Sha256};
use sluicebox_contract::{ModuleIdentity, UnixNanos};
use sluicebox_store::{Good, LastGood, StoreError};

const MOST: u64 = 1 << 20;

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn open(&self) -> LastGood {
        LastGood::open(&self.0.path().join("state")).unwrap()
    }

    fn folder(&self, lane: &str) -> PathBuf {
        self.0.path().join("state/last-good").join(format!("lane-{lane}"))
    }

    fn component(&self, lane: &str) -> PathBuf {
        let files = fs::read_dir(self.folder(lane)).unwrap().map(|file| file.unwrap().path());
        let components: Vec<PathBuf> = files.filter(|path| path.extension().is_some_and(|ending| ending == "wasm")).collect();
        assert_eq!(components.len(), 1, "{components:?}");
        components[0].clone()
    }
}

fn good(component: &'static [u8]) -> Good {
    let digest = format!("{:x}", Sha256::digest(component));
    let module = ModuleIdentity { name: "./shape.wasm".to_owned(), version: "1.0.0".to_owned(), digest };
    let settings = r#"{"a":"\u0000"}"#.to_owned();
    Good { module, settings, component: Cow::Borrowed(component), signature: None, kept_at: UnixNanos(9) }
}

fn same(one: &Good, other: &Good) -> bool {
    format!("{one:?}") == format!("{other:?}")
}

#[track_caller]
fn assert_damaged_and_taken_away(place: &Place, word: &str) {
    match place.open().load("a", MOST) {
        Err(error @ StoreError::Damaged { .. }) => assert!(error.to_string().contains(word), "{error}"),
        other => panic!("{other:?}"),
    }
    assert!(place.open().load("a", MOST).unwrap().is_none());
    assert!(place.open().lanes().unwrap().is_empty());
}

#[test]
fn what_is_kept_comes_back_and_the_one_before_has_gone() {
    let place = Place::new();
    assert!(place.open().load("a", MOST).unwrap().is_none());
    place.open().keep("a", &good(b"old")).unwrap();
    place.open().keep("b", &good(b"other")).unwrap();
    place.open().keep("a", &good(b"new")).unwrap();
    assert!(same(&place.open().load("a", MOST).unwrap().unwrap(), &good(b"new")));
    assert!(same(&place.open().load("b", MOST).unwrap().unwrap(), &good(b"other")));
    assert_eq!(fs::read(place.component("a")).unwrap(), b"new");
    assert_eq!(place.open().lanes().unwrap(), ["a", "b"]);
    let mode = |path: PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(place.folder("a")), mode(place.component("a"))), (0o700, 0o600));
}

#[test]
fn a_signature_is_kept_with_what_it_is_of() {
    let place = Place::new();
    place.open().keep("a", &Good { signature: Some("c2lnbmVk".to_owned()), ..good(b"new") }).unwrap();
    assert_eq!(place.open().load("a", MOST).unwrap().unwrap().signature.as_deref(), Some("c2lnbmVk"));
    place.open().keep("a", &good(b"new")).unwrap();
    assert!(place.open().load("a", MOST).unwrap().unwrap().signature.is_none());
}

#[test]
fn a_component_that_lies_there_is_not_written_again_unless_it_is_damaged() {
    let place = Place::new();
    place.open().keep("a", &good(b"same")).unwrap();
    let file = || fs::metadata(place.component("a")).unwrap().ino();
    let before = file();
    let other_settings = Good { settings: "{}".to_owned(), ..good(b"same") };
    place.open().keep("a", &other_settings).unwrap();
    assert_eq!(file(), before);
    assert_eq!(place.open().load("a", MOST).unwrap().unwrap().settings, "{}");
    fs::write(place.component("a"), b"sane").unwrap();
    place.open().keep("a", &good(b"same")).unwrap();
    assert!(same(&place.open().load("a", MOST).unwrap().unwrap(), &good(b"same")));
}

#[test]
fn an_end_at_any_step_leaves_the_one_before_or_the_new_one() {
    let place = Place::new();
    place.open().keep("a", &good(b"old")).unwrap();
    // The new component was written, and nothing speaks of it yet.
    let digest = good(b"new").module.digest;
    fs::write(place.folder("a").join(format!("{digest}.wasm")), b"new").unwrap();
    fs::write(place.folder("a").join(".good.json.77-0.new"), b"{\"lane").unwrap();
    assert!(same(&place.open().load("a", MOST).unwrap().unwrap(), &good(b"old")));
    // Begun again, and this time to the end.
    place.open().keep("a", &good(b"new")).unwrap();
    assert!(same(&place.open().load("a", MOST).unwrap().unwrap(), &good(b"new")));
    assert_eq!(fs::read(place.component("a")).unwrap(), b"new");
    // What was left unfinished a moment ago does not keep a lane from being forgotten.
    place.open().forget("a").unwrap();
    assert!(place.open().load("a", MOST).unwrap().is_none());
    assert!(place.open().lanes().unwrap().is_empty());
}

#[test]
fn a_component_that_does_not_have_its_digest_is_taken_away() {
    let place = Place::new();
    let damage = |change: &dyn Fn(PathBuf)| {
        place.open().keep("a", &good(b"good")).unwrap();
        change(place.component("a"));
    };
    damage(&|path| fs::write(path, b"evil").unwrap());
    assert_damaged_and_taken_away(&place, "digest");
    damage(&|path| fs::write(path, b"").unwrap());
    assert_damaged_and_taken_away(&place, "digest");
    damage(&|path| fs::remove_file(path).unwrap());
    assert_damaged_and_taken_away(&place, "is missing");
    damage(&|path| {
        let copy = place.0.path().join("copy.wasm");
        fs::rename(&path, &copy).unwrap();
        symlink(copy, path).unwrap();
    });
    assert_damaged_and_taken_away(&place, "it is a link");
    damage(&|path| {
        fs::remove_file(&path).unwrap();
        assert!(std::process::Command::new("mkfifo").arg(path).status().unwrap().success());
    });
    assert_damaged_and_taken_away(&place, "it is no regular file");
    damage(&|path| fs::set_permissions(path, Permissions::from_mode(0o622)).unwrap());
    assert_damaged_and_taken_away(&place, "0622");
}

#[test]
fn a_description_that_is_none_is_taken_away() {
    let place = Place::new();
    let describe = |text: &str, with: &str| {
        place.open().keep("a", &good(b"good")).unwrap();
        let path = place.folder("a").join("good.json");
        let old = fs::read_to_string(&path).unwrap();
        assert!(old.contains(text), "{old}");
        fs::write(path, old.replace(text, with)).unwrap();
    };
    describe("{", "[");
    assert_damaged_and_taken_away(&place, "it is no description");
    describe("\"lane\": \"a\"", "\"lane\": \"b\"");
    assert_damaged_and_taken_away(&place, "it is about lane `b`");
    describe(&good(b"good").module.digest, "../../../../../etc/passwd");
    assert_damaged_and_taken_away(&place, "is no digest");
}

#[test]
fn a_component_larger_than_allowed_is_not_read_and_stays() {
    let place = Place::new();
    place.open().keep("a", &good(b"four")).unwrap();
    assert!(matches!(place.open().load("a", 3), Err(StoreError::TooLarge { bytes: 4, most: 3, .. })));
    File::options().write(true).open(place.component("a")).unwrap().set_len(1 << 40).unwrap();
    assert!(matches!(place.open().load("a", MOST), Err(StoreError::TooLarge { .. })));
    place.open().keep("a", &good(b"four")).unwrap();
    assert!(place.open().load("a", 4).unwrap().is_some());
}

#[test]
fn a_component_under_a_digest_of_another_is_not_kept() {
    let place = Place::new();
    place.open().keep("a", &good(b"old")).unwrap();
    for digest in [good(b"other").module.digest, "../../x".to_owned(), String::new()] {
        let mut wrong = good(b"new");
        wrong.module.digest = digest;
        assert!(matches!(place.open().keep("a", &wrong), Err(StoreError::Damaged { .. })));
    }
    assert!(same(&place.open().load("a", MOST).unwrap().unwrap(), &good(b"old")));
}

#[test]
fn any_name_that_a_lane_can_have_is_kept_apart_and_no_other() {
    let place = Place::new();
    let longest = "x".repeat(63);
    let lanes = [".", "..", "...", "-", "A", "a", "a.json", "good.json", longest.as_str()];
    for lane in lanes {
        let mut good = good(b"same");
        lane.clone_into(&mut good.settings);
        place.open().keep(lane, &good).unwrap();
    }
    assert_eq!(place.open().lanes().unwrap().len(), lanes.len());
    for lane in lanes {
        assert_eq!(place.open().load(lane, MOST).unwrap().unwrap().settings, lane);
    }
    place.open().forget("..").unwrap();
    place.open().forget("..").unwrap();
    assert_eq!(place.open().lanes().unwrap().len(), lanes.len() - 1);
    for lane in ["", "a/b", "/", "ä", "a b", "a\n", &"x".repeat(64)] {
        assert!(matches!(place.open().keep(lane, &good(b"x")), Err(StoreError::Unknown(_))), "{lane}");
        assert!(matches!(place.open().load(lane, MOST), Err(StoreError::Unknown(_))), "{lane}");
        assert!(matches!(place.open().forget(lane), Err(StoreError::Unknown(_))), "{lane}");
    }
}

#[test]
fn a_directory_that_others_can_write_is_refused() {
    let place = Place::new();
    place.open().keep("a", &good(b"good")).unwrap();
    fs::set_permissions(place.folder("a"), Permissions::from_mode(0o777)).unwrap();
    assert!(matches!(place.open().load("a", MOST), Err(StoreError::Unsafe { .. })));
    assert!(matches!(place.open().keep("a", &good(b"new")), Err(StoreError::Unsafe { .. })));
    fs::set_permissions(place.folder("a").parent().unwrap(), Permissions::from_mode(0o720)).unwrap();
    assert!(matches!(LastGood::open(&place.0.path().join("state")), Err(StoreError::Unsafe { .. })));
}
