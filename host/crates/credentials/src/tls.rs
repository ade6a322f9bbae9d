//! TLS with settings of our own: the provider of the cryptography is named here, so that no process-wide one has to be installed.

use std::path::Path;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use sluicebox_contract::{ByteSize, Fault};

use crate::file;

/// All authorities that systems know have a third of this.
const LARGEST: ByteSize = ByteSize(1 << 20);

/// What a user says of TLS towards one server.
#[derive(Clone, Copy, Debug)]
pub struct TlsFiles<'paths> {
    /// Certificates of the authorities that may have signed the server's, as PEM, in place of the system's.
    pub ca_file: Option<&'paths Path>,
    /// The certificate that the server is shown, as PEM, with those between it and its authority.
    pub client_certificate_file: Option<&'paths Path>,
    /// The private key of that certificate, as PEM.
    pub client_key_file: Option<&'paths Path>,
    /// Whether the server's certificate is verified.
    pub verify: bool,
}

/// What the files say now. Blocks while it reads them.
pub fn client(files: &TlsFiles<'_>) -> Result<ClientConfig, Fault> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| Fault::fatal("cannot set up TLS", error))?;
    let builder = if files.verify {
        builder.with_root_certificates(roots(files.ca_file)?)
    } else {
        builder.dangerous().with_custom_certificate_verifier(Arc::new(Unverified(provider)))
    };
    let (Some(certificate), Some(key)) = (files.client_certificate_file, files.client_key_file) else {
        return Ok(builder.with_no_client_auth());
    };
    let chain = certificates(certificate)?;
    let private = PrivateKeyDer::from_pem_slice(&read("client-key-file", key)?)
        .map_err(|error| unreadable("client-key-file", key, error))?;
    builder.with_client_auth_cert(chain, private).map_err(|error| unreadable("client-key-file", key, error))
}

fn roots(ca_file: Option<&Path>) -> Result<RootCertStore, Fault> {
    let mut roots = RootCertStore::empty();
    if let Some(path) = ca_file {
        for certificate in certificates(path)? {
            roots.add(certificate).map_err(|error| unreadable("ca-file", path, error))?;
        }
    } else {
        // What the system has that we cannot read is no reason not to use the rest.
        let found = rustls_native_certs::load_native_certs();
        roots.add_parsable_certificates(found.certs);
        if roots.is_empty() {
            return Err(Fault::retry("cannot verify the server's certificate", "the system has no authorities")
                .hint("install them (package `ca-certificates`), or name the server's own authority in `ca-file`"));
        }
    }
    Ok(roots)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Fault> {
    let bytes = read("a certificate file", path)?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    let certificates = certificates.map_err(|error| unreadable("a certificate file", path, error))?;
    if certificates.is_empty() {
        return Err(unreadable("a certificate file", path, "there is no certificate in it"));
    }
    Ok(certificates)
}

fn read(what: &str, path: &Path) -> Result<Vec<u8>, Fault> {
    file::read(path, LARGEST).map_err(|error| unreadable(what, path, error))
}

fn unreadable(what: &str, path: &Path, cause: impl std::fmt::Display) -> Fault {
    Fault::retry(format!("cannot use {what} `{}`", path.display()), cause)
        .hint("it must be a PEM file that sluicebox may read; it is read again at the next try")
}

/// Takes every certificate.
#[derive(Debug)]
struct Unverified(Arc<CryptoProvider>);

impl ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
