//! The two requests: a page of a list, and a watch.

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use kube::api::{ListParams, VersionMatch, WatchParams};
use kube::client::Body;
use kube::core::Request;
use sluicebox_contract::ObjectKind;
use tokio::time::timeout;

use super::read::{self, Page};
use crate::kubernetes::{Api, Trouble, chain};

/// What is asked for.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) kind: ObjectKind,
    /// The source's name.
    pub(crate) source: &'static str,
    /// The path of the list.
    pub(crate) path: &'static str,
    /// Which of them.
    pub(crate) field_selector: Option<String>,
    /// The first list may come from the server's cache, whole: cheap for a server that thousands ask at once for a few objects each.
    pub(crate) first_from_cache: bool,
    pub(crate) page_size: u32,
    pub(crate) max_page_bytes: usize,
    pub(crate) max_object_bytes: usize,
}

/// How much of a list is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    /// All of it, as the server's cache has it, which may be a little behind.
    Cached,
    /// So many objects, as they are now.
    Page(u32),
}

/// Why there is no page.
pub(super) enum PageError {
    /// It is longer than allowed. This is what was read of it.
    TooBig(Bytes),
    Trouble(Trouble),
}

/// Asks the API server.
pub(super) struct Fetch {
    pub(super) api: Api,
    pub(super) target: Target,
    /// What comes from the server's cache must not be older than this version: it is known what was there then.
    pub(super) not_older_than: Option<String>,
}

impl Fetch {
    /// A page of the list: the first one, or the one that the token leads to.
    pub(super) async fn page(&self, token: Option<&str>, extent: Extent) -> Result<Page, PageError> {
        let limit = self.api.request_timeout();
        timeout(limit, self.untimed_page(token, extent)).await.unwrap_or_else(|_| {
            let cause = format!("no whole answer within {} seconds", limit.as_secs());
            Err(PageError::Trouble(self.trouble("list", cause)))
        })
    }

    async fn untimed_page(&self, token: Option<&str>, extent: Extent) -> Result<Page, PageError> {
        let (limit, version, version_match) = match (extent, &self.not_older_than) {
            (Extent::Cached, Some(version)) => (None, Some(version.clone()), Some(VersionMatch::NotOlderThan)),
            (Extent::Cached, None) => (None, Some("0".to_owned()), None),
            (Extent::Page(size), _) => (Some(size), None, None),
        };
        let parameters = ListParams {
            field_selector: self.target.field_selector.clone(),
            limit,
            continue_token: token.map(ToOwned::to_owned),
            resource_version: version,
            version_match,
            ..ListParams::default()
        };
        let trouble = |cause: String| PageError::Trouble(self.trouble("list", cause));
        let request = Request::new(self.target.path).list(&parameters).map_err(|error| trouble(error.to_string()))?;
        let response = self.api.send(request, &self.tried("list")).await.map_err(PageError::Trouble)?;
        let mut body = response.into_body();
        let mut text = BytesMut::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| trouble(chain(&error)))?;
            let data = frame.data_ref().map(Bytes::as_ref).unwrap_or_default();
            let room = self.target.max_page_bytes.saturating_sub(text.len());
            text.extend_from_slice(data.get(..room).unwrap_or(data));
            if data.len() > room {
                return Err(PageError::TooBig(text.freeze()));
            }
        }
        read::page(&text).map_err(trouble)
    }

    /// Opens a watch from a version on.
    pub(super) async fn watch(&self, version: &str) -> Result<Body, Trouble> {
        let seconds = u32::try_from(self.api.watch_timeout().as_secs()).unwrap_or(u32::MAX).max(1);
        let parameters = WatchParams {
            field_selector: self.target.field_selector.clone(),
            timeout: Some(seconds),
            bookmarks: true,
            ..WatchParams::default()
        };
        let request = Request::new(self.target.path).watch(&parameters, version);
        let request = request.map_err(|error| self.trouble("watch", error.to_string()))?;
        let limit = self.api.request_timeout();
        let opened = timeout(limit, self.api.send(request, &self.tried("watch"))).await;
        let response =
            opened.unwrap_or_else(|_| Err(self.trouble("watch", format!("no answer within {} seconds", limit.as_secs()))))?;
        Ok(response.into_body())
    }

    /// Something did not work that was to `list` or `watch`.
    pub(super) fn trouble(&self, verb: &str, cause: String) -> Trouble {
        Trouble::new(format!("{} at {}", self.tried(verb), self.api.server()), cause)
    }

    fn tried(&self, verb: &str) -> String {
        format!("cannot {verb} {}", self.target.source)
    }
}
