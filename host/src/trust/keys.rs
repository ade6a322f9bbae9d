//! Ed25519 keys as PEM, as `openssl genpkey -algorithm ed25519` and `openssl pkey -pubout` write them.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::rand::{SecureRandom as _, SystemRandom};
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};

/// What comes before the 32 bytes of a public key (RFC 8410): there is one way to write it.
const PUBLIC_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
/// What comes before the 32 bytes of a private one.
const PRIVATE_PREFIX: [u8; 16] = [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];
const PUBLIC: &str = "PUBLIC KEY";
const PRIVATE: &str = "PRIVATE KEY";

/// Why a text is no key that can be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// It is no PEM at all.
    #[error("it is no PEM: no line is `-----BEGIN {expected}-----`")]
    NoPem {
        /// What the line should name.
        expected: &'static str,
    },
    /// A private key where a public one is wanted.
    #[error("it is a private key, which must stay with those who sign")]
    Private,
    /// A private key under a pass phrase.
    #[error("it is encrypted")]
    Encrypted,
    /// It is something else.
    #[error("it is a `{found}`, not a `{expected}`")]
    OtherLabel {
        /// What it calls itself.
        found: String,
        /// What it should.
        expected: &'static str,
    },
    /// What is between the lines is no base64, or the last line is missing.
    #[error("it is damaged: {0}")]
    Damaged(&'static str),
    /// One of them would be passed over in silence.
    #[error("there is more than one key in it")]
    Several,
    /// A key of another kind.
    #[error("it is no ed25519 key")]
    OtherAlgorithm,
}

impl KeyError {
    /// What would cure it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Private => {
                "`openssl pkey -in PRIVATE.pem -pubout` prints the public one; if others could read this, make a new key"
            }
            Self::Encrypted => "`openssl pkey -in KEY.pem -out PLAIN.pem` takes the pass phrase away",
            Self::Several => "give each key a name of its own",
            Self::OtherAlgorithm => "`sluicebox module keygen NAME`, or `openssl genpkey -algorithm ed25519`, makes one",
            Self::NoPem { .. } | Self::OtherLabel { .. } | Self::Damaged(_) => {
                "give the whole text, from `-----BEGIN` to the end of `-----END …-----`, in lines: `name: |` and the text below it, indented"
            }
        }
    }
}

/// Verifies signatures.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PublicKey([u8; 32]);

impl PublicKey {
    /// Reads `-----BEGIN PUBLIC KEY-----`.
    pub fn from_pem(text: &str) -> Result<Self, KeyError> {
        let der = decode(text, PUBLIC)?;
        let key = der.strip_prefix(&PUBLIC_PREFIX).ok_or(KeyError::OtherAlgorithm)?;
        key.try_into().map(Self).map_err(|_| KeyError::Damaged("it has not the length of an ed25519 key"))
    }

    /// The same as text.
    pub fn pem(&self) -> String {
        encode(PUBLIC, &[&PUBLIC_PREFIX[..], &self.0].concat())
    }

    /// Whether this is the key's signature of the message.
    pub fn verifies(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        UnparsedPublicKey::new(&ED25519, self.0).verify(message, signature).is_ok()
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("PublicKey").field(&STANDARD.encode(self.0)).finish()
    }
}

/// Signs. Never shown.
pub struct PrivateKey {
    pair: Ed25519KeyPair,
}

impl PrivateKey {
    /// Reads `-----BEGIN PRIVATE KEY-----`.
    pub fn from_pem(text: &str) -> Result<Self, KeyError> {
        let der = decode(text, PRIVATE)?;
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der).map_err(|_| KeyError::OtherAlgorithm)?;
        Ok(Self { pair })
    }

    /// A new key. None when the system gives no random bytes.
    pub fn generate() -> Option<Self> {
        Self::new().map(|(key, _)| key)
    }

    /// A new key, and the text to keep it as.
    pub fn new() -> Option<(Self, String)> {
        let mut seed = [0; 32];
        SystemRandom::new().fill(&mut seed).ok()?;
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed).ok()?;
        Some((Self { pair }, encode(PRIVATE, &[&PRIVATE_PREFIX[..], &seed].concat())))
    }

    /// The key that verifies what this one signs.
    pub fn public(&self) -> PublicKey {
        let mut bytes = [0; 32];
        let key = self.pair.public_key().as_ref();
        bytes.iter_mut().zip(key).for_each(|(byte, of_key)| *byte = *of_key);
        PublicKey(bytes)
    }

    /// Signs a message.
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        let mut bytes = [0; 64];
        let signature = self.pair.sign(message);
        bytes.iter_mut().zip(signature.as_ref()).for_each(|(byte, of_signature)| *byte = *of_signature);
        bytes
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("PrivateKey")
    }
}

