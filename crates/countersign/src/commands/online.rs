//! `check --online`: token, chats and topics, push right, Argo CD rights, GitHub's token. One line each. Nothing is posted, pushed or synced.

use gitworker::GitError;

use crate::cli::Failure;
use crate::out::{complain, say};
use crate::service::{argocd_client, github_client, telegram_client};
use crate::settings::{ArgocdSettings, RepositorySettings, Settings, TelegramSettings};

/// Lines told so far.
#[derive(Default)]
struct Told {
    problems: usize,
}

impl Told {
    fn ok(&self, what: &str, found: &str) {
        say!("ok {what}: {found}");
    }

    fn problem(&mut self, what: &str, why: &str, remedy: &str) {
        self.problems += 1;
        complain!("problem: {what}: {why}\n  remedy: {remedy}");
    }
}

pub(super) async fn run(settings: &Settings) -> Result<(), Failure> {
    let mut told = Told::default();
    if let Some(telegram) = &settings.telegram {
        told.telegram(telegram, &settings.repositories).await;
    }
    for repository in &settings.repositories {
        told.git(repository).await;
        told.github(repository).await;
    }
    for instance in &settings.argocd {
        told.argocd(instance).await;
    }
    if told.problems == 0 { Ok(()) } else { Err(Failure::Found) }
}

impl Told {
    async fn telegram(&mut self, settings: &TelegramSettings, repositories: &[RepositorySettings]) {
        let remedy = "correct the token or the address; @BotFather shows the token";
        let client = match telegram_client(settings) {
            Ok(client) => client,
            Err(error) => return self.problem("telegram token", &format!("{error:#}"), remedy),
        };
        match client.get_me().await {
            Ok(bot) => self.ok("telegram token", &format!("@{} ({})", bot.username, bot.id)),
            // Asked about nothing but the bot itself: no chat is concerned.
            Err(telegram::SendError::ChatDead { reason }) => {
                let why = format!("Telegram, or what stands before it, refuses the bot itself ({reason})");
                return self.problem(
                    "telegram token",
                    &why,
                    "make a new token with @BotFather, or correct `telegram.api_url`",
                );
            }
            Err(error) => return self.problem("telegram token", &error.to_string(), remedy),
        }
        self.webhook(settings, &client).await;
        let mut seen = Vec::new();
        for repository in repositories {
            for place in repository.approvals.iter().chain(&repository.notifications) {
                if seen.contains(place) {
                    continue;
                }
                seen.push(*place);
                let topic = place.thread.map(|thread| format!(" topic {thread}")).unwrap_or_default();
                let what = format!("telegram chat {}{topic}", place.chat);
                match telegram::probe(&client, place.chat, place.thread).await {
                    Ok(probe) if probe.problems.is_empty() => self.ok(&what, &format!("{} ({})", probe.title, probe.kind)),
                    Ok(probe) => probe.problems.iter().for_each(|why| self.problem(&what, why, "see the message")),
                    Err(error) => self.problem(&what, &error.to_string(), "correct the id; /whoami in the chat tells it"),
                }
            }
        }
    }

    async fn webhook(&mut self, settings: &TelegramSettings, client: &telegram::Client) {
        let ours = settings.webhook.as_ref().map(|webhook| webhook.url.as_str());
        match client.webhook_url().await {
            Ok(url) if url.is_empty() || Some(url.as_str()) == ours => {
                self.ok("telegram updates", if ours.is_some() { "webhook" } else { "long polling" })
            }
            Ok(_) => self.problem(
                "telegram updates",
                "another address takes this bot's updates",
                "stop the other program that uses this token; `serve` then sets its own mode",
            ),
            Err(error) => self.problem("telegram updates", &error.to_string(), "try again"),
        }
    }

    async fn git(&mut self, repository: &RepositorySettings) {
        let what = format!("git {}", repository.name);
        match can_push(repository).await {
            Ok(tip) => self.ok(&what, &format!("may push to {} (now at {tip})", repository.git.branch)),
            Err((error, remedy)) => self.problem(&what, &error, remedy),
        }
    }

    async fn github(&mut self, repository: &RepositorySettings) {
        let Some(settings) = &repository.github else { return };
        let what = format!("github {}", repository.name);
        let remedy = "make a fine-grained token with pull_requests=write and contents=read on this repository";
        let client = match github_client(settings) {
            Ok(client) => client,
            Err(error) => return self.problem(&what, &format!("{error:#}"), remedy),
        };
        match client.whoami().await {
            Ok(login) => self.ok(&what, &format!("{}/{} as {login}", settings.owner, settings.repo)),
            Err(error) => self.problem(&what, &error.to_string(), remedy),
        }
    }

