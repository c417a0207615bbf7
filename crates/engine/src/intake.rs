//! From what an agent asked to what would be committed: resolved to full contents, checked, digested and routed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use changes::Runbook;
use domain::ledger::LedgerKey;
use domain::{ChangeSet, CommitId, Facts, Hidden, Origin, PathGlob, RepoPath, Route, RunbookCall, Sha256Hash, hidden, is_text};
use gitworker::{DiffError, Edit, Entry, GitError, Known, RequestedChange, ResolveError};
use serde_json::Value;

use crate::checked::Manner;
use crate::{Agent, Checked, Content, Engine, FileEdit, FileProblem, FileRequest, Problem, ProposalRequest, RepositorySetup};

/// Longest title, in characters.
const TITLE_CHARACTERS: usize = 200;
/// Longest reason, in characters.
pub(crate) const REASON_CHARACTERS: usize = 4000;
/// Longest correlation id, in characters.
const CORRELATION_CHARACTERS: usize = 200;

/// A request resolved against its base.
pub(crate) struct Resolved {
    pub repository: domain::RepositoryName,
    pub branch: String,
    pub base: CommitId,
    pub change: ChangeSet,
    pub facts: Facts,
    /// What the checks say of it; a finding that refuses is for whoever stores it to heed.
    pub checked: Checked,
    pub route: Route,
    /// What a change of the repository's policy would have meant.
    pub replay: Vec<String>,
    pub digest: Sha256Hash,
    pub origin: Origin,
    /// For a run: whose record it belongs to, and whether it would go out by itself.
    pub shadow: Option<(LedgerKey, bool)>,
    pub title: String,
    pub reason: String,
}

impl Engine {
    /// Resolves a request. Stores nothing.
    pub(crate) async fn resolve(&self, agent: &Agent, request: &ProposalRequest) -> Result<Resolved, Problem> {
        let setup = self.named_repository(agent, &request.repository)?;
        check_words(request)?;
        let (base, tip) = self.base(setup, &request.base).await?;
        let (requested, origin, words) = match &request.content {
            Content::Files(files) => (parse_files(agent, setup, base, files).await?, Origin::Change, Words::default()),
            Content::Diff(diff) => (apply_diff(agent, setup, base, diff).await?, Origin::Change, Words::default()),
            Content::Runbook { name, parameters } => {
                let runbook = self.named_runbook(agent, setup, name)?;
                check_run(agent, &runbook, parameters)?;
                let (requested, words) = render(setup, &runbook, parameters, base).await?;
                let call = RunbookCall {
                    runbook: runbook.name().clone(),
                    hash: runbook.content_hash(),
                    parameters: parameters.clone(),
                };
                (requested, Origin::Runbook(call), words)
            }
        };
        // In a diff or a run the place is not one of `changes`: the pointer names what the caller sent.
        let placed = |problem: Problem| match &request.content {
            Content::Files(_) => problem,
            Content::Diff(_) => problem.at("/diff"),
            Content::Runbook { .. } => problem.at("/runbook"),
        };
        if requested.is_empty() {
            return Err(no_change(&request.content));
        }
        self.check_limits(&requested).map_err(placed)?;
        let change = setup.git.resolve(base, requested).await.map_err(|error| match error {
            ResolveError::Refused(refusals) => placed(refused_files(agent, &refusals)),
            ResolveError::Git(error) => unavailable(setup, &error),
        })?;
        if change.is_empty() {
            return Err(no_change(&request.content));
        }
        if base != tip {
            check_base_is_fresh(setup, tip, &change).await?;
        }
        let or_rendered = |given: &str, rendered: String| match given.trim() {
            "" => rendered,
            given => given.to_owned(),
        };
        let title = or_rendered(&request.title, words.title);
        let reason = or_rendered(&request.reason, words.reason);
        if title.is_empty() {
            return Err(Problem::new(
                422,
                "invalid_title",
                "the title is empty",
                "say in a few words what the change does",
            )
            .at("/title"));
        }
        let (mut facts, mut checked) = self.look(setup, base, &change, Manner::Strict).await?;
        let mut shadow = None;
        if let Origin::Runbook(call) = &origin {
            facts.runbook = Some(call.runbook.clone());
            let asked = self.trusted(&setup.name, call, &facts.paths).await?;
            facts.trust = Some(asked.trust);
            shadow = Some((asked.key, asked.alone));
        }
        facts.requested = request.tier;
        facts.agent = Some(agent.name.clone());
        let route = self.book().policy.route(&setup.name, &facts);
        checked.routed(setup.branch(), &route);
        let replay = self
            .foresee(setup, &change)
            .await
            .map_err(|problems| placed(refused_policy(setup, &request.content, &problems)))?;
        let digest = change.digest(&setup.name, setup.branch());
        let (repository, branch) = (setup.name.clone(), setup.branch().to_owned());
        Ok(Resolved {
            repository,
            branch,
            base,
            change,
            facts,
            checked,
            route,
            replay,
            digest,
            origin,
            shadow,
            title,
            reason,
        })
    }

