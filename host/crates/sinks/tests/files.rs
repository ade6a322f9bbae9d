//! Proves what the files sink promises about single files: whole or not there, in its directory or nowhere.

mod entries;

use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use entries::{document, document_in, forget, forget_in, message};
use rustix::fs::{IFlags, ioctl_getflags, ioctl_setflags};
use sluicebox_contract::{ByteSize, Class, Entry, Outcome, Sink};
use sluicebox_sinks::files::{Config, FileMode};
use sluicebox_sinks::{AnySink, Config as SinkConfig, Surroundings};
use tempfile::{TempDir, tempdir};

fn folder() -> TempDir {
    tempdir().expect("a folder")
}

fn sink(config: Config) -> AnySink {
    AnySink::new("meta", &SinkConfig::Files(config), &Surroundings::default()).expect("a sink")
}

fn names(directory: &Path) -> Vec<String> {
    let items = fs::read_dir(directory).expect("a directory");
    let mut names: Vec<_> = items.map(|item| item.expect("an item").file_name().into_string().expect("text")).collect();
    names.sort();
    names
}

async fn refusal(sink: &mut AnySink, entry: Entry) -> String {
    let outcome = sink.write(&[entry]).await;
    assert_eq!(outcome.stopped, None);
    outcome.refused.into_iter().next().expect("a refusal").reason
}

#[tokio::test]
async fn ten_thousand_rewrites_with_a_reader_in_a_loop_never_show_an_empty_or_partial_file() {
    let folder = folder();
    let path = folder.path().join("default_web.meta");
    let body = |number: usize| format!("{number:05} {}\n", "x".repeat(number * 37 % 20_000));
    let mut sink = sink(Config::new(folder.path()));
    assert_eq!(sink.write(&[document("default_web.meta", &body(0))]).await, Outcome::written());

    let stop = Arc::new(AtomicBool::new(false));
    let reader = std::thread::spawn({
        let stop = Arc::clone(&stop);
        move || {
            let mut seen = 0_usize;
            while !stop.load(Ordering::Relaxed) {
                let text = fs::read_to_string(&path).expect("the file is always there");
                let number = text.get(..5).and_then(|number| number.parse().ok()).expect("a number");
                assert_eq!(text, body(number), "a partial file");
                seen += 1;
            }
            seen
        }
    });
    for batch in 0..100 {
        let batch: Vec<_> = (0..100).map(|number| document("default_web.meta", &body(batch * 100 + number))).collect();
        assert_eq!(sink.write(&batch).await, Outcome::written());
    }
    stop.store(true, Ordering::Relaxed);
    let seen = reader.join().expect("the reader saw only whole files");
    assert!(seen > 1_000, "the reader read {seen} times only");
    assert_eq!(names(folder.path()), ["default_web.meta"]);
}

/// A file or directory that nobody may change, for as long as this lives.
struct Immutable(PathBuf);

impl Immutable {
    /// None, loudly, where the user or the file system cannot do that.
    fn new(path: PathBuf) -> Option<Self> {
        let done = Self::set(&path, true);
        if let Err(error) = &done {
            let _unheard = writeln!(std::io::stderr(), "NOT RUN: {} cannot be made immutable: {error}", path.display());
        }
        done.ok().map(|()| Self(path))
    }

    fn set(path: &Path, on: bool) -> rustix::io::Result<()> {
        let file = fs::File::open(path).expect("it is there");
        let mut flags = ioctl_getflags(&file)?;
        flags.set(IFlags::IMMUTABLE, on);
        ioctl_setflags(&file, flags)
    }
}

impl Drop for Immutable {
    fn drop(&mut self) {
        Self::set(&self.0, false).expect("it was set before");
    }
}

