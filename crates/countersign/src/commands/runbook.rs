//! `countersign runbook check|list|render`: a runbook's file looked at by itself, without a service.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use changes::Runbook;
use clap::{Args, Subcommand};
use domain::{Policy, RepoPath, RunbookName};

use crate::cli::Failure;
use crate::out::{complain, say};
use crate::settings::Settings;
use crate::shipped::Shipped;

/// What can be done.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Check runbook files; each problem is told with its place and remedy
    Check(Check),
    /// List the runbooks of a configuration with their hashes and what the policy grants them; the shipped ones when none is named
    List(List),
    /// Render a run on the files of a folder and print what it would change
    Render(Render),
}

/// Arguments of `runbook check`.
#[derive(Debug, Args)]
pub(crate) struct Check {
    /// Files, folders of such files, or checkouts of repositories that carry some in .countersign/runbooks
    #[arg(required = true, value_name = "PATH")]
    files: Vec<PathBuf>,
}

/// Arguments of `runbook list`.
#[derive(Debug, Args)]
pub(crate) struct List {
    /// The configuration file; the shipped example when left out
    #[arg(long, value_name = "FILE", env = "COUNTERSIGN_CONFIG")]
    config: Option<PathBuf>,
    /// A checkout of the first repository whose own runbooks are read: list those, too
    #[arg(long, value_name = "FOLDER", requires = "config")]
    folder: Option<PathBuf>,
}

/// Arguments of `runbook render`.
#[derive(Debug, Args)]
pub(crate) struct Render {
    /// The runbook's file
    #[arg(value_name = "FILE.toml")]
    file: PathBuf,
    /// Its parameters as a JSON object
    #[arg(value_name = "JSON")]
    parameters: String,
    /// The root of a checkout of the repository; nothing in it is changed
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    folder: PathBuf,
}

pub(crate) fn run(command: &Command) -> Result<(), Failure> {
    match command {
        Command::Check(arguments) => check(arguments),
        Command::List(arguments) => list(arguments),
        Command::Render(arguments) => render(arguments),
    }
}

fn check(arguments: &Check) -> Result<(), Failure> {
    let mut problems = Vec::new();
    let mut files = Vec::new();
    for path in &arguments.files {
        files.extend(if path.is_dir() { files_of(path)? } else { vec![path.clone()] });
    }
    for file in &files {
        match read(file) {
            Ok(runbook) => say!(
                "ok {}: runbook {}, ceiling {}, hash {}",
                file.display(),
                runbook.name(),
                runbook.ceiling(),
                runbook.content_hash()
            ),
            Err(Failure::Files(found)) => problems.extend(found),
            Err(other) => return Err(other),
        }
    }
    if problems.is_empty() {
        Ok(())
    } else {
        Err(Failure::Files(problems))
    }
}

fn list(arguments: &List) -> Result<(), Failure> {
    let shipped = match arguments.config {
        Some(_) => None,
        None => Some(Shipped::unpack().map_err(|error| {
            Failure::Failed(
                format!("the shipped files cannot be unpacked: {error}"),
                "check the temporary folder".to_owned(),
            )
        })?),
    };
    let settings = match &shipped {
        Some(shipped) => shipped.settings(),
        None => Settings::load(arguments.config.as_deref()),
    };
    let settings = settings.map_err(Failure::Settings)?;
    let book = settings.rules()?;
    for (name, runbook) in book.runbooks.iter() {
        say!(
            "{name} {} ceiling {}: {}",
            runbook.content_hash(),
            runbook.ceiling(),
            granted(&book.policy, name, runbook)
        );
    }
    if let Some(folder) = &arguments.folder {
        return list_carried(&settings, book, folder);
    }
    let carrying = settings.repositories.iter().filter(|repository| repository.runbooks.is_some());
    for repository in carrying {
        complain!(
            "note: repository {} carries runbooks of its own, which stand on its branch and are not seen from here: add --folder CHECKOUT",
            repository.name
        );
    }
    Ok(())
}

