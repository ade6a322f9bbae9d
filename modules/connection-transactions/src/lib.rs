//! Connections as documents: under a key made of both ends, the bytes that each has sent and received. A document is put with every
//! report and forgotten when its connection was not reported for a while.
//!
//! A thousand connections come in a call. So everything is written by hand into texts of the right size: two allocations for each
//! document and one for the name of what holds it, which the border asks for.

mod ascii;
mod ends;
mod key;
mod remembered;
mod settings;

use std::hash::{BuildHasher, BuildHasherDefault};

use sluicebox_sdk::{
    Connection, ConnectionReport, Connections, Context, Document, Entries, Entry, FastHasher, Forget, Module, Payload, State,
    Subject, SubjectId, Subjects, log,
};

use ascii::Ascii;
use ends::Ends;
use key::Key;
use remembered::Remembered;
pub use settings::{Form, KeyForm, Settings, Unchanged};

/// The module.
pub struct ConnectionTransactions {
    settings: Settings,
    ends: Ends,
    remembered: Remembered,
    /// Whether it was said that there are more connections than can be remembered.
    warned: bool,
}

impl Module for ConnectionTransactions {
    type Settings = Settings;

    fn start(settings: Settings, _: &Context) -> Result<Self, String> {
        settings.check()?;
        Ok(Self { settings, ends: Ends::default(), remembered: Remembered::default(), warned: false })
    }
}

impl Subjects for ConnectionTransactions {
    fn define(&mut self, subjects: Vec<Subject>) {
        if self.settings.form == Form::Joined {
            for subject in &subjects {
                self.ends.define(subject);
            }
        }
    }

    fn forget(&mut self, subjects: &[SubjectId]) {
        for subject in subjects {
            self.ends.forget(*subject);
        }
    }
}

impl Connections for ConnectionTransactions {
    fn connections(&mut self, report: ConnectionReport) -> Result<Entries, String> {
        self.remembered.begin(report.observed_at_unix_nanos, report.over_nanoseconds);
        let last_of_each = self.last_of_each(&report.connections);
        let mut entries = Vec::with_capacity(last_of_each.len());
        let mut name = Ascii::new();
        for (key, connection) in last_of_each {
            if self.settings.unchanged == Unchanged::Skip && !self.changes(&key, connection) {
                continue;
            }
            key.write(&mut name);
            let collection = self.settings.collection.clone();
            let body = Payload::Text(self.body(connection));
            entries.push(Entry::Document(Document { collection, name: name.to_exact(), body }));
        }
        self.forget_what_is_over(report.more, &mut entries);
        Ok(entries.into())
    }
}

impl State for ConnectionTransactions {
    const VERSION: u32 = 1;

    fn save(&self) -> Result<Payload, String> {
        Ok(self.remembered.save().into())
    }

    fn restore(&mut self, version: u32, data: Payload) -> Result<(), String> {
        if version != Self::VERSION {
            return Err(format!("cannot take over the connections: their form {version} is not known here, only 1"));
        }
        self.remembered = Remembered::restore(&data).ok_or("cannot take over the connections: these bytes are not theirs")?;
        Ok(())
    }
}

sluicebox_sdk::export!(ConnectionTransactions: connections, subjects, state);

impl ConnectionTransactions {
    /// Of connections with the same key the last one, at the place of the first.
    fn last_of_each<'report>(&mut self, connections: &'report [Connection]) -> Vec<(Key, &'report Connection)> {
        let mut last_of_each: Vec<(Key, &Connection)> = Vec::with_capacity(connections.len());
        for connection in connections.iter().filter(|connection| !key::stays_inside(connection)) {
            let key = Key::of(connection, self.settings.key);
            let place = u32::try_from(last_of_each.len()).unwrap_or(u32::MAX);
            match self.remembered.see(key, place).and_then(|place| last_of_each.get_mut(place as usize)) {
                Some(before) => before.1 = connection,
                None => last_of_each.push((key, connection)),
            }
        }
        last_of_each
    }

    fn changes(&mut self, key: &Key, connection: &Connection) -> bool {
        let totals = (connection.sent.total, connection.received.total, connection.retransmits.total);
        let ends = (self.ends.hash(connection.source.subject), self.ends.hash(connection.destination.subject));
        let fingerprint = BuildHasherDefault::<FastHasher>::default().hash_one((totals, ends));
        self.remembered.changes(key, fingerprint)
    }

    fn body(&self, connection: &Connection) -> String {
        let mut values = Ascii::<160>::new();
        values.text("{\"monotonic_sent_bytes\":");
        values.number(connection.sent.total);
        values.text(",\"monotonic_recv_bytes\":");
        values.number(connection.received.total);
        values.text(",\"monotonic_retransmits\":");
        values.number(connection.retransmits.total);
        values.text("}");
        match self.settings.form {
            Form::Plain => values.to_exact(),
            Form::Joined => self.joined(values.as_str(), connection),
        }
    }

    /// The names are those of the program that is replaced, its `datadrc` included.
    fn joined(&self, values: &str, connection: &Connection) -> String {
        let (mut source, mut destination) = (Ascii::<40>::new(), Ascii::<40>::new());
        source.address(connection.source.address, b':');
        destination.address(connection.destination.address, b':');
        let parts = [
            "{\"values\":",
            values,
            ",\"ipsrc\":\"",
            source.as_str(),
            "\",\"datadrc\":",
            self.ends.json(connection.source.subject),
            ",\"ipdest\":\"",
            destination.as_str(),
            "\",\"datadest\":",
            self.ends.json(connection.destination.subject),
            "}",
        ];
        // Allocates once, and no more than is needed.
        parts.concat()
    }

    fn forget_what_is_over(&mut self, more: bool, entries: &mut Vec<Entry>) {
        if !self.settings.remembers() {
            self.remembered.clear();
            return;
        }
        let over = match self.settings.prune_after {
            Some(after) if !more => self.remembered.prune(after.nanos()),
            _ => Vec::new(),
        };
        let too_many = self.remembered.keep_at_most(self.settings.remember);
        if !too_many.is_empty() && !std::mem::replace(&mut self.warned, true) {
            log::warn(format!(
                "there are more connections than `remember` allows, {}: those that were not reported for the longest time are \
                 forgotten before their time",
                self.settings.remember
            ));
        }
        // Without a time to prune after nothing is taken away, only the memory of it.
        if self.settings.prune_after.is_some() {
            let mut name = Ascii::new();
            entries.extend(over.into_iter().chain(too_many).map(|key| {
                key.write(&mut name);
                let collection = self.settings.collection.clone();
                Entry::Forget(Forget { collection, name: name.to_exact(), after_milliseconds: 0 })
            }));
        }
    }
}
