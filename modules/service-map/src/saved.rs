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
    let saved = Saved {
        period: period.map(|period| (period.begin, period.seconds)),
        rows: saved_rows,
        parties: named,
        seen: rows.seen.iter().map(|(connection, turned)| connection & !1 | u64::from(*turned)).collect(),
    };
    serde_json::to_string(&saved).map(Payload::Text).map_err(|error| format!("cannot write the sums of the period: {error}"))
}

/// Changes nothing but the parties that are known, and these only when it can be read.
pub(crate) fn restore(data: &Payload, parties: &mut Parties, most: usize) -> Result<(Option<Period>, Rows), String> {
    let saved: Saved =
        serde_json::from_slice(data.as_bytes()).map_err(|error| format!("cannot take over the sums of the period: {error}"))?;
    let named: Vec<PartyId> = saved.parties.into_iter().map(|party| parties.intern(party)).collect();
    let mut rows = Rows::default();
    for (client, server, kind, sums) in saved.rows {
        let party = |place: usize| named.get(place).copied().unwrap_or_default();
        let place = rows.place(party(client), party(server), Kind(kind), most);
        if let Some(row) = rows.list.get_mut(place as usize) {
            for (sum, more) in row.sums.iter_mut().zip(sums) {
                *sum = sum.saturating_add(more);
            }
        }
    }
    rows.seen = saved.seen.iter().map(|connection| (connection & !1, connection & 1 == 1)).collect();
    Ok((saved.period.map(|(begin, seconds)| Period { begin, seconds }), rows))
}
