//! A component becomes a module in a registry, for authors and for tests.

use std::collections::BTreeMap;
use std::time::Duration;

use oci_client::RegistryOperation;
use oci_client::client::{Config as ImageConfig, ImageLayer};
use oci_client::manifest::OciImageManifest;
use serde_json::{Value, json};

use crate::layout::{self, CONFIG, LAYER, MANIFEST};
use crate::pull::task::{CHECKED, auth, client, told, unsent};
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
    answered.map_err(|error| if clear_text { told(&error) } else { unsent(told(&error), CHECKED) })?;
    let digest = layout::digest(&component);
    // The time, which others want to be there, is always the same: so the same component is the same module, whoever pushes it.
    let about = json!({
        "created": "1970-01-01T00:00:00Z",
        "architecture": "wasm", "os": "wasip2", "layerDigests": [digest],
        "component": {"exports": exports, "imports": imports, "target": null},
    });
    let layers = [ImageLayer::new(component, LAYER.to_owned(), None)];
    let about = ImageConfig::new(about.to_string().into_bytes(), CONFIG.to_owned(), None);
    let about_digest = layout::digest(&about.data);
    let mut manifest = OciImageManifest::build(&layers, &about, (!annotations.is_empty()).then_some(annotations));
    manifest.media_type = Some(MANIFEST.to_owned());
    let unwritten = |error: &dyn std::fmt::Display| PullError::new(Kind::Layout, format!("cannot write its manifest: {error}"));
    let manifest = canonical(serde_json::to_value(&manifest).map_err(|error| unwritten(&error))?).to_string();
    let kind = MANIFEST.parse().map_err(|_| unwritten(&MANIFEST))?;
    let elsewhere = "the registry names another one that is to take this by plain HTTP";
    let failed = |error: &_| if clear_text { told(error) } else { unsent(told(error), elsewhere) };
    client.store_auth_if_needed(image.resolve_registry(), &auth).await;
    for (data, digest) in layers.into_iter().map(|layer| (layer.data, &digest)).chain([(about.data, &about_digest)]) {
        client.push_blob(image, data, digest).await.map_err(|error| failed(&error))?;
    }
    client.push_manifest_raw(image, manifest.clone().into_bytes(), kind).await.map_err(|error| failed(&error))?;
    // The digest of what was sent: what the tag means by now is for the registry, or whoever is between, to say.
    let digest = layout::digest(manifest.as_bytes());
    let kept = client.pull_manifest_raw(&image.clone_with_digest(digest.clone()), &auth, &[MANIFEST]).await;
    match kept {
        Ok((kept, _)) if kept[..] == *manifest.as_bytes() => Ok(Pushed { digest }),
        Ok(_) => Err(PullError::new(Kind::Mismatch, format!("what the registry has as {digest} is not what was pushed"))),
        Err(error) => Err(PullError { reason: format!("it was sent, but is not there as {digest}: {error}"), ..told(&error) }),
    }
}

/// As OCI has it, so that the same manifest has the same digest: fields in the order of their names, and no white space.
fn canonical(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let sorted: BTreeMap<String, Value> = fields.into_iter().map(|(name, value)| (name, canonical(value))).collect();
            Value::Object(sorted.into_iter().collect())
        }
        Value::Array(items) => items.into_iter().map(canonical).collect(),
        other => other,
    }
}