    /// A repository by its configured name, if the agent may use it.
    pub(crate) fn named_repository(&self, agent: &Agent, name: &str) -> Result<&RepositorySetup, Problem> {
        let allowed = |setup: &&RepositorySetup| agent.repositories.is_empty() || agent.repositories.contains(&setup.name);
        let found = self.repositories().filter(allowed).find(|setup| setup.name.as_str() == name);
        found.ok_or_else(|| {
            let names: Vec<_> = self.repositories().filter(allowed).map(|setup| setup.name.as_str()).collect();
            let hint = match names.as_slice() {
                [] => "none of this agent's repositories is configured; ask the operator".to_owned(),
                names => format!("use the configured name, not a URL; yours: {}", names.join(", ")),
            };
            Problem::new(422, "unknown_repository", "no such repository is configured for this agent", hint).at("/repository")
        })
    }

    /// A runbook by name, as the repository has it at the tip, if the agent may call it.
    pub(crate) fn named_runbook(&self, agent: &Agent, setup: &RepositorySetup, name: &str) -> Result<Arc<Runbook>, Problem> {
        let named = callable(agent, name);
        let found = named.and_then(|name| self.book().runbook(&setup.name, &name).cloned());
        found.ok_or_else(|| unknown_runbook(setup, name))
    }

    /// The base commit, and the tip that it was compared with. The policy of that tip is in force then.
    async fn base(&self, setup: &RepositorySetup, base: &str) -> Result<(CommitId, CommitId), Problem> {
        let found = self.base_and_tip(setup, base).await?;
        self.follow_policy(setup).await.map_err(|error| unavailable(setup, &error))?;
        Ok(found)
    }

    async fn base_and_tip(&self, setup: &RepositorySetup, base: &str) -> Result<(CommitId, CommitId), Problem> {
        let tip = setup
            .git
            .refresh(self.limits().tip_age)
            .await
            .map_err(|error| unavailable(setup, &error))?
            .commit;
        if base == "head" {
            return Ok((tip, tip));
        }
        let commit: CommitId = base.parse().map_err(|_| {
            Problem::new(
                422,
                "invalid_base",
                "base is neither \"head\" nor a full commit id",
                "send 40 lower-case hexadecimal digits, or \"head\"",
            )
            .at("/base")
        })?;
        let mut known = setup.git.known_commit(commit).await.map_err(|error| unavailable(setup, &error))?;
        let mut tip = tip;
        if known == Known::Unknown {
            tip = setup
                .git
                .refresh(Duration::ZERO)
                .await
                .map_err(|error| unavailable(setup, &error))?
                .commit;
            known = setup.git.known_commit(commit).await.map_err(|error| unavailable(setup, &error))?;
        }
        match known {
            Known::OnBranch => Ok((commit, tip)),
            Known::OffBranch => Err(base_elsewhere(setup, commit, "")),
            // The mirror holds our branch only: a commit that it does not know may still be somebody's.
            Known::Unknown => match setup.git.other_branch_at(commit).await {
                Ok(Some(branch)) => Err(base_elsewhere(setup, commit, &format!(" (it is the tip of {branch:?})"))),
                Ok(None) | Err(_) => Err(Problem::new(
                    422,
                    "unknown_base",
                    format!(
                        "commit {commit} is unknown: branch {} of repository {} does not contain it, and it is the tip of no other branch",
                        setup.branch(),
                        setup.name
                    ),
                    "name a commit of that branch, or \"head\"; what is only on your machine must be pushed first",
                )
                .recordable()
                .at("/base")),
            },
        }
    }

