//! The scripted agent: plain HTTP, as any agent would speak it.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

/// An agent with its token.
pub(super) struct Agent {
    http: reqwest::Client,
    base: String,
    token: String,
    calls: std::sync::atomic::AtomicU64,
}

impl Agent {
    pub(super) fn new(address: std::net::SocketAddr, token: &str) -> Result<Self> {
        let http = reqwest::Client::builder().timeout(Duration::from_secs(90)).build()?;
        Ok(Self {
            http,
            base: format!("http://{address}"),
            token: token.to_owned(),
            calls: 0.into(),
        })
    }

    /// Proposes files; `None` deletes one.
    pub(super) async fn propose(&self, title: &str, reason: &str, files: &[(&str, Option<&str>)]) -> Result<Value> {
        let changes: Vec<Value> = files
            .iter()
            .map(|(path, content)| match content {
                Some(content) => json!({ "path": path, "content": content }),
                None => json!({ "path": path, "delete": true }),
            })
            .collect();
        self.create(json!({ "repository": "homelab", "base": "head", "title": title, "reason": reason, "changes": changes }))
            .await
    }

    /// Calls a runbook.
    pub(super) async fn run(&self, runbook: &str, reason: &str, parameters: Value) -> Result<Value> {
        let call = json!({ "name": runbook, "parameters": parameters });
        self.create(json!({ "repository": "homelab", "base": "head", "reason": reason, "runbook": call }))
            .await
    }

    /// Sends files and takes whatever answer comes, a refusal too.
    pub(super) async fn ask(&self, title: &str, files: &[(&str, Option<&str>)]) -> Result<(u16, Value)> {
        let changes: Vec<Value> = files
            .iter()
            .map(|(path, content)| json!({ "path": path, "content": content }))
            .collect();
        self.post(json!({ "repository": "homelab", "base": "head", "title": title, "reason": "", "changes": changes }))
            .await
    }

    async fn create(&self, body: Value) -> Result<Value> {
        let (status, document) = self.post(body).await?;
        if !(200..300).contains(&status) {
            bail!("the proposal was refused with {status}: {document}");
        }
        Ok(document)
    }

    async fn post(&self, body: Value) -> Result<(u16, Value)> {
        let call = self.calls.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let request = self.http.post(format!("{}/v1/proposals", self.base)).bearer_auth(&self.token);
        let response = request.header("Idempotency-Key", format!("demo-{call}")).json(&body).send().await?;
        Ok((response.status().as_u16(), response.json().await?))
    }

    /// Waits until the proposal has a decision or an outcome (`until`), at most two minutes.
    pub(super) async fn wait(&self, id: &str, until: &str) -> Result<Value> {
        for _ in 0..6 {
            let url = format!("{}/v1/proposals/{id}?wait=20&until={until}", self.base);
            let document: Value = self
                .http
                .get(url)
                .bearer_auth(&self.token)
                .send()
                .await?
                .error_for_status()?
                .json()
                .await?;
            let reached = match until {
                "decision" => document["decision"] != "pending",
                _ => !document["outcome"].is_null(),
            };
            if reached {
                return Ok(document);
            }
        }
        bail!("proposal {id} never came to its {until}")
    }

    /// Waits until the proposal has a commit on the branch.
    pub(super) async fn wait_for_commit(&self, id: &str) -> Result<()> {
        for _ in 0..1200 {
            if !self.get(id).await?["commit"].is_null() {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        bail!("proposal {id} never came to its commit")
    }

    /// The proposal as it stands.
    pub(super) async fn get(&self, id: &str) -> Result<Value> {
        self.read(&format!("/v1/proposals/{id}")).await
    }

    async fn read(&self, path: &str) -> Result<Value> {
        let url = format!("{}{path}", self.base);
        Ok(self
            .http
            .get(url)
            .bearer_auth(&self.token)
            .send()
            .await?
            .error_for_status()?
            .json()
            .await?)
    }

    /// What trust says of a runbook now: the first of its standings.
    pub(super) async fn standing(&self, runbook: &str) -> Result<Value> {
        let page = self.read("/v1/runbooks").await?;
        let all = page["runbooks"].as_array().context("the list has no runbooks")?;
        let found = all.iter().find(|one| one["name"] == runbook).context("the runbook is not listed")?;
        Ok(found["standings"][0].clone())
    }

    /// All proposals of the agent.
    pub(super) async fn list(&self) -> Result<Vec<Value>> {
        let url = format!("{}/v1/proposals", self.base);
        let page: Value = self
            .http
            .get(url)
            .bearer_auth(&self.token)
            .send()
            .await?
            .error_for_status()?
            .json()
            .await?;
        page["proposals"].as_array().cloned().context("the list has no proposals")
    }
}
