//! Whose directory is trusted, which file is, and what happens to the others.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::os::unix::fs::{PermissionsExt, chown, lchown, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use sluicebox_wasm_cache::{Bounds, Cache, CacheError, Key};
use wasmtime::component::Component;
use wasmtime::{Config, Engine};

struct Place {
    folder: tempfile::TempDir,
    engine: Engine,
    code: Vec<u8>,
}

impl Place {
    fn new() -> Self {
        let engine = Engine::new(&Config::new()).unwrap();
        let component = Component::from_binary(&engine, &wat::parse_str("(component)").unwrap());
        let code = component.unwrap().serialize().unwrap();
        Self { folder: tempfile::tempdir().unwrap(), engine, code }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("deep/modules")
    }

    fn open(&self, bounds: Bounds) -> Cache {
        Cache::open(&self.path(), bounds).unwrap()
    }

    fn key(&self, number: u8) -> Key {
        Key::new(&[number; 32], &self.engine)
    }

    fn files(&self) -> Vec<PathBuf> {
        let files = std::fs::read_dir(self.path()).unwrap();
        files.map(|file| file.unwrap().path()).collect()
    }

    fn only_file(&self) -> PathBuf {
        let files = self.files();
        assert_eq!(files.len(), 1, "{files:?}");
        files[0].clone()
    }
}

#[track_caller]
fn assert_unsafe(path: &Path, word: &str) {
    match Cache::open(path, Bounds::default()) {
        Err(error @ CacheError::Unsafe { .. }) => {
            assert!(error.to_string().contains(word), "{error}");
        }
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn assert_damaged(place: &Place, cache: &Cache, word: &str) {
    match cache.load(&place.engine, &place.key(1)) {
        Err(error @ CacheError::Damaged { .. }) => {
            assert!(error.to_string().contains(word), "{error}");
        }
        other => panic!("{:?}", other.map(|component| component.is_some())),
    }
    let gone = cache.load(&place.engine, &place.key(1)).unwrap();
    assert!(gone.is_none(), "a bad file is removed");
}

#[test]
fn what_was_stored_is_loaded() {
    let place = Place::new();
    let cache = place.open(Bounds::default());
    assert!(cache.load(&place.engine, &place.key(1)).unwrap().is_none());
    cache.store(&place.key(1), &place.code).unwrap();
    assert!(cache.load(&place.engine, &place.key(1)).unwrap().is_some());
    assert!(cache.load(&place.engine, &place.key(2)).unwrap().is_none());
}

#[test]
fn the_directory_and_its_files_are_private() {
    let place = Place::new();
    place.open(Bounds::default()).store(&place.key(1), &place.code).unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&place.path()), 0o700);
    assert_eq!(mode(&place.only_file()), 0o600);
}

#[test]
fn a_directory_that_others_can_write_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    for mode in [0o770, 0o702, 0o1777] {
        std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(mode)).unwrap();
        assert_unsafe(folder.path(), "lets others write");
    }
}

#[test]
fn a_directory_of_somebody_else_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    // Root can give one away; everybody else finds one of root's.
    let given_away = chown(folder.path(), Some(65_534), None).is_ok();
    let foreign = if given_away { folder.path() } else { Path::new("/usr") };
    assert_unsafe(foreign, "belongs to user");
}

/// As systemd does it for a service with a user of the moment.
#[test]
fn a_link_of_this_user_or_of_root_leads_to_the_cache() {
    let place = Place::new();
    let (real, link) = (place.folder.path().join("real"), place.folder.path().join("link"));
    Cache::open(&real, Bounds::default()).unwrap();
    symlink(&real, &link).unwrap();
    let cache = Cache::open(&link, Bounds::default()).unwrap();
    cache.store(&place.key(1), &place.code).unwrap();
    assert!(cache.load(&place.engine, &place.key(1)).unwrap().is_some());
}