    fn check_limits(&self, requested: &[RequestedChange]) -> Result<(), Problem> {
        let limits = self.limits();
        if requested.len() > limits.files {
            let detail = format!("{} files are more than {} in one proposal", requested.len(), limits.files);
            return Err(Problem::new(413, "too_many_files", detail, "split the change")
                .recordable()
                .at("/changes"));
        }
        for (index, change) in requested.iter().enumerate() {
            if let Edit::Write { bytes, .. } = &change.edit
                && bytes.len() > limits.file_bytes
            {
                let detail = format!("{} has {} bytes, more than {}", change.path, bytes.len(), limits.file_bytes);
                return Err(Problem::new(413, "file_too_large", detail, "keep artefacts out of the repository")
                    .recordable()
                    .at(format!("/changes/{index}/content")));
            }
        }
        Ok(())
    }
}

fn base_elsewhere(setup: &RepositorySetup, commit: CommitId, where_it_is: &str) -> Problem {
    Problem::new(
        422,
        "base_not_on_branch",
        format!("commit {} is not on branch {}{where_it_is}", commit.short(), setup.branch()),
        "read the branch again and propose against it",
    )
    .recordable()
    .at("/base")
}

/// The scope of every path comes first: no answer may depend on a file that the token does not cover.
async fn parse_files(
    agent: &Agent,
    setup: &RepositorySetup,
    base: CommitId,
    files: &[FileRequest],
) -> Result<Vec<RequestedChange>, Problem> {
    let path = |(index, file): (usize, &FileRequest)| {
        file.path.parse().map_err(|refusal: domain::PathRefusal| {
            Problem::new(422, "invalid_path", refusal.to_string(), "use a plain relative path")
                .recordable()
                .at(format!("/changes/{index}/path"))
        })
    };
    let paths = files.iter().enumerate().map(path).collect::<Result<Vec<RepoPath>, _>>()?;
    check_scope(agent, paths.iter())?;
    let mut requested = Vec::with_capacity(files.len());
    for (index, (file, path)) in files.iter().zip(paths).enumerate() {
        let edit = match &file.edit {
            FileEdit::Write { bytes, executable } => Edit::Write {
                bytes: bytes.clone(),
                exec: *executable,
            },
            FileEdit::SetExecutable(executable) => Edit::Write {
                bytes: existing(setup, base, &path, index).await?,
                exec: Some(*executable),
            },
            FileEdit::Delete => Edit::Delete,
        };
        requested.push(RequestedChange { path, edit });
    }
    Ok(requested)
}

/// The content of a file of which only the executable bit shall change.
async fn existing(setup: &RepositorySetup, base: CommitId, path: &RepoPath, index: usize) -> Result<Vec<u8>, Problem> {
    let mut entries = setup
        .git
        .read(base, std::slice::from_ref(path))
        .await
        .map_err(|error| unavailable(setup, &error))?;
    match entries.remove(path) {
        Some(Entry::File { bytes, .. }) => Ok(bytes),
        Some(Entry::Absent | Entry::Other { .. }) | None => Err(Problem::new(
            422,
            "change_refused",
            format!("{path} is no file at {}, so its executable bit alone cannot be set", base.short()),
            "send its content too",
        )
        .recordable()
        .at(format!("/changes/{index}"))),
    }
}

/// The bound of a reason.
pub(crate) fn check_reason(reason: &str, characters: usize) -> Result<(), Problem> {
    if reason.chars().count() > characters {
        let detail = format!(
            "the reason is longer than {},{:03} characters",
            characters / 1_000,
            characters % 1_000
        );
        return Err(Problem::new(422, "invalid_reason", detail, "link to the details instead")
            .recordable()
            .at("/reason"));
    }
    Ok(())
}

fn check_words(request: &ProposalRequest) -> Result<(), Problem> {
    let too_long = |text: &str, limit: usize| text.chars().count() > limit;
    if too_long(&request.title, TITLE_CHARACTERS) || request.title.chars().any(char::is_control) {
        return Err(Problem::new(
            422,
            "invalid_title",
            "the title is longer than 200 characters or holds control characters",
            "one short line",
        )
        .at("/title"));
    }
    check_reason(&request.reason, REASON_CHARACTERS)?;
    if request
        .correlation
        .as_deref()
        .is_some_and(|text| too_long(text, CORRELATION_CHARACTERS) || text.chars().any(char::is_control))
    {
        return Err(Problem::new(
            422,
            "invalid_correlation",
            "the correlation id is longer than 200 characters or holds control characters",
            "shorten it",
        )
        .at("/correlation_id"));
    }
    if request.ttl_seconds.is_some_and(|ttl| ttl < 60) {
        return Err(Problem::new(
            422,
            "invalid_ttl",
            "ttl is shorter than a minute",
            "people need time to look: at least 60 seconds",
        )
        .at("/ttl_seconds"));
    }
    Ok(())
}