fn decode(text: &str, expected: &'static str) -> Result<Vec<u8>, KeyError> {
    let label = |line: &str, word: &str| Some(line.trim().strip_prefix(word)?.strip_suffix("-----")?.to_owned());
    let mut lines = text.lines().skip_while(|line| label(line, "-----BEGIN ").is_none());
    let found = lines.next().and_then(|line| label(line, "-----BEGIN ")).ok_or(KeyError::NoPem { expected })?;
    match found.as_str() {
        _ if found == expected => {}
        "ENCRYPTED PRIVATE KEY" => return Err(KeyError::Encrypted),
        "RSA PRIVATE KEY" | "EC PRIVATE KEY" | "OPENSSH PRIVATE KEY" if expected == PRIVATE => {
            return Err(KeyError::OtherAlgorithm);
        }
        _ if found.ends_with(PRIVATE) => return Err(KeyError::Private),
        _ => return Err(KeyError::OtherLabel { found: found.chars().take(40).collect(), expected }),
    }
    if lines.clone().any(|line| label(line, "-----BEGIN ").is_some()) {
        return Err(KeyError::Several);
    }
    let mut content = String::new();
    for line in lines {
        if label(line, "-----END ").is_some_and(|end| end == found) {
            return STANDARD.decode(content).map_err(|_| KeyError::Damaged("what is between its lines is no base64"));
        }
        content.push_str(line.trim());
    }
    Err(KeyError::Damaged("its last line is missing"))
}

fn encode(label: &str, der: &[u8]) -> String {
    // An ed25519 key is one line.
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(der))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_was_made_is_read_back_and_verifies_what_it_signs() {
        let (key, text) = PrivateKey::new().unwrap();
        let read = PrivateKey::from_pem(&text).unwrap();
        let public = PublicKey::from_pem(&read.public().pem()).unwrap();
        assert_eq!(public, key.public());
        assert!(public.verifies(b"message", &read.sign(b"message")));
        assert!(!public.verifies(b"massage", &read.sign(b"message")));
        assert_ne!(PrivateKey::generate().unwrap().public(), public);
    }

    #[test]
    fn what_others_write_is_read() {
        // The seed and the public key of the first test in RFC 8032, section 7.1, as openssl writes them.
        let text = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n-----END PRIVATE KEY-----\n";
        let public = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n-----END PUBLIC KEY-----\n";
        assert_eq!(PrivateKey::from_pem(text).unwrap().public().pem(), public);
        let windows = format!("some words before\r\n{}", text.replace('\n', "\r\n"));
        assert_eq!(PrivateKey::from_pem(&windows).unwrap().public(), PrivateKey::from_pem(text).unwrap().public());
    }

    #[test]
    fn what_is_no_public_key_is_refused_in_its_own_words() {
        let (private, text) = PrivateKey::new().unwrap();
        assert_eq!(PublicKey::from_pem(&text).unwrap_err(), KeyError::Private);
        assert_eq!(PublicKey::from_pem("ops.pem").unwrap_err(), KeyError::NoPem { expected: PUBLIC });
        let pem = private.public().pem();
        assert!(matches!(
            PublicKey::from_pem(&pem.replace("PUBLIC KEY", "CERTIFICATE")).unwrap_err(),
            KeyError::OtherLabel { .. }
        ));
        assert!(matches!(PublicKey::from_pem(&format!("{pem}{pem}")).unwrap_err(), KeyError::Several));
        assert!(matches!(PublicKey::from_pem(&pem.replace("-----END", "END")).unwrap_err(), KeyError::Damaged(_)));
        assert!(matches!(PublicKey::from_pem(&pem.replace("MCow", "MC?w")).unwrap_err(), KeyError::Damaged(_)));
        assert_eq!(PublicKey::from_pem(&encode(PUBLIC, b"0*rsa")).unwrap_err(), KeyError::OtherAlgorithm);
        assert!(matches!(PublicKey::from_pem(&encode(PUBLIC, &PUBLIC_PREFIX)).unwrap_err(), KeyError::Damaged(_)));
    }

    #[test]
    fn what_is_no_private_key_is_refused_in_its_own_words() {
        let public = PrivateKey::generate().unwrap().public().pem();
        assert!(matches!(PrivateKey::from_pem(&public).unwrap_err(), KeyError::OtherLabel { .. }));
        assert_eq!(PrivateKey::from_pem(&encode(PRIVATE, b"rsa")).unwrap_err(), KeyError::OtherAlgorithm);
        assert_eq!(PrivateKey::from_pem(&encode("ENCRYPTED PRIVATE KEY", b"x")).unwrap_err(), KeyError::Encrypted);
        assert_eq!(PrivateKey::from_pem(&encode("RSA PRIVATE KEY", b"x")).unwrap_err(), KeyError::OtherAlgorithm);
    }
}
