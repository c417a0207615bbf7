//! Which applications a commit is followed in: found once after the push, and again when there may be more of them.

use std::sync::PoisonError;

use argocd::model::{AppRef, Application};
use argocd::touched::{Class, Touched};
use argocd::verdict::{Baseline, Tracking, Verdict};
use argocd::watch::State;
use domain::RepoPath;

use super::{Flight, Follow, Memory, target};
use crate::{ArgocdSetup, Engine, RepositorySetup};

impl Engine {
    pub(super) fn discover(&self, flight: &mut Flight, setup: &RepositorySetup, instance: &ArgocdSetup, state: &State) {
        let before = self
            .0
            .baselines
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&flight.proposal.id);
        let mut found = found(flight, state.applications());
        let certain = found.iter().any(|touched| touched.class == Class::Touched);
        // Those that may be concerned count only while nobody certainly is.
        found.retain(|touched| touched.class == if certain { Class::Touched } else { Class::Maybe });
        flight.follows = found
            .into_iter()
            .map(|touched| {
                let known = before.as_ref().and_then(|before| before.application(&touched.app.key()));
                followed(touched, known.map(Baseline::of))
            })
            .collect();
        flight.discovered = true;
        flight.origins = state.origins();
        for follow in &flight.follows {
            instance.watch.refresh(&follow.app, flight.pushed_at);
        }
        tracing::debug!(proposal = %flight.proposal.id, repository = %setup.name, applications = flight.follows.len(), "applications found");
    }

    /// Applications that appeared, or came to track these files, since the first were found: they are followed too. What they were like before
    /// the push is unknown, and nothing is asked for their sake: Argo CD has just compared them by itself.
    pub(super) fn discover_more(&self, flight: &mut Flight, state: &State) {
        flight.rediscover = false;
        flight.origins = state.origins();
        let new: Vec<Touched> = certain(flight, state.applications())
            .into_iter()
            .filter(|touched| !flight.follows.iter().any(|follow| follow.app.key() == touched.app.key()))
            .collect();
        if new.is_empty() {
            return;
        }
        tracing::debug!(proposal = %flight.proposal.id, applications = new.len(), "more applications found");
        flight.follows.extend(new.into_iter().map(|touched| followed(touched, None)));
        // Taken anew below, with the new ones.
        flight.interest = None;
    }
}

/// The applications that a change certainly touches.
pub(crate) fn touched<'a>(setup: &RepositorySetup, state: &State, paths: impl Iterator<Item = &'a RepoPath>) -> Vec<AppRef> {
    let paths: Vec<String> = paths.map(ToString::to_string).collect();
    argocd::touched::touched(state.applications(), &target(setup), &paths)
        .into_iter()
        .filter(|touched| touched.class == Class::Touched)
        .map(|touched| touched.app)
        .collect()
}

fn found<'a>(flight: &Flight, applications: impl IntoIterator<Item = &'a Application>) -> Vec<Touched> {
    let paths: Vec<String> = flight.proposal.revision.facts.paths.iter().map(ToString::to_string).collect();
    argocd::touched::touched(applications, &flight.target, &paths)
}

/// Whether the commit certainly touches an application that appeared, or is made from something else, since it was last asked. Each of these
/// is asked about once, however often it is told of afterwards.
pub(super) fn appeared(flight: &mut Flight, state: &State) -> bool {
    let then = std::mem::replace(&mut flight.origins, state.origins());
    then < flight.origins && !certain(flight, state.moved_since(then)).is_empty()
}

/// Those that a commit certainly touches.
fn certain<'a>(flight: &Flight, applications: impl IntoIterator<Item = &'a Application>) -> Vec<Touched> {
    let mut found = found(flight, applications);
    found.retain(|touched| touched.class == Class::Touched);
    found
}

fn followed(touched: Touched, baseline: Option<Baseline>) -> Follow {
    Follow {
        app: touched.app,
        memory: Memory {
            tracking: Tracking::default(),
            baseline,
            class: touched.class,
        },
        verdict: Verdict::NotSeenYet {
            compared: None,
            refreshes: 0,
        },
    }
}
