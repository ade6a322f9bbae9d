//! Processes at work in a cgroup. They are shells: there is one in every machine.

use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use super::group::Group;

/// The kernel tells processor time in hundredths of a second, whatever it counts in.
const TICK: Duration = Duration::from_millis(10);

/// A shell in a cgroup and whatever it starts, killed when dropped.
pub(crate) struct Work {
    shell: Child,
    ended: bool,
}

impl Work {
    /// Uses a processor as much as it may.
    pub(crate) fn burn(group: &Group) -> Self {
        Self::start(group, "while :; do :; done")
    }

    /// Holds so much memory, filled.
    pub(crate) fn hold(group: &Group, megabytes: u32) -> Self {
        // It has read everything when it begins to write, and nobody takes what it writes.
        Self::start(group, &format!("dd if=/dev/zero bs={megabytes}M count=1 2>/dev/null | sleep 1000"))
    }

    /// Runs a script.
    pub(crate) fn start(group: &Group, script: &str) -> Self {
        let enter = format!("for door; do echo $$ > \"$door\" || exit 99; done; {script}");
        let shell = Command::new("sh")
            .args(["-c", &enter, "sh"])
            .args(group.doors())
            .stdin(Stdio::null())
            .process_group(0)
            .spawn()
            .expect("a shell");
        Self { shell, ended: false }
    }

    /// Stops it where it is. It uses nothing any more when the call returns.
    pub(crate) fn pause(&self) {
        kill_process(self.pid(), Signal::STOP).expect("it is told to stop");
        let begun = Instant::now();
        while !self.stat().starts_with('T') {
            assert!(begun.elapsed() < Duration::from_secs(20), "it does not stop");
            std::thread::yield_now();
        }
    }

    pub(crate) fn resume(&self) {
        kill_process(self.pid(), Signal::CONT).expect("it goes on");
    }

    /// What the shell itself has used.
    pub(crate) fn processor_time(&self) -> Duration {
        let stat = self.stat();
        let mut ticks = stat.split(' ').skip(11).map(|field| field.parse::<u32>().expect("a number"));
        let (user, system) = (ticks.next().expect("utime"), ticks.next().expect("stime"));
        TICK * (user + system)
    }

    /// Waits until it has ended by itself.
    pub(crate) fn wait(mut self) -> ExitStatus {
        let status = self.shell.wait().expect("it ends");
        self.ended = true;
        status
    }

    /// What the kernel says of it, from its state on.
    fn stat(&self) -> String {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.shell.id())).expect("it runs");
        let (_, fields) = stat.rsplit_once(") ").expect("a name in parentheses");
        fields.to_owned()
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.shell)
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        if !self.ended {
            let _ = kill_process_group(self.pid(), Signal::KILL);
            let _ = self.shell.wait();
        }
    }
}
