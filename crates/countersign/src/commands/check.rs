//! `countersign check`: configuration (key and layer), policy, runbooks and guard rails (file and line), each problem with its remedy; with `--online`
//! also what the outside world says. Lines of what is in order go to standard output, problems to standard error.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args;
use domain::{Grant, Policy, RepositoryName, counted};
use engine::Book;

use super::{online, policy, runbook};
use crate::cli::Failure;
use crate::out::{complain, say};
use crate::settings::{PolicySettings, RepositorySettings, Settings};
use crate::shipped::Shipped;

/// Arguments of `check`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The configuration file; the shipped example when left out
    #[arg(long, value_name = "FILE", env = "COUNTERSIGN_CONFIG")]
    config: Option<PathBuf>,
    /// Also ask Telegram, the git remotes, Argo CD and GitHub whether tokens and rights are what they must be; changes nothing
    #[arg(long)]
    online: bool,
    /// Also check a file as the policy that a repository carries itself
    #[arg(long, value_name = "FILE")]
    repository_policy: Option<PathBuf>,
    /// The repository of that file; the first one of the configuration when left out
    #[arg(long, value_name = "NAME", requires = "repository_policy")]
    repository: Option<RepositoryName>,
}

pub(crate) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let shipped = match arguments.config {
        Some(_) => None,
        None if arguments.online => {
            return Err(Failure::Usage(
                "--online needs a configuration".to_owned(),
                "name it with --config FILE".to_owned(),
            ));
        }
        None => Some(Shipped::unpack().map_err(|error| {
            Failure::Failed(
                format!("the shipped files cannot be unpacked: {error}"),
                "check the temporary folder".to_owned(),
            )
        })?),
    };
    let shown = |text: String| shipped.as_ref().map_or(text.clone(), |shipped| shipped.shown(&text));
    let mut problems: Vec<String> = Vec::new();
    let settings = match (&shipped, &arguments.config) {
        (Some(shipped), _) => shipped.settings(),
        (None, config) => Settings::load(config.as_deref()),
    };
    let settings = settings
        .map_err(|found| problems.extend(found.iter().map(|problem| shown(problem.to_string()))))
        .ok();
    if let Some(settings) = &settings {
        if shipped.is_none() {
            let unreadable = settings.check_files();
            problems.extend(unreadable.iter().map(ToString::to_string));
            problems.extend(shapes(settings, unreadable.is_empty()).await);
            if unreadable.is_empty() {
                problems.extend(
                    settings
                        .policy
                        .code_key
                        .iter()
                        .filter_map(|key| PolicySettings::code_key(key).err()),
                );
            }
        }
        match settings.book() {
            Ok(book) => {
                let theirs = arguments
                    .repository_policy
                    .as_ref()
                    .map(|file| repository_policy(settings, &book, file, arguments.repository.as_ref()));
                if book.policy.asks_codes() {
                    problems.extend(without_key(settings, "the policy"));
                }
                match theirs.transpose() {
                    Ok(theirs) if problems.is_empty() => {
                        told(settings, &book, &shown, shipped.is_some());
                        told_generators(settings, &book, &shown).await?;
                        theirs.iter().for_each(|said| say!("{said}"));
                    }
                    Ok(_) => {}
                    Err(Failure::Files(found)) => problems.extend(found),
                    Err(failure) => return Err(failure),
                }
            }
            Err(found) => problems.extend(found.iter().map(|problem| shown(problem.to_string()))),
        }
    }
    for problem in &problems {
        complain!("problem: {problem}");
    }
    match settings {
        Some(settings) if problems.is_empty() && arguments.online => online::run(&settings).await,
        _ if problems.is_empty() => Ok(()),
        _ => Err(Failure::Found),
    }
}

