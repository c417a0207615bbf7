//! `countersign explain PATH…`: what the policy decides for one change of these paths, and for each path alone.

use std::path::{Path, PathBuf};

use clap::Args;
use domain::{CommitId, Facts, Policy, RepoPath, RepositoryName, Requirement, Route, RunbookName, Tier, Timestamp, Trust};
use engine::Book;

use super::policy;
use crate::cli::Failure;
use crate::out::{complain, say};
use crate::settings::{RepositorySettings, Settings};
use crate::shipped::Shipped;

/// Arguments of `explain`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Paths of one change, relative to the repository's root
    #[arg(required = true)]
    paths: Vec<RepoPath>,
    /// The configuration file; the shipped example when left out
    #[arg(long, value_name = "FILE", conflicts_with = "policy")]
    config: Option<PathBuf>,
    /// A policy file by itself, without configuration and runbooks
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// A file as the policy that the repository carries itself, in place of the one in force
    #[arg(long, value_name = "FILE", conflicts_with = "policy")]
    repository_policy: Option<PathBuf>,
    /// The repository; the first one of the configuration when left out
    #[arg(long, value_name = "NAME")]
    repository: Option<RepositoryName>,
    /// As if this runbook had rendered the change
    #[arg(long, value_name = "NAME")]
    runbook: Option<RunbookName>,
    /// As if the change deletes files
    #[arg(long)]
    delete: bool,
    /// As if it were then: what freezes and grants say at another time, such as 2026-12-24T18:00:00Z
    #[arg(long, value_name = "TIME", value_parser = time)]
    at: Option<Timestamp>,
}

/// What is explained with.
struct Ground {
    book: Book,
    policy: String,
    repository: Option<RepositoryName>,
    known: Vec<RepositoryName>,
    /// Whether a repository may have runbooks of its own.
    carry_runbooks: bool,
    /// Repositories without an Argo CD, where runs ask people.
    unwatched: Vec<RepositoryName>,
}

pub(crate) async fn run(arguments: &Arguments) -> Result<(), Failure> {
    let ground = ground(arguments).await?;
    let repository = match (&arguments.repository, &ground.repository) {
        (Some(name), _) if !ground.known.is_empty() && !ground.known.contains(name) => {
            return Err(Failure::Usage(
                format!("there is no repository {name}"),
                super::repositories(&ground.known),
            ));
        }
        (Some(name), _) | (None, Some(name)) => name.clone(),
        (None, None) => {
            return Err(Failure::Usage(
                "no repository is configured".to_owned(),
                "name one with --repository".to_owned(),
            ));
        }
    };
    let runbook = runbook(arguments, &ground)?;
    let now = arguments.at.unwrap_or_else(chrono::Utc::now);
    let facts = |paths: &[RepoPath]| Facts {
        paths: paths.to_vec(),
        trust: runbook.as_ref().map(|name| trust(&ground, &repository, (name, paths), now)),
        runbook: runbook.clone(),
        deletes: arguments.delete,
        ..Facts::default()
    };
    let policy = ground.book.policy.for_repository(&repository);
    let whole = policy.route(&repository, &facts(&arguments.paths));
    say!("repository: {repository}");
    tell(policy, &whole, &ground.policy, now);
    if whole.tier != Tier::Manual {
        freezes(policy, &repository, &arguments.paths, now);
    }
    if arguments.delete && whole.tier == Tier::Prompted {
        say!("second step: yes, a file is deleted");
    }
    for path in &arguments.paths {
        let route = policy.route(&repository, &facts(std::slice::from_ref(path)));
        say!("path: {path} -> {} ({})", route.tier, route.why);
    }
    say!("policy: {}", policy.hash());
    Ok(())
}

/// What the policy alone says of a runbook: whether it grants what is in force now. The record may say less, and only the service knows it.
fn trust(ground: &Ground, repository: &RepositoryName, (name, paths): (&RunbookName, &[RepoPath]), now: Timestamp) -> Trust {
    let book = &ground.book;
    let environment = book.policy.environment(repository, paths);
    let hash = book.runbooks.get(name).map(|runbook| runbook.content_hash());
    let of_it = |grant: &&domain::Grant| grant.key.runbook == *name && grant.key.environment == environment;
    let of_this = |grant: &domain::Grant| hash.is_none_or(|hash| grant.key.hash == hash);
    let prompted = |why: String| Trust {
        tier: Tier::Prompted,
        why,
        held: None,
    };
    let Some(grant) = book.policy.grants().iter().find(of_it) else {
        return prompted(format!("prompted: no grant of it in {environment}"));
    };
    let until = grant.until.format("%Y-%m-%d");
    if ground.unwatched.contains(repository) {
        prompted(format!(
            "prompted: repository {repository} has no Argo CD that tells how a run ends"
        ))
    } else if !of_this(grant) {
        prompted("prompted: it was edited since the policy trusted it".to_owned())
    } else if grant.until <= now {
        prompted(format!("prompted: its grant ended on {until}"))
    } else {
        Trust::standard(format!("standard until {until}, as long as its record allows it"))
    }
}

