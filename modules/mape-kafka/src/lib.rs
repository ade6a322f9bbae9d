//! What Prometheus knows of containers, as the messages that MAPE reads from Kafka: one for each metric and series, and the loss of
//! packets, worked out for each container once all queries of a cycle have been told.
//!
//! Some thousand series come in each cycle. So what is the same in all messages of a metric or about a container is written once, and a
//! message is a few texts and a number.

mod clock;
mod ids;
mod loss;
mod metrics;
mod notices;
mod python;
mod saved;
mod settings;
mod table;
mod told;
mod value;

use sluicebox_sdk::{Context, Entries, Module, Payload, Series, SeriesReport, SeriesSample, State, Subject, SubjectId, Subjects};

use clock::Clock;
use ids::{ContainerId, Ids};
use loss::Loss;
use metrics::{Fragments, Metrics};
use notices::Notices;
pub use settings::{Described, Destination, Form, Key, Labels, NotFinite, Settings, Wanted};
use told::Told;

/// The module.
pub struct MapeKafka {
    settings: Settings,
    ids: Ids,
    metrics: Metrics,
    loss: Loss,
    lost: [Fragments; 2],
    clock: Clock,
    notices: Notices,
}

impl Module for MapeKafka {
    type Settings = Settings;

    fn start(settings: Settings, _: &Context) -> Result<Self, String> {
        settings.check()?;
        Ok(Self {
            ids: Ids::of(settings.container_id_label.0.clone()),
            metrics: Metrics::new(settings.form, settings.metrics.clone()),
            loss: Loss::new(settings.remember),
            lost: Fragments::of_loss(settings.form),
            clock: Clock::default(),
            notices: Notices::default(),
            settings,
        })
    }
}

impl Subjects for MapeKafka {
    fn define(&mut self, subjects: Vec<Subject>) {
        for subject in &subjects {
            self.ids.define(subject);
        }
    }

    fn forget(&mut self, subjects: &[SubjectId]) {
        for subject in subjects {
            self.ids.forget(*subject);
        }
    }
}

impl Series for MapeKafka {
    fn series(&mut self, report: SeriesReport) -> Result<Entries, String> {
        // Nothing is refused behind this, so that what was remembered of a report is never remembered twice.
        if let Some((subject, _)) = report.by_series().find(|(subject, _)| !self.ids.knows(*subject)) {
            return Err(format!("cannot tell which container subject {subject} is about: it was never defined"));
        }
        self.notices.tell(&report);
        let (cycle, observed_at) = (report.query.cycle.as_str(), report.observed_at_unix_nanos);
        let mut told = Told::new(self.settings.destination(), self.settings.key);
        // What a cycle before has lost comes before anything newer about the same container.
        self.loss.begin(cycle, observed_at);
        let (messages, bytes) = self.room(&report);
        told.tell_loss(&mut self.loss, &self.lost, &mut self.clock, bytes + messages * told.channel());
        told.reserve(messages, bytes);
        self.tell(&report, &mut told);
        if self.settings.packet_loss {
            self.remember(&report);
        }
        if !report.more {
            self.loss.end(cycle, observed_at);
        }
        told.tell_loss(&mut self.loss, &self.lost, &mut self.clock, 0);
        Ok(told.into())
    }
}

impl State for MapeKafka {
    const VERSION: u32 = 1;

    fn save(&self) -> Result<Payload, String> {
        saved::save(&self.loss)
    }

    fn restore(&mut self, version: u32, data: Payload) -> Result<(), String> {
        if version != Self::VERSION {
            return Err(format!("cannot take over the packets of the cycle: their form {version} is not known here, only 1"));
        }
        if self.settings.packet_loss {
            saved::restore(&data, &mut self.loss)?;
        }
        Ok(())
    }
}

sluicebox_sdk::export!(MapeKafka: series, subjects, state);

impl MapeKafka {
    /// A message for each series that is about a container.
    fn tell(&mut self, report: &SeriesReport, told: &mut Told) {
        let metric = self.metrics.of(&report.query);
        for (id, samples) in about_containers(report, &self.ids, &self.settings) {
            let samples = samples.iter().filter(|sample| tells(sample, self.settings.not_finite));
            told.push(&id.text, |text| metric.fragments.write(text, &id.json, samples, &mut self.clock));
        }
    }

    /// How many messages a report makes, and how many bytes they take at most, but for what is odd.
    fn room(&mut self, report: &SeriesReport) -> (usize, usize) {
        let count = |[messages, samples, ids]: [usize; 3], (id, chosen): (&ContainerId, &[SeriesSample])| {
            [messages + 1, samples + chosen.len(), ids + id.text.len() + id.json.len()]
        };
        let [messages, samples, ids] = about_containers(report, &self.ids, &self.settings).fold([0; 3], count);
        (messages, ids + self.metrics.of(&report.query).fragments.room(messages, samples))
    }

    /// Keeps what it takes to work out the loss of packets.
    fn remember(&mut self, report: &SeriesReport) {
        let Some(packets) = self.metrics.of(&report.query).packets else { return };
        let mut cycle = self.loss.cycle(&report.query.cycle, report.observed_at_unix_nanos);
        for (subject, samples) in report.by_series() {
            let last = samples.iter().rev().find(|sample| sample.value.is_finite());
            if let (Some(id), Some(last)) = (self.ids.get(subject), last) {
                cycle.add(&id.text, packets, (last.unix_milliseconds, last.value));
            }
        }
    }
}

/// The series that make a message, each with those of its samples among which are the ones to be told.
fn about_containers<'report>(
    report: &'report SeriesReport,
    ids: &'report Ids,
    settings: &Settings,
) -> impl Iterator<Item = (&'report ContainerId, &'report [SeriesSample])> {
    let (wanted, not_finite) = (settings.wanted(), settings.not_finite);
    report.by_series().filter_map(move |(subject, samples)| {
        let id = ids.get(subject)?;
        let last = samples.iter().rposition(|sample| tells(sample, not_finite))?;
        let first = if wanted == Wanted::Last { last } else { 0 };
        Some((id, samples.get(first..=last)?))
    })
}

/// Whether a sample is told.
fn tells(sample: &SeriesSample, not_finite: NotFinite) -> bool {
    not_finite == NotFinite::Text || sample.value.is_finite()
}
