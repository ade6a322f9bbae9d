//! Reads files beside the executor, each reader each file once at a time: a file system that hangs costs one thread for each, however often
//! it is tried.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::timeout;

use super::quiet::quietly;

/// Time for reading a file.
const PATIENCE: Duration = Duration::from_secs(10);

/// Who reads which file. A clone is the same.
#[derive(Clone, Default)]
pub(super) struct Reading(Arc<Mutex<BTreeSet<(String, PathBuf)>>>);

impl Reading {
    fn out(&self) -> MutexGuard<'_, BTreeSet<(String, PathBuf)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has something done with a file, and waits for a while. The error says why there is no answer.
    pub(super) async fn with<T: Send + 'static>(
        &self,
        who: &str,
        path: &Path,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, String> {
        let read = (who.to_owned(), path.to_owned());
        if !self.out().insert(read.clone()) {
            return Err("it is still being read: does its file system answer?".to_owned());
        }
        let back = Back { reading: self.clone(), read };
        let reading = quietly(move || {
            let _back = back;
            work()
        });
        match timeout(PATIENCE, reading).await {
            Ok(done) => done,
            Err(_) => Err(format!("it was not read within {PATIENCE:?}: does its file system answer?")),
        }
    }
}

/// The file is read no more, however that has ended.
struct Back {
    reading: Reading,
    read: (String, PathBuf),
}

impl Drop for Back {
    fn drop(&mut self) {
        self.reading.out().remove(&self.read);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_file_that_hangs_is_read_once_however_often_it_is_tried() {
        let reading = Reading::default();
        let (go, gone) = std::sync::mpsc::sync_channel::<()>(1);
        let mut first = Box::pin(reading.with("lane", Path::new("/slow"), move || gone.recv().is_ok()));
        assert!(futures::poll!(&mut first).is_pending());
        let second = reading.with("lane", Path::new("/slow"), || ()).await;
        assert!(second.unwrap_err().contains("still being read"));
        assert_eq!(reading.with("lane", Path::new("/quick"), || 7).await, Ok(7));
        assert_eq!(reading.with("another", Path::new("/slow"), || 7).await, Ok(7));
        go.send(()).unwrap();
        assert_eq!(first.await, Ok(true));
        assert_eq!(reading.with("lane", Path::new("/slow"), || 8).await, Ok(8));
    }
}
