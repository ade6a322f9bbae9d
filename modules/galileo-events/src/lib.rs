//! Pods as the events that galileo records (`<time> pod/<event> <json>`), nodes as the hashes that it joins them with.
//!
//! The module keeps nothing: what has been said about a pod follows from its state before, which comes with every event. A fresh
//! instance goes on where the last one stopped.

mod containers;
mod line;
mod node;
mod pods;
mod settings;

use sluicebox_sdk::{Change, Context, Entries, Entry, Module, ObjectEvent, ObjectKind, Objects, PodEvent, Pods};

pub use settings::{Image, Schema, Settings};

/// The module.
pub struct GalileoEvents {
    settings: Settings,
    node_info: bool,
}

impl Module for GalileoEvents {
    type Settings = Settings;

    fn start(settings: Settings, context: &Context) -> Result<Self, String> {
        let node_info = settings.check(context)?;
        Ok(Self { settings, node_info })
    }
}

impl Pods for GalileoEvents {
    fn pods(&mut self, events: Vec<PodEvent>) -> Result<Entries, String> {
        let mut entries = Vec::with_capacity(events.len());
        for event in &events {
            match self.settings.schema {
                Schema::Container => containers::shape(event, &self.settings, &mut entries),
                Schema::Pod => pods::shape(event, &self.settings, &mut entries),
            }
        }
        Ok(entries.into())
    }
}

impl Objects for GalileoEvents {
    fn objects(&mut self, events: Vec<ObjectEvent>) -> Result<Entries, String> {
        let mut entries: Vec<Entry> = Vec::new();
        for event in &events {
            // What a node that has gone was like is still needed to read what was recorded on it: its hash stays.
            let tells = event.kind == ObjectKind::Node && event.change != Change::Deleted;
            if let Some(json) = event.json.as_deref().filter(|_| tells && self.node_info) {
                entries.extend(node::documents(&event.name, json, &self.settings)?);
            }
        }
        Ok(entries.into())
    }
}

sluicebox_sdk::export!(GalileoEvents: pods, objects);
