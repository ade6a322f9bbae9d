//! Dead letters on their way to the disk: a bounded queue and the thread that keeps them. Nobody ever waits for it.

use std::sync::Arc;

use sluicebox_contract::meter::DeadLetterMeter;
use sluicebox_contract::{DeadLetter, DeadLetters};
use tracing::warn;

use crate::outlet::is_worth_a_line;
use crate::queue::{Bounds, Item, Receiver, Sender, WhenFull, Worth, queue};

/// Letters that may wait to be written.
const WAITING: usize = 1024;
/// Bytes of them, unless said otherwise.
pub(crate) const WAITING_BYTES: usize = 16 << 20;
/// Letters taken at a time.
const BATCH: usize = 64;

/// Takes letters. When the disk is slower than they come, the oldest that wait are lost, and counted.
#[derive(Clone)]
pub(crate) struct Letterbox {
    letters: Sender<DeadLetter>,
    meter: Arc<DeadLetterMeter>,
}

/// A letter is a copy of what was left out anyway: nothing waits for it.
impl Item for DeadLetter {
    fn worth(&self) -> Worth {
        Worth::Fact
    }
}

impl Letterbox {
    pub(crate) async fn post(&self, letter: DeadLetter) {
        let weight = letter.weight();
        // When the keeper has gone, the thread has panicked; the log says so.
        if self.letters.send(letter, weight).await.is_err() {
            self.meter.lost.increment();
        }
    }

    /// As [`Letterbox::post`], for a thread outside of the executor.
    pub(crate) fn post_blocking(&self, letter: DeadLetter) {
        futures::executor::block_on(self.post(letter));
    }
}

/// Keeps letters until every letterbox is gone.
pub(crate) struct Keeper<D> {
    letters: Receiver<DeadLetter>,
    shelf: D,
    meter: Arc<DeadLetterMeter>,
    lost: u64,
}

pub(crate) fn letterbox<D: DeadLetters>(shelf: D, bytes: usize, meter: Arc<DeadLetterMeter>) -> (Letterbox, Keeper<D>) {
    let bounds = Bounds { items: WAITING, bytes, when_full: WhenFull::DropOldest };
    let (sender, letters) = queue(bounds, Arc::clone(&meter.queue));
    let letterbox = Letterbox { letters: sender, meter: Arc::clone(&meter) };
    (letterbox, Keeper { letters, shelf, meter, lost: 0 })
}

impl<D: DeadLetters> Keeper<D> {
    pub(crate) fn run(mut self) {
        while let Some(letters) = self.letters.take_blocking(BATCH) {
            for letter in letters {
                match self.shelf.keep(&letter) {
                    Ok(()) => self.meter.kept.increment(),
                    Err(fault) => {
                        self.meter.lost.increment();
                        self.lost += 1;
                        if is_worth_a_line(self.lost) {
                            warn!(lane = %letter.lane, module = %letter.module, so_far = self.lost, %fault, "dead letter not kept");
                        }
                    }
                }
            }
        }
    }
}
