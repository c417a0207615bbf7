//! An Argo CD API server and application controller over a real bare git repository, for tests and for the demo.
//!
//! The controller really reads the repository: it resolves the branch, renders what lies below `source.path`, compares
//! it with a pretended cluster, and walks applications through comparison, operation and health in the order, with the
//! fields and with the quirks of the real one. [`Behaviour`] says how a revision fares. Over HTTP everything is refused
//! that the real server refuses, in its own words. Where `COUNTERSIGN_API_SPECS` names a folder with
//! `argocd-swagger.json`, every request and answer is checked against it ([`ArgocdSim::spec_violations`]).

use std::{collections::BTreeMap, fmt, io, net::SocketAddr, sync::Arc, time::Duration};

use axum::Router;
use serde_json::{Value, json};
use tokio::net::TcpListener;

mod calls;
mod controller;
mod fields;
mod http;
mod manifests;
mod model;
pub(crate) mod openapi;
mod operation;
mod stream;
mod webhook;
mod world;

#[cfg(test)]
mod tests;

pub use crate::git::Fault;
pub use model::{AppRow, ApplicationSpec, Automated, Behaviour, Endpoint, RepoBinding, SourceSpec};

use crate::git::serving::Serving;
use world::{App, StreamEvent, World};

/// What the token may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rights {
    /// `applications, sync`: start and terminate operations, roll back.
    pub sync: bool,
    /// Projects whose applications are visible; `None` means all.
    pub projects: Option<Vec<String>>,
}

impl Rights {
    /// Whether a project, or an object `project/application`, may be read.
    pub(crate) fn sees(&self, object: &str) -> bool {
        let project = object.split('/').next().unwrap_or_default();
        self.projects
            .as_ref()
            .is_none_or(|projects| projects.iter().any(|one| one == project))
    }
}

/// How to start an [`ArgocdSim`]. The default is quick, for tests.
#[derive(Clone)]
pub struct ArgocdOptions {
    /// Address to listen on; port 0 picks a free one.
    pub bind: SocketAddr,
    /// The one valid bearer token; must have the shape of a JWT (`a.b.c`), see [`sample_token`].
    pub token: String,
    /// What the token may do.
    pub rights: Rights,
    /// Which bare repository stands behind which URL.
    pub repositories: Vec<RepoBinding>,
    /// Applications that exist from the start.
    pub applications: Vec<ApplicationSpec>,
    /// Applications start as synced to the present tip and Healthy, with a history; otherwise as never looked at.
    pub settled: bool,
    /// How often git is looked at without being asked.
    pub poll_interval: Duration,
    /// Time that one step takes: a comparison, a wave of an operation, a change of health.
    pub step: Duration,
    /// How far list and stream are behind a direct GET.
    pub list_lag: Duration,
    /// Silence on an event stream after which `:` is sent.
    pub keepalive: Duration,
    /// Secret of `/api/webhook`; `None` accepts unsigned events.
    pub webhook_secret: Option<String>,
    /// Prefix of every path, as with `--rootpath`.
    pub root_path: String,
}

impl Default for ArgocdOptions {
    fn default() -> ArgocdOptions {
        ArgocdOptions {
            bind: SocketAddr::from(([127, 0, 0, 1], 0)),
            token: sample_token(),
            rights: Rights {
                sync: true,
                projects: None,
            },
            repositories: Vec::new(),
            applications: Vec::new(),
            settled: true,
            poll_interval: Duration::from_secs(2),
            step: Duration::from_millis(60),
            list_lag: Duration::ZERO,
            keepalive: Duration::from_secs(15),
            webhook_secret: None,
            root_path: String::new(),
        }
    }
}

impl fmt::Debug for ArgocdOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Token and webhook secret stay out.
        f.debug_struct("ArgocdOptions")
            .field("bind", &self.bind)
            .field("rights", &self.rights)
            .field("repositories", &self.repositories)
            .field("applications", &self.applications)
            .finish_non_exhaustive()
    }
}

/// A token in the shape of a project role's JWT, worth nothing anywhere.
pub fn sample_token() -> String {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    let claims = json!({"iss": "argocd", "sub": calls::SUBJECT, "jti": "simulator"}).to_string();
    let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
    format!(
        "{}.{}.{}",
        part(r#"{"alg":"HS256","typ":"JWT"}"#),
        part(&claims),
        part("simulated signature")
    )
}

/// A running Argo CD; dropping it stops server and controller.
pub struct ArgocdSim {
    serving: Serving,
    world: Arc<World>,
}

impl fmt::Debug for ArgocdSim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ArgocdSim").field("url", &self.url()).finish_non_exhaustive()
    }
}

