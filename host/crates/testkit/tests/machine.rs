//! Small Linux machines: they boot, they have the whole of cgroup v2, they tell what a program does, and they end when time is up.

#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test that meets what it did not expect fails")]

use std::path::Path;
use std::time::{Duration, Instant};

use sluicebox_testkit::machine::{Kernel, Output};
use sluicebox_testkit::servers::{Need, require};

const LIMIT: Duration = Duration::from_mins(1);

#[tokio::test]
async fn user_mode_linux_has_every_controller() {
    if require(Need::UserModeLinux) {
        has_every_controller(Kernel::UserMode).await;
    }
}

#[tokio::test]
async fn emulated_linux_has_every_controller_and_pressure() {
    if require(Need::EmulatedLinux) {
        has_every_controller(Kernel::Emulated).await;
        let output = shell(Kernel::Emulated, "mkdir /sys/fs/cgroup/a && head -n 1 /sys/fs/cgroup/a/memory.pressure").await;
        assert!(output.text.starts_with("some avg10=") && output.code == 0, "{output:?}");
    }
}

/// They reach the children of the root, which is where pods would be.
async fn has_every_controller(kernel: Kernel) {
    let words = "mkdir -p /sys/fs/cgroup/kubepods && cat /sys/fs/cgroup/kubepods/cgroup.controllers; \
                 dd if=$SLUICEBOX_DISK of=/dev/null bs=16M count=1 2>/dev/null && echo $SLUICEBOX_MACHINE";
    let output = shell(kernel, words).await;
    let lines: Vec<&str> = output.text.lines().collect();
    assert_eq!(lines.len(), 2, "{output:?}");
    for controller in ["cpu", "io", "memory", "pids"] {
        assert!(lines[0].split(' ').any(|there| there == controller), "{controller}: {output:?}");
    }
    assert_eq!((lines[1], output.code), (kernel.name(), 0));
}

/// The exit code is the program's, and a quarrel with quotes has no winner.
#[tokio::test]
async fn an_exit_code_comes_out_as_it_is() {
    if require(Need::UserModeLinux) {
        let output = shell(Kernel::UserMode, "printf '%s' \"it's\"; exit 7").await;
        assert_eq!(output, Output { code: 7, text: "it's".to_owned() });
    }
}

/// A program that does not end is told with what it said; the machine's processes end with it.
#[tokio::test]
async fn time_is_limited() {
    if !require(Need::UserModeLinux) {
        return;
    }
    let begun = Instant::now();
    let words = ["-c", "echo begun; while :; do sleep 1; done"];
    let error = Kernel::UserMode.run(Path::new("/bin/sh"), &words, Duration::from_secs(6)).await.expect_err("it never ends");
    let error = format!("{error:#}");
    assert!(error.contains("begun") && error.contains("has not ended"), "{error}");
    assert!(begun.elapsed() < LIMIT, "{:?}", begun.elapsed());
}

async fn shell(kernel: Kernel, words: &str) -> Output {
    kernel.run(Path::new("/bin/sh"), &["-c", words], LIMIT).await.expect("it runs")
}
