//! Keeps the runbooks at hand that managed repositories carry themselves: read at the tip of the branch when their folder changed, told when
//! one of them is not valid, and read as of an earlier commit for whoever reports what it ran then.

use std::collections::BTreeMap;
use std::sync::Arc;

use changes::Runbook;
use domain::{ChangeSet, CommitId, RepositoryName, RunbookName, Sha256Hash};
use gitworker::{Entry, Folder, FolderQuery, GitError};
use serde::{Deserialize, Serialize};
use serde_json::json;
use store::StoreError;

use crate::book::{Book, REPOSITORY_RUNBOOK_BYTES_MAX, REPOSITORY_RUNBOOKS_MAX, RUNBOOK_SUFFIX, Shelf, parsed_runbook as parsed};
use crate::policies::{Bell, some_of, tell_rules};
use crate::{Engine, FileProblem, RepositorySetup};

/// What people know of a repository's runbooks; kept across restarts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Known {
    /// Names the trouble that was told; none while there is none.
    told: Option<Sha256Hash>,
    /// What can be run, by name and content.
    runbooks: BTreeMap<RunbookName, Sha256Hash>,
}

/// A runbook as it stood in a repository at some commit.
pub(crate) enum AsOf {
    /// It could be run.
    Runbook(Arc<Runbook>),
    /// There was none of this name, or it was not valid: why.
    None(String),
    /// The commit is not on the branch, or has no single parent: nothing can be said.
    Unsettled,
}

fn key(repository: &RepositoryName) -> String {
    format!("repository_runbooks:{repository}")
}

impl Engine {
    /// At the start: what people were told before it.
    pub(crate) async fn recall_runbooks(&self, setup: &RepositorySetup) -> Result<(), StoreError> {
        let stored = self.store().read().meta(&key(&setup.name)).await?;
        // What cannot be read is told once more.
        let known = stored.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
        self.0.following.tell_shelf(&setup.name, known);
        Ok(())
    }

    /// The runbooks of a repository as they stand in a commit; `None` when nothing changed, or it carries none. Costs one look at the folder's
    /// name while that stays, and parses only files that are new.
    pub(crate) async fn shelf_at(&self, setup: &RepositorySetup, commit: CommitId) -> Result<Option<Shelf>, GitError> {
        let Some(shelf) = self.book().shelf(&setup.name).cloned() else {
            return Ok(None);
        };
        let query = FolderQuery {
            path: shelf.path.clone(),
            suffix: RUNBOOK_SUFFIX,
            files: REPOSITORY_RUNBOOKS_MAX,
            bytes: REPOSITORY_RUNBOOK_BYTES_MAX as u64,
        };
        let found = match setup.git.folder(commit, query, shelf.tree).await {
            Ok(Folder::Same) => return Ok(None),
            found => found?,
        };
        // Reading a hostile one keeps a processor busy for a while.
        let read = tokio::task::spawn_blocking(move || shelf.holding(found, commit)).await;
        read.map_err(|error| GitError::Internal(format!("the runbooks could not be read: {error}")))
    }

    /// Stores what can be run in a book and whether people know of its trouble, with the message that is owed when that changed.
    pub(crate) async fn tell_runbooks(&self, setup: &RepositorySetup, book: &Book) -> Result<(), StoreError> {
        let Some(shelf) = book.shelf(&setup.name) else { return Ok(()) };
        let trouble = book.runbook_problems(&setup.name);
        let valid = if trouble.is_empty() { 1.0 } else { 0.0 };
        metrics::gauge!("countersign_repository_runbooks_valid", "repository" => setup.name.to_string()).set(valid);
        let runbooks = book.repository_runbooks().filter(|(name, _)| **name == setup.name);
        let next = Known {
            told: shelf.trouble_id(&trouble),
            runbooks: runbooks
                .map(|(_, runbook)| (runbook.name().clone(), runbook.content_hash()))
                .collect(),
        };
        let before = self.0.following.told_shelf(&setup.name);
        if next == before {
            return Ok(());
        }
        let at = shelf
            .commit
            .map(|commit| format!(" at commit {}", commit.short()))
            .unwrap_or_default();
        let (event, bell, text) = match (next.told, before.told) {
            (Some(now), known) if known != Some(now) => ("runbooks_invalid", Bell::Alarm, wrong(shelf, &trouble, &at)),
            (None, Some(_)) => (
                "runbooks_valid",
                Bell::News,
                format!("the runbooks in {}{at} are valid again: {}", shelf.path, listed(&next)),
            ),
            (_, _) => (
                "runbooks_changed",
                Bell::None,
                format!("the runbooks in {}{at} are: {}", shelf.path, listed(&next)),
            ),
        };
        match event {
            "runbooks_invalid" => tracing::error!(repository = %setup.name, "{text}"),
            _ => tracing::info!(repository = %setup.name, "{text}"),
        }
        let (name, now, put) = (setup.name.clone(), self.now(), json!(next).to_string());
        let details = json!({ "repository": name, "path": shelf.path, "commit": shelf.commit, "runbooks": next.runbooks });
        self.store()
            .write(move |tx| {
                Box::pin(async move {
                    tx.set_meta(&key(&name), &put).await?;
                    tell_rules(tx, &name, (event, &text), details, bell, now).await
                })
            })
            .await?;
        self.0.following.tell_shelf(&setup.name, next);
        self.0.wake.notify_waiters();
        Ok(())
    }

