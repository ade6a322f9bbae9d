//! What the operator can set, and what of it makes no sense.

use serde::Deserialize;
use sluicebox_sdk::{Container, ContainerKind, Context};

/// What the operator can set.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Settings {
    /// What an event is about.
    pub schema: Schema,
    /// The channel of the events.
    pub channel: String,
    /// Which containers are told of; left out, all of them in the schema `container`, the app containers in the schema `pod`.
    pub containers: Option<Vec<Kind>>,
    /// Which name of the image is given; left out, the resolved one in the schema `container`, the spec's in the schema `pod`.
    pub image: Option<Image>,
    /// Whether what has no labels gets `null` in place of `{}`.
    pub null_labels: bool,
    /// Whether nodes become hashes; left out, they do when the lane is fed with nodes.
    pub node_info: Option<bool>,
    /// What stands before the node's name in the name of its hash.
    pub node_info_prefix: String,
}

/// What an event is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Schema {
    /// A container: `create` once its id is known, `delete` when that id ends.
    #[default]
    Container,
    /// A pod: `create`, `pending`, `running`, `shutdown` and `delete`.
    Pod,
}

/// Which list of the spec a container stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// `initContainers`, sidecars among them.
    Init,
    /// `containers`
    App,
    /// `ephemeralContainers`
    Ephemeral,
}

/// Which name of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Image {
    /// As the spec names it: `nginx:1.14.2`.
    Spec,
    /// As the runtime resolved it: `docker.io/library/nginx:1.14.2`.
    Resolved,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            schema: Schema::default(),
            channel: "galileo/events".to_owned(),
            containers: None,
            image: None,
            null_labels: false,
            node_info: None,
            node_info_prefix: "telemd.info:".to_owned(),
        }
    }
}

impl Settings {
    /// Refuses what cannot work; tells whether nodes become hashes.
    pub(crate) fn check(&self, context: &Context) -> Result<bool, String> {
        let nodes = context.sources.iter().any(|source| source == "nodes");
        if self.channel.is_empty() {
            return Err("setting `channel`: is empty: name a channel, or leave the setting out for `galileo/events`".to_owned());
        }
        if self.containers.as_ref().is_some_and(Vec::is_empty) {
            return Err(
                "setting `containers`: is empty: name some of `app`, `init` and `ephemeral`, or leave the setting out".to_owned()
            );
        }
        if self.node_info == Some(true) && !nodes {
            return Err(
                "setting `node-info`: the lane is not fed with nodes: add `nodes: {}` to the `sources` of the configuration, \
                        or leave the setting out"
                    .to_owned(),
            );
        }
        Ok(self.node_info.unwrap_or(nodes))
    }

    /// Whether the container is told of.
    pub(crate) fn tells_of(&self, container: &Container) -> bool {
        let kind = match container.kind {
            ContainerKind::Init => Kind::Init,
            ContainerKind::App => Kind::App,
            ContainerKind::Ephemeral => Kind::Ephemeral,
        };
        match (&self.containers, self.schema) {
            (Some(kinds), _) => kinds.contains(&kind),
            (None, Schema::Container) => true,
            (None, Schema::Pod) => kind == Kind::App,
        }
    }

    /// The image of the container, as it is to be named.
    pub(crate) fn image<'pod>(&self, container: &'pod Container) -> &'pod str {
        let image = self.image.unwrap_or(match self.schema {
            Schema::Container => Image::Resolved,
            Schema::Pod => Image::Spec,
        });
        match (image, &container.status) {
            (Image::Resolved, Some(status)) if !status.image.is_empty() => &status.image,
            _ => &container.image,
        }
    }
}
