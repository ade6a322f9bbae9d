//! A network tracer as far as a collector sees one: it serves reports over HTTP on a Unix socket, and misbehaves when asked to.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result};
use tokio::net::UnixListener;
use tokio::task::JoinHandle;

pub use crate::http::Answer;
use crate::http::{State, serve};

/// The six connections of `test/serveruds.go` in cluster-monitoring, as the tracer of its time wrote them.
pub const SIX: &str = include_str!("../fixtures/tracer/six.json");

/// The tracer. It ends when this is dropped, and leaves its socket, as one that was killed does.
pub struct Tracer {
    path: PathBuf,
    shared: Arc<Mutex<State>>,
    task: Option<JoinHandle<()>>,
}

impl Tracer {
    /// Starts one at this path, in the caller's runtime; what is left there of another is removed.
    pub fn start(path: &Path, answer: Answer) -> Result<Self> {
        let shared = Arc::new(Mutex::new(State::new(answer, "application/json")));
        let mut tracer = Self { path: path.to_owned(), shared, task: None };
        tracer.restart()?;
        Ok(tracer)
    }

    /// From now on it answers so.
    pub fn answer(&self, answer: Answer) {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner).answer = answer;
    }

    /// The first lines and headers of the requests so far.
    pub fn requests(&self) -> Vec<String> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner).requests.clone()
    }

    /// It is killed: the socket stays, and nobody listens.
    pub fn stop(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
        }
    }

    /// It comes again.
    pub fn restart(&mut self) -> Result<()> {
        self.stop();
        let _left = std::fs::remove_file(&self.path);
        let listener = UnixListener::bind(&self.path).with_context(|| format!("cannot listen at {}", self.path.display()))?;
        let shared = Arc::clone(&self.shared);
        #[allow(clippy::disallowed_methods, reason = "a server for tests: it is aborted when it is dropped")]
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let shared = Arc::clone(&shared);
                connections.spawn(async move {
                    let _broken = serve(stream, &shared).await;
                });
                while connections.try_join_next().is_some() {}
            }
        });
        self.task = Some(task);
        Ok(())
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        self.stop();
    }
}
