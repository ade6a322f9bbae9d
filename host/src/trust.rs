//! Whether a component may run, before anything of it is compiled: the digest that it must have, the keys that must have signed it, what it
//! may import. Where its bytes and its signature come from does not matter here.

pub mod keys;
pub mod signature;

use std::collections::BTreeMap;
use std::sync::Arc;

use sluicebox_wasm::{Grants, Refusal, judge};

use keys::PublicKey;
use signature::{Place, Signature};

/// What the configuration demands of a component.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Demands {
    /// SHA-256, 64 small hexadecimal digits each: the component must have one of them. Empty where any will do.
    pub digests: Vec<String>,
    /// Names of keys of which one must have signed the component. Empty where nobody needs to.
    pub signed_by: Vec<String>,
    /// Every key that there is, by name.
    pub keys: Arc<BTreeMap<String, PublicKey>>,
    /// What the component may call.
    pub grants: Grants,
}

/// Why a component may not run.
#[derive(Debug, thiserror::Error)]
pub enum Distrust {
    /// It has another digest than those that are pinned.
    #[error("its sha256 is {found}, but the configuration pins {}", pinned.join(" or "))]
    OtherDigest {
        /// What it has.
        found: String,
        /// What it should have.
        pinned: Vec<String>,
    },
    /// It has no signature.
    #[error("it must be signed by {}, but there is no {place}", names(by))]
    Unsigned {
        /// Where the signature would be.
        place: Place,
        /// The keys of which one would do.
        by: Vec<String>,
    },
    /// Its signature cannot be read.
    #[error("it must be signed by {}, but {place} cannot be read: {cause}", names(by))]
    Unreadable {
        /// Where the signature is.
        place: Place,
        /// Why it cannot be read.
        cause: String,
        /// The keys of which one would do.
        by: Vec<String>,
    },
    /// What stands where its signature should is none.
    #[error("it must be signed by {}, but {place} is no signature: {cause}", names(by))]
    Malformed {
        /// Where the signature is.
        place: Place,
        /// What it is.
        cause: String,
        /// The keys of which one would do.
        by: Vec<String>,
    },
    /// A key that we know has signed it, but not one of those that would do.
    #[error("it must be signed by {}, but {place} is a signature by `{signer}`", names(by))]
    OtherKey {
        /// Where the signature is.
        place: Place,
        /// Whose it is.
        signer: String,
        /// The keys of which one would do.
        by: Vec<String>,
    },
    /// Nobody whom we know has signed these bytes.
    #[error(
        "it must be signed by {}, but {place} does not fit it: it was changed after it was signed, or another key has signed it",
        names(by)
    )]
    Forged {
        /// Where the signature is.
        place: Place,
        /// The keys of which one would do.
        by: Vec<String>,
    },
    /// It asks for what is not granted.
    #[error(transparent)]
    NotGranted(Refusal),
}

impl Distrust {
    /// What would cure it.
    pub fn hint(&self) -> String {
        match self {
            Self::OtherDigest { found, .. } => {
                format!(
                    "if this is the version that you want, pin it: `sha256: {found}`; if not, put the pinned one in its place"
                )
            }
            Self::Unsigned { place, .. } => match place {
                Place::Manifest => {
                    "`sluicebox module sign --key PRIVATE.pem FILE`, then `sluicebox module push FILE` takes the signature along"
                        .to_owned()
                }
                Place::Kept => "a version that is signed, and proves good, is kept with its signature".to_owned(),
                Place::File(_) | Place::Nowhere => {
                    "`sluicebox module sign --key PRIVATE.pem FILE` makes the signature beside the file".to_owned()
                }
            },
            Self::Unreadable { .. } => "may the collector read it?".to_owned(),
            Self::Malformed { place, .. } => format!(
                "a signature is 64 bytes, or these in base64: `sluicebox module sign --key PRIVATE.pem FILE` makes it{}",
                pushed(place)
            ),
            Self::OtherKey { signer, by, .. } => {
                format!("have it signed by {}, or add `{signer}` to `signed-by` if that is who should", names(by))
            }
            Self::Forged { place, by } => {
                format!("sign the file as it is now, with the private key of {}{}", names(by), pushed(place))
            }
            Self::NotGranted(refusal) => refusal.hint().into_owned(),
        }
    }

