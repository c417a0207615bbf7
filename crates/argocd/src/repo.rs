//! Is this source our repository, on our branch?
//!
//! One repository has many spellings (https, ssh, scp, with and without `.git`); Argo CD matches them with a regular
//! expression made from the pushed URL. Here every spelling is reduced to one key, `host/path`, and compared.

use serde::{Deserialize, Serialize};

use crate::model::{Source, is_commit_id};

/// A repository address reduced to `host/path`: lower case, without scheme, user, port, `ssh.` prefix, `.git` and slashes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RepoKey(String);

impl RepoKey {
    /// Reduces an address. `None` for an empty one and for OCI, which holds no commits.
    pub fn of(address: &str) -> Option<Self> {
        let address = address.trim();
        let (host, path) = match address.split_once("://") {
            Some(("oci", _)) => return None,
            Some(("file", path)) => ("", path),
            Some((_, rest)) => rest.split_once('/').unwrap_or((rest, "")),
            None if address.starts_with('/') => ("", address),
            None => address.split_once(':').or_else(|| address.split_once('/'))?,
        };
        let host = host.rsplit_once('@').map_or(host, |(_, host)| host).to_lowercase();
        let host = host_without_port(&host);
        let host = host.strip_prefix("altssh.").or_else(|| host.strip_prefix("ssh.")).unwrap_or(host);
        let path = percent_encoding::percent_decode_str(path).decode_utf8_lossy().to_lowercase();
        let path = path.trim_matches('/');
        let path = path.strip_suffix(".git").unwrap_or(path).trim_end_matches('/');
        (!path.is_empty()).then(|| Self(format!("{host}/{path}")))
    }
}

impl std::fmt::Display for RepoKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0.trim_start_matches('/'))
    }
}

fn host_without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

/// The branch we push to: what an application must track for our commits to reach it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// All spellings of the repository, reduced.
    pub repositories: Vec<RepoKey>,
    /// Branch name without `refs/heads/`.
    pub branch: String,
    /// Whether it is the branch that `HEAD` of the remote names: an application without a target revision tracks that one.
    pub is_default: bool,
}

impl Target {
    /// `addresses` are the repository's URL and its aliases; spellings that name no repository are ignored.
    pub fn new<'a>(addresses: impl IntoIterator<Item = &'a str>, branch: &str, is_default: bool) -> Self {
        let repositories = addresses.into_iter().filter_map(RepoKey::of).collect();
        let branch = branch.strip_prefix("refs/heads/").unwrap_or(branch).to_owned();
        Self {
            repositories,
            branch,
            is_default,
        }
    }

    /// How a source relates to this branch.
    pub fn relation(&self, source: &Source) -> Relation {
        if source.chart.is_some() || !self.is_repository(&source.repo_url) {
            return Relation::OtherRepository;
        }
        self.revision_relation(source.target_revision.as_deref().unwrap_or(""))
    }

    /// Whether a source follows this branch.
    pub fn tracks(&self, source: &Source) -> bool {
        self.relation(source) == Relation::Tracks
    }

    /// Whether an address is a spelling of this repository.
    pub(crate) fn is_repository(&self, address: &str) -> bool {
        RepoKey::of(address).is_some_and(|key| self.repositories.contains(&key))
    }

    /// As Argo CD's webhook does it: no revision means `HEAD`; a full ref name counts by its last part.
    fn revision_relation(&self, revision: &str) -> Relation {
        let revision = revision.trim();
        if revision.is_empty() || revision == "HEAD" {
            return if self.is_default { Relation::Tracks } else { Relation::OtherBranch };
        }
        if revision.starts_with("refs/tags/") {
            return Relation::Pinned;
        }
        if revision.strip_prefix("refs/heads/").unwrap_or(revision) == self.branch {
            Relation::Tracks
        } else if is_commit_id(revision) || looks_like_version(revision) {
            Relation::Pinned
        } else {
            Relation::OtherBranch
        }
    }
}