/// What a repository's CI asks: would this file be in force, with the runbooks that stand beside it in the checkout?
fn repository_policy(settings: &Settings, book: &Book, file: &Path, name: Option<&RepositoryName>) -> Result<String, Failure> {
    let chosen = policy::chosen(settings, name)?;
    let (repository, shown) = (&chosen.name, file.display().to_string());
    let text = policy::text_of(file)?;
    let mut book = book.clone();
    let looked = chosen.runbooks.is_none() || checkout_of(chosen, file).is_some();
    match (&chosen.runbooks, checkout_of(chosen, file)) {
        (Some(folder), Some(checkout)) => {
            let here = checkout.join(folder.as_str());
            let files = match here.is_dir() {
                true => runbook::carried(&here)?,
                false => BTreeMap::new(),
            };
            book = book.with_repository_runbooks(repository, folder.clone(), files);
        }
        (Some(folder), None) => say!(
            "note: {shown} does not stand where repository {repository} has its policy, so that its runbooks ({folder}) were not looked at"
        ),
        (None, _) => {}
    }
    let mut problems = book.runbook_problems(repository);
    let policy = match book.with_text(repository, &shown, &text) {
        Ok(policy) if problems.is_empty() => policy,
        Ok(_) => return Err(problems.into()),
        Err(found) => {
            problems.extend(found);
            return Err(problems.into());
        }
    };
    let policy = policy.for_repository(repository);
    for warning in policy.repository_warnings(chrono::Utc::now()) {
        warn(&shown, warning.line, &warning.message, &warning.remedy);
    }
    unwatched(settings, policy, &shown, Some(repository));
    // The service's own stand before them, and are told with its file.
    let theirs = policy.grants().iter().skip(book.policy.grants().len());
    told_grants(settings, &book, theirs, &shown, looked.then_some(repository));
    if policy.asks_codes()
        && let Some(problem) = without_key(settings, &shown)
    {
        return Err(Failure::Files(vec![problem]));
    }
    let rules = counted(policy.rules().len(), "rule", "rules");
    Ok(format!(
        "ok policy of repository {repository}, {shown}: {rules}, hash {}",
        policy.hash().short()
    ))
}

/// The checkout that a repository's policy file stands in: what is above its place there.
fn checkout_of(repository: &RepositorySettings, file: &Path) -> Option<PathBuf> {
    let place = Path::new(repository.policy.as_ref()?.as_str());
    let file = std::path::absolute(file).ok()?;
    file.ends_with(place)
        .then(|| file.ancestors().nth(place.components().count()).map(Path::to_owned))?
}

fn told(settings: &Settings, book: &Book, shown: &dyn Fn(String) -> String, shipped: bool) {
    let names: Vec<_> = settings.repositories.iter().map(|repository| repository.name.as_str()).collect();
    say!(
        "ok configuration: {}, {}",
        match names.as_slice() {
            [] => "no repository".to_owned(),
            _ => format!("{} ({})", counted(names.len(), "repository", "repositories"), names.join(", ")),
        },
        counted(settings.argocd.len(), "Argo CD instance", "Argo CD instances")
    );
    if names.is_empty() {
        say!(
            "warning: no repository is configured, so that nothing can be proposed\n  remedy: add [[repositories]]; config/example.toml shows one"
        );
    }
    told_digests(settings);
    let (rules, people) = (book.policy.rules().len(), book.policy.people().count());
    let policy_file = shown(settings.policy.file.display().to_string());
    say!(
        "ok policy {policy_file}: {}, {}, hash {}",
        counted(rules, "rule", "rules"),
        counted(people, "person", "people"),
        book.policy.hash().short()
    );
    for warning in book.policy.warnings(chrono::Utc::now()) {
        warn(&policy_file, warning.line, &warning.message, &warning.remedy);
    }
    unwatched(settings, &book.policy, &policy_file, None);
    unknown(settings, &book.policy, &policy_file);
    for (name, runbook) in book.runbooks.iter() {
        say!("ok runbook {name}: hash {}", runbook.content_hash().short());
    }
    told_grants(settings, book, book.policy.grants(), &policy_file, None);
    told_guards(book.guards());
    if shipped {
        say!("note: this is the shipped example, whose secret files were not read; name your own with --config FILE");
    }
}

