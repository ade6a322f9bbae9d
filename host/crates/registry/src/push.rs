//! A component becomes a module in a registry, for authors and for tests.

use std::collections::BTreeMap;
use std::time::Duration;

use oci_client::RegistryOperation;
use oci_client::client::{Config as ImageConfig, ImageLayer};
use oci_client::manifest::OciImageManifest;
use serde_json::json;

use crate::layout::{self, CONFIG, LAYER, MANIFEST};
use crate::pull::task::{auth, client, told, unsent};
use crate::{Config, Kind, PullError, Reference, secret};

const CONNECT: Duration = Duration::from_secs(10);

/// What was pushed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pushed {
    /// The digest by which nothing else can be pulled.
    pub digest: String,
}

/// Pushes a component under its tag, with what it exports and imports for whoever lists modules, and with annotations of the manifest. In a process of its own program only:
/// the cryptography is set for the whole process.
pub async fn push(
    reference: &Reference,
    component: Vec<u8>,
    exports: &[String],
    imports: &[String],
    annotations: BTreeMap<String, String>,
    config: &Config,
) -> Result<Pushed, PullError> {
    if reference.tag().is_none() {
        return Err(PullError::new(Kind::Absent, "what is pushed has a tag; its digest is what comes of it"));
    }
    let secret = secret::read(config, reference.host()).map_err(|reason| PullError::new(Kind::Denied, reason))?;
    let (plain, proxy, authorities) = (config.is_plain(reference.host()), config.proxy.as_deref(), config.ca_file.as_deref());
    let clear_text = config.secrets_in_clear_text || secret.0.is_none();
    let (client, auth) = (client(plain, clear_text, proxy, authorities, CONNECT)?, auth(&secret));
    let image = reference.parsed();
    let answered = client.auth(image, &auth, RegistryOperation::Push).await;
    answered.map_err(|error| if clear_text { told(&error) } else { unsent(told(&error)) })?;
    let digest = layout::digest(&component);
    // The time, which others want to be there, is always the same: so the same component is the same module, whoever pushes it.
    let about = json!({
        "created": "1970-01-01T00:00:00Z",
        "architecture": "wasm", "os": "wasip2", "layerDigests": [digest],
        "component": {"exports": exports, "imports": imports, "target": null},
    });
    let layers = [ImageLayer::new(component, LAYER.to_owned(), None)];
    let about = ImageConfig::new(about.to_string().into_bytes(), CONFIG.to_owned(), None);
    let mut manifest = OciImageManifest::build(&layers, &about, (!annotations.is_empty()).then_some(annotations));
    manifest.media_type = Some(MANIFEST.to_owned());
    client.push(image, &layers, about, &auth, Some(manifest)).await.map_err(|error| told(&error))?;
    let digest = client.fetch_manifest_digest(image, &auth).await.map_err(|error| told(&error))?;
    Ok(Pushed { digest })
}