#[test]
fn a_link_of_somebody_else_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (real, link) = (folder.path().join("real"), folder.path().join("link"));
    Cache::open(&real, Bounds::default()).unwrap();
    symlink(&real, &link).unwrap();
    // Only root can give it away.
    if lchown(&link, Some(65_534), None).is_ok() {
        assert_unsafe(&link, "it is a link");
    }
}

#[test]
fn a_path_that_is_a_file_is_refused() {
    let file = tempfile::NamedTempFile::new().unwrap();
    assert_unsafe(file.path(), "or no directory");
}

#[test]
fn a_changed_or_shortened_file_never_runs() {
    let place = Place::new();
    let cache = place.open(Bounds::default());
    cache.store(&place.key(1), &place.code).unwrap();
    let file = place.only_file();
    let whole = std::fs::read(&file).unwrap();
    let mut changed = whole.clone();
    changed[whole.len() / 2] ^= 1;
    for damage in [changed.as_slice(), &whole[..whole.len() / 2], &whole[1..], &[], &[0; 32]] {
        cache.store(&place.key(1), &place.code).unwrap();
        std::fs::write(&file, damage).unwrap();
        assert_damaged(&place, &cache, "");
    }
}

#[test]
fn a_file_that_others_can_write_never_runs() {
    let place = Place::new();
    let cache = place.open(Bounds::default());
    cache.store(&place.key(1), &place.code).unwrap();
    std::fs::set_permissions(place.only_file(), PermissionsExt::from_mode(0o620)).unwrap();
    assert_damaged(&place, &cache, "lets others write");
}

#[test]
fn a_link_never_runs() {
    let place = Place::new();
    let cache = place.open(Bounds::default());
    cache.store(&place.key(1), &place.code).unwrap();
    let (file, elsewhere) = (place.only_file(), place.folder.path().join("elsewhere"));
    std::fs::rename(&file, &elsewhere).unwrap();
    symlink(&elsewhere, &file).unwrap();
    assert_damaged(&place, &cache, "it is a link");
}

#[test]
fn code_that_wasmtime_did_not_make_never_runs() {
    let place = Place::new();
    let cache = place.open(Bounds::default());
    cache.store(&place.key(1), b"\x7fELF and so on").unwrap();
    assert_damaged(&place, &cache, "cannot use the compiled module");
}

#[test]
fn an_engine_with_other_settings_has_other_keys_and_refuses_the_code() {
    let place = Place::new();
    let other = Engine::new(Config::new().epoch_interruption(true)).unwrap();
    assert_ne!(Key::new(&[1; 32], &other), place.key(1));
    // Even under the right name wasmtime looks for itself.
    let cache = place.open(Bounds::default());
    cache.store(&Key::new(&[1; 32], &other), &place.code).unwrap();
    assert!(cache.load(&other, &Key::new(&[1; 32], &other)).is_err());
}

#[test]
fn what_was_used_longest_ago_goes_first() {
    let place = Place::new();
    let cache = place.open(Bounds { files: 2, ..Bounds::default() });
    let loads = |number| cache.load(&place.engine, &place.key(number)).unwrap().is_some();
    let age = |path: &Path, seconds| {
        let past = SystemTime::now() - Duration::from_secs(seconds);
        std::fs::File::open(path).unwrap().set_modified(past).unwrap();
    };
    cache.store(&place.key(1), &place.code).unwrap();
    age(&place.only_file(), 100);
    cache.store(&place.key(2), &place.code).unwrap();
    for file in place.files() {
        age(&file, 50);
    }
    assert!(loads(1), "and is young again");
    cache.store(&place.key(3), &place.code).unwrap();
    assert!(loads(1) && !loads(2) && loads(3));
}

#[test]
fn the_bytes_are_bounded() {
    let place = Place::new();
    let size = place.code.len() as u64 + 32;
    let cache = place.open(Bounds { bytes: 2 * size, files: 100 });
    for number in 1..=5 {
        cache.store(&place.key(number), &place.code).unwrap();
    }
    assert_eq!(place.files().len(), 2);
    let tiny = place.open(Bounds { bytes: size - 1, files: 100 });
    let error = tiny.store(&place.key(9), &place.code).unwrap_err();
    assert!(error.to_string().contains("more than the"), "{error}");
    assert!(tiny.load(&place.engine, &place.key(9)).unwrap().is_none());
}