/// The runbooks that a checkout carries, and what is wrong with them.
fn list_carried(settings: &Settings, book: engine::Book, checkout: &Path) -> Result<(), Failure> {
    let found = settings
        .repositories
        .iter()
        .find_map(|repository| Some((&repository.name, repository.runbooks.clone()?)));
    let Some((repository, path)) = found else {
        return Err(Failure::Usage(
            "the configuration reads no repository's own runbooks".to_owned(),
            "add runbooks = true to its [[repositories]] entry".to_owned(),
        ));
    };
    let files = carried(&checkout.join(path.as_str()))?;
    let book = book.with_repository_runbooks(repository, path, files);
    let policy = book.policy.for_repository(repository);
    for (_, runbook) in book.repository_runbooks() {
        let (name, hash, ceiling) = (runbook.name(), runbook.content_hash(), runbook.ceiling());
        say!(
            "{name} {hash} ceiling {ceiling} in {repository}: {}",
            granted(policy, name, runbook)
        );
    }
    let problems = book.runbook_problems(repository);
    if problems.is_empty() { Ok(()) } else { Err(problems.into()) }
}

/// The runbooks in a folder, or in the usual folder of a checkout.
fn files_of(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let carried = folder.join(".countersign/runbooks");
    let folder = if carried.is_dir() { carried.as_path() } else { folder };
    let files = toml_files(folder)?;
    if files.is_empty() {
        return Err(Failure::Usage(
            format!("{} holds no runbook", folder.display()),
            "name a folder with files called NAME.toml".to_owned(),
        ));
    }
    Ok(files)
}

/// The runbooks in a folder of a checkout, by file name.
pub(super) fn carried(folder: &Path) -> Result<BTreeMap<String, Vec<u8>>, Failure> {
    let mut files = BTreeMap::new();
    for file in toml_files(folder)? {
        let bytes = std::fs::read(&file).map_err(|error| unreadable(&file, &error))?;
        let name = file.file_name().map(|name| name.to_string_lossy().into_owned());
        files.extend(name.map(|name| (name, bytes)));
    }
    Ok(files)
}

/// The files of a folder that are runbooks by their names.
fn toml_files(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let entries = std::fs::read_dir(folder).map_err(|error| unreadable(folder, &error))?;
    let paths = entries.filter_map(Result::ok).map(|entry| entry.path());
    let mut files: Vec<PathBuf> = paths
        .filter(|path| path.is_file() && path.extension().is_some_and(|extension| extension == "toml"))
        .collect();
    files.sort();
    Ok(files)
}

fn unreadable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::Usage(
        format!("{} cannot be read: {error}", path.display()),
        "check the path and its permissions".to_owned(),
    )
}

/// What the policy says of it; what its record says only the service knows (`/trust NAME`, `GET /v1/runbooks`).
fn granted(policy: &Policy, name: &RunbookName, runbook: &Runbook) -> String {
    let mut grants = policy.grants().iter().filter(|grant| grant.key.runbook == *name).peekable();
    if grants.peek().is_none() {
        return "not granted".to_owned();
    }
    let words = grants.map(|grant| {
        let (place, until) = (&grant.key.environment, grant.until.format("%Y-%m-%d"));
        if grant.key.hash == runbook.content_hash() {
            format!("granted in {place} until {until}")
        } else {
            format!("its grant in {place} is void, for the file was edited since")
        }
    });
    words.collect::<Vec<_>>().join("; ")
}

