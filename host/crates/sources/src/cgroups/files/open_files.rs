//! How many files may be kept open. Whoever comes later opens, reads and closes at each tick, which is slower and as right.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// What all cgroups of a source share.
#[derive(Clone, Debug)]
pub(crate) struct OpenFiles(Arc<Budget>);

#[derive(Debug)]
struct Budget {
    most: usize,
    open: AtomicUsize,
    is_used_up: AtomicBool,
}

/// Stands for one file that is kept open.
#[derive(Debug)]
pub(crate) struct Permit(Arc<Budget>);

impl OpenFiles {
    /// At most so many. Besides, up to nine are open for a moment: a directory for each hierarchy, and the file that is read.
    pub(crate) fn new(most: usize) -> Self {
        Self(Arc::new(Budget { most, open: AtomicUsize::new(0), is_used_up: AtomicBool::new(false) }))
    }

    /// How many are kept open.
    pub(crate) fn open(&self) -> usize {
        self.0.open.load(Ordering::Relaxed)
    }

    /// How many may be.
    pub(crate) fn most(&self) -> usize {
        self.0.most
    }

    /// Whether there was ever one too many.
    pub(crate) fn were_used_up(&self) -> bool {
        self.0.is_used_up.load(Ordering::Relaxed)
    }

    /// For one more, if that may be.
    pub(crate) fn claim(&self) -> Option<Permit> {
        let more = |open: usize| (open < self.0.most).then(|| open + 1);
        if self.0.open.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_err() {
            self.0.is_used_up.store(true, Ordering::Relaxed);
            return None;
        }
        Some(Permit(Arc::clone(&self.0)))
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_permit_comes_back_when_its_file_is_closed() {
        let open_files = OpenFiles::new(1);
        let first = open_files.claim();
        assert!(first.is_some() && !open_files.were_used_up());
        assert!(open_files.claim().is_none() && open_files.were_used_up());
        assert_eq!((open_files.open(), open_files.most()), (1, 1));
        drop(first);
        assert_eq!(open_files.open(), 0);
        assert!(open_files.claim().is_some());
    }

    #[test]
    fn none_may_be_kept_open_at_all() {
        assert!(OpenFiles::new(0).claim().is_none());
    }
}
