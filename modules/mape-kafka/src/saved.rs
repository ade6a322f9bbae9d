//! What is handed over to the next instance: the packets of cycles that go on, and those that are not told yet.

use serde::{Deserialize, Serialize};
use sluicebox_sdk::{Payload, log};

use crate::loss::{Cycle, Loss, Packets};
use crate::table::PACKETS;

#[derive(Serialize, Deserialize)]
struct Saved {
    open: Vec<SavedCycle>,
    due: Vec<SavedPackets>,
}

#[derive(Serialize, Deserialize)]
struct SavedCycle {
    name: String,
    observed_at: u64,
    containers: Vec<SavedPackets>,
}

/// The container, and when and how many: numbers as their bits, which read as the same number.
#[derive(Serialize, Deserialize)]
struct SavedPackets(String, [Option<(i64, u64)>; PACKETS.len()]);

/// A call may return 8 MiB, unless the lane says otherwise.
const MOST_BYTES: usize = 15 << 19;

pub(crate) fn save(loss: &Loss) -> Result<Payload, String> {
    let cycle = |cycle: &Cycle| SavedCycle {
        name: cycle.name.clone(),
        observed_at: cycle.observed_at,
        containers: cycle.containers.iter().map(SavedPackets::of).collect(),
    };
    let mut saved = Saved { open: loss.open.iter().map(cycle).collect(), due: loss.due.iter().map(SavedPackets::of).collect() };
    loop {
        let text = serde_json::to_string(&saved).map_err(|error| format!("cannot write the packets of the cycle: {error}"))?;
        if text.len() <= MOST_BYTES {
            return Ok(Payload::Text(text));
        }
        log::warn(
            "the ids of containers are too long to be handed over: a part of the loss of packets is not told in this cycle",
        );
        saved.halve();
    }
}

pub(crate) fn restore(data: &Payload, loss: &mut Loss) -> Result<(), String> {
    let saved: Saved =
        serde_json::from_slice(data.as_bytes()).map_err(|error| format!("cannot take over the packets of the cycle: {error}"))?;
    let cycle = |SavedCycle { name, observed_at, containers }: SavedCycle| {
        Cycle::new(name, observed_at, containers.into_iter().map(SavedPackets::packets).collect())
    };
    loss.restore(saved.open.into_iter().map(cycle).collect(), saved.due.into_iter().map(SavedPackets::packets).collect());
    Ok(())
}

impl Saved {
    fn halve(&mut self) {
        self.due.truncate(self.due.len() / 2);
        for cycle in &mut self.open {
            cycle.containers.truncate(cycle.containers.len() / 2);
        }
        // Names of cycles are few and short; should they not be, they are what is too long.
        self.open.retain(|cycle| !cycle.containers.is_empty());
    }
}

impl SavedPackets {
    fn of(packets: &Packets) -> Self {
        let found = packets.found.map(|found| found.map(|(millis, value)| (millis, value.to_bits())));
        Self(packets.container_id.as_ref().to_owned(), found)
    }

    fn packets(self) -> Packets {
        let Self(container_id, found) = self;
        let found = found.map(|found| found.map(|(millis, bits)| (millis, f64::from_bits(bits))));
        Packets { container_id: container_id.into(), found }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loss(containers: usize, id_length: usize) -> Loss {
        let mut loss = Loss::new(30_000);
        for number in 0..containers {
            let id = format!("{number:0>id_length$}").into();
            for metric in 0..4 {
                loss.cycle("mape", u64::MAX).add(&id, metric, (i64::MIN, f64::MIN_POSITIVE / 3.0));
            }
        }
        loss
    }

    #[test]
    fn the_most_containers_are_handed_over() {
        let before = loss(30_000, 36);
        let mut after = Loss::new(30_000);
        restore(&save(&before).unwrap(), &mut after).unwrap();
        assert!(after.open[0].containers == before.open[0].containers, "all of them, and with the same bits");
        assert_eq!((after.open[0].name.as_str(), after.open[0].observed_at), ("mape", u64::MAX));
    }

    #[test]
    fn what_is_too_long_is_handed_over_in_part() {
        let data = save(&loss(5_000, 4_000)).unwrap();
        assert!(data.as_bytes().len() <= 8 << 20);
        let mut after = Loss::new(100);
        restore(&data, &mut after).unwrap();
        assert_eq!(after.open[0].containers.len(), 100, "no more than is allowed");
    }

    #[test]
    fn what_is_not_saved_by_it_is_not_restored() {
        assert!(restore(&"{}".into(), &mut Loss::new(1)).is_err());
        assert!(restore(&vec![0xff].into(), &mut Loss::new(1)).is_err());
    }
}