#[test]
fn files_of_others_are_left_alone_and_our_leftovers_are_removed() {
    let place = Place::new();
    let cache = place.open(Bounds { files: 1, ..Bounds::default() });
    let (foreign, leftover) = (place.path().join("diary"), place.path().join("1-0-ab.cwasm.new"));
    for path in [&foreign, &leftover] {
        std::fs::write(path, b"x").unwrap();
        let past = SystemTime::now() - Duration::from_hours(1);
        std::fs::File::open(path).unwrap().set_modified(past).unwrap();
    }
    cache.store(&place.key(1), &place.code).unwrap();
    cache.store(&place.key(2), &place.code).unwrap();
    assert!(foreign.exists() && !leftover.exists());
    assert_eq!(place.files().len(), 2);
}

#[test]
fn many_threads_store_at_once() {
    let place = Place::new();
    let cache = place.open(Bounds::default());
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| cache.store(&place.key(1), &place.code).unwrap());
        }
    });
    place.only_file();
    assert!(cache.load(&place.engine, &place.key(1)).unwrap().is_some());
}

#[test]
fn a_directory_that_disappears_is_made_again() {
    let place = Place::new();
    let cache = place.open(Bounds::default());
    cache.store(&place.key(1), &place.code).unwrap();
    std::fs::remove_dir_all(place.path()).unwrap();
    assert!(cache.load(&place.engine, &place.key(1)).unwrap().is_none());
    std::fs::remove_dir_all(place.path()).unwrap();
    cache.store(&place.key(1), &place.code).unwrap();
    assert!(cache.load(&place.engine, &place.key(1)).unwrap().is_some());
}

#[test]
fn a_directory_that_is_opened_to_others_while_it_is_used_is_refused() {
    let place = Place::new();
    let cache = place.open(Bounds::default());
    cache.store(&place.key(1), &place.code).unwrap();
    std::fs::set_permissions(place.path(), PermissionsExt::from_mode(0o777)).unwrap();
    assert!(matches!(cache.load(&place.engine, &place.key(1)), Err(CacheError::Unsafe { .. })));
    assert!(matches!(cache.store(&place.key(1), &place.code), Err(CacheError::Unsafe { .. })));
}

#[test]
fn a_temporary_directory_is_private_and_goes_with_the_cache() {
    let place = Place::new();
    let cache = Cache::temporary(place.folder.path(), Bounds::default()).unwrap();
    let path = cache.path().to_owned();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o700);
    cache.store(&place.key(1), &place.code).unwrap();
    assert!(cache.load(&place.engine, &place.key(1)).unwrap().is_some());
    let other = Cache::temporary(place.folder.path(), Bounds::default()).unwrap();
    assert_ne!(other.path(), path);
    assert!(path.exists(), "another run leaves it alone");
    drop(cache);
    assert!(!path.exists());
}

#[test]
fn what_a_run_left_behind_is_removed_by_the_next() {
    let place = Place::new();
    let left = place.folder.path().join("sluicebox-modules-1-0");
    let others = place.folder.path().join("sluicebox-modules-1-1");
    for path in [&left, &others] {
        std::fs::create_dir(path).unwrap();
        std::fs::write(path.join("ab.cwasm"), b"x").unwrap();
    }
    std::fs::write(others.join("diary"), b"x").unwrap();
    let _cache = Cache::temporary(place.folder.path(), Bounds::default()).unwrap();
    assert!(!left.exists() && others.join("diary").exists());
}

#[test]
fn a_temporary_directory_that_cannot_be_made_is_told() {
    let error = Cache::temporary(Path::new("/does/not/exist"), Bounds::default()).unwrap_err();
    assert!(error.to_string().starts_with("cannot make a temporary directory in /does/not/exist: "), "{error}");
}