impl Drop for ArgocdSim {
    fn drop(&mut self) {
        self.world.alive.cancel();
    }
}

impl ArgocdSim {
    /// Binds, serves, and starts the controller. Fails when the address is taken or the token is no JWT.
    pub async fn start(options: ArgocdOptions) -> io::Result<ArgocdSim> {
        if options.token.split('.').count() != 3 {
            let message = "the token must have the shape of a JWT (a.b.c): Argo CD ignores any other bearer value";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        let listener = TcpListener::bind(options.bind).await?;
        let world = Arc::new(World::new(options));
        for spec in world.options.applications.clone() {
            add(&world, spec, world.options.settled);
        }
        let router = Router::new().fallback(http::answer).with_state(Arc::clone(&world));
        let serving = Serving::start(listener, router)?;
        Ok(ArgocdSim { serving, world })
    }

    /// Base URL, root path included, without a trailing slash.
    pub fn url(&self) -> String {
        format!(
            "http://{}{}",
            self.serving.address(),
            self.world.options.root_path.trim_end_matches('/')
        )
    }

    /// The valid bearer token.
    pub fn token(&self) -> &str {
        &self.world.options.token
    }

    /// The stored object of an application; `null` when there is none.
    pub fn app(&self, name: &str) -> Value {
        self.world.read(name, |app| app.object.clone()).unwrap_or_default()
    }

    /// All applications by name, as a list on a screen would show them.
    pub fn applications(&self) -> Vec<AppRow> {
        let rows = self
            .world
            .names()
            .into_iter()
            .filter_map(|name| self.world.read(&name, |app| AppRow::of(&app.object)));
        rows.collect()
    }

    /// Adds an application that the controller has not looked at yet, as an ApplicationSet does.
    pub fn add_app(&self, spec: ApplicationSpec) {
        add(&self.world, spec, false);
    }

    /// Scripts how every revision of an application fares from now on.
    pub fn set_behaviour(&self, name: &str, behaviour: Behaviour) {
        self.world.update(name, |app| {
            app.behaviour = behaviour;
            match behaviour {
                Behaviour::AutoSyncOff => app.spec.automated = None,
                _ => app.spec.automated = app.automated_by_spec,
            }
            app.object["spec"] = app.spec.document();
            wake(app);
        });
    }

    /// Scripts how one commit fares, whatever the application's own behaviour. Automation stays as the spec has it:
    /// [`Behaviour::AutoSyncOff`] for one commit acts like [`Behaviour::NeverSyncs`].
    pub fn set_behaviour_at(&self, name: &str, commit: &str, behaviour: Behaviour) {
        self.world.update(name, |app| {
            app.behaviour_at.insert(commit.to_owned(), behaviour);
            wake(app);
        });
    }

    /// The next `times` refresh requests meet a comparison already under way: they are answered with what was known
    /// before, and nothing is compared.
    pub fn lose_refreshes(&self, name: &str, times: usize) {
        self.world.update(name, |app| app.lost_refreshes = times);
    }

    /// Sets the health at once, as something that happened in the cluster.
    pub fn set_health(&self, name: &str, status: &'static str, message: &str) {
        self.world.update(name, |app| {
            app.health_turn += 1;
            app.set_health(status, message);
            app.object["status"]["health"] = app.health.document();
        });
    }

    /// Somebody changes a resource in the cluster by hand.
    pub fn drift_app(&self, name: &str) {
        self.world.update(name, |app| {
            if let Some(digest) = app.live.values_mut().next() {
                *digest = [0xdd; 32];
            }
            app.refresh_wake.notify_one();
        });
    }

    /// Somebody goes back to the revision deployed before: automated sync is switched off first, as Argo CD demands.
    /// Fails when the history has no earlier entry or an operation is running.
    pub fn rollback_app(&self, name: &str) -> io::Result<()> {
        let earlier = self.world.update(name, |app| {
            app.spec.automated = None;
            app.automated_by_spec = None;
            app.object["spec"] = app.spec.document();
            let history = app.object["status"]["history"].as_array()?;
            history.get(history.len().checked_sub(2)?)?["id"].as_u64()
        });
        let id = earlier.flatten().ok_or_else(|| io::Error::other("nothing was deployed before"))?;
        calls::roll_back_to(&self.world, name, id)
            .map(drop)
            .map_err(|refusal| io::Error::other(refusal.message))
    }

    /// Changes what an application should be: target revision, sources, automation. As an edit of its manifest.
    pub fn edit_spec(&self, name: &str, edit: impl FnOnce(&mut ApplicationSpec)) {
        self.world.update(name, |app| {
            edit(&mut app.spec);
            app.automated_by_spec = app.spec.automated;
            app.object["spec"] = app.spec.document();
            app.refresh_wake.notify_one();
        });
    }

    /// Changes the stored object in any way, for states that no behaviour covers (a hydrator's status, for example).
    pub fn edit_object(&self, name: &str, edit: impl FnOnce(&mut Value)) {
        self.world.update(name, |app| edit(&mut app.object));
    }

    /// Deletes an application: first marked, then gone.
    pub fn delete_app(&self, name: &str) {
        self.world
            .update(name, |app| app.object["metadata"]["deletionTimestamp"] = json!(world::now()));
        self.world.remove(name);
    }

    /// How often each endpoint was called.
    pub fn requests(&self) -> BTreeMap<Endpoint, usize> {
        self.world.ledger.counts()
    }

    /// How often one endpoint was called.
    pub fn count(&self, endpoint: Endpoint) -> usize {
        self.requests().get(&endpoint).copied().unwrap_or(0)
    }

    /// Starts counting anew.
    pub fn reset_counts(&self) {
        self.world.ledger.reset_counts();
    }

    /// The next `times` requests to an endpoint commit the fault. On the stream a status is an error chunk, and the
    /// faults that break an answer break it after the first message.
    pub fn fail_next(&self, endpoint: Endpoint, fault: Fault, times: usize) {
        self.world.ledger.plan(&[endpoint], fault, times);
    }

    /// Forgets every planned fault that has not happened yet.
    pub fn clear_faults(&self) {
        self.world.ledger.clear_faults();
    }

    /// Cuts every open stream.
    pub fn drop_streams(&self) {
        self.control(StreamEvent::Drop);
    }

    /// Ends every open stream properly.
    pub fn end_streams(&self) {
        self.control(StreamEvent::End);
    }

    /// Ends every open stream with an error chunk of this HTTP status.
    pub fn fail_streams(&self, status: u16) {
        self.control(StreamEvent::Error(status));
    }

    /// Sends every stream message twice, until switched off again.
    pub fn set_duplicate_events(&self, duplicate: bool) {
        self.world.set_duplicate_events(duplicate);
    }

    /// What was found against the published description; empty when there is none to check against.
    pub fn spec_violations(&self) -> Vec<String> {
        self.world.api.as_ref().map(openapi::ApiSpec::violations).unwrap_or_default()
    }

    /// Waits until the applications satisfy `condition`. After `deadline` the error shows how they stood.
    pub async fn wait_for(&self, deadline: Duration, mut condition: impl FnMut(&[AppRow]) -> bool) -> Result<(), String> {
        let mut changed = self.world.changed.subscribe();
        let satisfied = async {
            while !condition(&self.applications()) {
                // The sender lives as long as this simulator.
                let _ = changed.changed().await;
            }
        };
        let outcome = tokio::time::timeout(deadline, satisfied).await;
        outcome.map_err(|_| {
            format!(
                "not within {deadline:?}; the applications stood like this: {:#?}",
                self.applications()
            )
        })
    }

    fn control(&self, event: StreamEvent) {
        // No stream open: nothing to do.
        let _ = self.world.events.send(event);
    }
}

fn wake(app: &mut App) {
    app.refresh_wake.notify_one();
    app.operation_wake.notify_one();
}

fn add(world: &Arc<World>, spec: ApplicationSpec, settled: bool) {
    let mut app = controller::new_app(world, spec);
    if settled {
        controller::settle(world, &mut app);
    }
    let (name, alive) = (app.spec.name.clone(), app.alive.clone());
    if !settled {
        app.refresh_wake.notify_one();
    }
    world.insert(app);
    let (refreshing, operating) = (alive.clone(), alive);
    let (for_refreshes, for_operations) = (Arc::clone(world), Arc::clone(world));
    let same_name = name.clone();
    tokio::spawn(async move { refreshing.run_until_cancelled(controller::refresh_loop(for_refreshes, name)).await });
    tokio::spawn(async move {
        operating
            .run_until_cancelled(operation::operation_loop(for_operations, same_name))
            .await
    });
}
