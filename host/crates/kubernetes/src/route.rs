//! Decides from configuration and environment which way to the API server is taken. Pure.

use std::ffi::OsString;
use std::net::IpAddr;
use std::path::PathBuf;

use http::Uri;
use sluicebox_contract::Fault;

use super::{Access, Config, TokenRetrieval};

/// Where a pod finds the certificate authority of its cluster.
const IN_CLUSTER_CA: &str = "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt";

/// What is taken from the process's environment.
#[derive(Clone, Debug, Default)]
pub(super) struct Environment {
    pub(super) service_host: Option<String>,
    pub(super) service_port: Option<String>,
    pub(super) kubeconfig: Option<OsString>,
    pub(super) home: Option<OsString>,
}

impl Environment {
    pub(super) fn of_the_process() -> Self {
        Self {
            service_host: std::env::var("KUBERNETES_SERVICE_HOST").ok(),
            service_port: std::env::var("KUBERNETES_SERVICE_PORT").ok(),
            kubeconfig: std::env::var_os("KUBECONFIG"),
            home: std::env::var_os("HOME"),
        }
    }

    fn in_cluster(&self) -> Option<(&str, &str)> {
        let given = |text: &'_ Option<String>| text.as_deref().is_some_and(|text| !text.is_empty());
        match (&self.service_host, &self.service_port) {
            (Some(host), Some(port)) if given(&self.service_host) && given(&self.service_port) => Some((host, port)),
            _ => None,
        }
    }

    fn kubeconfigs(&self) -> Vec<PathBuf> {
        let named = self.kubeconfig.as_deref().map(std::env::split_paths);
        let named: Vec<PathBuf> = named.into_iter().flatten().filter(|path| !path.as_os_str().is_empty()).collect();
        match (&self.home, named.is_empty()) {
            (Some(home), true) if !home.is_empty() => {
                vec![PathBuf::from(home).join(".kube/config")]
            }
            _ => named,
        }
    }
}

/// The way that is taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// To an address, verified against a file or the operating system's authorities.
    Direct { url: Uri, ca_file: Option<PathBuf>, token: TokenPlan },
    /// As these kubeconfig files say, merged; a token of ours takes the place of their user's.
    Kubeconfig { files: Vec<PathBuf>, token: TokenPlan },
}

/// How a token is got, once `auto` has been settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum TokenPlan {
    /// None of ours.
    None,
    /// By this strategy.
    By(TokenRetrieval),
    /// From the usual file if there is one, else by kubectl.
    FileElseKubectl,
}

/// Settles the way. `exists` says whether a file is there.
pub(super) fn choose(config: &Config, environment: &Environment, exists: impl Fn(&PathBuf) -> bool) -> Result<Route, Fault> {
    match config.access {
        Access::Url => direct(config),
        Access::InCluster => in_cluster(config, environment),
        Access::Kubeconfig => Ok(kubeconfig(config, environment)),
        Access::Auto if config.url.is_some() => direct(config),
        Access::Auto if config.kubeconfig.is_some() => Ok(kubeconfig(config, environment)),
        Access::Auto if environment.in_cluster().is_some() => in_cluster(config, environment),
        Access::Auto if environment.kubeconfigs().iter().any(exists) => Ok(kubeconfig(config, environment)),
        Access::Auto => Err(nothing_found(environment)),
    }
}

fn direct(config: &Config) -> Result<Route, Fault> {
    let text = config.url.as_deref().unwrap_or_default();
    let url = parse_url(text).map_err(|cause| {
        Fault::fatal("cannot reach the Kubernetes API", cause).hint("set `kubernetes.url`, like https://10.0.0.1:6443")
    })?;
    let token = match &config.token_retrieval {
        TokenRetrieval::Auto if url.scheme_str() == Some("http") => TokenPlan::None,
        TokenRetrieval::Auto => TokenPlan::FileElseKubectl,
        TokenRetrieval::None => TokenPlan::None,
        given => TokenPlan::By(given.clone()),
    };
    Ok(Route::Direct { url, ca_file: config.ca_file.clone(), token })
}

fn in_cluster(config: &Config, environment: &Environment) -> Result<Route, Fault> {
    let Some((host, port)) = environment.in_cluster() else {
        return Err(Fault::fatal(
            "cannot reach the Kubernetes API from within the cluster",
            "KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set",
        )
        .hint("they are set in every pod; outside of one, use `kubernetes.access: kubeconfig` or `url`"));
    };
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    let url = parse_url(&format!("https://{host}:{port}")).map_err(|cause| {
        Fault::fatal("cannot reach the Kubernetes API from within the cluster", cause)
            .hint("the address is made of KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT")
    })?;
    let token = match &config.token_retrieval {
        TokenRetrieval::Auto => TokenPlan::By(TokenRetrieval::File(TokenRetrieval::usual_file().to_owned())),
        TokenRetrieval::None => TokenPlan::None,
        given => TokenPlan::By(given.clone()),
    };
    let ca_file = config.ca_file.clone().unwrap_or_else(|| PathBuf::from(IN_CLUSTER_CA));
    Ok(Route::Direct { url, ca_file: Some(ca_file), token })
}

