//! The other side: a process that limits itself, has the client library ask a registry, writes the component to its output and ends.

use std::fmt::Display;
use std::io::{Read, Write};
use std::path::Path;
use std::time::Duration;

use futures::StreamExt as _;
use oci_client::Client;
use oci_client::client::{Certificate, CertificateEncoding, ClientConfig, ClientProtocol};
use oci_client::errors::{OciDistributionError, OciErrorCode};
use oci_client::manifest::OciDescriptor;
use oci_client::secrets::RegistryAuth;
use rustix::process::{Resource, Rlimit, Signal};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use sluicebox_contract::ByteSize;
use sluicebox_credentials::file;

use super::error::KEPT;
use super::{Answer, Kind, PullError, Request, words_bytes};
use crate::layout::{self, Layer};
use crate::reference::Reference;

/// What the process is told is not longer.
const REQUEST_BYTES: u64 = 1 << 20;
/// A proxy that is never there: what would go through it does not go at all.
const NOWHERE: &str = "http://a-secret-is-not-sent-in-clear-text.invalid";
/// What does not leave the machine may go in clear text.
const THIS_MACHINE: &str = "localhost,.localhost,127.0.0.0/8,::1";
/// All authorities that systems know have a third of this.
const LARGEST_AUTHORITIES: ByteSize = ByteSize(1 << 20);

/// A pull, as the process is told it.
#[derive(Debug)]
pub struct PullTask(Request);

impl PullTask {
    /// Reads what is to be done, and limits this whole process, for good.
    pub fn read(input: impl Read) -> std::io::Result<Self> {
        let mut text = Vec::new();
        input.take(REQUEST_BYTES).read_to_end(&mut text)?;
        let task = Self(serde_json::from_slice(&text)?);
        task.limit();
        Ok(task)
    }

    /// Pulls; the component goes to the output. Gives what is to be said on standard error, for [`Puller`](super::Puller).
    pub fn run(&self, output: &mut impl Write) -> String {
        let answer = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime.block_on(self.answer(output)),
            Err(error) => Err(PullError::new(Kind::Away, format!("cannot start: {error}"))),
        };
        let answer = answer.unwrap_or_else(|PullError { kind, reason }| Answer::Failed { kind, reason });
        serde_json::to_string(&answer).unwrap_or_default()
    }

    async fn answer(&self, output: &mut impl Write) -> Result<Answer, PullError> {
        let request = &self.0;
        let reference = Reference::find(&format!("{}{}", crate::SCHEME, request.reference))
            .and_then(Result::ok)
            .ok_or_else(|| PullError::new(Kind::Absent, "it is no reference"))?;
        let image = reference.parsed();
        let connect = Duration::from_millis(request.connect_millis);
        let client = client(request.plain, request.clear_text, request.proxy.as_deref(), None, connect)?;
        let auth = auth(&request.secret);
        // This asks first whether somebody is to be named, and tells what is wrong with him.
        let answered = client.auth(image, &auth, oci_client::RegistryOperation::Pull).await;
        answered.map_err(|error| if request.clear_text { told(&error) } else { unsent(told(&error), CHECKED) })?;
        if let Some(known) = &request.known {
            let digest = client.fetch_manifest_digest(image, &auth).await.map_err(|error| told(&error))?;
            if digest == *known {
                return Ok(Answer::Unchanged);
            }
        }
        let (manifest, _) = client.pull_manifest_raw(image, &auth, &[layout::MANIFEST]).await.map_err(|error| told(&error))?;
        let layer = layout::layer(&manifest).map_err(|mistake| PullError::new(Kind::Layout, mistake.to_string()))?;
        let manifest =
            String::from_utf8(manifest.to_vec()).map_err(|_| PullError::new(Kind::Layout, "its manifest is no text"))?;
        self.component(&client, &reference, &layer, output).await?;
        Ok(Answer::Taken { manifest })
    }

    async fn component(
        &self,
        client: &Client,
        reference: &Reference,
        layer: &Layer,
        output: &mut impl Write,
    ) -> Result<(), PullError> {
        let most = self.0.most_bytes;
        let too_much = |bytes: u64| {
            PullError::new(Kind::TooMuch, format!("the component has {bytes} bytes or more, and {most} are allowed"))
        };
        if layer.bytes > most {
            return Err(too_much(layer.bytes));
        }
        // Nothing of the manifest but this: other addresses, which it may name, are not asked.
        let descriptor = OciDescriptor {
            media_type: layout::LAYER.to_owned(),
            digest: layer.digest.clone(),
            size: i64::try_from(layer.bytes).unwrap_or(i64::MAX),
            ..OciDescriptor::default()
        };
        let pulled = client.pull_blob_stream(reference.parsed(), &descriptor).await;
        let mut stream = pulled.map_err(|error| told(&error))?.stream;
        let mut bytes = 0;
        while let Some(part) = stream.next().await {
            let part = part.map_err(|error| {
                let kind = if error.to_string().contains("Invalid digest") { Kind::Mismatch } else { Kind::Away };
                PullError::new(kind, chain(&error))
            })?;
            bytes += part.len() as u64;
            if bytes > most {
                return Err(too_much(bytes));
            }
            output.write_all(&part).map_err(|error| PullError::new(Kind::Away, format!("cannot hand it over: {error}")))?;
        }
        output.flush().map_err(|error| PullError::new(Kind::Away, format!("cannot hand it over: {error}")))
    }

    /// What of it the system refuses is left: a process that is a little less limited is better than none.
    fn limit(&self) {
        // Without the collector nobody wants the module.
        let _ = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
        // Before anything else on the node this process is what has to go when memory runs out.
        let _ = std::fs::write("/proc/self/oom_score_adj", "1000");
        let _ = rustix::process::setpriority_process(None, 10);
        lower(Resource::Core, 0);
        lower(Resource::Cpu, self.0.seconds.saturating_add(1));
        lower(Resource::Data, self.0.memory_bytes);
        lower(Resource::Fsize, self.0.most_bytes.max(words_bytes() as u64));
    }
}

