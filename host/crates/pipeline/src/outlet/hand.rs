//! What an outlet has in hand: entries that it writes now, and where they stand in its store, if they do.

use std::sync::Arc;

use sluicebox_contract::Receipt;
use sluicebox_contract::meter::OutletMeter;

use super::gathered::{Gathered, Parcel};

/// Entries that are written now.
#[derive(Debug, Default)]
pub(super) struct Hand {
    pub(super) gathered: Arc<Gathered>,
    /// So many of them are written or refused.
    pub(super) done: usize,
    /// Where they stand in the store; none while they are only in memory.
    place: Option<Place>,
    /// Of the events that they were made of.
    receipts: Vec<Receipt>,
}

/// Where entries stand in the store.
#[derive(Debug, Default)]
pub(super) struct Place {
    /// Up to which index, and the number after that entry.
    pub(super) numbers: Vec<(usize, u64)>,
    /// Entries in between that are too large for the store.
    pub(super) too_large: Vec<usize>,
}

impl Hand {
    pub(super) fn new(mut parcels: Vec<Parcel>) -> Self {
        let receipts = parcels.iter_mut().filter_map(Parcel::take_receipt).collect();
        Self { gathered: Arc::new(Gathered::new(parcels)), receipts, ..Self::default() }
    }

    /// Of parcels that were read from the store, each with the number after its last entry, and of others that do not stand there.
    pub(super) fn stored(parcels: Vec<(Parcel, u64)>, mut others: Vec<Parcel>) -> Self {
        let receipts = others.iter_mut().filter_map(Parcel::take_receipt).collect();
        let (mut end, mut numbers) = (0, Vec::new());
        for (parcel, next) in &parcels {
            end += usize::try_from(parcel.entries()).unwrap_or(usize::MAX);
            numbers.push((end, *next));
        }
        let gathered = Gathered::new(parcels.into_iter().map(|(parcel, _)| parcel).chain(others));
        // A dead letter that is tried again is where it was; all else is here because it is too large.
        let only_here = |index: &usize| gathered.origin(*index).is_some_and(|(origin, _)| origin.replay.is_none());
        let too_large: Vec<usize> = (end..gathered.entries.len()).filter(only_here).collect();
        let place = (!gathered.entries.is_empty()).then_some(Place { numbers, too_large });
        Self { gathered: Arc::new(gathered), place, receipts, ..Self::default() }
    }

    pub(super) fn is_done(&self) -> bool {
        self.done >= self.gathered.entries.len()
    }

    /// Entries that are neither written nor refused.
    pub(super) fn left(&self) -> usize {
        self.gathered.entries.len().saturating_sub(self.done)
    }

    /// Whether they are in the store, too, and survive the end of the program.
    pub(super) fn is_stored(&self) -> bool {
        self.place.is_some()
    }

    /// Whether they stand in the store, and before this number.
    pub(super) fn is_before(&self, number: u64) -> bool {
        self.place.as_ref().and_then(|place| place.numbers.first()).is_some_and(|(_, next)| *next <= number)
    }

    /// They stand in the store from here on.
    pub(super) fn stands(&mut self, place: Place) {
        let is_whole = place.too_large.is_empty();
        self.place = Some(place);
        if is_whole {
            self.dealt_with();
        }
    }

    /// Those that are not done and would be lost with the program.
    pub(super) fn only_here(&self) -> impl Iterator<Item = usize> {
        let too_large = self.place.iter().flat_map(|place| place.too_large.iter().copied());
        too_large.filter(|index| *index >= self.done)
    }

    /// All of it is written or refused.
    pub(super) fn finished(&mut self, meter: &OutletMeter) {
        self.gathered.finished(meter);
        self.dealt_with();
    }

    /// What is left of it survives the end of the program, or is kept as a dead letter.
    pub(super) fn dealt_with(&mut self) {
        self.receipts.drain(..).for_each(Receipt::done);
    }

    /// The number of the first entry that is not done; none where nothing stands in the store.
    pub(super) fn done_before(&self) -> Option<u64> {
        let numbers = self.place.as_ref()?.numbers.as_slice();
        let place = numbers.partition_point(|(end, _)| *end <= self.done);
        match numbers.get(place) {
            Some((end, next)) => {
                let begin = place.checked_sub(1).and_then(|before| numbers.get(before)).map_or(0, |(end, _)| *end);
                let left = if self.done < begin { end - begin } else { end - self.done };
                Some(next.saturating_sub(left as u64))
            }
            None => numbers.last().map(|(_, next)| *next),
        }
    }
}

#[cfg(test)]
mod tests {
    use sluicebox_contract::{Entry, Message, ModuleIdentity, UnixNanos};

    use super::*;
    use crate::outlet::Origin;

    fn parcel(entries: usize) -> Parcel {
        let origin = Arc::new(Origin { lane: "l".into(), module: ModuleIdentity::default(), again: false, replay: None });
        let entries = vec![Entry::Message(Message::default()); entries];
        Parcel::Entries { origin, entries, observed_at: UnixNanos(1), receipt: None }
    }

    #[test]
    fn it_is_known_up_to_which_number_entries_are_done() {
        // Of the first record one entry was done before; between the two some could not be read.
        let mut hand = Hand::stored(vec![(parcel(2), 13), (parcel(3), 23)], vec![parcel(1)]);
        let mut numbers = Vec::new();
        for done in 0..=6 {
            hand.done = done;
            numbers.push(hand.done_before().unwrap());
        }
        assert_eq!(numbers, [11, 12, 20, 21, 22, 23, 23]);
        assert!(hand.is_done() && hand.is_stored());
        assert_eq!(Hand::new(vec![parcel(1)]).done_before(), None);
    }
}
