//! Proves that as many entries as the sink asks for arrive whole, and says how fast: each write waits for the cluster's answer, so that
//! few at a time go slowly.

mod entries;
mod kafka_reader;

use std::collections::HashSet;
use std::io::Write;

use anyhow::Result;
use kafka_reader::{broker, can_run, config, keyed, read, sink, write_all};
use sluicebox_contract::Sink;
use tokio::time::Instant;

const COUNT: u32 = 50_000;

#[tokio::test]
async fn as_many_as_are_asked_for_arrive_in_order_however_many_are_given_at_once() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    let server = broker(&[("t", 1), ("u", 1)]).await?;
    for (topic, few) in [("t", true), ("u", false)] {
        let mut sink = sink(&config(&server.address()));
        let at_once = if few { 256 } else { sink.most_entries() };
        let entries: Vec<_> = (0..COUNT).map(|number| keyed(topic, "k", &format!("{number:0200}"))).collect();
        let begun = Instant::now();
        assert_eq!(write_all(&mut sink, &entries, at_once).await, 0);
        let rate = f64::from(COUNT) / begun.elapsed().as_secs_f64();
        let _unheard = writeln!(std::io::stderr(), "{at_once} at once: {rate:.0} records of 200 bytes a second");
        let values: Vec<_> = read(&server.address(), topic).await?.into_iter().filter_map(|record| record.value).collect();
        assert!(values.is_sorted());
        assert_eq!(u32::try_from(values.into_iter().collect::<HashSet<_>>().len())?, COUNT);
    }
    Ok(())
}
