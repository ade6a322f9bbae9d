//! The sums of a period: a row for each pair of parties, port, protocol and direction.

use std::collections::hash_map;

use sluicebox_sdk::{Connection, FastMap, Protocol};

use crate::parties::{Became, OTHER, Parties, PartyId};
use crate::told::{Told, Way};

/// What is summed.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) client: PartyId,
    pub(crate) server: PartyId,
    pub(crate) kind: Kind,
    pub(crate) sums: Sums,
}

/// Port, protocol and direction in one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Kind(pub(crate) u32);

/// Connections, bytes from client to server and back, and segments sent again.
pub(crate) type Sums = [u64; 4];

/// The rows of a period.
#[derive(Default)]
pub(crate) struct Rows {
    pub(crate) list: Vec<Row>,
    places: FastMap<(PartyId, PartyId, Kind), u32>,
    /// The places by subjects: most connections are of subjects that had one before.
    of_subjects: FastMap<(u64, Kind), u32>,
    /// Each connection that was seen, and whether it was seen at its server.
    pub(crate) seen: FastMap<u64, bool>,
    pub(crate) has_left_out: bool,
}

/// A tracer has 65 536 at one time. Beyond it new ones are summed and not counted.
pub(crate) const MOST_CONNECTIONS: usize = 1 << 17;

impl Kind {
    fn of(told: &Told<'_>, protocol: Protocol) -> Self {
        Self(u32::from(told.port) << 16 | u32::from(protocol as u8) << 8 | u32::from(told.direction as u8))
    }

    #[allow(clippy::cast_possible_truncation, reason = "the highest two bytes")]
    pub(crate) fn port(self) -> u16 {
        (self.0 >> 16) as u16
    }

    pub(crate) fn protocol(self) -> &'static str {
        match self.0 >> 8 & 0xff {
            0 => Protocol::Tcp.name(),
            1 => Protocol::Udp.name(),
            _ => Protocol::Other.name(),
        }
    }

    #[allow(clippy::cast_possible_truncation, reason = "the lowest byte")]
    pub(crate) fn direction(self) -> Way {
        Way::of_number(self.0 as u8)
    }
}

/// What is told of the row of those that do not fit.
const OF_ALL_KINDS: Kind = Kind(2 << 8);

impl Rows {
    pub(crate) fn add(&mut self, connection: &Connection, parties: &Parties, most: usize) {
        let told = Told::of(connection);
        let identity = told.identity(connection.protocol, connection.network_namespace);
        let is_full = self.seen.len() >= MOST_CONNECTIONS;
        let is_new = match self.seen.entry(identity) {
            // What both sides of a local connection tell is the same: one of them is enough.
            hash_map::Entry::Occupied(seen) if *seen.get() != told.turned => return,
            hash_map::Entry::Occupied(_) => false,
            hash_map::Entry::Vacant(_) if is_full => {
                self.has_left_out = true;
                false
            }
            hash_map::Entry::Vacant(place) => {
                place.insert(told.turned);
                true
            }
        };
        let kind = Kind::of(&told, connection.protocol);
        let subjects = u64::from(told.client.subject) << 32 | u64::from(told.server.subject);
        let place = self.of_subjects.get(&(subjects, kind)).copied();
        let place = place.unwrap_or_else(|| {
            let place = self.place(parties.of(told.client.subject), parties.of(told.server.subject), kind, most);
            self.of_subjects.insert((subjects, kind), place);
            place
        });
        if let Some(row) = self.list.get_mut(place as usize) {
            let [connections, sent, received, retransmits] = &mut row.sums;
            *connections += u64::from(is_new);
            *sent = sent.saturating_add(told.sent);
            *received = received.saturating_add(told.received);
            *retransmits = retransmits.saturating_add(connection.retransmits.increase);
        }
    }

    /// The place of a row, or of the one for those that do not fit.
    pub(crate) fn place(&mut self, client: PartyId, server: PartyId, kind: Kind, most: usize) -> u32 {
        let next = u32::try_from(self.list.len()).unwrap_or(u32::MAX);
        if let Some(place) = self.places.get(&(client, server, kind)) {
            return *place;
        }
        if self.list.len() >= most && (client, server, kind) != (OTHER, OTHER, OF_ALL_KINDS) {
            return self.place(OTHER, OTHER, OF_ALL_KINDS, most);
        }
        self.list.push(Row { client, server, kind, sums: Sums::default() });
        self.places.insert((client, server, kind), next);
        next
    }

    /// Subjects are somebody else's now.
    pub(crate) fn forget_subjects(&mut self) {
        self.of_subjects.clear();
    }

    /// Who has become somebody else is told as that for the whole period: where that one has a row already, both are one.
    pub(crate) fn rename(&mut self, became: &Became) {
        let new = |id: PartyId| became.get(&id).copied().unwrap_or(id);
        if !self.list.iter().any(|row| became.contains_key(&row.client) || became.contains_key(&row.server)) {
            return;
        }
        self.places.clear();
        for row in std::mem::take(&mut self.list) {
            self.add_sums(new(row.client), new(row.server), row.kind, row.sums, usize::MAX);
        }
    }

    /// Adds what was summed elsewhere.
    pub(crate) fn add_sums(&mut self, client: PartyId, server: PartyId, kind: Kind, sums: Sums, most: usize) {
        let place = self.place(client, server, kind, most);
        if let Some(row) = self.list.get_mut(place as usize) {
            for (sum, more) in row.sums.iter_mut().zip(sums) {
                *sum = sum.saturating_add(more);
            }
        }
    }

    /// The next period begins. The room stays.
    pub(crate) fn clear(&mut self) {
        self.list.clear();
        self.places.clear();
        self.of_subjects.clear();
        self.seen.clear();
        self.has_left_out = false;
    }

    /// Lets go of parties that are not needed any more.
    pub(crate) fn tidy(&mut self, parties: &mut Parties) {
        if !parties.are_stale(2 * self.list.len()) {
            return;
        }
        let moved = parties.tidy(self.list.iter().flat_map(|row| [row.client, row.server]));
        let new = |id: PartyId| moved.get(&id).copied().unwrap_or_default();
        self.of_subjects.clear();
        self.places.clear();
        for (place, row) in (0..).zip(&mut self.list) {
            (row.client, row.server) = (new(row.client), new(row.server));
            self.places.insert((row.client, row.server, row.kind), place);
        }
    }
}
