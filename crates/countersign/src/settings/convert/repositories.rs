//! `[[repositories]]`: how git reaches each, and what belongs to it.

use std::path::PathBuf;

use domain::RepositoryName;

use super::super::raw::{RawCredentials, RawFolder, RawGithub, RawRepository};
use super::super::{ArgocdSettings, GithubSettings, RepositorySettings};
use super::Checker;

/// Where a repository's own runbooks stand when its configuration only says that they are read.
const RUNBOOKS: &str = ".countersign/runbooks";

/// What all repositories share.
pub(super) struct Git {
    pub author: gitworker::Identity,
    pub cache: PathBuf,
    pub signing_key: Option<PathBuf>,
}

impl Checker<'_> {
    pub(super) fn repositories(
        &mut self,
        raw: Vec<RawRepository>,
        git: &Git,
        argocd: &[ArgocdSettings],
        telegram: bool,
    ) -> Vec<RepositorySettings> {
        let sound = self.problems.is_empty();
        let mut repositories: Vec<RepositorySettings> = Vec::new();
        for (index, raw) in raw.into_iter().enumerate() {
            let at = format!("repositories[{index}]");
            if let Some(name) = raw
                .argocd
                .as_ref()
                .filter(|name| sound && !argocd.iter().any(|instance| instance.name == **name))
            {
                let known: Vec<_> = argocd.iter().map(|instance| instance.name.as_str()).collect();
                let remedy = match known.as_slice() {
                    [] => "add [[argocd]] with that name, or take the key out".to_owned(),
                    known => format!("use one of {}, or add [[argocd]] with that name", known.join(", ")),
                };
                self.problem(
                    &format!("{at}.argocd"),
                    format!("there is no Argo CD instance named {name:?}"),
                    remedy,
                );
            }
            if telegram && raw.approvals.is_empty() {
                self.problem(
                    &format!("{at}.approvals"),
                    "no chat is named, so that nobody could be asked",
                    "add approvals = [{ chat = … }]; /whoami tells a chat's id",
                );
            }
            if sound && !telegram && !(raw.approvals.is_empty() && raw.notifications.is_empty()) {
                self.problem(
                    &format!("{at}.approvals"),
                    "chats are named, but Telegram is not configured",
                    "add token_file under [telegram]",
                );
            }
            let Some(repository) = self.repository(&at, raw, git) else {
                continue;
            };
            self.overlaps(&at, &repository, &repositories);
            repositories.push(repository);
        }
        repositories
    }

    fn overlaps(&mut self, at: &str, repository: &RepositorySettings, others: &[RepositorySettings]) {
        for other in others {
            if other.name == repository.name {
                self.problem(
                    &format!("{at}.name"),
                    format!("{} is the name of another repository", other.name),
                    "give each one a name of its own",
                );
            } else if other.git.url == repository.git.url && other.git.branch == repository.git.branch {
                let message = format!("{} has the same url and branch: two owners of one branch", other.name);
                self.problem(&format!("{at}.url"), message, "configure each branch once");
            }
            let (one, two) = (&repository.git.mirror, &other.git.mirror);
            if one.starts_with(two) || two.starts_with(one) {
                let message = format!("{} overlaps the mirror of {}, {}", one.display(), other.name, two.display());
                self.problem(&format!("{at}.mirror"), message, "give each repository a mirror folder of its own");
            }
        }
    }

    fn repository(&mut self, at: &str, raw: RawRepository, git: &Git) -> Option<RepositorySettings> {
        let key = |name: &str| format!("{at}.{name}");
        let name = raw
            .name
            .parse::<RepositoryName>()
            .map_err(|error| self.problem(&key("name"), error.to_string(), "rename it"))
            .ok();
        let url = raw.url.parse::<gitworker::RemoteUrl>();
        if let Err(error) = &url {
            let error = error.to_string();
            let remedy = if error.contains("credentials") {
                "put user names, passwords and tokens under credentials"
            } else {
                "write the address that `git clone` takes, in one of these forms"
            };
            self.problem(&key("url"), error, remedy);
        }
        let branch_odd = raw.branch.is_empty()
            || raw.branch.starts_with("refs/")
            || raw.branch.contains([' ', '~', '^', ':', '?', '*', '[', '\\'])
            || raw.branch.contains("..");
        if branch_odd {
            self.problem(
                &key("branch"),
                format!("{:?} is not a branch", raw.branch),
                "write its short name, such as \"main\"",
            );
        }
        let ssh = url.as_ref().is_ok_and(|url| url.to_string().starts_with("ssh://"));
        let credentials = self.credentials(&key("credentials"), raw.credentials.unwrap_or_default(), ssh);
        let approvals = self.destinations(&key("approvals"), &raw.approvals);
        let notifications = self.destinations(&key("notifications"), &raw.notifications);
        if let Some(text) = &raw.commit_url
            && !(text.contains("{commit}") && (text.starts_with("https://") || text.starts_with("http://")))
        {
            self.problem(
                &key("commit_url"),
                "it is not an address with {commit} in it",
                "write for example https://git.example.com/team/homelab/commit/{commit}",
            );
        }
        let policy = self.place(&key("policy"), raw.policy.as_deref(), ".countersign/policy.toml");
        let runbooks = match &raw.runbooks {
            None | Some(RawFolder::Usual(false)) => None,
            Some(RawFolder::Usual(true)) => Some(RUNBOOKS),
            Some(RawFolder::Named(folder)) => Some(folder.trim_end_matches('/')),
        };
        let runbooks = self.place(&key("runbooks"), runbooks, RUNBOOKS);
        let github = raw.github.map(|github| self.github(&key("github"), github));
        let extra_ca = raw.extra_ca_file.map(|path| self.file(&key("extra_ca_file"), &path));
        let mut guarded_paths = Vec::new();
        for glob in &raw.guarded_paths {
            match domain::PathGlob::new(glob) {
                Ok(glob) => guarded_paths.push(glob),
                Err(message) => self.problem(&key("guarded_paths"), message, "correct the pattern, such as \"kubernetes/**\""),
            }
        }
        let name = name?;
        let mirror = raw
            .mirror
            .map_or_else(|| git.cache.join(format!("{name}.git")), |path| self.path(&path));
        Some(RepositorySettings {
            git: gitworker::RepositoryOptions {
                name: name.clone(),
                url: url.ok()?,
                branch: raw.branch,
                mirror,
                credentials: credentials?,
                author: git.author.clone(),
                signing_key: git.signing_key.clone(),
                deadlines: gitworker::Deadlines::default(),
                push_with_git_cli: raw.push_with_git_cli,
                extra_ca,
            },
            name,
            default_branch: raw.default_branch,
            approvals,
            notifications,
            argocd: raw.argocd,
            url_aliases: raw.url_aliases,
            commit_url: raw.commit_url,
            policy,
            runbooks,
            github: match github {
                None => None,
                Some(github) => Some(github?),
            },
            machine_identities: raw.machine_identities,
            guarded_paths,
            alarm_unexplained: raw.alarm_unexplained,
        })
    }

    /// A path in the repository that means itself as a pattern, too: it is reserved.
    fn place(&mut self, key: &str, text: Option<&str>, example: &str) -> Option<domain::RepoPath> {
        let text = text?;
        let remedy = format!("write a plain path relative to the repository's root, such as {example:?}");
        if text.contains(['*', '?', '[', ']', '{', '}', '!']) {
            self.problem(key, format!("{text:?} holds characters of a path pattern"), remedy);
            return None;
        }
        text.parse()
            .map_err(|error: domain::PathRefusal| self.problem(key, error.to_string(), remedy))
            .ok()
    }

    fn credentials(&mut self, at: &str, raw: RawCredentials, ssh: bool) -> Option<gitworker::Credentials> {
        let key = |name: &str| format!("{at}.{name}");
        let basic = raw.username.is_some() || raw.password.is_some() || raw.password_file.is_some();
        let bearer = raw.token.is_some() || raw.token_file.is_some();
        let by_key = raw.ssh_key_file.is_some() || raw.known_hosts_file.is_some();
        match (basic, bearer, by_key) {
            (false, false, false) if ssh => {
                self.problem(
                    &key("ssh_key_file"),
                    "it is missing: the url is an ssh one",
                    "add ssh_key_file and known_hosts_file",
                );
                None
            }
            (false, false, false) => Some(gitworker::Credentials::None),
            (false, false, true) if !ssh => {
                self.problem(
                    &key("ssh_key_file"),
                    "it is given, but the url is not an ssh one",
                    "write an ssh url, or use username and password_file",
                );
                None
            }
            (true, false, false) | (false, true, false) if ssh => {
                self.problem(
                    at,
                    "a password or token is given, but the url is an ssh one",
                    "use ssh_key_file and known_hosts_file",
                );
                None
            }
            (true, false, false) => {
                if raw.username.as_deref().is_none_or(|name| name.is_empty() || name.contains(':')) {
                    self.problem(
                        &key("username"),
                        "it is missing, empty or holds a colon",
                        "add it; for a GitHub token it is \"x-access-token\"",
                    );
                }
                let password = self.needed(&key("password"), raw.password, raw.password_file)?;
                Some(gitworker::Credentials::Basic {
                    username: raw.username?,
                    password: password.for_git(),
                })
            }
            (false, true, false) => {
                let token = self.secret(&key("token"), raw.token, raw.token_file)?;
                Some(gitworker::Credentials::Bearer(token.for_git()))
            }
            (false, false, true) => {
                let (Some(key_file), Some(known_hosts)) = (raw.ssh_key_file, raw.known_hosts_file) else {
                    self.problem(
                        at,
                        "ssh_key_file and known_hosts_file belong together",
                        "add the missing one; `ssh-keyscan HOST` shows the keys to check and pin",
                    );
                    return None;
                };
                let key_file = self.file(&key("ssh_key_file"), &key_file);
                Some(gitworker::Credentials::Ssh {
                    key_file,
                    known_hosts_file: self.file(&key("known_hosts_file"), &known_hosts),
                })
            }
            _ => {
                self.problem(
                    at,
                    "more than one kind of credentials is given",
                    "keep username and password, or token, or ssh_key_file and known_hosts_file",
                );
                None
            }
        }
    }

    fn github(&mut self, at: &str, raw: RawGithub) -> Option<GithubSettings> {
        let key = |name: &str| format!("{at}.{name}");
        for (name, text) in [("owner", &raw.owner), ("repo", &raw.repo)] {
            if text.is_empty() || text.contains('/') {
                self.problem(
                    &key(name),
                    format!("{text:?} is no GitHub name"),
                    "give owner and repository apart, without a URL",
                );
            }
        }
        let url = self.url(&key("api_url"), &raw.api_url);
        let token = self.needed(&key("token"), raw.token, raw.token_file)?;
        url?;
        Some(GithubSettings {
            api_url: raw.api_url,
            owner: raw.owner,
            repo: raw.repo,
            token,
        })
    }
}