/// As [`parse_files`]: old and new names, and what is copied, are in scope before the base is read.
async fn apply_diff(agent: &Agent, setup: &RepositorySetup, base: CommitId, diff: &str) -> Result<Vec<RequestedChange>, Problem> {
    let refused = |error: DiffError| match error {
        DiffError::Refused { .. } => Problem::new(
            422,
            "diff_does_not_apply",
            error.to_string(),
            "diffs apply exactly or not at all; send full contents instead",
        )
        .recordable()
        .at("/diff"),
        DiffError::Path { .. } => Problem::new(422, "invalid_path", error.to_string(), "use a plain relative path")
            .recordable()
            .at("/diff"),
        DiffError::Git(error) => unavailable(setup, &error),
    };
    let paths = gitworker::diff_paths(diff).map_err(refused)?;
    check_scope(agent, paths.iter()).map_err(|problem| problem.at("/diff"))?;
    setup.git.apply_diff(base, diff).await.map_err(refused)
}

/// The name of a runbook, if the agent may call one of that name.
pub(crate) fn callable(agent: &Agent, name: &str) -> Option<domain::RunbookName> {
    let name = name.parse().ok()?;
    (agent.runbooks.is_empty() || agent.runbooks.contains(&name)).then_some(name)
}

pub(crate) fn unknown_runbook(setup: &RepositorySetup, name: &str) -> Problem {
    Problem::new(
        422,
        "unknown_runbook",
        format!("there is no runbook {name:?} for this agent in repository {}", setup.name),
        "GET /v1/runbooks lists those you may call, and where",
    )
    .at("/runbook/name")
}

/// A runbook's own words for a run; empty where it has none.
#[derive(Default)]
pub(crate) struct Words {
    pub title: String,
    pub reason: String,
}

/// As [`parse_files`]: whatever a run would read must be in scope, whether it would change it or not.
fn check_run(agent: &Agent, runbook: &Runbook, parameters: &Value) -> Result<(), Problem> {
    let needed = runbook.files_needed(parameters).map_err(refused_run)?;
    check_scope(agent, needed.iter()).map_err(|problem| problem.at("/runbook"))
}

/// The message may repeat parameters: it is for the caller, and not recorded.
fn refused_run(error: changes::RenderError) -> Problem {
    let pointer = format!("/runbook/parameters{}", error.pointer);
    Problem::new(422, "runbook_refused", error.message, error.hint).at(pointer)
}

/// Renders a runbook against a commit.
pub(crate) async fn render(
    setup: &RepositorySetup,
    runbook: &Runbook,
    parameters: &Value,
    base: CommitId,
) -> Result<(Vec<RequestedChange>, Words), Problem> {
    let needed = runbook.files_needed(parameters).map_err(refused_run)?;
    let entries = setup.git.read(base, &needed).await.map_err(|error| unavailable(setup, &error))?;
    let mut files = BTreeMap::new();
    for (path, entry) in entries {
        let bytes = match entry {
            Entry::Absent => None,
            Entry::File { bytes, .. } => Some(bytes),
            Entry::Other { mode } => {
                let detail = format!("{path} is not a regular file (mode {mode:o})");
                return Err(Problem::new(422, "runbook_refused", detail, "runbooks edit regular files only")
                    .recordable()
                    .at("/runbook/parameters"));
            }
        };
        files.insert(path, bytes);
    }
    let rendered = runbook.render(parameters, &files).map_err(refused_run)?;
    let requested = rendered
        .files
        .into_iter()
        .map(|(path, bytes)| RequestedChange {
            path,
            edit: bytes.map_or(Edit::Delete, |bytes| Edit::Write { bytes, exec: None }),
        })
        .collect();
    let words = Words {
        title: rendered.title,
        reason: rendered.reason.unwrap_or_default(),
    };
    Ok((requested, words))
}

