//! Changes of a pipeline that runs: made by whoever decides, carried out by the one who owns it.

use sluicebox_contract::Closed;
use tokio::sync::{mpsc, oneshot};

use crate::Pipeline;
use crate::order::answer_of;

/// Changes that may wait.
const WAITING: usize = 8;

pub(crate) type Change = Box<dyn FnOnce(&mut Pipeline) + Send>;

/// The way to change a pipeline that runs.
#[derive(Clone)]
pub struct Changes(mpsc::Sender<Change>);

pub(crate) fn changes() -> (Changes, mpsc::Receiver<Change>) {
    let (sender, receiver) = mpsc::channel(WAITING);
    (Changes(sender), receiver)
}

impl Changes {
    /// Whether the pipeline stops: nothing is changed any more.
    pub fn is_closed(&self) -> bool {
        self.0.is_closed()
    }

    /// Has a change made; gives what it gives. Closed when the pipeline stops. When the future is dropped before the change was made,
    /// it is not made: a lane that was added for nobody could not be removed by anybody.
    pub async fn make<R: Send + 'static>(&self, change: impl FnOnce(&mut Pipeline) -> R + Send + 'static) -> Result<R, Closed> {
        self.give(false, change).await
    }

    /// As [`Changes::make`], for a change that is wanted even if nobody waits for it any more, such as a removal: it is made unless the
    /// future is dropped while there is no place for it among the changes that wait.
    pub async fn insist<R: Send + 'static>(&self, change: impl FnOnce(&mut Pipeline) -> R + Send + 'static) -> Result<R, Closed> {
        self.give(true, change).await
    }

    async fn give<R: Send + 'static>(
        &self,
        anyway: bool,
        change: impl FnOnce(&mut Pipeline) -> R + Send + 'static,
    ) -> Result<R, Closed> {
        let (reply, answer) = oneshot::channel();
        let change: Change = Box::new(move |pipeline| {
            if anyway || !reply.is_closed() {
                let _given_up = reply.send(change(pipeline));
            }
        });
        self.0.send(change).await.map_err(|_| Closed)?;
        answer_of(answer, self.0.closed()).await
    }
}
