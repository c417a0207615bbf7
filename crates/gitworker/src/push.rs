//! One compare-and-swap push, and what it came to. What the remote says is for people; object ids decide.

use std::time::{Duration, Instant};

use domain::CommitId;

use crate::protocol::{Report, Update};
use crate::repository::{Repository, blocking};
use crate::transport::not_sent;
use crate::{Ancestry, Built, GitError, PushOutcome, Tip, cli, sanitize};

/// [`Repository::push`].
pub(crate) async fn to_branch(repository: &Repository, built: &Built, expected: CommitId) -> PushOutcome {
    if built.parent != expected {
        // The compare-and-swap alone would let commits on an older base replace what came after it.
        return PushOutcome::Moved { tip: Some(expected) };
    }
    let update = Update {
        reference: repository.options().reference(),
        old: Some(expected),
        new: Some(built.tip()),
        pack: built.pack.clone(),
    };
    // The mirror takes the objects in while the remote is busy. Should the push fail, they are unreachable and do no harm.
    let (sent, absorbed) = tokio::join!(send(repository, &update), absorb(repository, built));
    if let Err(error) = absorbed {
        tracing::warn!(%error, "the mirror did not take the pushed objects; they are fetched instead");
    }
    let outcome = decide(repository, &update, sent, true).await;
    if outcome == PushOutcome::Confirmed {
        // Upkeep, not part of the delivery: nobody waits for it.
        let repository = repository.clone();
        tokio::spawn(async move {
            if let Err(error) = repository.join_packs().await {
                tracing::warn!(%error, "the mirror's packs could not be joined");
            }
        });
    }
    outcome
}

/// [`Repository::push_branch`] and [`Repository::delete_branch`].
pub(crate) async fn to_side_branch(repository: &Repository, name: &str, expected: Option<CommitId>, built: Option<&Built>) -> PushOutcome {
    let reference = format!("refs/heads/{name}");
    if !git2::Reference::is_valid_name(&reference) || name == repository.options().branch {
        return PushOutcome::Refused {
            message: format!("{name:?} cannot be used as the name of a side branch"),
        };
    }
    let update = Update {
        reference,
        old: expected,
        new: built.map(Built::tip),
        pack: built.map_or_else(|| std::sync::Arc::from([]), |built| built.pack.clone()),
    };
    let sent = send(repository, &update).await;
    decide(repository, &update, sent, false).await
}

async fn send(repository: &Repository, update: &Update) -> Result<Report, GitError> {
    if repository.options().push_with_git_cli {
        return send_with_git(repository, update).await;
    }
    repository.inner.transport.send(update).await
}

/// Reads the ref back and decides by ids: where the branch is now, and whether it contains what was sent.
async fn decide(repository: &Repository, update: &Update, sent: Result<Report, GitError>, main: bool) -> PushOutcome {
    if let Err(error @ GitError::NotSent { .. }) = &sent {
        return PushOutcome::NotSent { why: error.to_string() };
    }
    let asked = Instant::now();
    let now = match repository.inner.transport.tip(&update.reference).await {
        Ok(now) => now,
        // Whoever turns the push away may turn the question away, too.
        Err(error) => {
            return match sent {
                Err(refused) if is_refusal(&refused) => PushOutcome::Refused {
                    message: refused.to_string(),
                },
                _ => PushOutcome::Unknown {
                    why: format!("the branch could not be read back: {error}"),
                },
            };
        }
    };
    if now == update.new {
        if let (Some(commit), true) = (now, main) {
            confirm(repository, asked, commit).await;
        }
        return PushOutcome::Confirmed;
    }
    if now == update.old {
        return unmoved(repository, sent);
    }
    if !main {
        return PushOutcome::Moved { tip: now };
    }
    match (now, update.new) {
        (Some(_), Some(new)) => contains(repository, new).await,
        _ => PushOutcome::Moved { tip: now },
    }
}

/// The branch is where it was before: either the remote said no, or nobody knows what it will still do.
fn unmoved(repository: &Repository, sent: Result<Report, GitError>) -> PushOutcome {
    match sent {
        Ok(report) if report.accepted => PushOutcome::Unknown {
            why: "the remote reported success, but its branch has not moved".to_owned(),
        },
        Ok(report) => {
            let said = sanitize::text(&report.said, &repository.options().credentials.secrets());
            PushOutcome::Refused { message: refusal(&said) }
        }
        Err(error) if is_refusal(&error) => PushOutcome::Refused {
            message: error.to_string(),
        },
        Err(error) => PushOutcome::Unknown { why: error.to_string() },
    }
}

/// Whether an error says for sure that nothing was executed, and will not be before somebody changes something.
const fn is_refusal(error: &GitError) -> bool {
    matches!(
        error,
        GitError::Denied { .. } | GitError::HostKey { .. } | GitError::Sha256Remote { .. } | GitError::Config(_)
    )
}

