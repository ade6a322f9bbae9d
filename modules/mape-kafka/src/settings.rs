//! What the operator can set, and what of it is refused.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// What the operator can set.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Settings {
    /// How a message is written.
    pub form: Form,
    /// Which samples of a series are told; left out, what the form has.
    pub samples: Option<Wanted>,
    /// The topic of the messages.
    pub topic: Destination,
    /// Their channel or file, for a sink that has no topics.
    #[serde(alias = "file")]
    pub channel: Destination,
    /// The key of the messages.
    pub key: Key,
    /// The labels that tell which container a series is about.
    pub container_id_label: Labels,
    /// What is told of metrics, over what the module and Prometheus know.
    pub metrics: BTreeMap<String, Described>,
    /// What becomes of values that are no finite numbers.
    pub not_finite: NotFinite,
    /// Whether the loss of packets is told.
    pub packet_loss: bool,
    /// For how many containers the packets are remembered until a cycle ends.
    pub remember: usize,
}

/// Where messages go.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(from = "Option<String>")]
pub enum Destination {
    /// Where nothing is said.
    #[default]
    Usual,
    /// Where the sink has them go.
    OfSink,
    /// There.
    Named(String),
}

impl From<Option<String>> for Destination {
    fn from(name: Option<String>) -> Self {
        name.map_or(Self::OfSink, Self::Named)
    }
}

/// How a message is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Form {
    /// As the README of the replaced program shows it.
    #[default]
    Readme,
    /// As the replaced program writes it.
    Source,
}

/// Which samples of a series are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Wanted {
    /// All that were found.
    All,
    /// The newest.
    Last,
}

/// The key of the messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Key {
    /// The container, so that what is told of one stays in one order.
    #[default]
    ContainerId,
    /// None.
    None,
}

/// What becomes of values that are no finite numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NotFinite {
    /// They are left out.
    #[default]
    Skip,
    /// They are told as Prometheus writes them.
    Text,
}

/// Names of labels: one, or several of which the first one counts that a series has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Labels(
    /// The names.
    pub Vec<String>,
);

/// What is told of a metric.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Described {
    /// Its type.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// Its unit, which may be empty.
    pub unit: Option<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            form: Form::default(),
            samples: None,
            topic: Destination::Usual,
            channel: Destination::Usual,
            key: Key::default(),
            container_id_label: Labels(vec!["label_vim_id".to_owned()]),
            metrics: BTreeMap::new(),
            not_finite: NotFinite::default(),
            packet_loss: true,
            remember: 20_000,
        }
    }
}

/// What is saved for the next instance must fit into what a call may return, 8 MiB unless the lane says otherwise.
const MOST: usize = 30_000;
/// Where messages go when nothing is said.
const TOPIC: &str = "nfvi.ncsrd.kubernetes";
/// No topic of Kafka has a longer name.
const LONGEST_TOPIC: usize = 249;

impl Settings {
    /// Refuses what cannot work.
    pub(crate) fn check(&self) -> Result<(), String> {
        self.check_destination()?;
        let Labels(labels) = &self.container_id_label;
        if labels.is_empty() || labels.iter().any(String::is_empty) {
            return Err("setting `container-id-label`: a label without a name tells nothing: name one or more labels, such as \
                        `label_vim_id` or `pod`"
                .to_owned());
        }
        for (name, described) in &self.metrics {
            let refused = |cause: &str| Err(format!("setting `metrics`: {cause}"));
            if name.is_empty() {
                return refused("one of them has no name: give it the name of a metric");
            }
            if described.kind.as_ref().is_some_and(String::is_empty) {
                return refused(&format!("the `type` of `{name}` is empty: set `gauge` or `counter`, or leave it out"));
            }
            if *described == Described::default() {
                return refused(&format!("`{name}` tells neither a `type` nor a `unit`: add one, or take it out"));
            }
        }
        if self.remember == 0 || self.remember > MOST {
            return Err(format!(
                "setting `remember`: there cannot be {} containers: set it from 1 to {MOST}, leave it out for 20000, or set \
                 `packet-loss: false`",
                self.remember
            ));
        }
        Ok(())
    }

    fn check_destination(&self) -> Result<(), String> {
        if self.topic != Destination::Usual && self.channel != Destination::Usual {
            return Err("duplicate field `topic`: `channel` and `file` are other words for it".to_owned());
        }
        for (setting, destination) in [("topic", &self.topic), ("channel", &self.channel)] {
            if matches!(destination, Destination::Named(name) if name.is_empty()) {
                return Err(format!("setting `{setting}`: is empty: name a {setting}, or set `null` for the one of the sink"));
            }
        }
        let fits = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '.' | '_' | '-');
        match &self.topic {
            Destination::Named(name)
                if name.len() > LONGEST_TOPIC || matches!(name.as_str(), "." | "..") || !name.chars().all(fits) =>
            {
                Err(format!(
                    "setting `topic`: `{}` is no name of a topic: write 1 to {LONGEST_TOPIC} letters, digits, `.`, `_` and `-`, or name \
                     it under `channel` for a sink that has no topics",
                    name.chars().take(LONGEST_TOPIC).collect::<String>()
                ))
            }
            _ => Ok(()),
        }
    }

    /// Where messages go; none leaves it to the sink.
    pub(crate) fn destination(&self) -> Option<&str> {
        let said = if self.channel == Destination::Usual { &self.topic } else { &self.channel };
        match said {
            Destination::Usual => Some(TOPIC),
            Destination::OfSink => None,
            Destination::Named(name) => Some(name),
        }
    }

    /// Which samples are told in this form.
    pub(crate) fn wanted(&self) -> Wanted {
        self.samples.unwrap_or(match self.form {
            Form::Readme => Wanted::All,
            Form::Source => Wanted::Last,
        })
    }
}

/// A text or a list. What serde could do by itself would not say what is expected.
impl<'de> Deserialize<'de> for Labels {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrSeveral;

        impl<'de> Visitor<'de> for OneOrSeveral {
            type Value = Labels;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("the name of a label, or a list of names")
            }

            fn visit_str<E: Error>(self, name: &str) -> Result<Labels, E> {
                Ok(Labels(vec![name.to_owned()]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Labels, A::Error> {
                let mut names = Vec::new();
                while let Some(name) = list.next_element()? {
                    names.push(name);
                }
                Ok(Labels(names))
            }
        }

        deserializer.deserialize_any(OneOrSeveral)
    }
}
