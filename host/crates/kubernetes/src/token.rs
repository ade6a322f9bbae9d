//! Fetches bearer tokens: from a file that is read again and again, or from kubectl before the last one ends.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, SystemTime};

use http::HeaderValue;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::route::TokenPlan;
use super::{Kubectl, TokenRetrieval, Trouble, jwt};

/// Tokens in files are rotated on the disk; what was read is trusted for so long.
const FILE_IS_FRESH: Duration = Duration::from_secs(30);
/// Neither a token nor what kubectl says is longer.
const LONGEST: u64 = 64 * 1024;

/// Fetches tokens and remembers the last one. One for all sources.
pub(super) struct Tokens {
    plan: TokenPlan,
    /// What else kubectl is told, such as which kubeconfig to use.
    kubectl_arguments: Vec<String>,
    held: Mutex<Option<Held>>,
}

struct Held {
    header: HeaderValue,
    fresh_until: Option<Instant>,
}

impl Tokens {
    pub(super) fn new(plan: TokenPlan, kubectl_arguments: Vec<String>) -> Self {
        Self { plan, kubectl_arguments, held: Mutex::new(None) }
    }

    /// The value of the `authorization` header; none if no token is to be sent.
    pub(super) async fn header(&self) -> Result<Option<HeaderValue>, Trouble> {
        if self.plan == TokenPlan::None {
            return Ok(None);
        }
        // Held while fetching, so that several sources run kubectl once.
        let mut held = self.held.lock().await;
        if let Some(held) = &*held
            && held.fresh_until.is_none_or(|until| Instant::now() < until)
        {
            return Ok(Some(held.header.clone()));
        }
        match self.fetch().await {
            Ok(fresh) => Ok(Some(held.insert(fresh).header.clone())),
            // The last one may still do: the server decides.
            Err(trouble) => match &*held {
                Some(held) => Ok(Some(held.header.clone())),
                None => Err(trouble),
            },
        }
    }

    /// The API has refused this header: the next one is fetched afresh.
    pub(super) async fn refused(&self, header: &HeaderValue) {
        let mut held = self.held.lock().await;
        if held.as_ref().is_some_and(|held| held.header == *header) {
            *held = None;
        }
    }

    async fn fetch(&self) -> Result<Held, Trouble> {
        match &self.plan {
            TokenPlan::By(TokenRetrieval::File(path)) => from_file(path).await,
            TokenPlan::By(TokenRetrieval::Kubectl(kubectl)) => self.by_kubectl(kubectl).await,
            TokenPlan::FileElseKubectl if tokio::fs::try_exists(TokenRetrieval::usual_file()).await.unwrap_or(false) => {
                from_file(TokenRetrieval::usual_file()).await
            }
            TokenPlan::FileElseKubectl => self.by_kubectl(&Kubectl::default()).await,
            TokenPlan::None | TokenPlan::By(TokenRetrieval::Auto | TokenRetrieval::None) => {
                Err(Trouble::new("cannot fetch a token", "no strategy is set"))
            }
        }
    }

    async fn by_kubectl(&self, kubectl: &Kubectl) -> Result<Held, Trouble> {
        let tried = format!(
            "cannot get a token by `{} create token {} --namespace {}`",
            kubectl.program.display(),
            kubectl.service_account,
            kubectl.namespace
        );
        let hint = "does the service account exist, and may this user create tokens for it? `kubernetes.token-retrieval` can name \
                    another one, or a file";
        let run = tokio::time::timeout(kubectl.timeout.0, run(kubectl, &self.kubectl_arguments));
        let token = match run.await {
            Err(_) => Err(format!("it did not end within {}", kubectl.timeout)),
            Ok(Err(error)) => Err(error.to_string()),
            Ok(Ok(output)) => output,
        };
        let token = token.map_err(|cause| Trouble::new(&tried, cause).hint(hint))?;
        let expiry = jwt::expiry(&token).map_err(|error| Trouble::new(&tried, error).hint(hint))?;
        let header = bearer(&token).map_err(|cause| Trouble::new(&tried, cause))?;
        Ok(Held { header, fresh_until: Instant::now().checked_add(jwt::use_for(expiry, SystemTime::now())) })
    }
}

async fn from_file(path: &Path) -> Result<Held, Trouble> {
    let tried = || format!("cannot read the token file {}", path.display());
    let hint = "`kubernetes.token-retrieval` says where the token comes from";
    let text = read_bounded(path.to_owned()).await.map_err(|error| Trouble::new(tried(), error).hint(hint))?;
    let header = bearer(text.trim()).map_err(|cause| Trouble::new(tried(), cause).hint(hint))?;
    Ok(Held { header, fresh_until: Instant::now().checked_add(FILE_IS_FRESH) })
}

async fn read_bounded(path: PathBuf) -> io::Result<String> {
    let file = tokio::fs::File::open(path).await?;
    let bytes = bounded(file).await?;
    String::from_utf8(bytes).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not text"))
}

/// Reads to the end, which must come before the bound.
async fn bounded(reader: impl AsyncRead + Unpin) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    reader.take(LONGEST + 1).read_to_end(&mut bytes).await?;
    match u64::try_from(bytes.len()) {
        Ok(length) if length <= LONGEST => Ok(bytes),
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, format!("it is longer than {LONGEST} bytes"))),
    }
}

/// Runs kubectl to its end. It is killed when the caller gives up.
async fn run(kubectl: &Kubectl, arguments: &[String]) -> io::Result<Result<String, String>> {
    let mut child = Command::new(&kubectl.program)
        .args(["create", "token", &kubectl.service_account, "--namespace", &kubectl.namespace])
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let (Some(output), Some(complaint)) = (child.stdout.take(), child.stderr.take()) else {
        return Err(io::Error::other("its output cannot be read"));
    };
    let (output, complaint) = tokio::try_join!(bounded(output), bounded(complaint))?;
    let status = child.wait().await?;
    if status.success() {
        return Ok(Ok(String::from_utf8_lossy(&output).trim().to_owned()));
    }
    let complaint = String::from_utf8_lossy(&complaint);
    let complaint: String =
        complaint.trim().chars().take(500).map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
    Ok(Err(format!("{status}: {complaint}")))
}

fn bearer(token: &str) -> Result<HeaderValue, &'static str> {
    if token.is_empty() {
        return Err("it is empty");
    }
    if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("it holds more than one token: there is white space or a control character in it");
    }
    let mut header = HeaderValue::try_from(format!("Bearer {token}")).map_err(|_| "it cannot be sent in a header")?;
    header.set_sensitive(true);
    Ok(header)
}