fn lower(resource: Resource, wanted: u64) {
    let allowed = rustix::process::getrlimit(resource).maximum.map_or(wanted, |maximum| maximum.min(wanted));
    let _ = rustix::process::setrlimit(resource, Rlimit { current: Some(allowed), maximum: Some(allowed) });
}

/// The library, with the cryptography of the rest of the program: to be had once in a process. A registry says itself who checks the password,
/// and the library asks whom it names: without `clear_text` nobody who is not on this machine is asked by plain HTTP.
pub(crate) fn client(
    plain: bool,
    clear_text: bool,
    proxy: Option<&str>,
    authorities: Option<&Path>,
    connect: Duration,
) -> Result<Client, PullError> {
    // Another one that is there already is as good.
    let _installed = rustls::crypto::ring::default_provider().install_default();
    let config = ClientConfig {
        protocol: if plain { ClientProtocol::Http } else { ClientProtocol::Https },
        platform_resolver: None,
        tls_certs_only: authorities.map(certificates).transpose()?.unwrap_or_default(),
        connect_timeout: Some(connect),
        http_proxy: if clear_text { proxy.map(str::to_owned) } else { Some(NOWHERE.to_owned()) },
        no_proxy: (!clear_text).then(|| THIS_MACHINE.to_owned()),
        https_proxy: proxy.map(str::to_owned),
        user_agent: concat!("sluicebox/", env!("CARGO_PKG_VERSION")),
        ..ClientConfig::default()
    };
    Client::try_from(config).map_err(|error| told(&error))
}

/// The certificates of a file, as PEM.
fn certificates(path: &Path) -> Result<Vec<Certificate>, PullError> {
    let unusable = |cause: String| PullError::new(Kind::Denied, format!("cannot use `ca-file` {}: {cause}", path.display()));
    let text = file::read(path, LARGEST_AUTHORITIES).map_err(|error| unusable(error.to_string()))?;
    let read = |certificate: Result<CertificateDer<'_>, _>| {
        certificate.map(|certificate| Certificate { encoding: CertificateEncoding::Der, data: certificate.to_vec() })
    };
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).map(read).collect();
    let certificates = certificates.map_err(|error: rustls::pki_types::pem::Error| unusable(error.to_string()))?;
    if certificates.is_empty() { Err(unusable("there is no certificate in it".to_owned())) } else { Ok(certificates) }
}

pub(crate) fn auth(secret: &crate::secret::Secret) -> RegistryAuth {
    match &secret.0 {
        Some((user, password)) => RegistryAuth::Basic(user.clone(), password.clone()),
        None => RegistryAuth::Anonymous,
    }
}

/// What the library says, and what to do about it.
pub(crate) fn told(error: &OciDistributionError) -> PullError {
    use OciDistributionError as Error;

    match error {
        Error::RequestError(error) => PullError::new(Kind::Away, chain(error)),
        Error::AuthenticationFailure(words) => PullError::new(Kind::Denied, format!("the registry does not let us in: {words}")),
        Error::UnauthorizedError { .. } | Error::ServerError { code: 401, .. } => {
            PullError::new(Kind::Denied, "the registry wants to know who asks: 401 Unauthorized")
        }
        Error::DigestError(error) => PullError::new(Kind::Mismatch, error.to_string()),
        Error::ServerError { code: 404, .. } => PullError::new(Kind::Absent, "the registry has no such module: 404 Not Found"),
        Error::ServerError { code: 403, message, .. } => {
            PullError::new(Kind::Denied, format!("the registry does not let us: 403 Forbidden: {message}"))
        }
        Error::ServerError { code, message, .. } => {
            PullError::new(Kind::Away, format!("the registry answered {code}: {message}"))
        }
        Error::RegistryError { envelope, .. } => {
            let first = envelope.errors.first();
            let words = first.map(|error| error.message.clone()).unwrap_or_default();
            match first.map(|error| &error.code) {
                Some(OciErrorCode::Unauthorized | OciErrorCode::Denied) => {
                    PullError::new(Kind::Denied, format!("the registry does not let us: {words}"))
                }
                Some(OciErrorCode::Toomanyrequests) => {
                    PullError::new(Kind::Away, format!("the registry is asked too often: {words}"))
                }
                _ => PullError::new(Kind::Absent, format!("the registry has no such module: {words}")),
            }
        }
        other => PullError::new(Kind::Layout, other.to_string()),
    }
}

/// What a registry does that has a password checked elsewhere.
pub(crate) const CHECKED: &str = "the registry has it checked by plain HTTP";

/// In plain words, where a password could have been on its way to another machine by plain HTTP, because of what the registry does.
pub(crate) fn unsent(error: PullError, because: &str) -> PullError {
    let went_nowhere = error.reason.contains("for url (http://") && error.reason.contains("dns error");
    if !went_nowhere {
        return error;
    }
    let reason = format!("{KEPT}, and {because}: {}", error.reason.split(": client error").next().unwrap_or_default());
    PullError::new(Kind::Denied, reason)
}

/// With the causes, as those of a connection stand below.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let words: &dyn Display = &error;
        let words = words.to_string();
        if !text.contains(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        cause = error.source();
    }
    text
}
