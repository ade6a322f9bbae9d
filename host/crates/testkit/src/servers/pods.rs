//! What tests do to the pods of a real API server that has no kubelet: create, give a status, delete at once.

use anyhow::{Context, Result};
use http::Method;
use serde_json::{Value, json};

use super::kube_api_server::{KubeApiServer, call};

/// A pod that the server accepts: change what matters, then [`KubeApiServer::create_pod`] it.
pub fn pod(namespace: &str, name: &str, node: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": { "namespace": namespace, "name": name },
        "spec": {
            "nodeName": node,
            "automountServiceAccountToken": false,
            "terminationGracePeriodSeconds": 0,
            "containers": [{ "name": "main", "image": "registry.test/image:1" }],
        },
    })
}

impl KubeApiServer {
    /// Creates a namespace.
    pub async fn create_namespace(&self, name: &str) -> Result<Value> {
        let body = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } });
        self.request(Method::POST, "/api/v1/namespaces", Some(&body)).await
    }

    /// Creates a pod in the namespace that it names; returns it as the server keeps it.
    pub async fn create_pod(&self, pod: &Value) -> Result<Value> {
        let path = format!("/api/v1/namespaces/{}/pods", namespace(pod)?);
        self.request(Method::POST, &path, Some(pod)).await
    }

    /// Creates many pods, one after the other over one connection: some hundred a second.
    pub async fn create_pods(&self, pods: &[Value]) -> Result<()> {
        let mut connection = self.connection().await?;
        for pod in pods {
            let path = format!("/api/v1/namespaces/{}/pods", namespace(pod)?);
            connection.send(call(Method::POST, &path, Some(pod))).await?.json()?;
        }
        Ok(())
    }

    /// A pod as the server keeps it.
    pub async fn get_pod(&self, namespace: &str, name: &str) -> Result<Value> {
        self.request(Method::GET, &pod_path(namespace, name), None).await
    }

    /// Merges something into a pod, such as `{"metadata": {"labels": {"a": "b"}}}`.
    pub async fn patch_pod(&self, namespace: &str, name: &str, patch: &Value) -> Result<Value> {
        self.request(Method::PATCH, &pod_path(namespace, name), Some(patch)).await
    }

    /// Merges something into a pod's status, such as `{"phase": "Running"}`, as a kubelet would.
    pub async fn patch_status(&self, namespace: &str, name: &str, status: &Value) -> Result<Value> {
        let path = format!("{}/status", pod_path(namespace, name));
        self.request(Method::PATCH, &path, Some(&json!({ "status": status }))).await
    }

    /// Deletes a pod at once: without a kubelet nothing would end a graceful deletion.
    pub async fn delete_pod(&self, namespace: &str, name: &str) -> Result<()> {
        let body = json!({ "apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0 });
        self.request(Method::DELETE, &pod_path(namespace, name), Some(&body)).await?;
        Ok(())
    }

    /// Marks a pod as being deleted and lets it stay so, as between SIGTERM and the end.
    pub async fn begin_deletion(&self, namespace: &str, name: &str, grace_seconds: u32) -> Result<()> {
        let body = json!({ "apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": grace_seconds });
        self.request(Method::DELETE, &pod_path(namespace, name), Some(&body)).await?;
        Ok(())
    }

    /// Creates a service account.
    pub async fn create_service_account(&self, namespace: &str, name: &str) -> Result<()> {
        let body = json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": name } });
        let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts");
        self.request(Method::POST, &path, Some(&body)).await?;
        Ok(())
    }

    /// Lets a service account get, list and watch resources of the core group, in all namespaces.
    pub async fn let_service_account_watch(&self, namespace: &str, name: &str, resources: &[&str]) -> Result<()> {
        let role = format!("{namespace}-{name}-watches");
        let rules = json!([{ "apiGroups": [""], "resources": resources, "verbs": ["get", "list", "watch"] }]);
        let version = "rbac.authorization.k8s.io/v1";
        let body = json!({ "apiVersion": version, "kind": "ClusterRole", "metadata": { "name": role }, "rules": rules });
        self.request(Method::POST, &format!("/apis/{version}/clusterroles"), Some(&body)).await?;
        let body = json!({
            "apiVersion": version,
            "kind": "ClusterRoleBinding",
            "metadata": { "name": role },
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role },
            "subjects": [{ "kind": "ServiceAccount", "namespace": namespace, "name": name }],
        });
        self.request(Method::POST, &format!("/apis/{version}/clusterrolebindings"), Some(&body)).await?;
        Ok(())
    }

    /// Has a token made for a service account, as the kubelet does for pods. The server gives none below ten minutes.
    pub async fn mint_token(&self, namespace: &str, service_account: &str) -> Result<String> {
        let body = json!({
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": { "audiences": [], "expirationSeconds": 600 },
        });
        let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts/{service_account}/token");
        let answer = self.request(Method::POST, &path, Some(&body)).await?;
        let token = answer.pointer("/status/token").and_then(Value::as_str);
        Ok(token.context("the server made no token")?.to_owned())
    }
}

fn pod_path(namespace: &str, name: &str) -> String {
    format!("/api/v1/namespaces/{namespace}/pods/{name}")
}

fn namespace(pod: &Value) -> Result<&str> {
    pod.pointer("/metadata/namespace").and_then(Value::as_str).context("the pod names no namespace")
}
