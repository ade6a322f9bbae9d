//! The client: one connection pool and one token for all who ask.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::header::{AUTHORIZATION, RETRY_AFTER};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use kube::Client;
use kube::client::Body;
use kube::config::{AuthInfo, KubeConfigOptions, Kubeconfig};
use sluicebox_contract::Fault;

use super::client::{blocking, build};
use super::route::{self, Environment, Route, TokenPlan};
use super::token::Tokens;
use super::trouble::{Status, chain};
use super::{Config, TlsVerify, TokenRetrieval, Trouble};

/// Refusals are short; more of one is not read.
const LONGEST_REFUSAL: usize = 64 * 1024;

/// A way to the API server. Cheap to clone; clones share connections and token.
#[derive(Clone)]
pub struct Api {
    shared: Arc<Shared>,
}

struct Shared {
    client: Client,
    tokens: Tokens,
    server: String,
    namespace: String,
    request_timeout: Duration,
    watch_timeout: Duration,
    watch_idle_timeout: Duration,
}

impl Api {
    /// Settles the way to the API server and reads the files that it needs. Nothing is sent yet: an API server that is away is met
    /// with patience later. Must be called within a runtime.
    ///
    /// The fault is fatal: the configuration, or what it names, has to be put right.
    pub async fn connect(config: &Config) -> Result<Self, Fault> {
        let environment = Environment::of_the_process();
        let route = route::choose(config, &environment, |path| path.exists())?;
        let (mut client_config, plan) = match route {
            Route::Direct { url, ca_file, token } => {
                let mut client_config = kube::Config::new(url);
                client_config.root_cert_file = ca_file;
                (client_config, token)
            }
            Route::Kubeconfig { files, token } => from_kubeconfig(config, files, token).await?,
        };
        client_config.connect_timeout = Some(config.connect_timeout.0);
        settle_verification(config, &mut client_config)?;
        let server = client_config.cluster_url.to_string();
        let namespace = client_config.default_namespace.clone();
        let client = build(client_config).await?;
        Ok(Self {
            shared: Arc::new(Shared {
                client,
                tokens: Tokens::new(plan, kubectl_arguments(config)),
                server,
                namespace,
                request_timeout: config.request_timeout.0,
                watch_timeout: config.watch_timeout.0,
                watch_idle_timeout: config.watch_idle_timeout.0,
            }),
        })
    }

    /// The address, for logs.
    pub fn server(&self) -> &str {
        &self.shared.server
    }

    /// The namespace of the kubeconfig's context; `default` where there is none.
    pub fn namespace(&self) -> &str {
        &self.shared.namespace
    }

    /// How long an answer may take.
    pub fn request_timeout(&self) -> Duration {
        self.shared.request_timeout
    }

    /// After how long the server is asked to end a watch.
    pub fn watch_timeout(&self) -> Duration {
        self.shared.watch_timeout
    }

    /// After how long without a byte a watch counts as dead.
    pub fn watch_idle_timeout(&self) -> Duration {
        self.shared.watch_idle_timeout
    }

    /// Sends a request and returns the answer's head when it is a success. `tried` begins the error, such as `cannot list pods`. Nothing
    /// is timed here but connecting, and nothing tried again.
    pub async fn send(&self, mut request: Request<Vec<u8>>, tried: &str) -> Result<Response<Body>, Trouble> {
        let header = self.shared.tokens.header().await?;
        if let Some(header) = &header {
            request.headers_mut().insert(AUTHORIZATION, header.clone());
        }
        let response = self.shared.client.send(request.map(Body::from)).await.map_err(|error| {
            // kube's name for it says nothing.
            let cause = match &error {
                kube::Error::Service(inner) => chain(inner.as_ref()),
                other => chain(other),
            };
            let hint = cause.contains("certificate").then(|| {
                "the server's certificate is verified against `kubernetes.ca-file`, else against the cluster's or the system's \
                 authorities"
                    .to_owned()
            });
            let mut trouble = Trouble::new(format!("{tried} at {}", self.shared.server), cause);
            trouble.hint = hint;
            trouble
        })?;
        if response.status().is_success() {
            return Ok(response);
        }
        if let (StatusCode::UNAUTHORIZED, Some(header)) = (response.status(), &header) {
            self.shared.tokens.refused(header).await;
        }
        Err(self.refusal(response, tried).await)
    }

