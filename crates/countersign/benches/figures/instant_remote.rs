//! A git remote over HTTP that believes everything at once: it moves its one ref to wherever a push says and looks at no object.
//!
//! Taking the server's work out of a push leaves our own. Source of facts: git's `gitprotocol-http`, `gitprotocol-v2`, `gitprotocol-pack`.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::routing::{get, post};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

const REF: &str = "refs/heads/main";

/// The remote; dropping it stops it.
pub(crate) struct InstantRemote {
    url: String,
    serving: JoinHandle<()>,
}

type Tip = Arc<Mutex<String>>;

impl InstantRemote {
    /// A remote whose branch stands at this commit.
    pub(crate) async fn start(tip: &str) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let url = format!("http://{}/homelab.git", listener.local_addr()?);
        let tip: Tip = Arc::new(Mutex::new(tip.to_owned()));
        let router = Router::new()
            .route("/homelab.git/info/refs", get(advertise))
            .route("/homelab.git/git-upload-pack", post(list))
            .route("/homelab.git/git-receive-pack", post(receive))
            .with_state(tip);
        let serving = tokio::spawn(async move {
            // It ends with the bench.
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self { url, serving })
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for InstantRemote {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

fn line(text: &str) -> String {
    format!("{:04x}{text}", text.len() + 4)
}

fn stands_at(tip: &Tip) -> String {
    tip.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

async fn advertise(State(tip): State<Tip>, RawQuery(query): RawQuery) -> String {
    if query.unwrap_or_default().contains("git-receive-pack") {
        let offer = line(&format!(
            "{} {REF}\0report-status side-band-64k object-format=sha1\n",
            stands_at(&tip)
        ));
        return format!("{}0000{offer}0000", line("# service=git-receive-pack\n"));
    }
    let offers: String = ["version 2\n", "ls-refs\n", "fetch\n", "object-format=sha1\n"].map(line).concat();
    format!("{}0000{offers}0000", line("# service=git-upload-pack\n"))
}

async fn list(State(tip): State<Tip>) -> String {
    format!("{}0000", line(&format!("{} {REF}\n", stands_at(&tip))))
}

/// `<length><old> <new> <ref>…`: the new id is all that is looked at.
async fn receive(State(tip): State<Tip>, body: Bytes) -> String {
    if let Some(new) = body.get(45..85).and_then(|bytes| std::str::from_utf8(bytes).ok()) {
        new.clone_into(&mut tip.lock().unwrap_or_else(PoisonError::into_inner));
    }
    let status = format!("{}{}0000", line("unpack ok\n"), line(&format!("ok {REF}\n")));
    format!("{}0000", line(&format!("\u{1}{status}")))
}
