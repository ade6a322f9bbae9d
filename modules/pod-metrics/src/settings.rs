//! What the operator can set, and what of it is refused.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::catalogue::{CATALOGUE, Row};
use crate::{identity, lines, prometheus};

/// What the operator can set.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Settings {
    /// What comes out.
    pub form: Form,
    /// What a point is about.
    pub per: Per,
    /// What 100 percent of the processor are.
    pub cpu_percent: CpuPercent,
    /// Which metrics are told.
    pub metrics: Wanted,
    /// Whether cgroups that are neither a pod nor a container are told of as well.
    pub cgroups: bool,
    /// Attributes that every point has besides its own.
    pub attributes: BTreeMap<String, String>,
    /// The channel, topic or file of the messages; left out, the sink's configuration decides.
    #[serde(alias = "topic", alias = "file")]
    pub channel: Option<String>,
    /// In the form `prometheus`, what stands before each name.
    pub prefix: Option<String>,
    /// In the form `prometheus`, what stands behind each name, before its unit.
    pub suffix: Option<String>,
}

/// What comes out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Form {
    /// A message in JSON for each point.
    #[default]
    PointJson,
    /// A message in JSON for each pod or container and tick.
    PodJson,
    /// A line of CSV for each point, as Alumet writes them.
    Csv,
    /// A document in Prometheus' text format for each pod or container.
    Prometheus,
}

/// What a point is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Per {
    /// A pod as a whole.
    #[default]
    Pod,
    /// A container.
    Container,
}

/// What 100 percent of the processor are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CpuPercent {
    /// One core, used all the time.
    #[default]
    Core,
    /// All cores that are online.
    Machine,
}

/// Which metrics are told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Wanted {
    /// Those that Alumet has.
    #[default]
    Alumet,
    /// Everything that is measured.
    All,
    /// Those of these names.
    Named(Vec<String>),
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            form: Form::default(),
            per: Per::default(),
            cpu_percent: CpuPercent::default(),
            metrics: Wanted::default(),
            cgroups: true,
            attributes: BTreeMap::new(),
            channel: None,
            prefix: None,
            suffix: None,
        }
    }
}

impl Settings {
    /// Refuses what cannot work; tells which metrics are told.
    pub(crate) fn check(&self) -> Result<Vec<&'static Row>, String> {
        self.check_form()?;
        self.check_attributes()?;
        match &self.metrics {
            Wanted::Alumet => Ok(CATALOGUE.iter().filter(|row| row.is_alumet()).collect()),
            Wanted::All => Ok(CATALOGUE.iter().collect()),
            Wanted::Named(names) => self.named(names),
        }
    }

    fn check_form(&self) -> Result<(), String> {
        if self.channel.as_ref().is_some_and(String::is_empty) {
            return Err(
                "setting `channel`: is empty: name a channel, topic or file, or leave the setting out for the sink's".to_owned()
            );
        }
        if self.form == Form::Prometheus && self.channel.is_some() {
            return Err("setting `channel`: the form `prometheus` makes documents, which have none: leave the setting out, \
                        or choose another `form`"
                .to_owned());
        }
        for (name, setting) in [("prefix", &self.prefix), ("suffix", &self.suffix)] {
            if self.form != Form::Prometheus && setting.is_some() {
                return Err(format!(
                    "setting `{name}`: only the names of the form `prometheus` have one: leave the setting out, or set \
                     `form: prometheus`"
                ));
            }
        }
        Ok(())
    }

    fn check_attributes(&self) -> Result<(), String> {
        let mut labels = BTreeSet::new();
        for name in self.attributes.keys() {
            let refused = |cause: &str| Err(format!("setting `attributes`: `{name}` {cause}: give it another name"));
            if name.is_empty() {
                return Err("setting `attributes`: one of them has no name: give it one".to_owned());
            }
            if identity::OWN.contains(&name.as_str()) {
                return refused("is an attribute that the points have of their own");
            }
            if lines::COLUMNS.contains(&name.as_str()) || prometheus::LABELS.contains(&name.as_str()) {
                return refused("is a column or label that the points have of their own");
            }
            if self.form != Form::Prometheus {
                continue;
            }
            let label = prometheus::clean(name);
            if label.starts_with("__") {
                return refused("begins like the names that Prometheus keeps for itself");
            }
            let is_own = identity::OWN.contains(&label.as_str()) || prometheus::LABELS.contains(&label.as_str());
            if is_own || !labels.insert(label) {
                return refused("is to Prometheus the same as another label, since it knows letters, digits and `_` only");
            }
        }
        Ok(())
    }

    fn named(&self, names: &[String]) -> Result<Vec<&'static Row>, String> {
        if names.is_empty() {
            return Err("setting `metrics`: is empty: name some metrics, or set `alumet` or `all`".to_owned());
        }
        for name in names {
            let Some(row) = CATALOGUE.iter().find(|row| row.name == name) else {
                let mut known: Vec<&str> = CATALOGUE.iter().map(|row| row.name).collect();
                known.sort_unstable();
                known.dedup();
                return Err(format!("setting `metrics`: there is no metric `{name}`: name some of {}", known.join(", ")));
            };
            if row.is_of_pods() && self.per == Per::Container {
                return Err(format!(
                    "setting `metrics`: `{name}` is measured for pods only, whose containers share it: set `per: pod`, or take it out"
                ));
            }
        }
        Ok(CATALOGUE.iter().filter(|row| names.iter().any(|name| name == row.name)).collect())
    }
}

/// A word or a list. What serde could do by itself would not say what is expected.
impl<'de> Deserialize<'de> for Wanted {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct WordOrList;

        impl<'de> Visitor<'de> for WordOrList {
            type Value = Wanted;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("`alumet`, `all`, or a list of names")
            }

            fn visit_str<E: Error>(self, word: &str) -> Result<Wanted, E> {
                match word {
                    "alumet" => Ok(Wanted::Alumet),
                    "all" => Ok(Wanted::All),
                    other => Err(E::invalid_value(serde::de::Unexpected::Str(other), &self)),
                }
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Wanted, A::Error> {
                let mut names = Vec::new();
                while let Some(name) = list.next_element()? {
                    names.push(name);
                }
                Ok(Wanted::Named(names))
            }
        }

        deserializer.deserialize_any(WordOrList)
    }
}