    /// The setting of the module that says so.
    pub fn setting(&self) -> &'static str {
        match self {
            Self::OtherDigest { .. } => "sha256",
            Self::NotGranted(_) => "use",
            _ => "signed-by",
        }
    }

    /// Whether it is about a signature: one that comes after its file may be on its way.
    pub fn is_about_signature(&self) -> bool {
        self.setting() == "signed-by"
    }
}

impl Demands {
    /// Whether a signature has to be there.
    pub fn want_signature(&self) -> bool {
        !self.signed_by.is_empty()
    }

    /// Says why a component may not run, if it may not. `digest` is that of these bytes, `signature` what was found of one; without it there
    /// was no place to look for one. Takes some milliseconds for each megabyte where there is a signature.
    pub fn examine(&self, component: &[u8], digest: &str, signature: Option<&Signature>) -> Result<(), Distrust> {
        if !self.digests.is_empty() && self.digests.iter().all(|pinned| pinned != digest) {
            return Err(Distrust::OtherDigest { found: digest.to_owned(), pinned: self.digests.clone() });
        }
        if self.want_signature() {
            self.verify(component, signature)?;
        }
        judge(component, self.grants).map_err(Distrust::NotGranted)
    }

    fn verify(&self, component: &[u8], signature: Option<&Signature>) -> Result<(), Distrust> {
        let by = self.signed_by.clone();
        let Some(signature) = signature else { return Err(Distrust::Unsigned { place: Place::Nowhere, by }) };
        let place = signature.place.clone();
        let bytes = match &signature.found {
            Ok(Some(found)) => match signature::bytes(found) {
                Ok(bytes) => bytes,
                Err(cause) => return Err(Distrust::Malformed { place, cause, by }),
            },
            Ok(None) => return Err(Distrust::Unsigned { place, by }),
            Err(cause) => return Err(Distrust::Unreadable { place, cause: cause.clone(), by }),
        };
        let has_signed = |name: &&String| self.keys.get(*name).is_some_and(|key| key.verifies(component, &bytes));
        if self.signed_by.iter().any(|name| has_signed(&name)) {
            return Ok(());
        }
        match self.keys.keys().filter(|name| !self.signed_by.contains(name)).find(has_signed) {
            Some(signer) => Err(Distrust::OtherKey { place, signer: signer.clone(), by }),
            None => Err(Distrust::Forged { place, by }),
        }
    }
}

/// A signature goes to a registry with its component.
fn pushed(place: &Place) -> &'static str {
    if *place == Place::Manifest { ", and `sluicebox module push FILE` takes it along" } else { "" }
}

fn names(names: &[String]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(" or ")
}

#[cfg(test)]
mod tests {
    use sluicebox_wasm::digest;

    use super::keys::PrivateKey;
    use super::*;

    const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";

    fn demands(signed_by: &[&str], keys: &[(&str, &PrivateKey)]) -> Demands {
        Demands {
            signed_by: signed_by.iter().map(|name| (*name).to_owned()).collect(),
            keys: Arc::new(keys.iter().map(|(name, key)| ((*name).to_owned(), key.public())).collect()),
            ..Demands::default()
        }
    }

    fn found(bytes: &[u8]) -> Signature {
        Signature { place: Place::File("m.wasm.sig".into()), found: Ok(Some(bytes.to_vec())) }
    }

    fn examine(demands: &Demands, signature: Option<&Signature>) -> Result<(), Distrust> {
        demands.examine(COMPONENT, &digest(COMPONENT), signature)
    }

