//! A source whose notices are taken one by one, and which is dropped at any moment.
//!
//! What it sends is never cut off in the middle on the way to the lanes, as it would be if it sent by itself: some of them would have heard it,
//! and others not.

use std::pin::Pin;

use sluicebox_contract::{Closed, Fault, Feed, Notice, Source};
use tokio::sync::mpsc;

use crate::end::End;

/// A source that is asked for its notices.
pub(super) struct Relayed {
    running: Pin<Box<dyn Future<Output = Result<(), Fault>> + Send>>,
    notices: mpsc::Receiver<Notice>,
}

/// What came of asking.
pub(super) enum Said {
    Notice(Notice),
    End(End),
}

impl Relayed {
    /// It runs while it is asked.
    pub(super) fn start(source: impl Source) -> Self {
        let (relay, notices) = mpsc::channel(1);
        Self { running: Box::pin(source.run(Relay(relay), std::future::pending())), notices }
    }

    /// Nothing is lost when this is dropped before it is ready.
    pub(super) async fn next(&mut self) -> Said {
        tokio::select! {
            biased;
            Some(notice) = self.notices.recv() => Said::Notice(notice),
            ended = &mut self.running => Said::End(ended.map_or_else(End::Fault, |()| End::Closed)),
        }
    }
}

struct Relay(mpsc::Sender<Notice>);

impl Feed for Relay {
    /// Ready when the notice has been taken and the next one is asked for: what the source counts as told has been told, also when it is
    /// dropped.
    async fn send(&mut self, notice: Notice) -> Result<(), Closed> {
        self.0.send(notice).await.map_err(|_| Closed)?;
        self.0.reserve().await.map(drop).map_err(|_| Closed)
    }
}