#[tokio::test]
async fn a_file_or_a_collection_that_may_not_be_touched_refuses_its_entries_and_holds_up_no_other() {
    let folder = folder();
    fs::write(folder.path().join("a"), "0").expect("a file");
    fs::create_dir(folder.path().join("c")).expect("a directory");
    let made = ["a", "c"].map(|name| Immutable::new(folder.path().join(name)));
    let [Some(_file), Some(_collection)] = made else {
        return;
    };
    let mut sink = sink(Config::new(folder.path()));
    let outcome = sink.write(&[document("a", "1"), document_in("c", "a", "1"), forget("a"), document("b", "1")]).await;
    assert_eq!(outcome.stopped, None);
    let refused: Vec<_> = outcome.refused.iter().map(|refusal| (refusal.index, refusal.reason.as_str())).collect();
    let reason = |tried: &str| {
        format!(
            "others can be written here, but this one may not be touched: permission denied (cannot {tried}`; hint: see its owner, its mode \
             and attributes, and whether something is mounted there)"
        )
    };
    let at = |what: &str, name: &str| reason(&format!("{what} `{}/{name}", folder.path().display()));
    let expected = [at("write", "a"), at("write", "c/a"), at("remove", "a")];
    assert_eq!(refused, [(0, expected[0].as_str()), (1, expected[1].as_str()), (2, expected[2].as_str())]);
    assert_eq!(names(folder.path()), ["a", "b", "c"]);
}

#[tokio::test]
async fn a_directory_that_may_not_be_written_to_stops_the_sink() {
    let folder = folder();
    fs::write(folder.path().join("a"), "0").expect("a file");
    let Some(directory) = Immutable::new(folder.path().to_owned()) else {
        return;
    };
    let mut sink = sink(Config::new(folder.path()));
    for entry in [document("a", "1"), document_in("c", "a", "1"), forget("a"), document("b\nlevel=error", "1")] {
        let (index, fault) = sink.write(std::slice::from_ref(&entry)).await.stopped.expect("a fault");
        assert_eq!((index, fault.class), (0, Class::Retry), "{entry:?}");
        assert!(!fault.to_string().contains('\n'), "{fault}");
    }
    drop(directory);
    assert_eq!(sink.write(&[document("a", "1"), document_in("c", "a", "1"), forget("a")]).await, Outcome::written());
}

#[tokio::test]
async fn b1_b4_b25_a_document_is_the_file_of_its_name_and_the_last_content_holds() {
    let folder = folder();
    let mut sink = sink(Config::new(folder.path()));
    let name = "kube-system_etcd-docker-desktop.meta";
    let batch = [document(name, "{\"podIP\":\"1\"}\n"), document(name, "{\"podIP\":\"2\"}\n")];
    assert_eq!(sink.write(&batch).await, Outcome::written());
    assert_eq!(names(folder.path()), [name]);
    assert_eq!(fs::read_to_string(folder.path().join(name)).expect("a file"), "{\"podIP\":\"2\"}\n");
}

#[tokio::test]
async fn forgetting_at_once_removes_the_file_and_what_is_not_there_is_forgotten_already() {
    let folder = folder();
    let mut sink = sink(Config::new(folder.path()));
    let batch = [document("a", "1"), document("b", "2"), forget("a"), forget("never-there")];
    assert_eq!(sink.write(&batch).await, Outcome::written());
    assert_eq!(names(folder.path()), ["b"]);
}

#[tokio::test]
async fn b24_a_missing_directory_is_made_with_those_above_it() {
    let folder = folder();
    let directory = folder.path().join("a/b/c");
    let mut sink = sink(Config::new(&directory));
    assert!(!directory.exists(), "making a sink touches nothing");
    assert_eq!(sink.write(&[document("x", "1")]).await, Outcome::written());
    assert_eq!(names(&directory), ["x"]);
}

#[tokio::test]
async fn a_directory_that_is_removed_under_the_sink_is_made_again() {
    let folder = folder();
    let directory = folder.path().join("d");
    let mut sink = sink(Config::new(&directory));
    assert_eq!(sink.write(&[document("x", "1")]).await, Outcome::written());
    fs::remove_dir_all(&directory).expect("removed");
    assert_eq!(sink.write(&[document("y", "2")]).await, Outcome::written());
    assert_eq!(names(&directory), ["y"]);
}

