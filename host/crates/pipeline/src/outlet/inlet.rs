//! The way into an outlet, which counts what passes.

use std::sync::Arc;

use sluicebox_contract::Closed;
use sluicebox_contract::meter::OutletMeter;

use super::gathered::Parcel;
use crate::queue::Sender;

/// Takes parcels for one outlet.
#[derive(Clone)]
pub(crate) struct Inlet {
    pub(crate) queue: Sender<Parcel>,
    pub(crate) meter: Arc<OutletMeter>,
}

impl Inlet {
    /// Hands a parcel over, and waits while there is no room. An outlet that has ended has said why.
    pub(crate) async fn send(&self, parcel: Parcel) -> Result<(), Closed> {
        let (weight, entries) = (parcel.weight(), parcel.entries());
        self.meter.accepted.add(entries);
        let sent = self.queue.send(parcel, weight).await;
        if sent.is_err() {
            self.meter.undelivered.add(entries);
            self.meter.taken.add(entries);
        }
        sent
    }
}
