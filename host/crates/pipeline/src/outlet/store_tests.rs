use std::num::NonZeroU32;

use futures::FutureExt as _;
use sluicebox_contract::{Appended, Entry, Message, ModuleIdentity, Record, UnixNanos};
use tokio::time::timeout;

use super::*;
use crate::outlet::{Origin, OutletMeter, Taking, fill};
use crate::queue::{Bounds, queue};

/// Counts, and keeps nothing.
#[derive(Default)]
struct Counting(Waiting);

impl Backlog for Counting {
    fn largest(&self) -> u64 {
        1 << 20
    }

    fn append(&mut self, entries: NonZeroU32, _record: &[u8]) -> Result<Appended, Fault> {
        let first = self.0.next;
        self.0.next += u64::from(entries.get());
        self.0.unread += u64::from(entries.get());
        Ok(Appended::Kept(first))
    }

    fn flush(&mut self) -> Result<(), Fault> {
        self.0.flushed = self.0.next;
        Ok(())
    }

    fn read(&mut self, _records: usize, _bytes: usize) -> Result<Vec<Record>, Fault> {
        Ok(Vec::new())
    }

    fn skip_to(&mut self, _number: u64) {}

    fn done_before(&mut self, _number: u64) -> Result<(), Fault> {
        Ok(())
    }

    fn rest(&mut self) -> Result<(), Fault> {
        Ok(())
    }

    fn close(&mut self) -> Result<(), Fault> {
        Ok(())
    }

    fn waiting(&self) -> Waiting {
        self.0
    }
}

fn counting() -> Store {
    let settings = StoreSettings { always: true, entries_per_second: 1000, when_refused: WhenFull::Wait };
    let terms = StoreTerms { backlog: Box::new(Counting::default()), settings };
    Store::new("out".into(), terms, Refusals::new(&"out".into(), None), Arc::default())
}

fn parcel() -> Parcel {
    let origin = Arc::new(Origin { lane: "l".into(), module: ModuleIdentity::default(), again: false, replay: None });
    Parcel::Entries { origin, entries: vec![Entry::Message(Message::default())], observed_at: UnixNanos(1), receipt: None }
}

/// Something is being put away, and nobody waits for it.
fn begin_to_put_away(store: &mut Store) {
    let held = Arc::clone(&store.disk);
    let busy = lock(&held);
    assert!(store.put_away().now_or_never().is_none());
    drop(busy);
}

#[tokio::test]
async fn what_was_being_put_away_is_counted_though_nothing_more_comes() {
    let mut store = counting();
    store.accept(vec![parcel()]);
    begin_to_put_away(&mut store);
    let bounds = Bounds { items: 1, bytes: 1, when_full: WhenFull::Wait };
    let (_sender, mut nothing_more) = queue(bounds, Arc::default());
    let (meter, mut ended) = (OutletMeter::default(), None);
    let mut taking = Taking { hand: None, meter: &meter, ended: &mut ended };
    let waits = timeout(Duration::from_millis(300), fill(&mut store, &mut nothing_more, &mut taking)).await;
    assert!(waits.is_err(), "nothing comes");
    assert_eq!((store.meter.entries.get(), store.meter.arriving.get()), (1, 0));
}

#[tokio::test]
async fn once_it_was_caught_up_with_what_is_put_away_is_in_the_store() {
    let mut store = counting();
    for number in 1..=300 {
        store.accept(vec![parcel()]);
        begin_to_put_away(&mut store);
        store.catch_up().await;
        assert_eq!((store.is_tidy(), store.waiting.unread), (true, number));
    }
}
