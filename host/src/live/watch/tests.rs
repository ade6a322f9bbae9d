//! Real files, with the kernel's hints and without.

mod directories;
mod hardships;
mod kernel;

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, symlink};

use tempfile::TempDir;
use tokio::time::timeout;

use super::*;

const PATIENCE: Duration = Duration::from_mins(1);
const NEVER: Duration = Duration::from_hours(1);

/// A folder, and the two ways to watch what is in it.
struct Scene {
    folder: TempDir,
    watches: [Watch; 2],
}

fn hinted(poll: Duration) -> Watch {
    Watch::new(WatchSettings { poll, debounce: Duration::from_millis(50) })
}

fn polling(poll: Duration, debounce: Duration) -> Watch {
    Watch::with(WatchSettings { poll, debounce }, Hints::none(), Arc::new(look::look))
}

fn known(paths: &[&Path]) -> BTreeMap<PathBuf, Fingerprint> {
    paths.iter().map(|path| (path.to_path_buf(), fingerprint(path))).collect()
}

/// Lets it look until it has nothing to do.
async fn settle(watch: &mut Watch) {
    let rests = async {
        loop {
            let news = timeout(Duration::from_millis(20), watch.changed()).await;
            assert_eq!(news.ok(), None, "nothing has changed");
            let is_at_rest = watch.gathering.is_none() && watch.away.is_empty() && !watch.is_stirred;
            if watch.round > 0 && is_at_rest && watch.hints.is_settled() {
                return;
            }
        }
    };
    timeout(PATIENCE, rests).await.expect("it comes to rest");
}

/// Waits until the state in which the file is now has been reported.
async fn expect_report(watch: &mut Watch, path: &Path) {
    let reported = async {
        loop {
            assert_eq!(watch.changed().await, BTreeSet::from([path.to_path_buf()]));
            if watch.paths[path].reported == fingerprint(path) {
                return;
            }
        }
    };
    timeout(PATIENCE, reported).await.expect("the change is reported");
}

impl Scene {
    /// With hints there is no second look without one, except in an hour.
    fn new() -> Self {
        Self::with_poll(NEVER)
    }

