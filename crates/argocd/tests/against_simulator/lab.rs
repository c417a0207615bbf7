//! A repository, a simulated Argo CD over it, and a watch on that.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use argocd::client::{Client, ClientOptions};
use argocd::model::{AppKey, AppRef};
use argocd::repo::Target;
use argocd::verdict::{self, Baseline, Change, Contains, Patience, Tracking, Verdict, Want};
use argocd::watch::{Watch, WatchOptions};
use chrono::{DateTime, Utc};
use secrecy::SecretString;
use simulators::argocd::{ApplicationSpec, ArgocdOptions, ArgocdSim, RepoBinding};
use simulators::git::{BareRepo, Change as Edit};
use tempfile::TempDir;
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};
use url::Url;

/// The repository as applications name it; the configuration has another spelling.
pub const URL: &str = "https://git.example.com/team/gitops.git";
/// Generous, for slow and busy machines.
pub const LONG: Duration = Duration::from_secs(120);

pub struct Lab {
    _folder: TempDir,
    pub repo: BareRepo,
    pub sim: ArgocdSim,
    pub watch: Watch,
    _cancel: DropGuard,
}

impl Lab {
    /// Applications `web` and `api`; git is looked at only on request.
    pub async fn new() -> Self {
        Self::with(|_| {}, |_| {}).await
    }

    pub async fn with(adjust: impl FnOnce(&mut ArgocdOptions), watching: impl FnOnce(&mut WatchOptions)) -> Self {
        let folder = TempDir::new().expect("a folder");
        let repo = BareRepo::create(folder.path().join("gitops.git")).expect("a repository");
        let files = ["web", "api"].map(|name| (format!("apps/{name}/deployment.yaml"), deployment(name, 1), false));
        repo.seed(&files).expect("a first commit");
        let mut options = ArgocdOptions {
            repositories: vec![RepoBinding {
                url: URL.to_owned(),
                path: repo.path.clone(),
            }],
            applications: ["web", "api"]
                .map(|name| ApplicationSpec::new(name, URL, &format!("apps/{name}")))
                .to_vec(),
            poll_interval: Duration::from_secs(3600),
            step: Duration::from_millis(20),
            keepalive: Duration::from_millis(100),
            root_path: "/argo".to_owned(),
            ..ArgocdOptions::default()
        };
        adjust(&mut options);
        let sim = ArgocdSim::start(options).await.expect("a simulator");
        let cancel = CancellationToken::new();
        let mut options = quick();
        watching(&mut options);
        let watch = Watch::start(client(&sim, sim.token()), options, cancel.clone());
        Self {
            _folder: folder,
            repo,
            sim,
            watch,
            _cancel: cancel.drop_guard(),
        }
    }

    /// Commits a new number of replicas.
    pub fn scale(&self, name: &str, replicas: u32) -> String {
        let edit = Edit::write(&format!("apps/{name}/deployment.yaml"), deployment(name, replicas));
        self.repo
            .commit_on_top(&[edit], &format!("Scale {name}"), "alice")
            .expect("a commit")
    }

    /// The change of a commit, with the baseline as it is known now.
    pub fn change(&self, name: &str, commit: &str) -> Change {
        Change {
            commit: commit.to_owned(),
            pushed_at: now(),
            target: target(),
            baseline: self.watch.snapshot().application(&key(name)).map(Baseline::of),
            deletes_app: false,
            deadline: None,
            accept_suspended: false,
            patience: Patience::hurried(20),
        }
    }

    /// Commits and takes the change, baseline first.
    pub async fn push(&self, name: &str, replicas: u32) -> Change {
        self.watch.fresh(Duration::ZERO).await.expect("Argo CD answers");
        let before = self.change(name, "");
        let commit = self.scale(name, replicas);
        Change {
            commit,
            pushed_at: now(),
            ..before
        }
    }

    pub fn contains(&self, revision: &str, commit: &str) -> Contains {
        if self.repo.contains(revision, commit) {
            Contains::Yes
        } else {
            Contains::No
        }
    }