    async fn argocd(&mut self, instance: &ArgocdSettings) {
        let what = format!("argocd {}", instance.name);
        let client = match argocd_client(instance) {
            Ok(client) => client,
            Err(error) => return self.problem(&what, &format!("{error:#}"), "correct url, token and ca_file"),
        };
        let user = match client.userinfo().await {
            Ok(user) => user,
            Err(error) => return self.problem(&what, &error.to_string(), argocd_remedy(&error)),
        };
        let version = client.version().await.unwrap_or_else(|_| "unknown version".to_owned());
        self.ok(&what, &format!("{version} as {user}"));
        let every = ["*".to_owned()];
        let projects = if instance.projects.is_empty() {
            &every[..]
        } else {
            &instance.projects
        };
        let actions: &[&str] = if instance.sync_on_request { &["get", "sync"] } else { &["get"] };
        for project in projects {
            for action in actions {
                let what = format!("{what} may {action} applications of {project}");
                match client.can_i(action, project, "*").await {
                    Ok(true) => self.ok(&what, "yes"),
                    Ok(false) => self.problem(&what, "no", &format!("give the role `applications, {action}, {project}/*, allow`")),
                    Err(error) => self.problem(&what, &error.to_string(), argocd_remedy(&error)),
                }
            }
        }
    }
}

/// What helps depends on how far the question came: to a host, to a server, to Argo CD, or to its doubts about the token.
fn argocd_remedy(error: &argocd::client::Error) -> &'static str {
    use argocd::client::Error;
    match error {
        Error::Unauthorized { .. } | Error::Forbidden { .. } => "make a token of the role in deploy/argocd/project-role.yaml",
        Error::NotFound { .. } | Error::Invalid { .. } => {
            "correct `url`: it must lead to Argo CD's own server, with its path prefix (server.rootpath) if it has one"
        }
        Error::Unavailable { reason, .. } => {
            let reason = reason.to_lowercase();
            let says = |words: &[&str]| words.iter().any(|word| reason.contains(word));
            if reason.starts_with("http ") {
                "Argo CD, or what stands before it, answers so: look at the log of argocd-server"
            } else if says(&["dns", "lookup", "resolve", "name or service"]) {
                "correct the host in `url`, or the name service that this machine asks"
            } else if says(&["certificate", "issuer", "tls", "ssl", "handshake", "corrupt message"]) {
                "name the authority of its certificate in `ca_file`, or correct scheme and port of `url`"
            } else if says(&["refused"]) {
                "start Argo CD, or correct host and port of `url`: nothing listens there"
            } else {
                "look whether Argo CD runs and can be reached from here: `url`, firewalls, network policies"
            }
        }
        Error::Busy | Error::WindowClosed { .. } | Error::AutoSyncMismatch { .. } => "try again",
    }
}

/// Asks the remote for its tip and for the right to push. The mirror of a running service is left alone: an empty one stands in.
async fn can_push(settings: &RepositorySettings) -> Result<domain::CommitId, (String, &'static str)> {
    let temporary = "check the temporary folder and the room in it";
    let folder = tempfile::tempdir().map_err(|error| (format!("no temporary folder: {error}"), temporary))?;
    let mirror = folder.path().join("mirror.git");
    let empty = git2::Repository::init_bare(&mirror).and_then(|repo| repo.remote("origin", &settings.git.url.to_string()).map(drop));
    empty.map_err(|error| (format!("no temporary mirror: {}", error.message()), temporary))?;
    let options = gitworker::RepositoryOptions {
        mirror,
        ..settings.git.clone()
    };
    let told = |error: GitError| (error.to_string(), remedy(&error));
    let repository = gitworker::Repository::open(options).await.map_err(told)?;
    let tip = repository.tip().await.map_err(told)?;
    let no_branch = || (format!("the remote has no branch {:?}", settings.git.branch), BRANCH);
    let tip = tip.ok_or_else(no_branch)?;
    repository.can_push().await.map_err(told)?;
    Ok(tip)
}

const BRANCH: &str = "create the branch, or correct `branch`";

const fn remedy(error: &GitError) -> &'static str {
    match error {
        GitError::HostKey { .. } => {
            "compare what ssh-keyscan shows with what the host's operator says, then write it into known_hosts_file"
        }
        GitError::BranchMissing { .. } => BRANCH,
        GitError::Unreachable { .. } | GitError::NotSent { .. } | GitError::Deadline { .. } => "check url, network and certificates",
        GitError::Program { .. } => "install it where the service runs, or correct the service's PATH",
        GitError::Denied { .. } => "check the credentials; the account needs the right to write contents",
        _ => "check url, branch and credentials; the account needs the right to write contents",
    }
}

#[cfg(test)]
mod tests {
    use argocd::client::Error;

    use super::argocd_remedy;

    #[test]
    fn what_helps_with_argocd_is_read_from_how_far_the_question_came() {
        let away = |reason: &str| Error::Unavailable {
            what: "the token's user".to_owned(),
            reason: reason.to_owned(),
            retryable: true,
        };
        for (error, remedy) in [
            (
                away("failed to lookup address information: Name or service not known"),
                "correct the host",
            ),
            (away("Connection refused (os error 111)"), "start Argo CD"),
            (away("invalid peer certificate: UnknownIssuer"), "name the authority"),
            (away("no answer in time"), "look whether Argo CD runs"),
            (away("HTTP 502 Bad Gateway: Bad Gateway"), "Argo CD, or what stands before it"),
            (
                Error::Invalid {
                    what: "the token's user".to_owned(),
                    reason: "the answer is not JSON".to_owned(),
                },
                "correct `url`",
            ),
            (
                Error::Unauthorized {
                    message: "expired".to_owned(),
                },
                "make a token",
            ),
        ] {
            assert!(argocd_remedy(&error).starts_with(remedy), "{error}: {}", argocd_remedy(&error));
        }
    }
}