    #[test]
    fn without_demands_anything_may_run() {
        examine(&Demands::default(), None).unwrap();
    }

    #[test]
    fn one_of_the_pinned_digests_will_do() {
        let mut demands = Demands { digests: vec!["0".repeat(64)], ..Demands::default() };
        let distrust = examine(&demands, None).unwrap_err();
        let found = digest(COMPONENT);
        assert_eq!(distrust.to_string(), format!("its sha256 is {found}, but the configuration pins {}", "0".repeat(64)));
        assert!(distrust.hint().contains(&format!("`sha256: {found}`")), "{}", distrust.hint());
        demands.digests.push(found);
        examine(&demands, None).unwrap();
    }

    #[test]
    fn one_of_the_named_keys_will_do() {
        let (ops, ci) = (PrivateKey::generate().unwrap(), PrivateKey::generate().unwrap());
        let keys = [("ops", &ops), ("ci", &ci)];
        for signer in [&ops, &ci] {
            examine(&demands(&["ops", "ci"], &keys), Some(&found(&signer.sign(COMPONENT)))).unwrap();
        }
        let distrust = examine(&demands(&["ops"], &keys), Some(&found(&ci.sign(COMPONENT)))).unwrap_err();
        assert_eq!(distrust.to_string(), "it must be signed by `ops`, but m.wasm.sig is a signature by `ci`");
    }

    #[test]
    fn what_is_no_signature_of_it_is_refused_in_its_own_words() {
        let (ops, stranger) = (PrivateKey::generate().unwrap(), PrivateKey::generate().unwrap());
        let demands = demands(&["ops"], &[("ops", &ops)]);
        let absent = Signature { place: Place::File("m.wasm.sig".into()), found: Ok(None) };
        let unreadable = Signature { place: Place::File("m.wasm.sig".into()), found: Err("permission denied".to_owned()) };
        for (signature, words) in [
            (None, "but there is no signature"),
            (Some(absent), "but there is no m.wasm.sig"),
            (Some(unreadable), "m.wasm.sig cannot be read: permission denied"),
            (Some(found(b"hello")), "m.wasm.sig is no signature: "),
            (Some(found(&ops.sign(b"what it was"))), "m.wasm.sig does not fit it"),
            (Some(found(&stranger.sign(COMPONENT))), "m.wasm.sig does not fit it"),
            (Some(found(&[0; 64])), "m.wasm.sig does not fit it"),
        ] {
            let distrust = examine(&demands, signature.as_ref()).unwrap_err();
            assert!(distrust.to_string().starts_with("it must be signed by `ops`, but "), "{distrust}");
            assert!(distrust.to_string().contains(words) && distrust.is_about_signature(), "{distrust}");
        }
    }

    #[test]
    fn what_is_signed_for_a_registry_has_to_be_pushed() {
        let ops = PrivateKey::generate().unwrap();
        let demands = demands(&["ops"], &[("ops", &ops)]);
        let hint = |place: Place, found: Option<&[u8]>| {
            let signature = Signature { place, found: Ok(found.map(<[u8]>::to_vec)) };
            examine(&demands, Some(&signature)).unwrap_err().hint()
        };
        for found in [None, Some(&b"hello"[..]), Some(&[0; 64])] {
            assert!(hint(Place::Manifest, found).contains("`sluicebox module push FILE` takes "), "{found:?}");
            for elsewhere in [Place::File("m.wasm.sig".into()), Place::Kept, Place::Nowhere] {
                assert!(!hint(elsewhere, found).contains("push"), "{found:?}");
            }
        }
        assert!(hint(Place::File("m.wasm.sig".into()), None).contains("makes the signature beside the file"));
    }

    #[test]
    fn a_key_that_is_not_there_has_signed_nothing() {
        let ops = PrivateKey::generate().unwrap();
        assert!(examine(&demands(&["gone"], &[]), Some(&found(&ops.sign(COMPONENT)))).is_err());
    }
}