/// Every path must be in the token's scope, where it has one.
pub(crate) fn check_scope<'a>(agent: &Agent, paths: impl Iterator<Item = &'a RepoPath>) -> Result<(), Problem> {
    if agent.paths.is_empty() {
        return Ok(());
    }
    let globs: Vec<PathGlob> = agent.paths.iter().filter_map(|text| PathGlob::new(text).ok()).collect();
    for (index, path) in paths.enumerate() {
        if !globs.iter().any(|glob| glob.matches(path)) {
            let hint = format!("this token covers: {}", agent.paths.join(", "));
            return Err(
                Problem::new(403, "path_out_of_scope", format!("{path} is outside this token's paths"), hint)
                    .recordable()
                    .at(format!("/changes/{index}/path")),
            );
        }
    }
    Ok(())
}

/// An older base is fine as long as no touched file has changed since.
async fn check_base_is_fresh(setup: &RepositorySetup, tip: CommitId, change: &ChangeSet) -> Result<(), Problem> {
    let paths: Vec<RepoPath> = change.paths().cloned().collect();
    let entries = setup.git.read(tip, &paths).await.map_err(|error| unavailable(setup, &error))?;
    let moved: Vec<&str> = change
        .iter()
        .filter(|(path, file)| {
            let now = entries.get(path).and_then(|entry| {
                if let Entry::File { version, .. } = entry {
                    Some(*version)
                } else {
                    None
                }
            });
            let other = matches!(entries.get(path), Some(Entry::Other { .. }));
            other || now != file.old
        })
        .map(|(path, _)| path.as_str())
        .collect();
    if moved.is_empty() {
        return Ok(());
    }
    let detail = format!("changed on the branch since the base: {}", moved.join(", "));
    Err(Problem::new(
        409,
        "stale_base",
        detail,
        format!("read these files again at {tip} and propose against it"),
    )
    .at("/base"))
}

fn refused_files(agent: &Agent, refusals: &[gitworker::Refusal]) -> Problem {
    let pointer = refusals
        .first()
        .map_or_else(|| "/changes".to_owned(), |first| format!("/changes/{}", first.index));
    let detail = refusals
        .iter()
        .map(|refusal| format!("{}: {}", refusal.path, told_of(agent, refusal)))
        .collect::<Vec<_>>()
        .join("; ");
    Problem::new(422, "change_refused", detail, "correct the named files")
        .recordable()
        .at(pointer)
}

/// Why a file is refused; what stands where the token does not reach is not named.
fn told_of<'a>(agent: &Agent, refusal: &'a gitworker::Refusal) -> &'a str {
    let Some(twin) = &refusal.twin else { return &refusal.problem };
    // A twin may be a directory above: then it is the same file below it.
    let below = refusal.path.parts().skip(twin.split('/').count());
    let whole: Vec<&str> = twin.split('/').chain(below).collect();
    let reached = whole
        .join("/")
        .parse()
        .is_ok_and(|path| check_scope(agent, std::iter::once(&path)).is_ok());
    if reached || agent.paths.is_empty() {
        return &refusal.problem;
    }
    "it differs only by letter case, or by how an accent is encoded, from a name that this token does not cover; choose another name"
}

/// The repository's policy and runbooks must stay valid: nobody is asked about one that is not.
fn refused_policy(setup: &RepositorySetup, content: &Content, problems: &[FileProblem]) -> Problem {
    let detail: Vec<String> = problems.iter().map(crate::policies::said).collect();
    let first = problems.first().map(|problem| problem.file.as_str());
    let of_policy = setup.policy.as_ref().is_some_and(|path| first == Some(path.as_str()));
    let (code, hint) = if of_policy {
        (
            "policy_invalid",
            "correct the policy; `countersign check --repository-policy FILE` tells the same",
        )
    } else {
        (
            "runbook_invalid",
            "correct the runbook; `countersign runbook check FILE` tells the same",
        )
    };
    let problem = Problem::new(422, code, detail.join("; "), hint);
    let index = match content {
        Content::Files(files) => files.iter().position(|file| Some(file.path.as_str()) == first),
        Content::Diff(_) | Content::Runbook { .. } => None,
    };
    problem.at(index.map_or_else(|| "/changes".to_owned(), |index| format!("/changes/{index}/content")))
}