    async fn refusal(&self, response: Response<Body>, tried: &str) -> Trouble {
        let code = response.status();
        let retry_after = retry_after(response.headers());
        let body = Limited::new(response.into_body(), LONGEST_REFUSAL).collect().await;
        let body = body.map(http_body_util::Collected::to_bytes).unwrap_or_default();
        let mut status: Status = serde_json::from_slice(&body)
            .unwrap_or_else(|_| Status { message: String::from_utf8_lossy(&body).trim().to_owned(), ..Status::default() });
        status.code = code.as_u16();
        let mut trouble = Trouble::new(format!("{tried} at {}", self.shared.server), status.describe());
        trouble.status = Some(code);
        trouble.retry_after = retry_after.or(status.retry_after());
        trouble
    }
}

/// Kubernetes sends seconds, never a date.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok().map(Duration::from_secs)
}

async fn from_kubeconfig(config: &Config, files: Vec<PathBuf>, token: TokenPlan) -> Result<(kube::Config, TokenPlan), Fault> {
    let names = files.iter().map(|file| file.display().to_string()).collect::<Vec<_>>().join(", ");
    let tried = format!("cannot use the kubeconfig {names}");
    let hint = "`kubernetes.kubeconfig` and `kubernetes.context` choose another one";
    let fatal = |cause: String| Fault::fatal(&tried, cause).hint(hint);
    if files.is_empty() {
        return Err(fatal("neither KUBECONFIG nor HOME is set".to_owned()));
    }
    let read = move || files.iter().try_fold(Kubeconfig::default(), |merged, file| merged.merge(Kubeconfig::read_from(file)?));
    let kubeconfig = blocking(read).await.map_err(&fatal)?.map_err(|error| fatal(chain(&error)))?;
    let options = KubeConfigOptions { context: config.context.clone(), ..KubeConfigOptions::default() };
    let mut client_config =
        kube::Config::from_custom_kubeconfig(kubeconfig, &options).await.map_err(|error| fatal(chain(&error)))?;
    if let Some(ca_file) = &config.ca_file {
        client_config.root_cert_file = Some(ca_file.clone());
    }
    let user = &mut client_config.auth_info;
    let plan = match (token, &user.token_file, &user.token) {
        // A token of ours takes the place of the user's; certificates may stay.
        (TokenPlan::By(retrieval), _, _) => TokenPlan::By(retrieval),
        // Token files end in a newline that no header can hold.
        (_, Some(file), None) if config.token_retrieval == TokenRetrieval::Auto => {
            TokenPlan::By(TokenRetrieval::File(PathBuf::from(file)))
        }
        (plan, _, _) => plan,
    };
    if plan != TokenPlan::None || config.token_retrieval == TokenRetrieval::None {
        *user = without_token(user);
    }
    Ok((client_config, plan))
}

/// The user of a kubeconfig with nothing but its certificate.
fn without_token(user: &AuthInfo) -> AuthInfo {
    AuthInfo {
        client_certificate: user.client_certificate.clone(),
        client_certificate_data: user.client_certificate_data.clone(),
        client_key: user.client_key.clone(),
        client_key_data: user.client_key_data.clone(),
        ..AuthInfo::default()
    }
}

fn settle_verification(config: &Config, client_config: &mut kube::Config) -> Result<(), Fault> {
    match config.tls_verify {
        TlsVerify::NeverAndIAcceptTheRisk => client_config.accept_invalid_certs = true,
        TlsVerify::Always if client_config.accept_invalid_certs => {
            return Err(Fault::fatal(
                "cannot use the kubeconfig",
                "it says `insecure-skip-tls-verify: true`, and sluicebox verifies certificates unless its own configuration says otherwise",
            )
            .hint("give the kubeconfig a certificate authority, or set `kubernetes.tls-verify: never-and-i-accept-the-risk`"));
        }
        TlsVerify::Always => {}
    }
    Ok(())
}

/// kubectl looks where we look.
fn kubectl_arguments(config: &Config) -> Vec<String> {
    let file = config.kubeconfig.iter().flat_map(|path| ["--kubeconfig".to_owned(), path.display().to_string()]);
    let context = config.context.iter().flat_map(|context| ["--context".to_owned(), context.clone()]);
    file.chain(context).collect()
}
