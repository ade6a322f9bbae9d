//! Who talks to whom, by workload: for each period a message for each client, server, port, protocol and direction, with the traffic
//! between them.
//!
//! A thousand connections come in a call, five times a minute or more. So a connection costs two look-ups by numbers, and names are
//! touched only when a period is over.

mod parties;
mod period;
mod rows;
mod saved;
mod settings;
mod told;

use sluicebox_sdk::{
    ConnectionReport, Connections, Context, Entries, Module, Packed, Payload, Rfc3339, State, Subject, SubjectId, Subjects, json,
    log,
};

use parties::Parties;
use period::{Clock, Period};
use rows::Rows;
pub use settings::Settings;

/// The module.
pub struct ServiceMap {
    settings: Settings,
    seconds: u64,
    node: String,
    parties: Parties,
    clock: Clock,
    rows: Rows,
}

impl Module for ServiceMap {
    type Settings = Settings;

    fn start(settings: Settings, context: &Context) -> Result<Self, String> {
        let seconds = settings.check()?;
        let mut node = String::new();
        json::string(&mut node, &context.node_name);
        Ok(Self { settings, seconds, node, parties: Parties::new(), clock: Clock::default(), rows: Rows::default() })
    }
}

impl Subjects for ServiceMap {
    fn define(&mut self, subjects: Vec<Subject>) {
        let became = self.parties.define(&subjects);
        self.rows.forget_subjects();
        self.rows.rename(&became);
    }

    fn forget(&mut self, subjects: &[SubjectId]) {
        for subject in subjects {
            self.parties.forget(*subject);
        }
        self.rows.forget_subjects();
        self.rows.tidy(&mut self.parties);
    }
}

impl Connections for ServiceMap {
    fn connections(&mut self, report: ConnectionReport) -> Result<Entries, String> {
        let over = self.clock.turn(report.observed_at_unix_nanos, self.seconds);
        let messages = over.map_or_else(Packed::new, |period| self.tell(period));
        for connection in &report.connections {
            self.rows.add(connection, &self.parties, self.settings.max_rows);
        }
        Ok(messages.into())
    }
}

impl State for ServiceMap {
    const VERSION: u32 = 1;

    fn save(&self) -> Result<Payload, String> {
        saved::save(self.clock.current, &self.rows, &self.parties)
    }

    fn restore(&mut self, version: u32, data: Payload) -> Result<(), String> {
        if version != Self::VERSION {
            return Err(format!("cannot take over the sums of the period: their form {version} is not known here, only 1"));
        }
        (self.clock.current, self.rows) = saved::restore(&data, &mut self.parties, self.settings.max_rows)?;
        Ok(())
    }
}

sluicebox_sdk::export!(ServiceMap: connections, subjects, state);

impl ServiceMap {
    /// Tells the rows of a period that is over, in the order in which they came.
    fn tell(&mut self, period: Period) -> Packed {
        if self.rows.has_left_out {
            log::warn("there were more connections in a period than are counted, 131072: the bytes of all are told");
        }
        let begin = Rfc3339(period.begin.saturating_mul(1_000_000_000)).to_string().replace(".000000000", "");
        let head = format!(r#"{{"timestamp":"{begin}","period-seconds":{},"node":{},"source":"#, period.seconds, self.node);
        let messages = self.settings.channel.as_ref().map_or_else(Packed::new, Packed::on);
        let mut messages = messages.with_room(self.rows.list.len(), self.rows.list.len() * (head.len() + 384));
        let mut key = String::new();
        for row in &self.rows.list {
            key.clear();
            key.push_str(self.parties.key(row.client));
            key.push('>');
            key.push_str(self.parties.key(row.server));
            messages.push(&key, |text| {
                text.push_str(&head);
                text.push_str(self.parties.json(row.client));
                text.push_str(",\"destination\":");
                text.push_str(self.parties.json(row.server));
                number(text, ",\"port\":", row.kind.port().into());
                text.push_str(",\"protocol\":\"");
                text.push_str(row.kind.protocol());
                text.push_str("\",\"direction\":\"");
                text.push_str(row.kind.direction().name());
                text.push('"');
                let [connections, sent, received, retransmits] = row.sums;
                number(text, ",\"connections\":", connections);
                number(text, ",\"sent-bytes\":", sent);
                number(text, ",\"received-bytes\":", received);
                number(text, ",\"retransmits\":", retransmits);
                text.push('}');
            });
        }
        self.rows.clear();
        self.rows.tidy(&mut self.parties);
        messages
    }
}

fn number(text: &mut String, name: &str, number: u64) {
    text.push_str(name);
    text.push_str(itoa::Buffer::new().format(number));
}
