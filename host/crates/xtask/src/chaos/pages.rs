//! Pages of metrics whose values are numbers in order, so that it is known of each what must come out on the other side.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context as _, Result};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::clock::now_milliseconds;

/// Two pages, read independently of each other.
pub(super) const TARGETS: [&str; 2] = ["a", "b"];

/// What was asked for so far.
#[derive(Debug)]
pub(super) struct Pages {
    series: usize,
    /// What makes each value long.
    padding: String,
    /// For each target, which run of the program was given the page of each number; the first number is 1.
    given: [Mutex<Given>; TARGETS.len()],
    /// Pages stay as they are.
    pub(super) over: AtomicBool,
}

#[derive(Debug, Default)]
struct Given {
    runs: Vec<usize>,
    /// When each was given, in milliseconds since 1970.
    times: Vec<i64>,
    last: i64,
}

impl Pages {
    pub(super) fn new(series: usize, padding: usize) -> Arc<Self> {
        Arc::new(Self { series, padding: "x".repeat(padding), given: Default::default(), over: false.into() })
    }

    /// Serves them on a port of its own; tells where.
    pub(super) async fn serve(self: &Arc<Self>, tasks: &mut JoinSet<()>) -> Result<String> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.context("cannot listen")?;
        let address = listener.local_addr().context("cannot tell the port")?.to_string();
        let pages = Arc::clone(self);
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let pages = Arc::clone(&pages);
                connections.spawn(async move {
                    // The program may be killed at any time.
                    let _broken = pages.answer(stream).await;
                });
                while connections.try_join_next().is_some() {}
            }
        });
        Ok(address)
    }

    async fn answer(&self, mut stream: TcpStream) -> std::io::Result<()> {
        let mut head = Vec::new();
        while !head.windows(4).any(|four| four == b"\r\n\r\n") {
            if head.len() > 1 << 16 || stream.read_buf(&mut head).await? == 0 {
                return Ok(());
            }
        }
        let head = String::from_utf8_lossy(&head);
        // What a run that is dead by now has asked for is not the next one's.
        let asked = head.strip_prefix("GET /").and_then(|rest| rest.split_once(' ')?.0.split_once('/'));
        let Some((target, run)) =
            asked.and_then(|(name, run)| Some((TARGETS.iter().position(|target| *target == name)?, run.parse().ok()?)))
        else {
            return Ok(());
        };
        let body = self.page(target, run);
        let head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nConnection: close\r\n";
        stream.write_all(format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()).as_bytes()).await?;
        stream.shutdown().await
    }

    fn page(&self, target: usize, run: usize) -> String {
        let Some(given) = self.given.get(target) else { return String::new() };
        let mut given = lock(given);
        // A program that has just started is told something new, since it cannot know what was told before.
        if !self.over.load(Ordering::Relaxed) || given.runs.last() != Some(&run) {
            given.runs.push(run);
            given.last = now_milliseconds().max(given.last + 1);
            let at = given.last;
            given.times.push(at);
        }
        let (number, at) = (given.runs.len(), given.last);
        let name = TARGETS.get(target).copied().unwrap_or_default();
        let mut page = String::new();
        for series in (0..self.series).filter(|_| number > 0) {
            // Writing to a string cannot fail.
            let _ = writeln!(page, "serial_{name}{{series=\"{series}\",pad=\"{}\"}} {number} {at}", self.padding);
        }
        page
    }

    /// When the page of this number of a target was given, in milliseconds since 1970.
    pub(super) fn time(&self, target: usize, number: usize) -> Option<i64> {
        let given = self.given.get(target)?;
        lock(given).times.get(number.checked_sub(1)?).copied()
    }

    /// Which run was given the page of each number of a target.
    pub(super) fn given(&self, target: usize) -> Vec<usize> {
        self.given.get(target).map(|given| lock(given).runs.clone()).unwrap_or_default()
    }
}

fn lock(given: &Mutex<Given>) -> MutexGuard<'_, Given> {
    given.lock().unwrap_or_else(PoisonError::into_inner)
}
