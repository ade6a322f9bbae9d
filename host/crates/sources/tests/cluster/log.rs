//! What an operator would read.

use std::cell::RefCell;
use std::io::{self, Write};
use std::sync::Once;
use std::time::Duration;

use tracing_subscriber::fmt::MakeWriter;

thread_local! {
    /// A test has a thread of its own.
    static LOG: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// One for all threads: subscribers of single threads make tracing forget for all of them what nobody listened to on one.
static SUBSCRIBE: Once = Once::new();

/// What this test's thread logs.
#[derive(Clone, Copy)]
pub(crate) struct Log;

#[allow(clippy::unused_self, reason = "it stands for what belongs to the thread")]
impl Log {
    /// From now on: `info` and above, as operators have it.
    pub(crate) fn catch(self) {
        SUBSCRIBE.call_once(|| {
            let filter = tracing_subscriber::EnvFilter::new("info");
            tracing_subscriber::fmt().with_ansi(false).without_time().with_env_filter(filter).with_writer(self).init();
        });
        LOG.take();
    }

    pub(crate) fn lines(self) -> Vec<String> {
        let bytes = LOG.with_borrow(Clone::clone);
        String::from_utf8_lossy(&bytes).lines().map(|line| line.trim().to_owned()).collect()
    }

    pub(crate) async fn until(self, words: &str) -> String {
        for _ in 0..1000 {
            if let Some(line) = self.lines().into_iter().find(|line| line.contains(words)) {
                return line;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("`{words}` is not in {:#?}", self.lines());
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        LOG.with_borrow_mut(|log| log.extend_from_slice(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        *self
    }
}