    /// The repositories that carry a runbook which is not valid as it stands on the branch.
    pub(crate) fn invalid_runbooks(&self) -> Vec<RepositoryName> {
        let book = self.book();
        let troubled = |name: &&RepositoryName| !book.runbook_problems(name).is_empty();
        self.repositories().map(|setup| &setup.name).filter(troubled).cloned().collect()
    }

    /// What is wrong with the runbooks that a change brings to a repository's folder.
    pub(crate) fn wrong_runbooks(&self, setup: &RepositorySetup, change: &ChangeSet) -> Vec<FileProblem> {
        let brought = brought(setup, change);
        let problems = brought.filter_map(|(place, _, bytes)| {
            let bytes = bytes?;
            let size = bytes.len();
            if size > REPOSITORY_RUNBOOK_BYTES_MAX {
                return Some(vec![FileProblem {
                    file: place,
                    line: 0,
                    message: format!("it has {size} bytes, more than {REPOSITORY_RUNBOOK_BYTES_MAX}"),
                    remedy: "make two runbooks of it".to_owned(),
                }]);
            }
            parsed(&place, bytes).err()
        });
        problems.flatten().collect()
    }

    /// Whether a rule may name a runbook once a change is on the branch: rule and runbook may come together.
    pub(crate) fn may_name_after(&self, setup: &RepositorySetup, change: &ChangeSet, name: &RunbookName) -> bool {
        let touched = brought(setup, change).find(|(_, stem, _)| *stem == name.as_str());
        let book = self.book();
        match touched {
            Some((_, _, new)) if !book.runbooks.contains_key(name) => new.is_some(),
            Some(_) | None => book.may_name(&setup.name, name),
        }
    }

    /// A repository's own runbook as it stood before a commit of the branch: what somebody ran who made that commit.
    pub(crate) async fn runbook_before(&self, setup: &RepositorySetup, commit: CommitId, name: &RunbookName) -> Result<AsOf, GitError> {
        let Some(folder) = &setup.runbooks else {
            return Ok(AsOf::Unsettled);
        };
        if setup.git.known_commit(commit).await? != gitworker::Known::OnBranch {
            return Ok(AsOf::Unsettled);
        }
        let [parent] = setup.git.describe_commit(commit).await?.parents[..] else {
            return Ok(AsOf::Unsettled);
        };
        let place = format!("{folder}/{name}{RUNBOOK_SUFFIX}");
        let at = format!("at {}, the parent of {}", parent.short(), commit.short());
        let Ok(path) = place.parse::<domain::RepoPath>() else {
            return Ok(AsOf::Unsettled);
        };
        Ok(match setup.git.read(parent, std::slice::from_ref(&path)).await?.remove(&path) {
            None | Some(Entry::Absent) => AsOf::None(format!("there was no {place} {at}")),
            Some(Entry::File { bytes, size, .. }) if size <= REPOSITORY_RUNBOOK_BYTES_MAX as u64 => {
                let read = tokio::task::spawn_blocking(move || parsed(&place, &bytes)).await;
                match read {
                    Ok(Ok(runbook)) => AsOf::Runbook(Arc::new(runbook)),
                    Ok(Err(_)) | Err(_) => AsOf::None(format!("{path} was not valid {at}")),
                }
            }
            Some(Entry::File { .. } | Entry::Other { .. }) => AsOf::None(format!("{path} was no runbook {at}")),
        })
    }
}

/// The files of a change in a repository's folder of runbooks: place, name without `.toml`, and new content.
fn brought<'c>(setup: &'c RepositorySetup, change: &'c ChangeSet) -> impl Iterator<Item = (String, &'c str, Option<&'c [u8]>)> {
    let folder = setup.runbooks.as_ref();
    change.iter().filter_map(move |(path, file)| {
        let name = path.as_str().strip_prefix(folder?.as_str())?.strip_prefix('/')?;
        let stem = name.strip_suffix(RUNBOOK_SUFFIX).filter(|stem| !stem.contains('/'))?;
        Some((path.to_string(), stem, file.new.as_ref().map(|new| new.bytes.as_slice())))
    })
}

fn listed(known: &Known) -> String {
    let one = |(name, hash): (&RunbookName, &Sha256Hash)| format!("{name} ({})", hash.short());
    match known.runbooks.is_empty() {
        true => "none".to_owned(),
        false => known.runbooks.iter().map(one).collect::<Vec<_>>().join(", "),
    }
}

/// The message about runbooks that are not valid.
fn wrong(shelf: &Shelf, trouble: &[FileProblem], at: &str) -> String {
    format!(
        "not every runbook in {}{at} can be used: {}. What is named here is not run until it is mended; the others are",
        shelf.path,
        some_of(trouble)
    )
}
