//! Certificates made for one test: an authority of its own and what it signs.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

use super::process::write_private;

/// The files of a server on loopback.
#[derive(Debug)]
pub(super) struct Certificate {
    pub(super) authority: PathBuf,
    pub(super) chain: PathBuf,
    pub(super) key: PathBuf,
}

/// Makes an authority and a certificate for `localhost` and `127.0.0.1`.
pub(super) fn certificate(folder: &Path) -> Result<Certificate> {
    let mut authority = CertificateParams::new(Vec::new())?;
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.distinguished_name.push(DnType::CommonName, "test authority");
    let authority_key = KeyPair::generate()?;
    let authority_text = authority.self_signed(&authority_key)?.pem();
    let issuer = Issuer::new(authority, authority_key);

    let key = KeyPair::generate()?;
    let server = CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()])?;
    let signed = server.signed_by(&key, &issuer).context("cannot sign a certificate")?;

    let files =
        Certificate { authority: folder.join("ca.crt"), chain: folder.join("server.crt"), key: folder.join("server.key") };
    write_private(&files.authority, &authority_text)?;
    write_private(&files.chain, &signed.pem())?;
    write_private(&files.key, &key.serialize_pem())?;
    Ok(files)
}

/// A key pair to sign tokens with: the private and the public half.
pub(super) fn signing_key(folder: &Path) -> Result<(PathBuf, PathBuf)> {
    let pair = KeyPair::generate()?;
    let private = folder.join("signing.key");
    let public = folder.join("signing.pub");
    write_private(&private, &pair.serialize_pem())?;
    write_private(&public, &pair.public_key_pem())?;
    Ok((private, public))
}