/// What a remote said about a refused push, for people: the reason first, without the protocol's words, then what its hooks wrote.
fn refusal(said: &str) -> String {
    let (mut reasons, mut words): (Vec<&str>, Vec<&str>) = (Vec::new(), Vec::new());
    for line in said.lines().map(|line| line.trim_start_matches("remote:").trim()) {
        match reason(line) {
            Some(reason) if !reasons.contains(&reason) => reasons.push(reason),
            None if !line.is_empty() => words.push(line),
            Some(_) | None => {}
        }
    }
    let all: Vec<&str> = reasons.into_iter().chain(words).collect();
    if all.is_empty() {
        return "the remote refused the commit and gave no reason".to_owned();
    }
    format!("the remote refused the commit: {}", all.join("; "))
}

/// The reason in a line of the protocol (`ng <ref> <why>`, `unpack <why>`) or of `git push` (`… [remote rejected] (<why>)`).
fn reason(line: &str) -> Option<&str> {
    if let Some((_, why)) = line.split_once("[remote rejected] (") {
        return why.strip_suffix(')');
    }
    match line.strip_prefix("ng ").and_then(|rest| rest.split_once(' ')) {
        Some((reference, why)) if reference.starts_with("refs/") => Some(why),
        Some(_) | None => line.strip_prefix("unpack "),
    }
}

/// The branch is somewhere else: perhaps somebody already pushed on top of ours.
async fn contains(repository: &Repository, new: CommitId) -> PushOutcome {
    let tip = match repository.refresh(Duration::ZERO).await {
        Ok(tip) => tip.commit,
        Err(GitError::BranchMissing { .. }) => return PushOutcome::Moved { tip: None },
        Err(error) => return PushOutcome::Unknown { why: error.to_string() },
    };
    match repository.is_ancestor(new, tip).await {
        Ok(Ancestry::Yes) => PushOutcome::Confirmed,
        Ok(Ancestry::No | Ancestry::Unknown) => PushOutcome::Moved { tip: Some(tip) },
        Err(error) => PushOutcome::Unknown { why: error.to_string() },
    }
}

async fn confirm(repository: &Repository, asked: Instant, commit: CommitId) {
    repository
        .remember_tip(
            asked,
            Tip {
                commit,
                at: chrono::Utc::now(),
            },
        )
        .await;
}

async fn absorb(repository: &Repository, built: &Built) -> Result<(), GitError> {
    let (inner, pack) = (repository.inner.clone(), built.pack.clone());
    blocking(move || inner.mirror.absorb(&pack)).await
}

/// The fallback: `git push` with a lease on the expected id, which is the same compare-and-swap.
///
/// Of a push that failed git does not say how far it came, and its words decide nothing. So our own client asks for the branch first: as long
/// as that has no answer, git is not called, and nothing was sent.
async fn send_with_git(repository: &Repository, update: &Update) -> Result<Report, GitError> {
    let remote = repository.options().url.to_string();
    if let Err(error) = repository.inner.transport.tip(&update.reference).await {
        return Err(not_sent(&remote, error));
    }
    if !update.pack.is_empty() {
        let (inner, pack) = (repository.inner.clone(), update.pack.clone());
        blocking(move || inner.mirror.absorb(&pack)).await?;
    }
    let options = repository.options();
    let lease = format!(
        "--force-with-lease={}:{}",
        update.reference,
        update.old.map(|id| id.to_string()).unwrap_or_default()
    );
    let refspec = format!("{}:{}", update.new.map(|id| id.to_string()).unwrap_or_default(), update.reference);
    // A key to sign pushes with is a person's: their own configuration stays in force for a local path.
    let args = [
        "-c",
        "push.gpgSign=false",
        "push",
        "--porcelain",
        "--no-verify",
        "--no-follow-tags",
        &lease,
        "origin",
        &refspec,
    ];
    match cli::git(
        options,
        repository.inner.transport.control(),
        repository.inner.mirror.path(),
        "push",
        options.deadlines.push,
        &args,
    )
    .await
    {
        Ok(_) => Ok(Report {
            accepted: true,
            said: Vec::new(),
        }),
        Err(GitError::Command { detail, .. }) => Ok(Report {
            accepted: false,
            said: detail.into_bytes(),
        }),
        // It was not even started.
        Err(error @ GitError::Program { .. }) => Err(not_sent(&remote, error)),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::refusal;

    #[test]
    fn a_refusal_is_told_in_people_s_words() {
        for (said, told) in [
            ("", "the remote refused the commit and gave no reason"),
            (
                "ng refs/heads/main pre-receive hook declined",
                "the remote refused the commit: pre-receive hook declined",
            ),
            (
                "error: GH006: protected\nremote: look at the rules\nng refs/heads/main protected branch hook declined",
                "the remote refused the commit: protected branch hook declined; error: GH006: protected; look at the rules",
            ),
            (
                "unpack index-pack abnormal exit\nng refs/heads/main unpacker error",
                "the remote refused the commit: index-pack abnormal exit; unpacker error",
            ),
            ("ng is not ours to read", "the remote refused the commit: ng is not ours to read"),
            (
                "! [remote rejected] main (declined)",
                "the remote refused the commit: ! [remote rejected] main (declined)",
            ),
        ] {
            assert_eq!(refusal(said), told);
        }
    }
}