fn time(text: &str) -> Result<Timestamp, String> {
    let wrong = |_| "not a time: write it with its offset, such as 2026-12-24T18:00:00Z or 2026-12-24T18:00:00+01:00".to_owned();
    text.parse().map_err(wrong)
}

fn tell(policy: &Policy, route: &Route, file: &str, now: Timestamp) {
    say!("tier: {}", route.tier);
    match route
        .rule
        .as_deref()
        .and_then(|name| policy.rules().iter().find(|rule| rule.name == name))
    {
        Some(rule) => say!("rule: {} ({file}:{})", rule.name, rule.line),
        None => say!("rule: none"),
    }
    say!("why: {}", route.why);
    match route.tier {
        Tier::Manual => say!("approvers: none, a human commits"),
        Tier::Standard => say!("approvers: none, people are told afterwards"),
        Tier::Prompted => route.requirements.iter().for_each(|needed| approvers(policy, needed, now)),
    }
    say!("waits: {}", domain::span(route.ttl_seconds.into()));
}

/// What keeps such a change from being sent now, and what will: the author of a window sees when it comes without waiting for it.
fn freezes(policy: &Policy, repository: &RepositoryName, paths: &[RepoPath], now: Timestamp) {
    for freeze in policy.freezes(repository, paths, now) {
        say!("frozen: {}", freeze.why());
    }
    for ahead in policy.freezes_ahead(repository, paths, now) {
        let what = if ahead.allows { "next allow window" } else { "next freeze" };
        say!("{what}: {:?} {}", ahead.name, ahead.when());
    }
}

fn approvers(policy: &Policy, needed: &Requirement, now: Timestamp) {
    let owners = if needed.asked().any(|asked| asked.allow_owner) {
        ""
    } else {
        "; not for an agent that they own"
    };
    let groups = needed.groups();
    let who: Vec<String> = match groups.len() {
        1 => groups.iter().map(|group| policy.members(group).join(", ")).collect(),
        _ => groups
            .iter()
            .map(|group| format!("{group}: {}", policy.members(group).join(", ")))
            .collect(),
    };
    say!("approvers: {needed} ({}){owners}", who.join("; "));
    for person in policy.people() {
        for (group, absent, until) in policy.stands_in(person.id, now) {
            if groups.contains(&group) {
                let last = until.format("%Y-%m-%d %H:%M UTC");
                say!("delegation: {} may take the place of {absent} in {group} until {last}", person.name);
            }
        }
    }
    if let Some(escalation) = &needed.escalation {
        say!(
            "after {}: {} may help",
            domain::span(escalation.after_seconds.into()),
            escalation.to
        );
    }
}