fn kubeconfig(config: &Config, environment: &Environment) -> Route {
    let files = config.kubeconfig.clone().map_or_else(|| environment.kubeconfigs(), |file| vec![file]);
    let token = match &config.token_retrieval {
        TokenRetrieval::Auto | TokenRetrieval::None => TokenPlan::None,
        given => TokenPlan::By(given.clone()),
    };
    Route::Kubeconfig { files, token }
}

fn nothing_found(environment: &Environment) -> Fault {
    let files: Vec<String> = environment.kubeconfigs().iter().map(|path| path.display().to_string()).collect();
    let files = if files.is_empty() { "no kubeconfig (neither KUBECONFIG nor HOME is set)".to_owned() } else { files.join(", ") };
    Fault::fatal(
        "cannot find a Kubernetes API server",
        format!("looked for KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT (set in every pod) and for {files}"),
    )
    .hint("set `kubernetes.url` or `kubernetes.kubeconfig`")
}

/// An http or https address with a host.
pub(super) fn parse_url(text: &str) -> Result<Uri, String> {
    if !text.starts_with("http://") && !text.starts_with("https://") {
        return Err(format!("`{text}` does not begin with http:// or https://"));
    }
    let url: Uri = text.parse().map_err(|error| format!("`{text}` is no address: {error}"))?;
    match (url.host(), url.query()) {
        (None | Some(""), _) => Err(format!("`{text}` names no host")),
        (_, Some(_)) => Err(format!("`{text}` has a query, which an API server's address does not have")),
        _ => Ok(url),
    }
}

/// Whether an address stays on this machine.
pub(super) fn is_loopback(url: &Uri) -> bool {
    let host = url.host().unwrap_or_default();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(json: &str) -> Config {
        serde_json::from_str(json).expect("the test's configuration parses")
    }

    fn pod() -> Environment {
        Environment {
            service_host: Some("10.0.0.1".to_owned()),
            service_port: Some("443".to_owned()),
            home: Some("/root".into()),
            ..Environment::default()
        }
    }

    fn url(text: &str) -> Uri {
        text.parse().expect("an address")
    }

    #[test]
    fn in_a_pod_auto_goes_by_the_service_account() {
        let route = choose(&config("{}"), &pod(), |_| true).expect("a way");
        let token = TokenPlan::By(TokenRetrieval::File(TokenRetrieval::usual_file().to_owned()));
        assert_eq!(route, Route::Direct { url: url("https://10.0.0.1:443"), ca_file: Some(PathBuf::from(IN_CLUSTER_CA)), token });
    }

    #[test]
    fn an_address_of_ipv6_gets_its_brackets() {
        let environment = Environment { service_host: Some("fd00::1".to_owned()), ..pod() };
        let Route::Direct { url: found, .. } = choose(&config("{}"), &environment, |_| true).expect("a way") else {
            panic!("not in the cluster");
        };
        assert_eq!(found, url("https://[fd00::1]:443"));
    }

    #[test]
    fn outside_of_a_pod_auto_goes_by_the_kubeconfig() {
        let environment = Environment { home: Some("/root".into()), ..Environment::default() };
        let route = choose(&config("{}"), &environment, |_| true).expect("a way");
        assert_eq!(route, Route::Kubeconfig { files: vec![PathBuf::from("/root/.kube/config")], token: TokenPlan::None });
        let environment = Environment { kubeconfig: Some("/a::/b".into()), ..environment };
        let route = choose(&config("{}"), &environment, |_| true).expect("a way");
        assert_eq!(route, Route::Kubeconfig { files: vec![PathBuf::from("/a"), PathBuf::from("/b")], token: TokenPlan::None });
    }

    #[test]
    fn when_nothing_is_found_the_fault_names_what_was_looked_for() {
        let environment = Environment { home: Some("/root".into()), ..Environment::default() };
        let fault = choose(&config("{}"), &environment, |_| false).expect_err("nothing to find").to_string();
        assert_eq!(
            fault,
            "cannot find a Kubernetes API server: looked for KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT (set in every pod) \
             and for /root/.kube/config (hint: set `kubernetes.url` or `kubernetes.kubeconfig`)"
        );
    }

    #[test]
    fn a_plain_proxy_gets_no_token_unless_one_is_asked_for() {
        let plan = |json| match choose(&config(json), &pod(), |_| true) {
            Ok(Route::Direct { token, .. }) => token,
            other => panic!("{other:?}"),
        };
        assert_eq!(plan(r#"{"url": "http://127.0.0.1:8001"}"#), TokenPlan::None);
        assert_eq!(plan(r#"{"url": "https://127.0.0.1:6443"}"#), TokenPlan::FileElseKubectl);
        assert_eq!(
            plan(r#"{"url": "http://127.0.0.1:8001", "token-retrieval": {"file": "/t"}}"#),
            TokenPlan::By(TokenRetrieval::File(PathBuf::from("/t")))
        );
    }

    #[test]
    fn loopback_is_known_in_every_form() {
        for (text, expected) in [
            ("http://127.0.0.1:1", true),
            ("http://127.8.9.1", true),
            ("http://[::1]:1", true),
            ("http://localhost:1", true),
            ("http://10.0.0.1:1", false),
            ("http://localhost.example:1", false),
        ] {
            assert_eq!(is_loopback(&url(text)), expected, "{text}");
        }
    }
}
