//! Reads a page: one `GET`, parsed as it comes.

use std::sync::Arc;
use std::time::Duration;

use http::header;
use reqwest::{Response, Url, Version};
use sluicebox_contract::UnixNanos;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout};

use super::filter::Filter;
use super::rows::Rows;
use super::shape::Moment;
use super::text::{Broken, Format, LIMITS, Limits, Page};
use crate::http::{Client, Trouble, failed, send};

/// What Prometheus accepts, in the same order: so a target tells both the same names.
const ACCEPT: &str = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
    application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,\
    text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
/// By this header exporters that do work for a page know how long they have.
const PATIENCE: &str = "x-prometheus-scrape-timeout-seconds";

/// More of a page is read beside the executor's thread.
const LONG: usize = 64 << 10;

/// How a target is read.
pub(super) struct Fetch {
    pub(super) client: Client,
    pub(super) url: Url,
    pub(super) timeout: Duration,
    pub(super) filter: Arc<Filter>,
    pub(super) most_bytes: usize,
    pub(super) most_series: usize,
}

/// What a page has told.
pub(super) struct Answer {
    pub(super) rows: Rows,
    /// Lines that could not be read.
    pub(super) skipped: u64,
    /// How the first of them begins.
    pub(super) first_skipped: Option<String>,
}

impl Fetch {
    /// A page, in time; and when it was asked for.
    pub(super) async fn fetch(&self) -> (Moment, Result<Answer, Trouble>) {
        let millis = i64::try_from(UnixNanos::now().0 / 1_000_000).unwrap_or(i64::MAX);
        let moment = Moment { read: Instant::now(), millis };
        (moment, timeout(self.timeout, self.ask()).await.unwrap_or(Err(Trouble::Late(self.timeout))))
    }

    async fn ask(&self) -> Result<Answer, Trouble> {
        let ready = self.client.ready().await?;
        let request =
            ready.get(self.url.clone()).header(header::ACCEPT, ACCEPT).header(PATIENCE, self.timeout.as_secs_f64().to_string());
        // What a target says besides a status is for people, as it stands.
        self.read(send(request, |_| None).await?).await
    }

    async fn read(&self, mut response: Response) -> Result<Answer, Trouble> {
        let content_type = response.headers().get(header::CONTENT_TYPE).map(http::HeaderValue::as_bytes).unwrap_or_default();
        let is_open_metrics = content_type.trim_ascii_start().to_ascii_lowercase().starts_with(b"application/openmetrics-text");
        let format = if is_open_metrics { Format::OpenMetrics } else { Format::Text };
        let has_length = is_delimited(&response);
        let mut reading = Reading {
            rows: Rows::new(Arc::clone(&self.filter), self.most_series),
            page: Page::new(format, Limits { document: self.most_bytes, ..LIMITS }),
            come: Vec::new(),
        };
        let mut is_long = false;
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            reading.come.extend_from_slice(&chunk);
            if reading.come.len() > LONG {
                is_long = true;
                reading = beside(reading, Reading::read).await?;
            }
            // Whoever sends without pause does not keep the others from their work.
            tokio::task::yield_now().await;
        }
        let end = move |reading: &mut Reading| {
            reading.read()?;
            reading.page.end(has_length, &mut reading.rows)
        };
        if is_long {
            reading = beside(reading, end).await?;
        } else {
            end(&mut reading).map_err(|broken| trouble(&broken))?;
        }
        let Reading { rows, page, .. } = reading;
        Ok(Answer { rows, skipped: page.skipped(), first_skipped: page.first_skipped().map(str::to_owned) })
    }
}

/// A page that is being read.
struct Reading {
    page: Page,
    rows: Rows,
    /// What has come and was not read.
    come: Vec<u8>,
}

impl Reading {
    fn read(&mut self) -> Result<(), Broken> {
        self.page.take(&self.come, &mut self.rows)?;
        self.come.clear();
        Ok(())
    }
}

/// Reads beside the executor's thread.
async fn beside(
    mut reading: Reading,
    read: impl FnOnce(&mut Reading) -> Result<(), Broken> + Send + 'static,
) -> Result<Reading, Trouble> {
    let done = spawn_blocking(move || read(&mut reading).map(|()| reading));
    done.await.map_err(|error| Trouble::Setup(error.to_string()))?.map_err(|broken| trouble(&broken))
}

/// Whether HTTP itself says where the page ends. Else it ends with the connection, whatever ended that.
fn is_delimited(response: &Response) -> bool {
    let has = |name| response.headers().contains_key(name);
    response.version() >= Version::HTTP_2 || has(header::CONTENT_LENGTH) || has(header::TRANSFER_ENCODING)
}

fn trouble(broken: &Broken) -> Trouble {
    match broken {
        Broken::TooLong(most) => Trouble::TooLong(*most),
        Broken::NoMetrics(_) | Broken::CutShort | Broken::CutLine | Broken::Trailing => Trouble::Unusable(broken.to_string()),
    }
}