/// Of each grant the one thing that matters most: that it is over, that no runbook is what it trusts, that no Argo CD tells how its runs end, or that it
/// was given without a record. What a repository carries itself is known when it was `looked` at.
fn told_grants<'a>(
    settings: &Settings,
    book: &Book,
    grants: impl IntoIterator<Item = &'a Grant>,
    file: &str,
    looked: Option<&RepositoryName>,
) {
    let now = chrono::Utc::now();
    for grant in grants {
        let (name, environment) = (&grant.key.runbook, &grant.key.environment);
        let repository = &environment.repository;
        let settled = settings.repositories.iter().find(|known| known.name == *repository);
        let unknown = settled.is_some_and(|known| known.runbooks.is_some()) && looked != Some(repository);
        let runbook = book.runbook(repository, name);
        let void = format!("the grant of runbook {name} in {environment} is void");
        if grant.until <= now {
            // Nothing else matters.
        } else if let Some(runbook) = runbook.filter(|runbook| runbook.content_hash() != grant.key.hash) {
            let hash = runbook.content_hash();
            let remedy = format!("look at the edit, then write hash = \"{hash}\", or remove the grant");
            warn(file, grant.line, &format!("{void}: its file was edited since"), &remedy);
            continue;
        } else if runbook.is_none() && !unknown {
            let remedy = "correct the name, as `countersign runbook list` shows it, or remove the grant";
            warn(file, grant.line, &format!("{void}: there is no such runbook file"), remedy);
            continue;
        } else if settled.is_some_and(|known| known.argocd.is_none()) {
            let message = format!(
                "the grant of runbook {name} in {environment} lets nothing run by itself: repository {repository} has no Argo CD that tells how a run ends, so its runs ask people"
            );
            let remedy = "name an [[argocd]] instance as the repository's `argocd`, or remove the grant";
            warn(file, grant.line, &message, remedy);
            continue;
        }
        if let Some(warning) = Policy::grant_warning(grant, now) {
            warn(file, warning.line, &warning.message, &warning.remedy);
        }
    }
}

/// Digests whose own time is at night: they come with the morning.
fn told_digests(settings: &Settings) {
    for repository in &settings.repositories {
        for (key, places) in [("approvals", &repository.approvals), ("notifications", &repository.notifications)] {
            for (index, place) in places.iter().enumerate() {
                if let Some(told) = place.when.digest_waits() {
                    say!(
                        "warning: repository {}, {key}[{index}]: its digest's time lies in its quiet hours, so the digest comes at their end, {}\n  \
                         remedy: write digest = \"{}\", or other quiet hours",
                        repository.name,
                        told.format("%H:%M"),
                        told.format("%H:%M"),
                    );
                }
            }
        }
    }
}

/// Rules that let runbooks run by themselves where no Argo CD tells how a run ends: people will be asked, so better know it now. `only` for a file that
/// speaks of one repository; the rules of the service's own file say nothing about those that carry a policy.
fn unwatched(settings: &Settings, policy: &Policy, file: &str, only: Option<&RepositoryName>) {
    let without = |named: Option<&RepositoryName>| {
        let covered = |name: &RepositoryName| named.or(only).is_none_or(|wanted| wanted == name);
        let ruled = |repository: &&RepositorySettings| only.is_some() || repository.policy.is_none();
        let without = settings.repositories.iter().filter(|repository| repository.argocd.is_none());
        let names: Vec<_> = without
            .filter(ruled)
            .map(|repository| &repository.name)
            .filter(|name| covered(name))
            .collect();
        match names.as_slice() {
            [] => None,
            [one] => Some(format!("repository {one} has")),
            _ => Some(format!("repositories {} have", join(names))),
        }
    };
    let rules = policy.rules().iter().filter(|rule| !rule.runbooks.is_empty()).filter_map(|rule| {
        let names = without(rule.repository.as_ref())?;
        Some((
            rule.line,
            format!("rule {:?} lets {} run by themselves", rule.name, join(&rule.runbooks)),
            names,
        ))
    });
    for (line, what, names) in rules {
        let message = format!("{what}, but {names} no Argo CD that tells how a run ends: runs there ask people");
        let remedy = "name an [[argocd]] instance as the repository's `argocd`, or make the rule prompted";
        warn(file, line, &message, remedy);
    }
}

/// Rules for repositories that are not configured: perhaps a slip of the name, and then their paths go by other rules or by none.
fn unknown(settings: &Settings, policy: &Policy, file: &str) {
    let known: Vec<&RepositoryName> = settings.repositories.iter().map(|repository| &repository.name).collect();
    for rule in policy.rules() {
        if let Some(name) = rule.repository.as_ref().filter(|name| !known.contains(name)) {
            let message = format!("rule {:?} is for repository {name}, which is not configured", rule.name);
            let remedy = if known.is_empty() {
                "add [[repositories]], or correct the name".to_owned()
            } else {
                format!("correct the name; configured is {}", join(&known))
            };
            warn(file, rule.line, &message, &remedy);
        }
    }
}

fn warn(file: &str, line: usize, message: &str, remedy: &str) {
    say!("warning: {file}:{line}: {message}\n  remedy: {remedy}");
}

