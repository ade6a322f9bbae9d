//! Builds the HTTP client out of kube's parts.
//!
//! kube's own assembly writes an error to the log for every request that fails; here, what an operator reads is decided by who asked.

use std::time::Duration;

use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use kube::Client;
use kube::client::{Body, ConfigExt as _};
use sluicebox_contract::Fault;
use tower::{BoxError, ServiceBuilder};

use super::trouble::chain;

/// A kubeconfig may name a program that fetches credentials.
const CREDENTIALS_DEADLINE: Duration = Duration::from_mins(1);
/// So that a connection whose other end has vanished without a word is noticed.
const KEEPALIVE: Duration = Duration::from_secs(30);

/// Builds the client away from the executor's threads: certificates are read, and a kubeconfig may name a program to run.
pub(super) async fn build(config: kube::Config) -> Result<Client, Fault> {
    let tried = format!("cannot prepare the connection to {}", config.cluster_url);
    let fatal = |cause: String| {
        Fault::fatal(&tried, cause)
            .hint("certificates and credentials come from `kubernetes.ca-file`, the pod's service account or the kubeconfig")
    };
    if let Some(proxy) = &config.proxy_url {
        return Err(fatal(format!("the kubeconfig asks for the proxy {proxy}, and proxies are not supported")));
    }
    let work = tokio::time::timeout(CREDENTIALS_DEADLINE, blocking(move || assemble(&config)));
    match work.await {
        Err(_) => Err(fatal(format!("it took longer than {} seconds", CREDENTIALS_DEADLINE.as_secs()))),
        Ok(Err(cause)) => Err(fatal(cause)),
        Ok(Ok(result)) => result.map_err(fatal),
    }
}

/// Runs what may block on a thread of its own.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, String> {
    tokio::task::spawn_blocking(work).await.map_err(|error| error.to_string())
}

fn assemble(config: &kube::Config) -> Result<Client, String> {
    if let Some(path) = &config.root_cert_file {
        std::fs::File::open(path)
            .map_err(|error| format!("cannot read the certificate authorities in {}: {error}", path.display()))?;
    }
    let mut connector = HttpConnector::new();
    connector.enforce_http(false);
    connector.set_nodelay(true);
    connector.set_keepalive(Some(KEEPALIVE));
    connector.set_connect_timeout(config.connect_timeout);
    let connector = config.rustls_https_connector_with_connector(connector).map_err(|error| chain(&error))?;
    let client: legacy::Client<_, Body> = legacy::Client::builder(TokioExecutor::new()).build(connector);
    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .option_layer(config.auth_layer().map_err(|error| chain(&error))?)
        .layer(config.extra_headers_layer().map_err(|error| chain(&error))?)
        .map_err(BoxError::from)
        .service(client);
    Ok(Client::new(service, config.default_namespace.clone()))
}
