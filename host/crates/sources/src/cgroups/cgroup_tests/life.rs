//! Cgroups are made, read, removed and made again; files are kept open as long as they may.

use super::*;

#[test]
fn the_first_reading_has_no_increases_and_the_second_has() {
    let mut scene = Scene::new(true, false);
    scene.write("cpu.stat", "usage_usec 1000000\n");
    scene.write("memory.current", "5\n");
    let mut cgroup = scene.open();
    assert_eq!(show(&scene.read(&mut cgroup, 0).unwrap()), "cpu-usage=1000000000 memory-usage=5");
    scene.write("cpu.stat", "usage_usec 6000000\n");
    assert_eq!(show(&scene.read(&mut cgroup, 5).unwrap()), "cpu-usage=6000000000+5000000000/5s memory-usage=5");
    scene.write("cpu.stat", "user_usec 1\nusage_usec 2000000\n");
    assert_eq!(show(&scene.read(&mut cgroup, 10).unwrap()), "cpu-usage=2000000000 cpu-user=1000 memory-usage=5");
    scene.write("cpu.stat", "usage_usec oops\n");
    assert_eq!(show(&scene.read(&mut cgroup, 15).unwrap()), "memory-usage=5");
    scene.write("cpu.stat", "usage_usec 2000001\n");
    assert_eq!(show(&scene.read(&mut cgroup, 20).unwrap()), "cpu-usage=2000001000+1000/10s memory-usage=5");
}

#[test]
fn within_the_budget_files_are_kept_open_and_beyond_it_they_are_not() {
    let told = [0, 3, 100].map(|most| {
        let mut scene = Scene::new(true, false);
        scene.fill("composed-6.12-unified", true);
        scene.open_files = OpenFiles::new(most);
        let mut cgroup = scene.open();
        scene.read(&mut cgroup, 0).unwrap();
        let told = show(&scene.read(&mut cgroup, 5).unwrap());
        assert_eq!(scene.open_files.open(), most.min(13));
        drop(cgroup);
        assert_eq!(scene.open_files.open(), 0);
        told
    });
    assert_eq!(told[0], told[2]);
    assert_eq!(told[1], told[2]);
}

#[test]
fn files_are_kept_open_when_there_is_room_again() {
    let mut scene = Scene::new(true, false);
    scene.fill("composed-6.12-unified", true);
    scene.open_files = OpenFiles::new(13);
    let (first, mut second) = (scene.open(), scene.open());
    scene.read(&mut second, 0).unwrap();
    drop(first);
    assert_eq!(scene.open_files.open(), 0);
    scene.read(&mut second, 5).unwrap();
    assert_eq!(scene.open_files.open(), 13);
}

#[test]
fn a_cgroup_that_is_removed_is_gone() {
    let mut scene = Scene::new(true, true);
    scene.open_files = OpenFiles::new(0);
    scene.fill("recorded-6.18-hybrid/v1", false);
    scene.fill("recorded-6.18-hybrid/unified", true);
    let mut cgroup = scene.open();
    assert!(scene.read(&mut cgroup, 0).is_ok());
    let said = scene.complaints.said();
    fs::remove_dir_all(scene.file("cpu", "")).unwrap();
    assert!(scene.read(&mut cgroup, 5).is_ok_and(|samples| !samples.is_empty()), "the others are still there");
    scene.make();
    scene.remove();
    assert_eq!(scene.read(&mut cgroup, 10), Err(Gone));
    assert_eq!((scene.complaints.said(), scene.complaints.take_count()), (said, 0), "that is an expected end");
}

#[test]
fn files_that_come_later_are_found() {
    let mut scene = Scene::new(true, false);
    let mut cgroup = scene.open();
    assert_eq!(scene.read(&mut cgroup, 0), Ok(Vec::new()));
    assert_eq!(scene.complaints.said(), 0, "a cgroup that is being made is nothing to talk about");
    scene.fill("composed-6.12-unified", true);
    assert_eq!(scene.read(&mut cgroup, 5).unwrap().len(), 31);
}

#[test]
fn what_is_missing_for_good_is_said_once_and_hardly_asked_for() {
    let mut scene = Scene::new(true, false);
    scene.write("memory.current", "5\n");
    let mut cgroups = [scene.open(), scene.open(), scene.open()];
    for second in 0..200 {
        for cgroup in &mut cgroups {
            scene.read(cgroup, second).unwrap();
        }
    }
    assert_eq!((scene.complaints.said(), scene.complaints.take_count()), (12, 0));
}

#[test]
fn a_cgroup_made_anew_counts_anew() {
    let mut scene = Scene::new(true, false);
    scene.open_files = OpenFiles::new(0);
    scene.write("cpu.stat", "usage_usec 10\n");
    let mut cgroup = scene.open();
    scene.read(&mut cgroup, 0).unwrap();
    // The inode of the file that was there is not free to be used again.
    let _held = fs::File::open(scene.file("unified", "cpu.stat")).unwrap();
    scene.remove();
    scene.make();
    scene.write("cpu.stat", "usage_usec 5000000\n");
    assert_eq!(show(&scene.read(&mut cgroup, 5).unwrap()), "cpu-usage=5000000000");
    scene.write("cpu.stat", "usage_usec 5000001\n");
    assert_eq!(show(&scene.read(&mut cgroup, 10).unwrap()), "cpu-usage=5000001000+1000/5s");
}
