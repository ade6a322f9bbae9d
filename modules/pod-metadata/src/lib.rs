//! What stands behind an address: pods, services and nodes as documents under their addresses, for readers that join them with
//! connections.
//!
//! Who has an address is remembered, since addresses change hands: what somebody else has by now is not taken away when the news comes,
//! late, that its holder before is gone.

mod addresses;
mod body;
mod holders;
mod settings;

use std::hash::{BuildHasher, BuildHasherDefault};
use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use sluicebox_sdk::{
    Change, Context, Document, Entries, Entry, FastHasher, Forget, Inventories, Inventory, InventoryPod, Module, NodeEvent,
    Nodes, Payload, PodEvent, Pods, ServiceEvent, Services, State, log,
};

use holders::{Claim, Holders};
pub use settings::{Settings, Unchanged};

/// The module.
pub struct PodMetadata {
    settings: Settings,
    holders: Holders,
}

impl Module for PodMetadata {
    type Settings = Settings;

    fn start(settings: Settings, context: &Context) -> Result<Self, String> {
        settings.check(context)?;
        Ok(Self { settings, holders: Holders::default() })
    }
}

impl Pods for PodMetadata {
    fn pods(&mut self, events: Vec<PodEvent>) -> Result<Entries, String> {
        let mut entries = Vec::new();
        for event in &events {
            let before = event.previous.as_ref().map(addresses::of_pod).unwrap_or_default();
            let now = addresses::of_pod(&event.pod);
            self.change(event.change, &event.pod.uid, before, now, || body::of_pod(&event.pod), &mut entries);
        }
        Ok(entries.into())
    }
}

impl Services for PodMetadata {
    fn services(&mut self, events: Vec<ServiceEvent>) -> Result<Entries, String> {
        let mut entries = Vec::new();
        for event in &events {
            let before = event.previous.as_ref().map(addresses::of_service).unwrap_or_default();
            let now = addresses::of_service(&event.service);
            let body = || body::of_service(&event.service).unwrap_or_default();
            self.change(event.change, &event.service.uid, before, now, body, &mut entries);
        }
        Ok(entries.into())
    }
}

impl Nodes for PodMetadata {
    fn nodes(&mut self, events: Vec<NodeEvent>) -> Result<Entries, String> {
        let mut entries = Vec::new();
        for event in &events {
            let before = event.previous.as_ref().map(addresses::of_whole_node).unwrap_or_default();
            let now = addresses::of_whole_node(&event.node);
            self.change(event.change, &event.node.uid, before, now, || body::of_whole_node(&event.node), &mut entries);
        }
        Ok(entries.into())
    }
}

impl Inventories for PodMetadata {
    fn inventory(&mut self, inventory: Inventory) -> Result<Entries, String> {
        let mut entries = Vec::new();
        if let Some(node) = &inventory.node {
            let body = || body::of_node(&node.name, &node.kernel_version);
            let now = addresses::of_node(&node.addresses);
            self.change(Change::Modified, &node.uid, Vec::new(), now, body, &mut entries);
        }
        for pod in &inventory.pods {
            self.list(pod, inventory.observed_at_unix_nanos, &mut entries);
        }
        if !inventory.more {
            let gone = self.holders.unlisted(inventory.observed_at_unix_nanos);
            entries.extend(gone.into_iter().map(|address| self.forget(address)));
        }
        Ok(entries.into())
    }
}

/// What is handed over to the next instance.
#[derive(Serialize, Deserialize)]
struct Saved<H> {
    collection: Option<String>,
    holders: H,
}

impl State for PodMetadata {
    const VERSION: u32 = 1;

    fn save(&self) -> Result<Payload, String> {
        let saved = Saved { collection: self.settings.collection.clone(), holders: &self.holders };
        serde_json::to_string(&saved).map(Payload::Text).map_err(|error| format!("cannot write who has which address: {error}"))
    }

    fn restore(&mut self, version: u32, data: Payload) -> Result<(), String> {
        if version != Self::VERSION {
            return Err(format!("cannot take over who has which address: the form {version} is not known here, only 1"));
        }
        let saved: Saved<Holders> = serde_json::from_slice(data.as_bytes())
            .map_err(|error| format!("cannot take over who has which address: {error}"))?;
        if saved.collection == self.settings.collection {
            self.holders = saved.holders;
        } else {
            log::warn("the documents in the collection before stay there: `collection` has changed");
        }
        Ok(())
    }
}

sluicebox_sdk::export!(PodMetadata: pods, services, nodes, inventory, state);

impl PodMetadata {
    /// An object has changed: addresses that it has not any more are forgotten, of the others is told what is new.
    fn change(
        &mut self,
        change: Change,
        uid: &str,
        mut before: Vec<IpAddr>,
        mut now: Vec<IpAddr>,
        body: impl Fn() -> String,
        entries: &mut Vec<Entry>,
    ) {
        if change == Change::Deleted {
            let last = std::mem::take(&mut now);
            before.extend(last.into_iter().filter(|address| !before.contains(address)).collect::<Vec<_>>());
        }
        for address in before.iter().filter(|address| !now.contains(address)) {
            if self.holders.leaves(*address, uid) {
                entries.push(self.forget(*address));
            }
        }
        if now.is_empty() {
            return;
        }
        let body = body();
        let claim = Claim { uid, plain: hash(&body), again: self.says_again() };
        for address in now {
            if self.holders.has(address, claim, before.contains(&address)) {
                entries.push(self.put(address, body.clone()));
            }
        }
    }

    /// A pod is in an inventory.
    fn list(&mut self, pod: &InventoryPod, observed: u64, entries: &mut Vec<Entry>) {
        let addresses = addresses::of_listed_pod(pod);
        if addresses.is_empty() {
            return;
        }
        let plain = body::of_listed_pod(pod);
        let claim = Claim { uid: &pod.uid, plain: hash(&plain), again: self.says_again() };
        let body = if self.settings.details { body::of_detailed_pod(pod) } else { plain };
        let said = hash(&body);
        for address in addresses {
            if self.holders.is_listed(address, claim, said, observed) {
                entries.push(self.put(address, body.clone()));
            }
        }
    }

    fn says_again(&self) -> bool {
        self.settings.unchanged == Unchanged::Put
    }

    fn put(&self, address: IpAddr, body: String) -> Entry {
        let collection = self.settings.collection.clone();
        Document { collection, name: addresses::name(address), body: body.into() }.into()
    }

    fn forget(&self, address: IpAddr) -> Entry {
        let collection = self.settings.collection.clone();
        Forget { collection, name: addresses::name(address), after_milliseconds: 0 }.after(self.settings.retention.0).into()
    }
}

fn hash(body: &str) -> u64 {
    BuildHasherDefault::<FastHasher>::default().hash_one(body)
}