fn join(names: impl IntoIterator<Item = impl std::fmt::Display>) -> String {
    names.into_iter().map(|name| name.to_string()).collect::<Vec<_>>().join(", ")
}

/// Codes that nobody could check.
fn without_key(settings: &Settings, who: &str) -> Option<String> {
    settings.policy.code_key.is_none().then(|| {
        format!(
            "{who} says second_factor = \"totp\", and there is no key behind codes: nothing could be approved there\n  \
             remedy: write a file with `openssl rand -hex 32`, and name it as policy.code_key_file"
        )
    })
}

/// Codes that nobody can give yet. Asked of the database, where there is one.
async fn told_generators(settings: &Settings, book: &Book, shown: &dyn Fn(String) -> String) -> Result<(), Failure> {
    if !book.policy.asks_codes() || !settings.database.exists() {
        return Ok(());
    }
    let store = super::open(&settings.database).await?;
    let generators = store.read().generators().await;
    store.close().await;
    let policy_file = shown(settings.policy.file.display().to_string());
    let enrolled = generators?.into_iter().map(|one| one.person.id).collect();
    for warning in book.policy.lacks_generators(&enrolled, chrono::Utc::now()) {
        warn(&policy_file, warning.line, &warning.message, &warning.remedy);
    }
    Ok(())
}

fn told_guards(guards: &changes::guard::Guards) {
    let policies = match guards.policies() {
        0 => "no Rego policies".to_owned(),
        many => counted(many, "Rego policy", "Rego policies"),
    };
    say!(
        "ok guard rails: {}, Kubernetes {}, {policies}",
        counted(guards.secret_patterns().count(), "secret pattern", "secret patterns"),
        guards.kubernetes()
    );
    for (rule, reason) in guards.off() {
        say!("note: the rule {rule} is switched off: {reason}");
    }
    for remark in guards.remarks() {
        warn(&remark.file, remark.line, &remark.message, &remark.remedy);
    }
}

/// What only the parts themselves can tell of a secret's shape. Nothing is sent. Certificates are looked at when every file is `readable`; of the
/// rest, those that cannot be read are passed over: that is told already.
async fn shapes(settings: &Settings, readable: bool) -> Vec<String> {
    let mut problems = Vec::new();
    let told = |error: &anyhow::Error| error.is::<crate::secrets::Unreadable>();
    if readable
        && let Some(tls) = &settings.server.tls
        && let Err(error) = crate::service::check_tls(tls).await
    {
        problems.push(format!(
            "{error:#}\n  remedy: write the chain, the service's own certificate first, and its key, both in PEM"
        ));
    }
    if readable
        && let Some(tls) = &settings.server.tls
        && let Some(why) = tls.out_of_date(std::time::SystemTime::now())
    {
        problems.push(format!(
            "server.tls: {why}\n  remedy: have it renewed; the running service takes the new files by itself"
        ));
    }
    if readable
        && let Some(key) = &settings.signing_key
        && let Err(error) = gitworker::check_signing_key(key)
    {
        problems.push(format!(
            "git.signing_key_file: {error}\n  remedy: make one with `ssh-keygen -t ed25519 -N '' -f FILE`, and name FILE"
        ));
    }
    if let Some(telegram) = &settings.telegram {
        if let Err(error) = crate::service::telegram_client(telegram)
            && !told(&error)
        {
            problems.push(format!("{error:#}\n  remedy: correct {}", telegram.token.key()));
        }
        if let Some(webhook) = &telegram.webhook
            && let Ok(secret) = webhook.secret.read()
            && telegram::Webhook::new(secret, "").is_none()
        {
            problems.push(format!(
                "{}: it is not 1 to 256 of A-Z a-z 0-9 _ -, which is what Telegram takes\n  remedy: make one with `openssl rand -hex 32`",
                webhook.secret.key()
            ));
        }
    }
    for instance in &settings.argocd {
        if (readable || instance.ca_file.is_none())
            && let Err(error) = crate::service::argocd_client(instance)
            && !told(&error)
        {
            problems.push(format!("argocd {:?}: {error:#}\n  remedy: correct the entry", instance.name));
        }
    }
    for repository in &settings.repositories {
        if let Some(github) = &repository.github
            && let Err(error) = crate::service::github_client(github)
            && !told(&error)
        {
            problems.push(format!(
                "github of repository {}: {error:#}\n  remedy: correct the entry",
                repository.name
            ));
        }
    }
    problems
}
