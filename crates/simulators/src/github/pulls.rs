//! The pull requests of one repository: what GitHub remembers, kept in step with what git says.

use std::{collections::BTreeMap, path::PathBuf, time::SystemTime};

use chrono::{DateTime, SecondsFormat, Utc};

use crate::git::BareRepo;

/// One hosted repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostedRepo {
    /// Login of the owner.
    pub owner: String,
    /// Name, without the owner.
    pub name: String,
    /// Folder of the bare repository.
    pub path: PathBuf,
    /// The branch that pull requests usually go to.
    pub default_branch: String,
}

impl HostedRepo {
    /// A repository whose default branch is `main`.
    pub fn new(owner: &str, name: &str, repo: &BareRepo) -> HostedRepo {
        HostedRepo {
            owner: owner.to_owned(),
            name: name.to_owned(),
            path: repo.path.clone(),
            default_branch: "main".to_owned(),
        }
    }

    pub(crate) fn full_name(&self) -> String {
        format!("{}/{}", self.owner, self.name)
    }

    pub(crate) fn branch(&self, branch: &str) -> BareRepo {
        BareRepo {
            path: self.path.clone(),
            url: self.path.display().to_string(),
            branch: branch.to_owned(),
        }
    }
}

/// A comment below a pull request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Comment {
    pub id: u64,
    pub author: String,
    pub body: String,
    pub created: String,
}

/// How a pull request ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Merge {
    pub commit: String,
    pub by: String,
    pub at: String,
}

/// One pull request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pull {
    pub number: u64,
    pub title: String,
    pub body: String,
    pub head: String,
    pub base: String,
    pub author: String,
    /// Commit of the head as last seen; it outlives the branch.
    pub head_sha: String,
    pub created: String,
    pub updated: String,
    pub closed: Option<String>,
    pub merge: Option<Merge>,
    pub comments: Vec<Comment>,
}

impl Pull {
    pub(crate) fn is_open(&self) -> bool {
        self.closed.is_none()
    }
}

/// A repository with its pull requests.
#[derive(Debug)]
pub(crate) struct Shelf {
    pub repo: HostedRepo,
    pub pulls: BTreeMap<u64, Pull>,
}

impl Shelf {
    pub(crate) fn new(repo: HostedRepo) -> Shelf {
        Shelf {
            repo,
            pulls: BTreeMap::new(),
        }
    }

    pub(crate) fn open(&mut self, title: String, body: String, head: String, base: String, author: String, head_sha: String) -> Pull {
        let number = self.pulls.keys().next_back().map_or(1, |last| last + 1);
        let now = now();
        let pull = Pull {
            number,
            title,
            body,
            head,
            base,
            author,
            head_sha,
            created: now.clone(),
            updated: now,
            closed: None,
            merge: None,
            comments: Vec::new(),
        };
        self.pulls.insert(number, pull.clone());
        pull
    }

    /// Brings the open pull requests up to date with the branches: a pushed head moves, a head that reached its base is
    /// merged, a deleted head closes.
    pub(crate) fn follow_git(&mut self) {
        for pull in self.pulls.values_mut().filter(|pull| pull.is_open()) {
            let base = self.repo.branch(&pull.base);
            match self.repo.branch(&pull.head).tip() {
                Some(tip) if tip != pull.head_sha => {
                    pull.head_sha = tip;
                    pull.updated = now();
                }
                Some(_) => {}
                None => {
                    pull.closed = Some(now());
                    pull.updated = now();
                }
            }
            let Some(base_tip) = base.tip() else { continue };
            if base.contains(&base_tip, &pull.head_sha) {
                // Pushed to the base by hand: whoever committed there counts as the one who merged.
                let by = base.log(1).first().map(|commit| commit.committer.clone()).unwrap_or_default();
                let by = by.split(" <").next().unwrap_or_default().to_owned();
                pull.merge = Some(Merge {
                    commit: base_tip,
                    by,
                    at: now(),
                });
                pull.closed = Some(now());
                pull.updated = now();
            }
        }
    }
}

/// The present, in whole seconds.
pub(crate) fn now() -> String {
    DateTime::<Utc>::from(SystemTime::now()).to_rfc3339_opts(SecondsFormat::Secs, true)
}