/// Nothing would differ, said about what the caller sent.
fn no_change(content: &Content) -> Problem {
    let (detail, hint, pointer) = match content {
        Content::Files(files) if files.is_empty() => ("the proposal names no file", "send at least one change", "/changes"),
        Content::Files(_) => (
            "the proposal changes nothing: every file already is as proposed",
            "nothing to do; or read the file again and propose what differs",
            "/changes",
        ),
        Content::Diff(_) => (
            "the diff changes nothing",
            "nothing to do; or make the diff against the base that you name",
            "/diff",
        ),
        Content::Runbook { .. } => (
            "the run changes nothing: the files already are as the runbook makes them with these parameters",
            "nothing to do; or call it with other parameters",
            "/runbook",
        ),
    };
    Problem::new(422, "no_change", detail, hint).at(pointer)
}

/// The risk for the policy. An account that had to be cut says nothing about the rest.
pub(crate) fn risk_of(summary: &changes::Summary) -> domain::Risk {
    if summary.objects.len() >= changes::summary::OBJECTS_MAX {
        domain::Risk::Critical
    } else {
        summary.risk
    }
}

/// What the policy sees of a change without looking inside its objects. What is no text is no easier to review when it goes.
pub(crate) fn facts_of(change: &ChangeSet, old: &BTreeMap<RepoPath, Vec<u8>>) -> Facts {
    let mut facts = Facts {
        paths: change.paths().cloned().collect(),
        deletes: change.iter().any(|(_, file)| file.new.is_none()),
        binary: old.values().any(|bytes| !is_text(bytes)),
        ..Facts::default()
    };
    for new in change.iter().filter_map(|(_, file)| file.new.as_ref()) {
        facts.binary |= !is_text(&new.bytes);
        for (_, _, kind) in std::str::from_utf8(&new.bytes).ok().into_iter().flat_map(hidden) {
            match kind {
                Hidden::Deceptive => facts.deceptive = true,
                Hidden::Control => facts.control = true,
                // Remarked, and ordinary in some languages' texts.
                Hidden::Blank => {}
            }
        }
    }
    facts
}

/// The repository cannot be used at the moment: agents learn of which kind the reason is, the log has its words.
pub(crate) fn unavailable(setup: &RepositorySetup, error: &GitError) -> Problem {
    tracing::warn!(repository = %setup.name, %error, "the repository cannot be used");
    let name = &setup.name;
    let problem = |code, detail: String, hint: &str| Problem::new(503, code, detail, hint);
    match error {
        GitError::BranchMissing { branch, .. } => problem(
            "branch_missing",
            format!("the remote of repository {name} has no branch {branch:?}"),
            "ask the operator to create the branch or to correct the configuration; it is used as soon as it exists",
        ),
        _ if setup.git.has_no_mirror() => problem(
            "repository_unavailable",
            format!("repository {name} is not usable yet: {}", why(error)),
            "try again; the service goes on trying by itself",
        )
        .retry(30),
        _ => problem(
            "repository_unavailable",
            format!("repository {name} cannot be used at the moment: {}", why(error)),
            "try again shortly",
        )
        .retry(10),
    }
}

/// The kind of a reason, without addresses and without a remote's words: what those may read who have no business with either.
pub(crate) fn why(error: &GitError) -> String {
    match error {
        GitError::Cloning { .. } => "its first clone is under way".to_owned(),
        GitError::BranchMissing { branch, .. } => format!("its remote has no branch {branch:?}"),
        GitError::Unreachable { .. } | GitError::NotSent { .. } | GitError::Deadline { .. } => "its remote cannot be reached".to_owned(),
        GitError::Denied { .. } => "its remote refuses the service's credentials".to_owned(),
        GitError::HostKey { .. } => "its remote shows a host key that is not among the trusted ones".to_owned(),
        GitError::Protocol { .. } | GitError::Sha256Remote { .. } => "its remote is no git repository that the service can use".to_owned(),
        GitError::Config(_) => "its configuration cannot be used: a secret file, a key or a certificate; the log names it".to_owned(),
        GitError::Program { program, .. } => format!("the service cannot start {program}"),
        GitError::UnknownCommit(_) | GitError::Mirror { .. } | GitError::Command { .. } | GitError::Internal(_) => {
            "its mirror cannot be used".to_owned()
        }
    }
}
