//! Asks a real API server again and again over one connection, for whoever changes something many times a second.

use std::path::PathBuf;

use anyhow::{Context, Result};
use http::Method;
use serde_json::Value;

use super::https::Connection;
use super::kube_api_server::{KubeApiServer, call};

/// A client with the rights of the admin. It knows where the server is, and does not keep it alive.
pub struct KubeClient {
    port: u16,
    authority: PathBuf,
    connection: Option<Connection>,
}

impl std::fmt::Debug for KubeClient {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("KubeClient").field("port", &self.port).finish_non_exhaustive()
    }
}

impl KubeApiServer {
    /// A client of its own.
    pub fn client(&self) -> KubeClient {
        KubeClient { port: self.port(), authority: self.certificate_authority(), connection: None }
    }
}

impl KubeClient {
    /// Asks as admin; a refusal is an error with the server's words, and so is a connection that breaks: the next request makes another one.
    /// Bodies of PATCH are merge patches.
    pub async fn request(&mut self, method: Method, path: &str, body: Option<&Value>) -> Result<Value> {
        let what = format!("{method} {path}");
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => Connection::tls(self.port, &self.authority).await?,
        };
        let answer = connection.send(call(method, path, body)).await.with_context(|| what.clone())?;
        self.connection = Some(connection);
        answer.json().context(what)
    }

    /// Makes another connection for the next request: the server has ended meanwhile.
    pub fn forget(&mut self) {
        self.connection = None;
    }

    /// Creates an object below a path such as `/api/v1/namespaces/default/pods`.
    pub async fn create(&mut self, path: &str, object: &Value) -> Result<Value> {
        self.request(Method::POST, path, Some(object)).await
    }

    /// Merges something into the object at a path.
    pub async fn merge(&mut self, path: &str, news: &Value) -> Result<Value> {
        self.request(Method::PATCH, path, Some(news)).await
    }

    /// Deletes a pod at a path at once: without a kubelet nothing would end a graceful deletion.
    pub async fn delete_at_once(&mut self, path: &str) -> Result<Value> {
        let body = serde_json::json!({ "apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0 });
        self.request(Method::DELETE, path, Some(&body)).await
    }

    /// What is at a path: an object, or a list.
    pub async fn get(&mut self, path: &str) -> Result<Value> {
        self.request(Method::GET, path, None).await
    }
}
