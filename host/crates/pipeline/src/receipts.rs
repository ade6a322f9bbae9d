//! The receipts of the events that a lane has in hand.

use sluicebox_contract::{Receipt, SubjectId};

/// The receipts of one run of events, which are shaped together or in parts. What is dropped with it was not dealt with.
#[derive(Debug, Default)]
pub(crate) struct InHand {
    /// Of each event that has one, by what it is about.
    each: Vec<(SubjectId, Receipt)>,
    /// Of all of them, for what is made of any: which entry comes from which event only the module knows.
    all: Option<Receipt>,
}

impl InHand {
    pub(crate) fn new(each: Vec<(SubjectId, Receipt)>) -> Self {
        let shares = || each.iter().map(|(_, receipt)| receipt.clone()).collect();
        let all = (!each.is_empty()).then(|| Receipt::of_several(shares()));
        Self { each, all }
    }

    /// For what was made of some of the events.
    pub(crate) fn share(&self) -> Option<Receipt> {
        self.all.clone()
    }

    /// What was said of this subject is lost.
    pub(crate) fn lose(&self, subject: SubjectId) {
        self.each.iter().filter(|(about, _)| *about == subject).for_each(|(_, receipt)| receipt.fail());
    }

    /// Everything was shaped or kept; what was made of it is on its way.
    pub(crate) fn done(self) {
        if let Some(all) = self.all {
            all.done();
        }
        self.each.into_iter().for_each(|(_, receipt)| receipt.done());
    }
}