async fn ground(arguments: &Arguments) -> Result<Ground, Failure> {
    let wrong = |problems: Vec<engine::FileProblem>, shown: &dyn Fn(&str) -> String| {
        Failure::Files(problems.iter().map(|problem| shown(&problem.to_string())).collect())
    };
    if let Some(policy) = &arguments.policy {
        let text = policy::text_of(policy)?;
        let parsed = Policy::parse(&text).map_err(|problems| {
            let text = problems
                .iter()
                .map(|p| format!("{}:{}: {}\n  remedy: {}", policy.display(), p.line, p.message, p.remedy));
            Failure::Files(text.collect())
        })?;
        let any = arguments.repository.clone().or_else(|| "any".parse().ok());
        return Ok(Ground {
            book: Book::new(parsed, Vec::new()),
            policy: policy.display().to_string(),
            repository: any,
            known: Vec::new(),
            carry_runbooks: false,
            unwatched: Vec::new(),
        });
    }
    let shipped = match arguments.config {
        Some(_) => None,
        None => Some(Shipped::unpack().map_err(|error| {
            Failure::Failed(
                format!("the shipped files cannot be unpacked: {error}"),
                "check the temporary folder".to_owned(),
            )
        })?),
    };
    let settings = match (&arguments.config, &shipped) {
        (Some(config), _) => Settings::load(Some(config)),
        (None, Some(shipped)) => shipped.settings(),
        (None, None) => Settings::load(None::<&Path>),
    };
    let settings = settings.map_err(Failure::Settings)?;
    let shown = |text: &str| shipped.as_ref().map_or_else(|| text.to_owned(), |shipped| shipped.shown(text));
    let book = settings.book().map_err(|problems| wrong(problems, &shown))?;
    let known: Vec<_> = settings.repositories.iter().map(|repository| repository.name.clone()).collect();
    let own = shown(&settings.policy.file.display().to_string());
    let (book, file) = match policy::chosen(&settings, arguments.repository.as_ref()) {
        Ok(repository) => theirs(arguments, &settings, book, repository, shipped.is_some()).await?,
        // Told later, with the names that there are.
        Err(_) => (book, None),
    };
    Ok(Ground {
        book,
        policy: file.unwrap_or(own),
        repository: known.first().cloned(),
        known,
        carry_runbooks: settings.repositories.iter().any(|repository| repository.runbooks.is_some()),
        unwatched: settings
            .repositories
            .iter()
            .filter(|repository| repository.argocd.is_none())
            .map(|repository| repository.name.clone())
            .collect(),
    })
}

/// The book with the repository's own policy: the file that was named, or what the service knows as valid. And where its rules stand, if there.
async fn theirs(
    arguments: &Arguments,
    settings: &Settings,
    book: Book,
    repository: &RepositorySettings,
    shipped: bool,
) -> Result<(Book, Option<String>), Failure> {
    let name = &repository.name;
    if let Some(file) = &arguments.repository_policy {
        let shown = file.display().to_string();
        let text = policy::text_of(file)?;
        book.with_text(name, &shown, &text)?;
        let path = repository.policy.clone().or_else(|| ".countersign/policy.toml".parse().ok());
        let book = match path {
            Some(path) => book.with_repository_policy(name, path, Some((text, CommitId::from_bytes([0; 20])))),
            None => book,
        };
        return Ok((book, Some(shown)));
    }
    let Some(path) = repository.policy.as_ref().filter(|_| !shipped) else {
        return Ok((book, None));
    };
    let stored = if settings.database.exists() {
        let store = super::open(&settings.database).await?;
        let stored = store.read().repository_policy(name).await;
        store.close().await;
        stored?
    } else {
        None
    };
    let stored = stored.unwrap_or_default();
    if stored.told.is_some() {
        complain!("note: {path} on the branch of repository {name} is not valid; the service lets nothing be standard until it is mended");
    }
    let file = match &stored.valid {
        Some((text, commit)) => {
            let shown = format!("{path} at {}", commit.short());
            // The service's own file may have lost a group that it asks: then nothing routes but a human.
            book.with_text(name, &shown, text)?;
            Some(shown)
        }
        None => {
            complain!("note: no {path} of repository {name} was in force yet; these are the service's own rules");
            None
        }
    };
    Ok((policy::in_force(book, repository, stored.valid), file))
}

/// A runbook counts only where its rendering stays inside its allowed paths.
fn runbook(arguments: &Arguments, ground: &Ground) -> Result<Option<RunbookName>, Failure> {
    let Some(name) = &arguments.runbook else { return Ok(None) };
    if arguments.policy.is_some() {
        return Ok(Some(name.clone()));
    }
    if !ground.book.runbooks.contains_key(name) && ground.carry_runbooks {
        complain!("note: {name} is none of the service's own runbooks; if the repository carries it, its allowed paths apply besides");
        return Ok(Some(name.clone()));
    }
    let Some(runbook) = ground.book.runbooks.get(name) else {
        return Err(Failure::Usage(format!("there is no runbook {name}"), super::runbooks(&ground.book)));
    };
    let outside = arguments
        .paths
        .iter()
        .find(|path| !runbook.allowed_paths().iter().any(|glob| glob.matches(path)));
    match outside {
        None => Ok(Some(name.clone())),
        Some(path) => {
            let allowed: Vec<_> = runbook.allowed_paths().iter().map(domain::PathGlob::as_str).collect();
            Err(Failure::Usage(
                format!("runbook {name} may not touch {path}"),
                format!("it may touch {}; leave --runbook out for a free-form change", allowed.join(", ")),
            ))
        }
    }
}
