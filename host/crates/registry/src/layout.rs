//! What a manifest says, held against its digest: the layout `application/wasm`, one layer that is the component. Pure.

use std::collections::BTreeMap;

use serde::Deserialize;
use sha2::{Digest as _, Sha256};

/// The type of the manifest.
pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// The type of its configuration, which is not looked at: what a component exports and imports it says itself.
pub const CONFIG: &str = "application/vnd.wasm.config.v0+json";
/// The type of the layer.
pub const LAYER: &str = "application/wasm";
/// The annotation of a manifest that is a signature of the component, in base64.
pub const SIGNATURE: &str = "sluicebox.signature";
/// A manifest with more bytes is none of a module.
pub const MANIFEST_BYTES: usize = 256 << 10;

/// The layer that is the component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    /// `sha256:` and 64 hexadecimal digits.
    pub digest: String,
    /// Its length.
    pub bytes: u64,
}

/// Why a manifest or a layer is not what was asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Mistake {
    /// It is another one.
    #[error("{what} has the digest {found}, and {wanted} was asked for")]
    Digest {
        /// The manifest or the component.
        what: &'static str,
        /// What was asked for.
        wanted: String,
        /// What it has.
        found: String,
    },
    /// It has another length than the manifest says.
    #[error("the component has {found} bytes, and its manifest says {wanted}")]
    Length {
        /// What the manifest says.
        wanted: u64,
        /// What it has.
        found: u64,
    },
    /// It is something else.
    #[error("{0}")]
    Layout(String),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Manifest {
    schema_version: Option<u64>,
    media_type: Option<String>,
    #[serde(default)]
    layers: Vec<Descriptor>,
    manifests: Option<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    media_type: String,
    digest: String,
    size: u64,
}

/// The digest of these bytes.
pub fn digest(bytes: &[u8]) -> String {
    format!("sha256:{:x}", Sha256::digest(bytes))
}

/// Whether it is a digest as [`digest`] makes them.
pub fn is_digest(text: &str) -> bool {
    let digits = text.strip_prefix("sha256:").unwrap_or_default();
    digits.len() == 64 && digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// The layer of the module that this manifest is about.
pub fn layer(manifest: &[u8]) -> Result<Layer, Mistake> {
    let other = |what: String| Mistake::Layout(what);
    if manifest.len() > MANIFEST_BYTES {
        return Err(other(format!(
            "its manifest has {} bytes, more than the {MANIFEST_BYTES} that one may have",
            manifest.len()
        )));
    }
    let read: Manifest =
        serde_json::from_slice(manifest).map_err(|error| other(format!("what is there is no manifest: {error}")))?;
    if read.manifests.is_some() {
        let text = "what is there is a list of manifests: name the digest of one of them, or push the module alone";
        return Err(other(text.to_owned()));
    }
    if read.schema_version != Some(2) {
        return Err(other("its manifest is of another schema than version 2".to_owned()));
    }
    if let Some(media_type) = read.media_type.filter(|media_type| media_type != MANIFEST) {
        return Err(other(format!("its manifest is of the type {}, and {MANIFEST} is wanted", excerpt(&media_type))));
    }
    let [layer] = read.layers.as_slice() else {
        return Err(other(format!("it has {} layers, and a module is exactly one", read.layers.len())));
    };
    if layer.media_type != LAYER {
        return Err(other(format!("its layer is of the type {}, and {LAYER} is wanted", excerpt(&layer.media_type))));
    }
    if !is_digest(&layer.digest) {
        return Err(other(format!("its layer is named by {}, which is no digest of sha256", excerpt(&layer.digest))));
    }
    Ok(Layer { digest: layer.digest.clone(), bytes: layer.size })
}

/// An annotation of a manifest, where it has it.
pub fn annotation(manifest: &[u8], name: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Annotated {
        #[serde(default)]
        annotations: BTreeMap<String, String>,
    }
    serde_json::from_slice::<Annotated>(manifest).ok()?.annotations.remove(name)
}

/// Whether these bytes are what is named by that digest.
pub fn is(what: &'static str, bytes: &[u8], wanted: &str) -> Result<(), Mistake> {
    let found = digest(bytes);
    if found == wanted { Ok(()) } else { Err(Mistake::Digest { what, wanted: wanted.to_owned(), found }) }
}

/// Whether these bytes are the layer.
pub fn is_layer(layer: &Layer, component: &[u8]) -> Result<(), Mistake> {
    is("the component", component, &layer.digest)?;
    let found = u64::try_from(component.len()).unwrap_or(u64::MAX);
    if found == layer.bytes { Ok(()) } else { Err(Mistake::Length { wanted: layer.bytes, found }) }
}

/// What a registry said, on one line and not longer than a line.
pub(crate) fn excerpt(text: &str) -> String {
    sluicebox_contract::text::in_few_words(text)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn manifest() -> Value {
        json!({
            "schemaVersion": 2, "mediaType": MANIFEST, "config": {"mediaType": CONFIG, "digest": digest(b"{}"), "size": 2},
            "layers": [{"mediaType": LAYER, "digest": digest(b"component"), "size": 9}],
        })
    }

    #[track_caller]
    fn refused(change: impl FnOnce(&mut Value), word: &str) {
        let mut value = manifest();
        change(&mut value);
        let error = layer(value.to_string().as_bytes()).unwrap_err().to_string();
        assert!(error.contains(word), "{error}");
    }

    #[test]
    fn one_layer_of_the_right_type_is_the_component() {
        let layer = layer(manifest().to_string().as_bytes()).unwrap();
        assert_eq!(layer, Layer { digest: digest(b"component"), bytes: 9 });
        assert_eq!(is_layer(&layer, b"component"), Ok(()));
    }

    #[test]
    fn what_is_left_out_of_a_manifest_and_not_needed_is_no_mistake() {
        let mut value = manifest();
        value.as_object_mut().unwrap().remove("mediaType");
        value.as_object_mut().unwrap().remove("config");
        assert!(layer(value.to_string().as_bytes()).is_ok());
    }

    #[test]
    fn another_layout_is_named() {
        refused(|value| value["manifests"] = json!([]), "a list of manifests");
        refused(|value| value["schemaVersion"] = json!(1), "another schema");
        refused(|value| value["mediaType"] = json!("application/vnd.oci.image.index.v1+json"), "image.index");
        refused(|value| value["layers"] = json!([]), "0 layers");
        refused(|value| value["layers"] = json!([value["layers"][0], value["layers"][0]]), "2 layers");
        refused(|value| value["layers"][0]["mediaType"] = json!("application/vnd.oci.image.layer.v1.tar+gzip"), "tar+gzip");
        refused(|value| value["layers"][0]["digest"] = json!("sha512:00"), "sha512:00");
        refused(|value| value["layers"][0]["digest"] = json!("sha256:../../etc"), "no digest");
        refused(|value| value["layers"][0]["size"] = json!(-1), "no manifest");
        refused(|value| *value = json!("a".repeat(MANIFEST_BYTES)), "more than");
    }

    #[test]
    fn another_component_is_told_by_its_digest_and_its_length() {
        let layer = Layer { digest: digest(b"component"), bytes: 9 };
        assert!(matches!(is_layer(&layer, b"another"), Err(Mistake::Digest { what: "the component", .. })));
        let lying = Layer { bytes: 8, ..layer };
        assert_eq!(is_layer(&lying, b"component"), Err(Mistake::Length { wanted: 8, found: 9 }));
    }
}
