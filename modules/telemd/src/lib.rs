//! What containers use, as telemd publishes it: `<time> <value>` on the channel `telem/<node>/<metric>/<container id>`.
//!
//! The channels of a container are rendered once, when it is defined. Nothing is remembered from tick to tick.

mod line;
mod settings;

use std::collections::{BTreeMap, HashMap};

use sluicebox_sdk::{
    ByMetric, Context, Entries, Metric, Module, Packed, Sample, Samples, Subject, SubjectId, SubjectKind, Subjects, Tick, log,
};

pub use settings::{Instrument, Settings};

/// The module.
pub struct Telemd {
    legacy_time: bool,
    node: String,
    instruments: Vec<Instrument>,
    /// Which instrument adds up the samples of a metric: its place among the instruments.
    places: ByMetric<usize>,
    subjects: BTreeMap<SubjectId, Known>,
}

enum Known {
    /// Its uid: the network is measured for the pod, whose containers share it.
    Pod(String),
    Container {
        id: String,
        pod: String,
        /// One for each instrument.
        channels: Vec<String>,
    },
    /// Telemd knows no others.
    PassedOver,
}

/// What the instruments read, one for each.
type Values = [Option<u64>; Instrument::ALL.len()];

impl Module for Telemd {
    type Settings = Settings;

    fn start(settings: Settings, context: &Context) -> Result<Self, String> {
        let (node, instruments) = settings.check(context)?;
        let legacy_time = settings.legacy_time;
        Ok(Self { legacy_time, node, instruments, places: ByMetric::default(), subjects: BTreeMap::new() })
    }
}

impl Subjects for Telemd {
    fn define(&mut self, subjects: Vec<Subject>) {
        for subject in subjects {
            let known = self.known(&subject);
            self.subjects.insert(subject.id, known);
        }
    }

    fn forget(&mut self, subjects: &[SubjectId]) {
        for subject in subjects {
            self.subjects.remove(subject);
        }
    }
}

impl Samples for Telemd {
    fn metrics(&mut self, metrics: Vec<Metric>) {
        for name in self.instruments.iter().flat_map(|instrument| instrument.metrics()) {
            if !metrics.iter().any(|metric| metric.name == *name) {
                log::warn(format!("this host does not measure `{name}`: what is made of it is left out"));
            }
        }
        self.places = ByMetric::new(&metrics, |metric| {
            self.instruments.iter().position(|instrument| instrument.metrics().contains(&metric.name.as_str()))
        });
    }

    fn samples(&mut self, tick: Tick) -> Result<Entries, String> {
        let networks = self.networks(&tick)?;
        let time = line::time(tick.observed_at_unix_nanos, self.legacy_time);
        let mut lines = Packed::new();
        for (subject, samples) in tick.by_subject() {
            let Some(Known::Container { id, pod, channels }) = self.subjects.get(&subject) else { continue };
            let mut values = self.values(samples);
            if let Some((place, network)) = self.network().zip(networks.get(pod.as_str()).copied())
                && let Some(value) = values.get_mut(place)
            {
                *value = Some(network);
            }
            for (channel, value) in channels.iter().zip(values) {
                if let Some(value) = value {
                    lines.push_on(channel, id, |text| line::write(text, &time, value));
                }
            }
        }
        Ok(lines.into())
    }
}

sluicebox_sdk::export!(Telemd: samples, subjects);

impl Telemd {
    fn known(&self, subject: &Subject) -> Known {
        match subject.kind {
            SubjectKind::Pod => Known::Pod(subject.uid.clone()),
            SubjectKind::Container => self.container(&subject.uid, subject),
            // Without an API server the path alone says whose a cgroup is.
            SubjectKind::Cgroup => match (subject.attribute("container-id"), subject.attribute("pod-uid")) {
                (Some(id), _) => self.container(id, subject),
                (None, Some(uid)) => Known::Pod(uid.to_owned()),
                (None, None) => Known::PassedOver,
            },
            SubjectKind::Namespace | SubjectKind::Node | SubjectKind::Service | SubjectKind::Outside | SubjectKind::Series => {
                Known::PassedOver
            }
        }
    }

    fn container(&self, id: &str, subject: &Subject) -> Known {
        let channel = |instrument: &Instrument| format!("telem/{}/{}/{id}", self.node, instrument.name());
        Known::Container {
            id: id.to_owned(),
            pod: subject.attribute("pod-uid").unwrap_or_default().to_owned(),
            channels: self.instruments.iter().map(channel).collect(),
        }
    }

    /// The place of the instrument of the network.
    fn network(&self) -> Option<usize> {
        self.instruments.iter().position(|instrument| *instrument == Instrument::Net)
    }

    /// What went through the network of each pod, by its uid. The samples of a pod may stand behind those of its containers.
    fn networks(&self, tick: &Tick) -> Result<HashMap<&str, u64>, String> {
        let mut networks = HashMap::new();
        for (subject, samples) in tick.by_subject() {
            let known = self.subjects.get(&subject);
            let known = known.ok_or_else(|| format!("cannot tell what subject {subject} uses: it was never defined"))?;
            if let Known::Pod(uid) = known
                && let Some(value) = self.network().and_then(|place| *self.values(samples).get(place)?)
            {
                networks.insert(uid.as_str(), value);
            }
        }
        Ok(networks)
    }

    /// The sum of what belongs to an instrument: reads and writes, received and sent.
    fn values(&self, samples: &[Sample]) -> Values {
        let mut values = Values::default();
        for sample in samples {
            let place = self.places.get(sample.metric).and_then(|place| values.get_mut(*place));
            if let Some((value, read)) = place.zip(sample.total().or_else(|| sample.value())) {
                *value = Some(value.unwrap_or_default().saturating_add(read));
            }
        }
        values
    }
}
