//! The simulator is asked over HTTP, as a client would, and told about commits only through git.

use reqwest::{Client, Method, RequestBuilder, Response};
use tempfile::TempDir;
use tokio::time::timeout;

use super::*;
use crate::git::{BareRepo, Change};

mod calling;
mod streaming;
mod walking;

const URL: &str = "https://git.example.com/team/gitops.git";
/// Generous, for slow and busy machines.
const LONG: Duration = Duration::from_secs(60);

struct Lab {
    _folder: TempDir,
    repo: BareRepo,
    sim: ArgocdSim,
    http: Client,
}

async fn lab() -> Lab {
    lab_with(|_| {}).await
}

/// Two applications over one repository; git is polled once an hour only, so that tests decide when it is looked at.
async fn lab_with(adjust: impl FnOnce(&mut ArgocdOptions)) -> Lab {
    let folder = TempDir::new().unwrap();
    let repo = BareRepo::create(folder.path().join("gitops.git")).unwrap();
    repo.seed(&[
        ("apps/web/deployment.yaml", deployment("web", 1), false),
        (
            "apps/web/service.yaml",
            "apiVersion: v1\nkind: Service\nmetadata:\n  name: web\n".to_owned(),
            false,
        ),
        ("apps/api/deployment.yaml", deployment("api", 1), false),
    ])
    .unwrap();
    let mut options = ArgocdOptions {
        repositories: vec![RepoBinding {
            url: URL.to_owned(),
            path: repo.path.clone(),
        }],
        applications: vec![
            ApplicationSpec::new("web", URL, "apps/web"),
            ApplicationSpec::new("api", URL, "apps/api"),
        ],
        poll_interval: Duration::from_secs(3600),
        step: Duration::from_millis(20),
        ..ArgocdOptions::default()
    };
    adjust(&mut options);
    let sim = ArgocdSim::start(options).await.unwrap();
    Lab {
        _folder: folder,
        repo,
        sim,
        http: Client::new(),
    }
}

fn deployment(name: &str, replicas: u32) -> String {
    format!("apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: {name}\nspec:\n  replicas: {replicas}\n  image: {name}:1\n")
}

impl Lab {
    /// A commit that changes what `web` deploys.
    fn scale_web(&self, replicas: u32) -> String {
        let change = Change::write("apps/web/deployment.yaml", deployment("web", replicas));
        self.repo.commit_on_top(&[change], "Scale web", "alice").unwrap()
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self
            .http
            .request(method, format!("{}{path}", self.sim.url()))
            .bearer_auth(self.sim.token());
        request.timeout(LONG)
    }

    async fn get(&self, path: &str) -> Value {
        self.request(Method::GET, path).send().await.unwrap().json().await.unwrap()
    }

    async fn post(&self, path: &str, body: Value) -> (u16, Value) {
        told(self.request(Method::POST, path).json(&body).send().await.unwrap()).await
    }

    async fn refresh(&self, name: &str) -> Value {
        self.get(&format!("/api/v1/applications/{name}?refresh=normal&project=default"))
            .await
    }

    /// Waits until `web` has this sync status, health and phase.
    async fn settles(&self, sync: &str, health: &str, phase: &str) -> Value {
        let done = |rows: &[AppRow]| {
            rows.iter()
                .any(|row| row.name == "web" && (&*row.sync, &*row.health, &*row.phase) == (sync, health, phase))
        };
        self.sim.wait_for(LONG, done).await.unwrap();
        self.sim.app("web")
    }

    async fn stream(&self, query: &str) -> Events {
        let request = self.http.get(format!("{}/api/v1/stream/applications{query}", self.sim.url()));
        let request = request.bearer_auth(self.sim.token()).header("accept", "text/event-stream");
        Events {
            response: timeout(LONG, request.send()).await.unwrap().unwrap(),
            text: String::new(),
        }
    }

    fn violations(&self) {
        assert_eq!(self.sim.spec_violations(), Vec::<String>::new());
    }
}

async fn told(response: Response) -> (u16, Value) {
    (response.status().as_u16(), response.json().await.unwrap())
}

/// An open stream, read line by line.
struct Events {
    response: Response,
    text: String,
}

impl Events {
    /// The next line that is not empty; `None` at a proper end, `Err` when the connection broke.
    async fn line(&mut self) -> Result<Option<String>, reqwest::Error> {
        loop {
            if let Some((line, rest)) = self.text.split_once('\n') {
                let (line, rest) = (line.trim_end().to_owned(), rest.to_owned());
                self.text = rest;
                if !line.is_empty() {
                    return Ok(Some(line));
                }
                continue;
            }
            match timeout(LONG, self.response.chunk()).await.expect("the stream says something")? {
                Some(chunk) => self.text.push_str(&String::from_utf8_lossy(&chunk)),
                None => return Ok(None),
            }
        }
    }

    async fn event(&mut self) -> Value {
        let line = self.line().await.unwrap().expect("one more event");
        serde_json::from_str(line.strip_prefix("data: ").unwrap_or(&line)).unwrap()
    }
}
