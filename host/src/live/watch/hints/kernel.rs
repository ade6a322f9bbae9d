//! Has the kernel watch directories, through notify: its calls wait for its one thread, which waits for the file system, and panic when that
//! thread has ended. Blocks: not for the executor's thread, and not for a look either.

use std::fmt;
use std::io::ErrorKind::{NotADirectory, NotFound};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use notify::{Config, ErrorKind, Event, RecommendedWatcher, RecursiveMode, Watcher};

use super::listener::{Directories, Listener};

/// What takes events on notify's thread.
pub(in super::super) type Handler = Box<dyn FnMut(notify::Result<Event>) + Send>;
/// What tells of changes, until it is dropped.
pub(in super::super) type AnyWatcher = Box<dyn Watcher + Send>;
/// How to begin.
pub(in super::super) type Open = Arc<dyn Fn(Handler) -> notify::Result<AnyWatcher> + Send + Sync>;

/// The kernel's own way to tell.
pub(in super::super) fn inotify(handler: Handler) -> notify::Result<AnyWatcher> {
    // Links are followed by the looks, one by one; notify would follow them only where it walks through a tree, and it never does.
    let config = Config::default().with_follow_symlinks(false);
    Ok(Box::new(RecommendedWatcher::new(handler, config)?))
}

/// Brings about what is wanted, one call after another.
pub(super) struct Arranger {
    open: Open,
    listener: Arc<Listener>,
    /// `None` until something is to be watched.
    kernel: Option<Kernel>,
}

/// What has come of it.
#[derive(Debug)]
pub(super) struct Arranged {
    pub(super) arranger: Arranger,
    /// What was asked for.
    pub(super) wanted: Directories,
    /// Why the kernel does not watch all of it.
    pub(super) trouble: Option<String>,
}

impl Arranger {
    pub(super) fn new(open: Open, listener: Arc<Listener>) -> Self {
        Self { open, listener, kernel: None }
    }

    /// Whether the kernel's events will never be read again.
    pub(super) fn is_gone(&self) -> bool {
        self.kernel.as_ref().is_some_and(Kernel::is_gone)
    }

    /// Ends what is not wanted, and begins what is missing.
    pub(super) fn arrange(mut self, wanted: Directories) -> Arranged {
        let trouble = self.try_arrange(&wanted).err();
        Arranged { arranger: self, wanted, trouble }
    }

    fn try_arrange(&mut self, wanted: &Directories) -> Result<(), String> {
        let kernel = match &mut self.kernel {
            Some(kernel) => kernel,
            none => none.insert(Kernel::open(&self.open, &self.listener)?),
        };
        // First of all: adding a path that notify knows would leave the directory that it was before watched for ever.
        for directory in self.listener.superfluous(wanted) {
            self.listener.end(&directory);
            // It knows by itself when a directory was removed.
            let _ended = kernel.ask(|watcher| watcher.unwatch(&directory));
        }
        let mut result = Ok(());
        for (directory, identity) in self.listener.missing(wanted) {
            self.listener.begin(&directory, identity);
            match kernel.ask(|watcher| watcher.watch(&directory, RecursiveMode::NonRecursive)) {
                Ok(()) => self.listener.has_begun(),
                Err(error) => {
                    self.listener.end(&directory);
                    if let Some(cause) = cause(&error) {
                        result = Err(format!("cannot watch the directory {}: {cause}", directory.display()));
                    }
                }
            }
        }
        result
    }
}

/// What is worth telling: not that a directory has just gone, as the next look finds out where to.
fn cause(error: &notify::Error) -> Option<String> {
    match &error.kind {
        ErrorKind::PathNotFound => None,
        ErrorKind::Io(error) if matches!(error.kind(), NotFound | NotADirectory) => None,
        ErrorKind::Io(error) => Some(error.to_string()),
        ErrorKind::MaxFilesWatch => Some("the limit fs.inotify.max_user_watches is reached".to_owned()),
        _ => Some(error.to_string()),
    }
}

/// notify's watcher, whose panics end here.
struct Kernel {
    watcher: Option<AnyWatcher>,
    /// Set when notify's thread ends.
    thread_has_ended: Arc<AtomicBool>,
    has_panicked: bool,
}

impl Kernel {
    fn open(open: &Open, listener: &Arc<Listener>) -> Result<Self, String> {
        let thread_has_ended = Arc::new(AtomicBool::new(false));
        let thread = Thread { listener: Arc::clone(listener), has_ended: Arc::clone(&thread_has_ended) };
        let handler = Box::new(move |event| thread.hear(event));
        let watcher = open(handler).map_err(|error| format!("cannot use inotify: {error}"))?;
        // notify ignores it when its thread cannot be started: then it is gone from the beginning.
        Ok(Self { watcher: Some(watcher), thread_has_ended, has_panicked: false })
    }

    fn is_gone(&self) -> bool {
        self.has_panicked || self.thread_has_ended.load(Ordering::Acquire)
    }

    fn ask(&mut self, question: impl FnOnce(&mut dyn Watcher) -> notify::Result<()>) -> notify::Result<()> {
        let gone = || notify::Error::generic("the thread that reads from inotify has ended");
        let is_gone = self.is_gone();
        let watcher = self.watcher.as_deref_mut().filter(|_| !is_gone).ok_or_else(gone)?;
        // It still panics when its thread ends in this moment.
        catch_unwind(AssertUnwindSafe(|| question(watcher))).unwrap_or_else(|_| {
            self.has_panicked = true;
            Err(gone())
        })
    }
}

impl Drop for Kernel {
    /// Never waits: notify's thread is told to end, and does so when the kernel lets it.
    fn drop(&mut self) {
        let is_gone = self.is_gone();
        let Some(watcher) = self.watcher.take() else {
            return;
        };
        if is_gone {
            // Dropping it would panic. What it leaves behind is one descriptor, once: a thread that has ended is not replaced.
            std::mem::forget(watcher);
        } else {
            let _ended = catch_unwind(AssertUnwindSafe(|| drop(watcher)));
        }
    }
}

/// What notify's thread holds, which lives as long as that does.
struct Thread {
    listener: Arc<Listener>,
    has_ended: Arc<AtomicBool>,
}

impl Thread {
    fn hear(&self, event: notify::Result<Event>) {
        self.listener.hear(event);
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        self.has_ended.store(true, Ordering::Release);
    }
}

impl fmt::Debug for Arranger {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Arranger").field("is_open", &self.kernel.is_some()).finish_non_exhaustive()
    }
}