fn render(arguments: &Render) -> Result<(), Failure> {
    named_by_file(&arguments.file)?;
    let runbook = read(&arguments.file)?;
    let parameters: serde_json::Value = serde_json::from_str(&arguments.parameters).map_err(|error| {
        Failure::Usage(
            format!("the parameters are no JSON: {error}"),
            "write an object such as '{\"app\": \"web\", \"replicas\": 3}'".to_owned(),
        )
    })?;
    let refused = |error: changes::RenderError| Failure::Usage(error.message, error.hint);
    let mut files = BTreeMap::new();
    for path in runbook.files_needed(&parameters).map_err(refused)? {
        files.insert(path.clone(), contents(&arguments.folder, &path)?);
    }
    let rendered = runbook.render(&parameters, &files).map_err(refused)?;
    say!("# {}", rendered.title);
    if let Some(reason) = &rendered.reason {
        say!("# {reason}");
    }
    if rendered.files.is_empty() {
        say!("# nothing would change: the files already are as the run makes them");
    }
    for (path, bytes) in &rendered.files {
        match bytes {
            None => say!("deleted: {path}"),
            Some(bytes) => {
                let old = files.get(path).and_then(Option::as_deref).unwrap_or_default();
                say!("{path}");
                for line in changed_lines(old, bytes) {
                    say!("{line}");
                }
            }
        }
    }
    Ok(())
}

/// A runbook's name says nothing here: which of the service's or of which repository's it would be, only a file tells.
fn named_by_file(file: &Path) -> Result<(), Failure> {
    let name = file.to_str().and_then(|text| text.parse::<RunbookName>().ok());
    match name {
        Some(name) if !file.exists() => Err(Failure::Usage(
            format!("there is no file {name} here, and runbooks are not looked up by their names"),
            format!(
                "name the file: {name}.toml in the service's folder of runbooks, or .countersign/runbooks/{name}.toml in the checkout of a repository that carries it"
            ),
        )),
        Some(_) | None => Ok(()),
    }
}

/// The lines that differ, without their common beginning and end: a runbook changes a few values, not the order of a file.
fn changed_lines(old: &[u8], new: &[u8]) -> Vec<String> {
    let (old, new) = (String::from_utf8_lossy(old), String::from_utf8_lossy(new));
    let (old, new): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    let same = old.iter().zip(&new).take_while(|(old, new)| old == new).count();
    let most = old.len().min(new.len()) - same;
    let end = old
        .iter()
        .rev()
        .zip(new.iter().rev())
        .take(most)
        .take_while(|(old, new)| old == new)
        .count();
    let removed = old[same..old.len() - end].iter().map(|line| format!("-{line}"));
    let added = new[same..new.len() - end].iter().map(|line| format!("+{line}"));
    removed.chain(added).collect()
}

fn read(file: &Path) -> Result<Runbook, Failure> {
    let text = std::fs::read_to_string(file).map_err(|error| unreadable(file, &error))?;
    Runbook::parse(&text, &file.display().to_string()).map_err(|problems| {
        let told = problems.iter().map(|problem| {
            let place = format!("{}:{}:{}", problem.file, problem.line, problem.column);
            format!("{place}: {}\n  remedy: {}", problem.message, problem.remedy)
        });
        Failure::Files(told.collect())
    })
}

/// The bytes of a file of the checkout; `None` where there is none. A link that leads elsewhere is not followed, as the service would not.
fn contents(folder: &Path, path: &RepoPath) -> Result<Option<Vec<u8>>, Failure> {
    let place = folder.join(path.as_str());
    match std::fs::symlink_metadata(&place) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Ok(about) if !about.is_file() => {
            return Err(Failure::Usage(
                format!("{path} is not a regular file"),
                "runbooks edit regular files only".to_owned(),
            ));
        }
        Ok(_) | Err(_) => {}
    }
    std::fs::read(&place).map(Some).map_err(|error| {
        Failure::Usage(
            format!("{} cannot be read: {error}", place.display()),
            "name the root of a checkout with --folder".to_owned(),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_lines_that_differ_are_told() {
        let lines = |old: &str, new: &str| changed_lines(old.as_bytes(), new.as_bytes()).join(" ");
        assert_eq!(lines("a\nb\nc\n", "a\nx\nc\n"), "-b +x");
        assert_eq!(lines("a\nc\n", "a\nb\nc\n"), "+b");
        assert_eq!(lines("a\na\n", "a\n"), "-a");
        assert_eq!(lines("", "a\n"), "+a");
        assert_eq!(lines("a\n", "a\n"), "");
    }
}
