//! What a file system can put in our way: no kernel would, and a kernel without descriptors.

use std::process::Command;

use rustix::fs::{CWD, FileType, Mode, mknodat};

use super::*;

#[test]
fn a_file_that_is_removed_between_opening_and_reading_is_no_data() {
    let mut scene = Scene::new(true, false);
    scene.open_files = OpenFiles::new(0);
    scene.fill("composed-6.12-unified", true);
    let mut cgroup = scene.open();
    fs::remove_file(scene.file("unified", "memory.current")).unwrap();
    let told = show(&scene.read(&mut cgroup, 0).unwrap());
    assert!(told.contains("cpu-usage=") && !told.contains("memory-usage=") && !told.contains("working-set"), "{told}");
}

/// Each in the place of `memory.current` and of `memory.stat`: nothing of it is told, the rest is, and it takes no time and no memory.
#[test]
fn files_that_no_kernel_writes_are_refused() {
    let texts: [(&str, Vec<u8>); 7] = [
        ("empty", Vec::new()),
        ("words", b"memory usage: plenty\n".to_vec()),
        ("too large", b"18446744073709551616".to_vec()),
        ("negative", b"-1\n".to_vec()),
        ("a fraction", b"42.5\n".to_vec()),
        ("binary", (0..=255).cycle().take(5000).collect()),
        ("a million lines", b"anon x\n".repeat(1_000_000)),
    ];
    for (name, text) in texts {
        evil(name, |path| fs::write(path, &text).unwrap());
    }
    evil("a gibibyte of nothing", |path| fs::File::create(path).unwrap().set_len(1 << 30).unwrap());
    evil("a gibibyte of digits", |path| {
        fs::write(path, vec![b'7'; 1 << 20]).unwrap();
        fs::OpenOptions::new().append(true).open(path).unwrap().set_len(1 << 30).unwrap();
    });
    evil("a FIFO", |path| mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap());
    evil("a directory", |path| fs::create_dir(path).unwrap());
    evil("a link", |path| std::os::unix::fs::symlink("/proc/self/stat", path).unwrap());
    evil("a link in a circle", |path| std::os::unix::fs::symlink(path, path).unwrap());
}

fn evil(name: &str, make: impl Fn(&std::path::Path)) {
    let mut scene = Scene::new(true, false);
    scene.write("pids.current", "3\n");
    for file in ["memory.current", "memory.stat", "memory.max", "io.stat", "io.pressure"] {
        make(&scene.file("unified", file));
    }
    let mut cgroup = scene.open();
    let start = Instant::now();
    for second in 0..100 {
        let mut samples = scene.read(&mut cgroup, second).unwrap();
        if name == "empty" {
            // That is what stands there before a device is used.
            assert_eq!(samples.split_off(1).len(), 4);
        }
        assert_eq!(show(&samples), "pids-current=3", "{name}");
    }
    assert!(start.elapsed() < Duration::from_secs(10), "{name}: {:?}", start.elapsed());
    assert!(scene.complaints.take_count() > 0, "{name} is counted");
    assert!(scene.complaints.said() < 20, "{name}");
}

/// The limit holds for a whole process, so that the test starts itself.
#[test]
fn a_process_without_descriptors_reads_what_it_can_and_says_it_once() {
    let me = std::env::current_exe().unwrap();
    let test = std::thread::current().name().unwrap().replace("a_process", "inside_a_process");
    let shell =
        Command::new("sh").args(["-c", "ulimit -n 32; exec \"$0\" --exact \"$1\" --ignored"]).arg(me).arg(test).output().unwrap();
    let said = String::from_utf8_lossy(&shell.stdout);
    assert!(shell.status.success() && said.contains("1 passed"), "{said}");
}

#[test]
#[ignore = "started by the test above, with few descriptors"]
fn inside_a_process_without_descriptors_reads_what_it_can_and_says_it_once() {
    let mut scene = Scene::new(true, false);
    scene.fill("composed-6.12-unified", true);
    scene.open_files = OpenFiles::new(1_000_000);
    let mut cgroups: Vec<Cgroup> = (0..10).map(|_| scene.open()).collect();
    assert_eq!(scene.complaints.said(), 1);
    assert!(scene.complaints.take_count() > 0);
    let mut last = cgroups.pop().unwrap();
    assert_eq!(scene.read(&mut last, 0), Ok(Vec::new()), "nothing is left for the last one, and it is not gone");
    cgroups.clear();
    for second in 1..200 {
        let samples = scene.read(&mut last, second).unwrap();
        if samples.len() == 31 {
            return;
        }
    }
    panic!("it was not read again when there were descriptors");
}