#[tokio::test]
async fn b15_a_name_that_would_leave_the_directory_is_refused_and_the_rest_goes_on() {
    let folder = folder();
    let directory = folder.path().join("deep/inside/meta");
    let mut sink = sink(Config::new(&directory));
    let long = "a".repeat(256);
    let bad =
        ["../../x", r"\impoossible////", "/etc/x", "..", ".", "", "a\0b", &long, ".sluicebox-writing", ".sluicebox-retention"];
    let mut batch: Vec<_> = bad.iter().map(|name| document(name, "x")).collect();
    batch.extend(bad.iter().map(|name| forget(name)));
    batch.extend(bad.iter().map(|name| document_in(name, "x", "x")));
    batch.push(document("good", "1"));
    let outcome = sink.write(&batch).await;
    assert_eq!(outcome.stopped, None);
    let refused: Vec<_> = outcome.refused.iter().map(|refusal| refusal.index).collect();
    assert_eq!(refused, (0..3 * bad.len()).collect::<Vec<_>>());
    assert_eq!(names(&directory), ["good"]);
    assert_eq!(names(folder.path()), ["deep"]);
    assert_eq!(names(&folder.path().join("deep")), ["inside"]);
}

#[tokio::test]
async fn a_name_of_255_bytes_is_written() {
    let folder = folder();
    let name = "a".repeat(255);
    let mut sink = sink(Config::new(folder.path()));
    assert_eq!(sink.write(&[document(&name, "1")]).await, Outcome::written());
    assert_eq!(names(folder.path()), [name]);
}

#[tokio::test]
async fn a_document_over_the_limit_is_refused_and_one_at_the_limit_is_not() {
    let folder = folder();
    let mut config = Config::new(folder.path());
    config.max_bytes_per_file = ByteSize(4);
    let mut sink = sink(config);
    assert_eq!(sink.write(&[document("a", "1234")]).await, Outcome::written());
    assert_eq!(refusal(&mut sink, document("a", "12345")).await, "it has 5 bytes, `max-bytes-per-file` is 4B");
    assert_eq!(fs::read_to_string(folder.path().join("a")).expect("the file"), "1234");
}

#[tokio::test]
async fn a_message_is_refused() {
    let folder = folder();
    let reason = refusal(&mut sink(Config::new(folder.path())), message("a", "b")).await;
    assert!(reason.starts_with("files keeps documents; a message has no name"), "{reason}");
}

#[tokio::test]
async fn a_collection_is_a_directory_that_goes_with_its_last_file() {
    let folder = folder();
    let mut sink = sink(Config::new(folder.path()));
    let batch = [document_in("node-a", "labels", "1"), document_in("node-a", "allocatable", "2"), document("labels", "3")];
    assert_eq!(sink.write(&batch).await, Outcome::written());
    assert_eq!(names(&folder.path().join("node-a")), ["allocatable", "labels"]);
    let at_once = std::time::Duration::ZERO;
    let batch =
        [forget_in("node-a", "labels", at_once), forget_in("node-a", "allocatable", at_once), forget_in("none", "x", at_once)];
    assert_eq!(sink.write(&batch).await, Outcome::written());
    assert_eq!(names(folder.path()), ["labels"]);
}

#[tokio::test]
async fn a_symbolic_link_leads_nothing_out_of_the_directory() {
    let outside = folder();
    let folder = folder();
    fs::write(outside.path().join("target"), "untouched").expect("a file");
    symlink(outside.path(), folder.path().join("link")).expect("a link");
    symlink(outside.path().join("target"), folder.path().join("file")).expect("a link");
    let mut sink = sink(Config::new(folder.path()));
    let reason = refusal(&mut sink, document_in("link", "x", "1")).await;
    assert!(reason.contains("in the way"), "{reason}");
    // The link itself is replaced, not what it leads to.
    assert_eq!(sink.write(&[document("file", "1")]).await, Outcome::written());
    assert_eq!(fs::read_to_string(outside.path().join("target")).expect("a file"), "untouched");
    assert!(!fs::symlink_metadata(folder.path().join("file")).expect("a file").is_symlink());
    assert_eq!(names(outside.path()), ["target"]);
}

