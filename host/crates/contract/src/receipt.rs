//! Says whether everybody who was given an event has dealt with it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::announced::{Announced, Ledger};

/// Travels with an event to whoever deals with it, and with what is made of it. A clone is a share of its own.
///
/// The event is dealt with once every share was [done](Receipt::done). A share that is dropped before says that something of the event is lost,
/// and then it is not dealt with, whatever becomes of the others.
#[derive(Debug)]
#[must_use = "a share that is dropped says that the event is lost"]
pub struct Receipt {
    shared: Arc<Shared>,
    is_done: bool,
}

#[derive(Debug)]
struct Shared {
    failed: AtomicBool,
    of: Of,
}

/// Who is told.
#[derive(Debug)]
enum Of {
    /// What the event has announced.
    Event { ledger: Arc<Ledger>, number: u64, announced: Mutex<Option<Announced>> },
    /// A share of each of several others.
    Several(Mutex<Vec<Receipt>>),
}

impl Receipt {
    /// For an event that announces this. The number is that of the ledger.
    pub(crate) fn new(ledger: Arc<Ledger>, number: u64, announced: Announced) -> Self {
        Self::of(Of::Event { ledger, number, announced: Mutex::new(Some(announced)) })
    }

    /// One for several: all of these are done when it is, and lost when it is.
    pub fn of_several(receipts: Vec<Self>) -> Self {
        Self::of(Of::Several(Mutex::new(receipts)))
    }

    fn of(of: Of) -> Self {
        Self { shared: Arc::new(Shared { failed: AtomicBool::new(false), of }), is_done: false }
    }

    /// Whoever has this share has done with the event.
    pub fn done(mut self) {
        self.is_done = true;
    }

    /// Something of the event is lost, whatever becomes of the shares.
    pub fn fail(&self) {
        self.shared.fail();
    }
}

impl Clone for Receipt {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), is_done: false }
    }
}

impl Drop for Receipt {
    fn drop(&mut self) {
        if !self.is_done {
            self.shared.fail();
        }
    }
}

impl Shared {
    /// The ledger learns of it before a later event about the same object can be done.
    fn fail(&self) {
        if self.failed.swap(true, Ordering::AcqRel) {
            return;
        }
        match &self.of {
            Of::Event { ledger, announced, .. } => {
                if let Some(announced) = take(announced) {
                    ledger.lose(&announced);
                }
            }
            Of::Several(receipts) => receipts.lock().unwrap_or_else(PoisonError::into_inner).iter().for_each(Receipt::fail),
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if *self.failed.get_mut() {
            return;
        }
        match &mut self.of {
            Of::Event { ledger, number, announced } => {
                if let Some(announced) = take(announced) {
                    ledger.acknowledge(*number, announced);
                }
            }
            Of::Several(receipts) => {
                std::mem::take(receipts.get_mut().unwrap_or_else(PoisonError::into_inner)).into_iter().for_each(Receipt::done);
            }
        }
    }
}

fn take(announced: &Mutex<Option<Announced>>) -> Option<Announced> {
    announced.lock().unwrap_or_else(PoisonError::into_inner).take()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receipt(ledger: &Arc<Ledger>, uid: &str) -> Receipt {
        ledger.receipt(Announced::Gone(uid.into()))
    }

    fn known(ledger: &Ledger) -> Vec<String> {
        ledger.take().iter().map(|announced| announced.uid().to_string()).collect()
    }

    #[test]
    fn an_event_is_dealt_with_once_every_share_is_done() {
        let ledger = Arc::<Ledger>::default();
        let one = receipt(&ledger, "a");
        let other = one.clone();
        one.done();
        assert_eq!(known(&ledger), [""; 0]);
        other.done();
        assert_eq!(known(&ledger), ["a"]);
    }

    #[test]
    fn a_share_that_is_dropped_spoils_the_others() {
        let ledger = Arc::<Ledger>::default();
        let one = receipt(&ledger, "a");
        drop(one.clone());
        one.clone().done();
        one.done();
        assert_eq!(known(&ledger), [""; 0]);
    }

    #[test]
    fn several_are_done_or_lost_together() {
        let ledger = Arc::<Ledger>::default();
        let all = |uids: [&str; 2]| Receipt::of_several(uids.iter().map(|uid| receipt(&ledger, uid)).collect());
        let (whole, broken) = (all(["a", "b"]), all(["c", "d"]));
        drop(broken.clone());
        broken.done();
        whole.clone().done();
        assert_eq!(known(&ledger), [""; 0]);
        whole.done();
        assert_eq!(known(&ledger), ["a", "b"]);
    }

    #[test]
    fn one_of_several_can_be_lost_alone() {
        let ledger = Arc::<Ledger>::default();
        let each = [receipt(&ledger, "a"), receipt(&ledger, "b")];
        let all = Receipt::of_several(each.to_vec());
        each[0].fail();
        all.done();
        each.into_iter().for_each(Receipt::done);
        assert_eq!(known(&ledger), ["b"]);
    }
}
