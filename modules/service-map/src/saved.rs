//! What is handed over to the next instance: the sums of the period that goes on, by the names of the parties.

use serde::{Deserialize, Serialize};
use sluicebox_sdk::{FastMap, Payload};

use crate::parties::{Parties, Party, PartyId};
use crate::period::Period;
use crate::rows::{Kind, Rows, Sums};

#[derive(Serialize, Deserialize)]
struct Saved {
    /// When the period began and how long it is, in seconds.
    period: Option<(u64, u64)>,
    parties: Vec<Party>,
    /// Client and server as places among the parties.
    rows: Vec<(usize, usize, u32, Sums)>,
    /// The connections that were seen; the lowest bit says whether at the server.
    seen: Vec<u64>,
}

/// A call may return 8 MiB, unless the lane says otherwise.
const MOST_BYTES: usize = 15 << 19;

pub(crate) fn save(period: Option<Period>, rows: &Rows, parties: &Parties) -> Result<Payload, String> {
    let mut places: FastMap<PartyId, usize> = FastMap::default();
    let mut named = Vec::new();
    let mut place = |id: PartyId| {
        *places.entry(id).or_insert_with(|| {
            named.extend(parties.party(id).cloned());
            named.len().saturating_sub(1)
        })
    };
    let saved_rows = rows.list.iter().map(|row| (place(row.client), place(row.server), row.kind.0, row.sums)).collect();
    let mut saved = Saved {
        period: period.map(|period| (period.begin, period.seconds)),
        rows: saved_rows,
        parties: named,
        seen: rows.seen.iter().map(|(connection, turned)| connection & !1 | u64::from(*turned)).collect(),
    };
    let written =
        |saved: &Saved| serde_json::to_string(saved).map_err(|error| format!("cannot write the sums of the period: {error}"));
    let mut text = written(&saved)?;
    if text.len() > MOST_BYTES {
        // The sums matter more: without these, connections are counted again after the change.
        saved.seen.clear();
        text = written(&saved)?;
    }
    Ok(Payload::Text(text))
}

/// Changes nothing but the parties that are known, and these only when it can be read.
pub(crate) fn restore(data: &Payload, parties: &mut Parties, most: usize) -> Result<(Option<Period>, Rows), String> {
    let saved: Saved =
        serde_json::from_slice(data.as_bytes()).map_err(|error| format!("cannot take over the sums of the period: {error}"))?;
    let named: Vec<PartyId> = saved.parties.into_iter().map(|party| parties.intern(party)).collect();
    let mut rows = Rows::default();
    for (client, server, kind, sums) in saved.rows {
        let party = |place: usize| named.get(place).copied().unwrap_or_default();
        rows.add_sums(party(client), party(server), Kind(kind), sums, most);
    }
    rows.seen = saved.seen.iter().map(|connection| (connection & !1, connection & 1 == 1)).collect();
    Ok((saved.period.map(|(begin, seconds)| Period { begin, seconds }), rows))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::MOST_CONNECTIONS;

    fn saved(named: usize) -> (Payload, Rows, Parties) {
        let (mut rows, mut parties) = (Rows::default(), Parties::new());
        rows.seen = (0..MOST_CONNECTIONS as u64).map(|number| (u64::MAX - 1 - 2 * number, number % 2 == 0)).collect();
        for number in 0..named {
            let name = format!("{number:0>100}");
            let party = serde_json::from_value(serde_json::json!({"kind": "Pod", "namespace": "shop", "name": name})).unwrap();
            let party = parties.intern(party);
            rows.place(party, party, Kind(443 << 16), usize::MAX);
        }
        (save(Some(Period { begin: 60, seconds: 60 }), &rows, &parties).unwrap(), rows, parties)
    }

    #[test]
    fn the_most_connections_are_handed_over() {
        let (data, rows, mut parties) = saved(10);
        let (period, restored) = restore(&data, &mut parties, 10).unwrap();
        assert_eq!((period, restored.seen), (Some(Period { begin: 60, seconds: 60 }), rows.seen));
        assert_eq!(restored.list.len(), 10);
    }

    #[test]
    fn the_sums_matter_more_than_which_connections_were_counted() {
        let (data, _, mut parties) = saved(40_000);
        assert!(data.as_bytes().len() < 8 << 20, "{} bytes", data.as_bytes().len());
        let (_, restored) = restore(&data, &mut parties, 50_000).unwrap();
        assert_eq!((restored.seen.len(), restored.list.len()), (0, 40_000));
    }

    #[test]
    fn what_is_not_saved_by_it_is_not_restored() {
        assert!(restore(&"{}".into(), &mut Parties::new(), 1).is_err());
        assert!(restore(&vec![0xff].into(), &mut Parties::new(), 1).is_err());
    }
}
