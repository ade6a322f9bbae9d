//! Asks the server: one query, and what a metric is.

use sluicebox_contract::text::in_few_words;
use std::collections::BTreeMap;
use std::time::Duration;

use http::header::CONTENT_TYPE;
use reqwest::Url;
use serde::Deserialize;
use tokio::time::timeout;

use super::config::{Config, Method};
use super::plan::Asked;
use super::request::{self, Moments};
use crate::http::{Ready, Trouble, body, excerpt, send};

/// Metadata of one metric are short.
const METADATA_BYTES: usize = 256 << 10;
/// Names of types and units are shorter.
const LONGEST_WORD: usize = 64;

/// Whom is asked, and how.
pub(super) struct Server {
    pub(super) base: Url,
    pub(super) method: Method,
    pub(super) parameters: BTreeMap<String, String>,
    pub(super) max_answer_bytes: usize,
}

/// What a metric is, as the server's targets say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Metadata {
    pub(super) metric_type: String,
    pub(super) unit: String,
}

impl Server {
    pub(super) fn new(config: &Config, base: Url) -> Self {
        Self {
            base,
            method: config.method,
            parameters: config.parameters.clone(),
            max_answer_bytes: usize::try_from(config.max_answer_bytes.0).unwrap_or(usize::MAX),
        }
    }

    /// The body of the answer to a query, in time.
    pub(super) async fn query(
        &self,
        ready: &Ready,
        asked: &Asked,
        moments: Moments,
        within: Duration,
    ) -> Result<Vec<u8>, Trouble> {
        let asking = async {
            let mut url = self.join(request::path(asked.kind))?;
            let parameters = request::parameters(asked, moments, &self.parameters);
            let request = match self.method {
                Method::Get => {
                    url.set_query(Some(&parameters));
                    ready.get(url)
                }
                Method::Post => ready.post(url).header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(parameters),
            };
            let request = request.header(http::header::ACCEPT, "application/json");
            body(send(request, super::answer::refusal).await?, self.max_answer_bytes).await
        };
        timeout(within, asking).await.unwrap_or(Err(Trouble::Late(within)))
    }

    /// What the metric is, in time; nothing where nobody knows it.
    pub(super) async fn metadata(&self, ready: &Ready, metric: &str, within: Duration) -> Result<Metadata, Trouble> {
        let asking = async {
            let mut url = self.join("api/v1/metadata")?;
            url.set_query(Some(&format!("limit_per_metric=1&metric={}", request::escaped(metric))));
            let body = body(send(ready.get(url), super::answer::refusal).await?, METADATA_BYTES).await?;
            metadata(&body, metric).map_err(Trouble::Unusable)
        };
        timeout(within, asking).await.unwrap_or(Err(Trouble::Late(within)))
    }

    fn join(&self, path: &str) -> Result<Url, Trouble> {
        self.base.join(path).map_err(|error| Trouble::Setup(error.to_string()))
    }
}

fn metadata(body: &[u8], metric: &str) -> Result<Metadata, String> {
    #[derive(Deserialize)]
    struct Answer {
        #[serde(default)]
        data: BTreeMap<String, Vec<Told>>,
    }
    #[derive(Deserialize)]
    struct Told {
        #[serde(rename = "type", default)]
        metric_type: String,
        #[serde(default)]
        unit: String,
    }
    let mut answer: Answer = serde_json::from_slice(body).map_err(in_few_words)?;
    let told = answer.data.remove(metric).and_then(|told| told.into_iter().next());
    let short = |text: String| if text.len() > LONGEST_WORD { String::new() } else { excerpt(&text) };
    // `unknown` is how Prometheus says that nobody has told.
    let known = |text: String| if text == "unknown" { String::new() } else { short(text) };
    Ok(told.map_or_else(Metadata::default, |told| Metadata { metric_type: known(told.metric_type), unit: short(told.unit) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_tell_type_and_unit() {
        let read = |body: &str| metadata(body.as_bytes(), "up");
        let told = |metric_type: &str, unit: &str| Ok(Metadata { metric_type: metric_type.to_owned(), unit: unit.to_owned() });
        assert_eq!(
            read(r#"{"status":"success","data":{"up":[{"type":"gauge","help":"x","unit":"s"},{"type":"counter"}]}}"#),
            told("gauge", "s")
        );
        assert_eq!(read(r#"{"status":"success","data":{"up":[{"type":"unknown","help":"","unit":""}]}}"#), told("", ""));
        assert_eq!(read(r#"{"status":"success","data":{}}"#), told("", ""));
        assert_eq!(read(&format!(r#"{{"data":{{"up":[{{"type":"{}"}}]}}}}"#, "x".repeat(100))), told("", ""));
        assert!(read("<html>").is_err());
    }
}
