//! Whoever read the standard output has gone after a line: the program works on, and does not wait for nobody when it is to stop.

mod support;

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process};
use sluicebox_testkit::api_server::ApiServer;
use support::{PATIENCE, Place, binary, pending};

/// Waits for the end.
async fn ended(child: &mut Child) -> ExitStatus {
    let begin = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        if begin.elapsed() > PATIENCE {
            child.kill().unwrap();
            panic!("it waits");
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn entries_for_a_reader_that_has_gone_are_given_up_at_the_end() {
    let (place, api) = (Place::new(), ApiServer::start().await.unwrap());
    let config = place.configure(
        &api.url(),
        "shutdown-grace: 1h\nsources: {pods: {}}\nmodules: {lines: {use: json-lines, to: [out]}}\nsinks: {out: {stdout: {}}}\n",
    );
    api.create_pod(pending("first")).unwrap();
    let log = place.path("log");
    let mut child = Command::new(binary())
        .arg("run")
        .arg(&config)
        .env_remove("RUST_LOG")
        .stdout(Stdio::piped())
        .stderr(std::fs::File::create(&log).unwrap())
        .spawn()
        .unwrap();
    // As `head -n 1` reads. The API server works on meanwhile.
    let output = child.stdout.take().unwrap();
    let line = tokio::task::spawn_blocking(move || BufReader::new(output).lines().next().unwrap().unwrap()).await.unwrap();
    assert!(line.contains("first"), "{line}");

    let logged = || std::fs::read_to_string(&log).unwrap();
    let begin = Instant::now();
    for number in 0.. {
        if logged().contains("sink does not take entries; they wait and are tried again") {
            break;
        }
        assert!(begin.elapsed() < PATIENCE, "{}", logged());
        api.create_pod(pending(&format!("pod-{number}"))).unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert_eq!(child.try_wait().unwrap(), None, "other sinks are at work: {}", logged());

    kill_process(Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap(), Signal::TERM).unwrap();
    assert_eq!(ended(&mut child).await.code(), Some(1), "{}", logged());
    for words in ["whoever reads it has gone", "sink will not take what waits for it", "entries were not written and are lost"] {
        assert!(logged().contains(words), "{words}: {}", logged());
    }
}