#[tokio::test]
async fn a_directory_in_the_way_of_a_file_is_refused() {
    let folder = folder();
    fs::create_dir(folder.path().join("a")).expect("a directory");
    fs::write(folder.path().join("f"), "1").expect("a file");
    let mut sink = sink(Config::new(folder.path()));
    let cure = |what: &str, name: &str| {
        let at = folder.path().display();
        format!(" (cannot {what} `{at}/{name}`; hint: remove it, or have the module choose another name)")
    };
    let reason = "a directory of this name is in the way".to_owned();
    assert_eq!(refusal(&mut sink, document("a", "1")).await, reason.clone() + &cure("write", "a"));
    assert_eq!(refusal(&mut sink, forget("a")).await, reason + &cure("remove", "a"));
    let reason = refusal(&mut sink, document_in("f", "x", "1")).await;
    assert_eq!(reason, "a file is in the way where the collection's directory would be".to_owned() + &cure("write", "f/x"));
    assert_eq!(names(folder.path()), ["a", "f"]);
}

#[tokio::test]
async fn a_file_where_the_directory_should_be_is_a_wrong_configuration() {
    let folder = folder();
    let path = folder.path().join("f");
    fs::write(&path, "1").expect("a file");
    let outcome = sink(Config::new(path.join("below"))).write(&[document("x", "1")]).await;
    let (index, fault) = outcome.stopped.expect("a fault");
    assert_eq!((index, fault.class), (0, Class::Fatal), "{fault}");
}

#[tokio::test]
async fn files_have_the_mode_of_the_settings_and_a_reader_may_read_them() {
    let folder = folder();
    let mode = |name: &str| fs::metadata(folder.path().join(name)).expect("a file").permissions().mode() & 0o777;
    let mut first = sink(Config::new(folder.path()));
    assert_eq!(first.write(&[document("a", "1")]).await, Outcome::written());
    assert_eq!(mode("a"), 0o644);
    drop(first);
    let mut config = Config::new(folder.path());
    config.mode = FileMode(0o666);
    config.sync = true;
    assert_eq!(sink(config).write(&[document("a", "1")]).await, Outcome::written());
    assert_eq!(mode("a"), 0o666);
}

#[tokio::test]
async fn what_a_crash_left_half_written_is_removed_at_the_start() {
    let folder = folder();
    fs::write(folder.path().join(".sluicebox-writing"), "hal").expect("a file");
    fs::write(folder.path().join("others"), "1").expect("a file");
    let mut sink = sink(Config::new(folder.path()));
    sink.upkeep().await.expect("opened");
    assert_eq!(names(folder.path()), ["others"]);
}

#[tokio::test]
async fn a_second_sink_of_the_same_directory_waits_until_the_first_has_gone() {
    let folder = folder();
    let mut first = sink(Config::new(folder.path()));
    let mut second = sink(Config::new(folder.path()));
    assert_eq!(first.write(&[document("a", "1")]).await, Outcome::written());
    let (_, fault) = second.write(&[document("a", "2")]).await.stopped.expect("locked out");
    assert_eq!((fault.class, fault.cause.as_str()), (Class::Retry, "another sink or another sluicebox writes there"));
    drop(first);
    assert_eq!(second.write(&[document("a", "2")]).await, Outcome::written());
}

#[tokio::test]
async fn every_put_is_a_new_file_so_that_a_reader_keeps_the_old_one_whole() {
    let folder = folder();
    let path = folder.path().join("a");
    let mut sink = sink(Config::new(folder.path()));
    assert_eq!(sink.write(&[document("a", "old")]).await, Outcome::written());
    let (open, before) = (fs::File::open(&path).expect("a file"), fs::metadata(&path).expect("a file").ino());
    assert_eq!(sink.write(&[document("a", "new")]).await, Outcome::written());
    assert_ne!(fs::metadata(&path).expect("a file").ino(), before);
    assert_eq!(std::io::read_to_string(open).expect("the old one"), "old");
}