    /// Hints may come too early to be of use when directories come and go: there the second look is needed.
    fn with_poll(poll: Duration) -> Self {
        let watches = [hinted(poll), polling(Duration::from_millis(20), Duration::from_millis(50))];
        Self { folder: tempfile::tempdir().unwrap(), watches }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    async fn follow(&mut self, name: &str) {
        let path = self.path(name);
        for watch in &mut self.watches {
            watch.follow(known(&[&path]));
            settle(watch).await;
        }
    }

    async fn expect_report(&mut self, name: &str) {
        let path = self.path(name);
        for watch in &mut self.watches {
            expect_report(watch, &path).await;
            settle(watch).await;
        }
    }
}

fn replace(path: &Path, text: &str) {
    let beside = path.with_extension("new");
    fs::write(&beside, text).unwrap();
    fs::rename(&beside, path).unwrap();
}

/// As the kubelet does it: `name` -> `..data/name`, `..data` -> a directory that is another each time.
fn publish(folder: &Path, version: &str, name: &str, text: &str) {
    fs::create_dir(folder.join(version)).unwrap();
    fs::write(folder.join(version).join(name), text).unwrap();
    symlink(version, folder.join("..data_tmp")).unwrap();
    let before = fs::read_link(folder.join("..data"));
    fs::rename(folder.join("..data_tmp"), folder.join("..data")).unwrap();
    if let Ok(before) = before {
        fs::remove_dir_all(folder.join(before)).unwrap();
    } else {
        symlink(Path::new("..data").join(name), folder.join(name)).unwrap();
    }
}

/// Whether the kernel watches the directory for anybody in this process.
fn is_watched(directory: &Path) -> bool {
    let inode = format!(" ino:{:x} ", fs::metadata(directory).unwrap().ino());
    let descriptors = fs::read_dir("/proc/self/fdinfo").unwrap();
    let mut texts = descriptors.filter_map(|descriptor| fs::read_to_string(descriptor.ok()?.path()).ok());
    texts.any(|text| text.lines().any(|line| line.starts_with("inotify ") && line.contains(&inode)))
}

#[tokio::test]
async fn a_file_that_is_rewritten_in_place_is_reported() {
    let mut scene = Scene::new();
    fs::write(scene.path("a"), "1").unwrap();
    scene.follow("a").await;
    fs::write(scene.path("a"), "22").unwrap();
    scene.expect_report("a").await;
}

#[tokio::test]
async fn a_file_that_is_replaced_by_another_is_reported() {
    let mut scene = Scene::new();
    fs::write(scene.path("a"), "1").unwrap();
    scene.follow("a").await;
    for text in ["2", "3"] {
        replace(&scene.path("a"), text);
        scene.expect_report("a").await;
    }
}

/// As `cp -p` and `rsync --inplace --times` do it. Only the kernel tells.
#[tokio::test]
async fn a_file_that_is_overwritten_with_as_many_bytes_and_the_same_time_is_reported() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a");
    fs::write(&path, "1").unwrap();
    let mut watch = hinted(NEVER);
    watch.follow(known(&[&path]));
    settle(&mut watch).await;
    for text in ["2", "3"] {
        let before = fs::metadata(&path).unwrap().modified().unwrap();
        let mut file = fs::OpenOptions::new().write(true).open(&path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
        file.set_modified(before).unwrap();
        drop(file);
        expect_report(&mut watch, &path).await;
        settle(&mut watch).await;
    }
}

/// As it is done to volumes every other minute.
#[tokio::test]
async fn a_file_whose_owner_is_set_to_what_it_is_is_not_reported() {
    let mut scene = Scene::new();
    fs::write(scene.path("a"), "1").unwrap();
    scene.follow("a").await;
    let metadata = fs::metadata(scene.path("a")).unwrap();
    for _ in 0..3 {
        std::os::unix::fs::chown(scene.path("a"), Some(metadata.uid()), Some(metadata.gid())).unwrap();
        fs::set_permissions(scene.path("a"), metadata.permissions()).unwrap();
        for watch in &mut scene.watches {
            settle(watch).await;
        }
    }
}

#[tokio::test]
async fn a_file_whose_rights_change_is_reported() {
    use std::os::unix::fs::PermissionsExt as _;
    let mut scene = Scene::new();
    fs::write(scene.path("a"), "1").unwrap();
    fs::set_permissions(scene.path("a"), fs::Permissions::from_mode(0o000)).unwrap();
    scene.follow("a").await;
    fs::set_permissions(scene.path("a"), fs::Permissions::from_mode(0o644)).unwrap();
    scene.expect_report("a").await;
}

#[tokio::test]
async fn a_config_map_that_is_swapped_is_reported_each_time() {
    let mut scene = Scene::new();
    publish(scene.folder.path(), "..1", "a", "1");
    scene.follow("a").await;
    for version in ["..2", "..3", "..4"] {
        publish(scene.folder.path(), version, "a", version);
        scene.expect_report("a").await;
    }
    let directories = ["", "..4"].map(|name| scene.path(name));
    assert_eq!(directories.map(|directory| is_watched(&directory)), [true; 2], "the mount, and the present version");
}

#[tokio::test]
async fn a_config_map_behind_a_link_is_reported() {
    let mut scene = Scene::new();
    fs::create_dir(scene.path("mount")).unwrap();
    publish(&scene.path("mount"), "..1", "a", "1");
    fs::create_dir(scene.path("modules")).unwrap();
    symlink("../mount/a", scene.path("modules/b")).unwrap();
    symlink(scene.path("modules"), scene.path("current")).unwrap();
    scene.follow("current/b").await;
    publish(&scene.path("mount"), "..2", "a", "2");
    scene.expect_report("current/b").await;
}

#[tokio::test]
async fn a_link_that_leads_elsewhere_is_reported() {
    let mut scene = Scene::new();
    fs::write(scene.path("1"), "same").unwrap();
    fs::write(scene.path("2"), "same").unwrap();
    symlink("1", scene.path("a")).unwrap();
    scene.follow("a").await;
    for target in ["2", "nowhere", "1"] {
        symlink(target, scene.path("new")).unwrap();
        fs::rename(scene.path("new"), scene.path("a")).unwrap();
        scene.expect_report("a").await;
    }
}

#[tokio::test]
async fn directories_that_no_longer_matter_are_no_longer_watched() {
    let mut scene = Scene::new();
    for number in 0..5 {
        fs::create_dir(scene.path(&number.to_string())).unwrap();
        fs::write(scene.path(&format!("{number}/a")), "").unwrap();
    }
    symlink("0", scene.path("current")).unwrap();
    scene.follow("current/a").await;
    for number in 1..5 {
        symlink(number.to_string(), scene.path("new")).unwrap();
        fs::rename(scene.path("new"), scene.path("current")).unwrap();
        scene.expect_report("current/a").await;
    }
    let watched = ["", "0", "1", "2", "3", "4"].map(|name| is_watched(&scene.path(name)));
    assert_eq!(watched, [true, false, false, false, false, true]);
}

#[tokio::test]
async fn a_file_that_goes_and_comes_back_is_reported_twice() {
    let mut scene = Scene::new();
    fs::write(scene.path("a"), "1").unwrap();
    scene.follow("a").await;
    fs::remove_file(scene.path("a")).unwrap();
    scene.expect_report("a").await;
    assert_eq!(scene.watches[0].paths[&scene.path("a")].reported, Fingerprint::Absent);
    fs::write(scene.path("a"), "1").unwrap();
    scene.expect_report("a").await;
}

#[tokio::test]
async fn a_directory_that_goes_and_comes_back_is_followed() {
    let mut scene = Scene::with_poll(Duration::from_secs(1));
    fs::create_dir_all(scene.path("x/y")).unwrap();
    fs::write(scene.path("x/y/a"), "1").unwrap();
    scene.follow("x/y/a").await;
    for _ in 0..2 {
        fs::remove_dir_all(scene.path("x")).unwrap();
        scene.expect_report("x/y/a").await;
        fs::create_dir_all(scene.path("x/y")).unwrap();
        fs::write(scene.path("x/y/a"), "2").unwrap();
        scene.expect_report("x/y/a").await;
    }
    fs::rename(scene.path("x"), scene.path("z")).unwrap();
    scene.expect_report("x/y/a").await;
    fs::rename(scene.path("z"), scene.path("x")).unwrap();
    scene.expect_report("x/y/a").await;
}

#[tokio::test]
async fn a_directory_that_is_not_there_at_first_is_waited_for() {
    let mut scene = Scene::with_poll(Duration::from_secs(1));
    scene.follow("x/y/a").await;
    fs::create_dir_all(scene.path("x/y")).unwrap();
    fs::write(scene.path("x/y/a"), "1").unwrap();
    scene.expect_report("x/y/a").await;
    fs::write(scene.path("x/y/a"), "22").unwrap();
    scene.expect_report("x/y/a").await;
}

#[tokio::test]
async fn a_change_between_reading_and_following_is_reported() {
    let mut scene = Scene::new();
    let path = scene.path("a");
    fs::write(&path, "1").unwrap();
    for watch in &mut scene.watches {
        let before_reading = known(&[&path]);
        replace(&path, "2");
        watch.follow(before_reading);
        expect_report(watch, &path).await;
    }
}

#[tokio::test]
async fn files_that_change_together_are_reported_together_and_those_no_longer_followed_not_at_all() {
    let mut scene = Scene::new();
    let [a, b, c] = ["a", "b", "c"].map(|name| scene.path(name));
    for path in [&a, &b, &c] {
        fs::write(path, "1").unwrap();
    }
    for watch in &mut scene.watches {
        watch.follow(known(&[&a, &b, &c]));
        settle(watch).await;
        watch.follow(known(&[&a, &b]));
        settle(watch).await;
        for path in [&a, &b, &c] {
            replace(path, "2");
        }
        let reported = async {
            let mut reported = watch.changed().await;
            while reported.len() < 2 {
                reported.extend(watch.changed().await);
            }
            reported
        };
        assert_eq!(timeout(PATIENCE, reported).await.unwrap(), BTreeSet::from([a.clone(), b.clone()]));
    }
}

#[tokio::test]
async fn a_pipe_in_the_place_of_a_file_is_only_looked_at() {
    let mut scene = Scene::new();
    scene.follow("a").await;
    rustix::fs::mknodat(rustix::fs::CWD, scene.path("a"), rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0).unwrap();
    scene.expect_report("a").await;
}

#[tokio::test]
async fn without_the_kernels_events_the_next_look_notices() {
    let mut watch = hinted(Duration::from_millis(50));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a");
    watch.follow(known(&[&path]));
    settle(&mut watch).await;
    watch.hints.give_up();
    fs::write(&path, "1").unwrap();
    expect_report(&mut watch, &path).await;
}
