//! Signs that the rows look for in an application.

use super::facts::{Found, Operated, Question};
use super::{Baseline, Stage, Verdict};
use crate::model::{Application, Phase, Resource, SyncCode, is_commit_id, label};
use crate::repo::Target;

/// Row 2: whether any source follows the branch.
pub(super) fn follows(app: &Application, target: &Target) -> bool {
    match &app.spec.source_hydrator {
        Some(hydrator) => {
            let repository = hydrator.sync_source.repo_url.as_deref().unwrap_or(&hydrator.dry_source.repo_url);
            let wet = target.is_repository(repository) && hydrator.sync_source.target_branch == target.branch;
            target.tracks(&hydrator.dry_source) || wet
        }
        None => app.spec.all_sources().into_iter().any(|source| target.tracks(source)),
    }
}

/// What an application follows, without user names or passwords of addresses.
pub(super) fn sources_of(app: &Application) -> String {
    let dry = app.spec.source_hydrator.as_ref().map(|hydrator| &hydrator.dry_source);
    let sources = dry.into_iter().chain(app.spec.all_sources());
    let words: Vec<String> = sources
        .map(|source| {
            let repository = crate::repo::RepoKey::of(&source.repo_url).map_or("?".to_owned(), |key| key.to_string());
            format!("{repository} at {}", source.target_revision.as_deref().unwrap_or("HEAD"))
        })
        .collect();
    words.join(", ")
}

/// Row 6: a whole operation, or a partial one that left the application in sync at the commit.
pub(super) fn applied(app: &Application, op: &Operated, compared: &Found) -> bool {
    let synced = app.status.sync.status == Some(SyncCode::Synced) && compared.yes();
    op.succeeded() && op.found.yes() && !op.dry_run && (!op.partial || synced)
}

pub(super) fn is_from_before(op: &Operated, baseline: Option<&Baseline>) -> bool {
    let before = baseline.and_then(|baseline| baseline.operation_started_at);
    before.is_some() && before == op.started_at
}

/// Row 5. An operation that never came to the apply is told apart.
pub(super) fn apply_failed(app: &Application, op: &Operated) -> Verdict {
    let result = app.status.operation_state.as_ref().and_then(|state| state.sync_result.as_ref());
    let nothing_applied = result.is_none_or(|result| result.revision.is_none() && result.revisions.is_empty());
    let early = op.phase == Some(Phase::Error) && nothing_applied;
    Verdict::SyncFailed {
        stage: if early { Stage::Compare } else { Stage::Apply },
        revision: op.found.revision.clone(),
        message: op.message.clone(),
        resources: failed_resources(app),
    }
}

/// Resources and hooks that failed in the last operation.
pub(super) fn failed_resources(app: &Application) -> Vec<String> {
    let result = app.status.operation_state.as_ref().and_then(|state| state.sync_result.as_ref());
    let failed = result
        .into_iter()
        .flat_map(|result| &result.resources)
        .filter(|resource| resource.status == "SyncFailed" || matches!(resource.hook_phase.as_str(), "Failed" | "Error"));
    failed
        .map(|r| format!("{}: {}", label(&r.kind, &r.namespace, &r.name), r.message))
        .collect()
}

/// Why the last comparison failed, if it did.
pub(super) fn comparison_error(app: &Application) -> Option<String> {
    let error = |kind: &str| app.status.conditions.iter().find(|condition| condition.kind == kind);
    if let Some(condition) = error("ComparisonError").or_else(|| error("InvalidSpecError")) {
        return Some(condition.message.clone());
    }
    let unknown = app.status.sync.status == Some(SyncCode::Unknown);
    unknown.then(|| error("UnknownError").map_or("the sync status is Unknown".to_owned(), |c| c.message.clone()))
}

/// Trouble of the network or of Argo CD's own parts passes; it says nothing about the commit.
pub(super) fn is_passing_trouble(message: &str) -> bool {
    let words = [
        "code = Unavailable",
        "code = DeadlineExceeded",
        "context deadline exceeded",
        "connection refused",
        "i/o timeout",
        "no such host",
        "connection reset",
        "TLS handshake timeout",
    ];
    words.iter().any(|word| message.contains(word))
}

/// Row 9. The condition names the commit of the failed attempt; one that does not contain ours is left over from before.
pub(super) fn sync_error(app: &Application, question: &Question<'_>) -> Option<String> {
    let condition = app.status.conditions.iter().find(|condition| condition.kind == "SyncError")?;
    let named = condition
        .message
        .split(|c: char| !c.is_ascii_alphanumeric())
        .find(|word| is_commit_id(word));
    let stale = named.is_some_and(|sha| !question.contains(sha));
    (!stale).then(|| condition.message.clone())
}

/// How many resources there are, are to be pruned, and differ.
pub(super) fn count(resources: &[Resource]) -> (usize, usize, usize) {
    let compared = || resources.iter().filter(|resource| !resource.hook);
    let surplus = compared().filter(|resource| resource.requires_pruning).count();
    let different = compared().filter(|resource| resource.status == Some(SyncCode::OutOfSync)).count();
    (compared().count(), surplus, different)
}