    /// Follows a change until its verdict satisfies `enough`; tells the distinct headlines on the way.
    pub async fn follow_until(
        &self,
        name: &str,
        change: &Change,
        tracking: &mut Tracking,
        enough: impl Fn(&Verdict) -> bool,
    ) -> Vec<String> {
        let mut told: Vec<String> = Vec::new();
        let mut changes = self.watch.subscribe();
        let _interest = self.watch.interest([key(name)]);
        let followed = timeout(LONG, async {
            loop {
                let state = self.watch.snapshot();
                let contains = |revision: &str, commit: &str| self.contains(revision, commit);
                let judgement = verdict::judge(tracking, &state.evidence(&key(name)), change, &contains, now());
                *tracking = judgement.tracking;
                let headline = judgement.verdict.headline();
                if told.last() != Some(&headline) {
                    told.push(headline);
                }
                if enough(&judgement.verdict) {
                    return;
                }
                self.watch.fulfil(&app(name), &judgement.wants);
                let wake = judgement
                    .wants
                    .iter()
                    .find_map(|want| if let Want::WakeAt(at) = want { Some(*at) } else { None });
                let pause = wake.map_or(LONG, |at| (at - now()).to_std().unwrap_or_default());
                tokio::select! {
                    changed = changes.next() => assert!(changed.is_some(), "the watch goes on"),
                    () = tokio::time::sleep(pause) => {}
                }
            }
        });
        if followed.await.is_err() {
            panic!(
                "not within {LONG:?}; told so far: {told:#?}; the application: {:#}",
                self.sim.app(name)
            );
        }
        told
    }

    /// Follows a change to its end and tells the last headline.
    pub async fn follow(&self, name: &str, change: &Change) -> String {
        let told = self.follow_until(name, change, &mut Tracking::default(), Verdict::is_final).await;
        told.last().cloned().unwrap_or_default()
    }

    /// Waits until the watch's state satisfies `condition`.
    pub async fn until(&self, what: &str, condition: impl Fn(&argocd::watch::State) -> bool) {
        let mut changes = self.watch.subscribe();
        let reached = timeout(LONG, async {
            while !condition(&self.watch.snapshot()) {
                assert!(changes.next().await.is_some(), "the watch goes on");
            }
        });
        assert!(reached.await.is_ok(), "not within {LONG:?}: {what}; {:#?}", self.watch.snapshot());
    }

    pub fn assert_faithful(&self) {
        assert_eq!(self.sim.spec_violations(), Vec::<String>::new());
    }
}

pub fn quick() -> WatchOptions {
    WatchOptions {
        relist_every: Duration::from_millis(500),
        backoff_min: Duration::from_millis(20),
        backoff_max: Duration::from_millis(500),
        settle: Duration::from_millis(20),
        ask_gap: Duration::from_millis(50),
        ..WatchOptions::default()
    }
}

pub fn client(sim: &ArgocdSim, token: &str) -> Client {
    let url = Url::parse(&sim.url()).expect("an address");
    Client::new(ClientOptions::new(url, SecretString::from(token))).expect("a client")
}

pub fn target() -> Target {
    Target::new(["git@git.example.com:team/gitops"], "main", true)
}

pub fn key(name: &str) -> AppKey {
    AppKey::new("argocd", name)
}

pub fn app(name: &str) -> AppRef {
    AppRef {
        namespace: "argocd".to_owned(),
        name: name.to_owned(),
        project: "default".to_owned(),
    }
}

pub fn now() -> DateTime<Utc> {
    SystemTime::now().into()
}

pub fn deployment(name: &str, replicas: u32) -> String {
    format!("apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: {name}\nspec:\n  replicas: {replicas}\n")
}

/// Counts of the requests that cost Argo CD something, by word.
pub fn counted(sim: &ArgocdSim) -> BTreeMap<String, usize> {
    sim.requests()
        .into_iter()
        .map(|(endpoint, count)| (format!("{endpoint:?}"), count))
        .collect()
}