/// How a source relates to the branch we push to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relation {
    /// It follows our branch.
    Tracks,
    /// Our repository, but fixed to a commit, tag or version range.
    Pinned,
    /// Our repository, another branch.
    OtherBranch,
    /// Another repository, or no git repository.
    OtherRepository,
}

/// `v1.2.3`, `1.*`, `>=1.0 <2`, `^1`, `~1.2`: tags and ranges over tags, which a push to a branch never moves.
fn looks_like_version(revision: &str) -> bool {
    let rest = revision.trim_start_matches(['v', '=', '<', '>', '^', '~', '!', ' ']);
    let constrained = rest.len() < revision.trim_start_matches('v').len();
    let digits = rest.starts_with(|first: char| first.is_ascii_digit());
    digits
        && (constrained
            || rest
                .bytes()
                .all(|byte| matches!(byte, b'0'..=b'9' | b'.' | b'*' | b'x' | b'-' | b'+')))
        || revision == "*"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_one_repository_has_the_same_key() {
        for spelling in [
            "https://git.example.com/Org/Repo",
            "https://git.example.com/org/repo.git",
            "https://git.example.com/org/repo.git/",
            "https://user:secret@git.example.com:8443/org/repo",
            "ssh://git@git.example.com/org/repo.git",
            "ssh://git@ssh.git.example.com:443/org/repo.git",
            "ssh://git@altssh.git.example.com:443/org/repo",
            "git@git.example.com:org/repo.git",
            "git@git.example.com:/org/repo",
            "git.example.com/org/repo",
            "https://git.example.com/org/%72epo",
        ] {
            let key = RepoKey::of(spelling).unwrap_or_else(|| panic!("{spelling} has no key"));
            assert_eq!(key.0, "git.example.com/org/repo", "{spelling}");
        }
    }

    #[test]
    fn other_addresses_stay_apart() {
        assert_eq!(RepoKey::of("oci://git.example.com/org/repo"), None);
        assert_eq!(RepoKey::of(""), None);
        assert_eq!(RepoKey::of("https://git.example.com/"), None);
        assert_ne!(
            RepoKey::of("https://git.example.com/org/repo2"),
            RepoKey::of("https://git.example.com/org/repo")
        );
        assert_ne!(
            RepoKey::of("https://other.example.com/org/repo"),
            RepoKey::of("https://git.example.com/org/repo")
        );
        assert_eq!(RepoKey::of("/srv/git/home.git"), RepoKey::of("file:///srv/git/home"));
    }

    #[test]
    fn revisions_track_pin_or_miss() {
        use Relation::*;
        let sha = "a".repeat(40);
        for (revision, default, expected) in [
            ("", true, Tracks),
            ("HEAD", true, Tracks),
            ("HEAD", false, OtherBranch),
            ("main", false, Tracks),
            ("refs/heads/main", false, Tracks),
            ("refs/tags/main", true, Pinned),
            (sha.as_str(), true, Pinned),
            ("v1.2.3", true, Pinned),
            ("1.*", true, Pinned),
            (">=1.0 <2", true, Pinned),
            ("^1.4", true, Pinned),
            ("develop", true, OtherBranch),
            ("2024-fixes", true, OtherBranch),
        ] {
            let target = Target::new(["https://h.example/r"], "main", default);
            let source = Source {
                repo_url: "git@h.example:r.git".into(),
                target_revision: Some(revision.into()),
                ..Source::default()
            };
            assert_eq!(target.relation(&source), expected, "{revision} default={default}");
        }
    }

    #[test]
    fn a_chart_of_a_helm_repository_is_not_git() {
        let target = Target::new(["https://h.example/r"], "main", true);
        let source = Source {
            repo_url: "https://h.example/r".into(),
            chart: Some("c".into()),
            ..Source::default()
        };
        assert_eq!(target.relation(&source), Relation::OtherRepository);
    }
}
