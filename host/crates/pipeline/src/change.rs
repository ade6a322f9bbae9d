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
    /// Has a change made; gives what it gives. Closed when the pipeline stops.
    pub async fn make<R: Send + 'static>(&self, change: impl FnOnce(&mut Pipeline) -> R + Send + 'static) -> Result<R, Closed> {
        let (reply, answer) = oneshot::channel();
        let change: Change = Box::new(move |pipeline| {
            // Whoever has given up waiting does not need the answer.
            let _given_up = reply.send(change(pipeline));
        });
        self.0.send(change).await.map_err(|_| Closed)?;
        answer_of(answer, self.0.closed()).await
    }
}
