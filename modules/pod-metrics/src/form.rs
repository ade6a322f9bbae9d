//! Which form is written. The one place that knows them all.

use std::collections::BTreeMap;

use sluicebox_sdk::{Entries, SubjectId, Tick};

use crate::Known;
use crate::catalogue::Row;
use crate::columns::Columns;
use crate::identity::Identity;
use crate::lines::Lines;
use crate::pod_json::PodJson;
use crate::prometheus::Prometheus;
use crate::settings::{Form, Settings};

/// What writes points.
pub(crate) enum Writer {
    Lines(Lines),
    PodJson(PodJson),
    Prometheus(Prometheus),
}

/// The rows in the order in which the form tells them: where a name has one place, its kinds stand together.
pub(crate) fn arranged(form: Form, mut rows: Vec<&'static Row>) -> Vec<&'static Row> {
    if matches!(form, Form::PodJson | Form::Prometheus) {
        let names: Vec<&str> = rows.iter().map(|row| row.name).collect();
        rows.sort_by_key(|row| names.iter().position(|name| *name == row.name));
    }
    rows
}

impl Writer {
    pub(crate) fn new(settings: &Settings, rows: &[&'static Row]) -> Self {
        match settings.form {
            Form::PointJson => Self::Lines(Lines::json(settings, rows)),
            Form::Csv => Self::Lines(Lines::csv(settings, rows)),
            Form::PodJson => Self::PodJson(PodJson::new(settings, rows)),
            Form::Prometheus => Self::Prometheus(Prometheus::new(settings, rows)),
        }
    }

    /// How a subject is written.
    pub(crate) fn known(&self, identity: &Identity<'_>) -> Known {
        match self {
            Self::Lines(lines) => lines.known(identity),
            Self::PodJson(_) => PodJson::known(identity),
            Self::Prometheus(_) => Prometheus::known(identity),
        }
    }

    pub(crate) fn forget(&mut self, known: Known) {
        match self {
            Self::Prometheus(prometheus) => prometheus.forget(known),
            // What was said once is said.
            Self::Lines(_) | Self::PodJson(_) => {}
        }
    }

    pub(crate) fn write(&mut self, tick: &Tick, columns: &Columns, subjects: &BTreeMap<SubjectId, Option<Known>>) -> Entries {
        match self {
            Self::Lines(lines) => lines.write(tick, columns, subjects),
            Self::PodJson(json) => json.write(tick, columns, subjects),
            Self::Prometheus(prometheus) => prometheus.write(tick, columns, subjects),
        }
    }
}
