//! Wishes become a change set: the path rules that need a tree to look at. What does not need one stands in `domain::RepoPath`.

use std::collections::{BTreeMap, HashMap};

use domain::{ChangeSet, CommitId, FileChange, FileMode, NewFile, RepoPath};
use git2::{ObjectType, Oid, Repository};
use unicode_normalization::UnicodeNormalization as _;

use crate::tree::{self, Found, Paths};
use crate::{Edit, GitError, Refusal, RequestedChange, ResolveError};

/// [`Repository::resolve`](crate::Repository::resolve).
pub(crate) fn resolve(repo: &Repository, base: CommitId, request: &[RequestedChange]) -> Result<ChangeSet, ResolveError> {
    let tree = Paths::of(repo, &tree::require(repo, base)?);
    let mut refused = clashes_within(request);
    let mut files = BTreeMap::new();
    for (index, wish) in request.iter().enumerate() {
        match resolve_one(&tree, wish)? {
            Ok(Some(change)) => drop(files.insert(wish.path.clone(), change)),
            Ok(None) => {}
            Err(problem) => refused.push(Refusal {
                index,
                path: wish.path.clone(),
                problem,
                twin: None,
            }),
        }
    }
    for (path, twin) in case_twins(&tree, &files)? {
        let index = request.iter().position(|wish| wish.path == path).unwrap_or(0);
        refused.push(Refusal {
            index,
            problem: differs(path.as_str(), &twin),
            path,
            twin: Some(twin),
        });
    }
    if refused.is_empty() {
        return Ok(ChangeSet::new(files));
    }
    refused.sort_by_key(|refusal| refusal.index);
    refused.dedup_by_key(|refusal| refusal.index);
    Err(ResolveError::Refused(refused))
}

/// One wish against the base. `Ok(None)`: it changes nothing.
fn resolve_one(tree: &Paths<'_>, wish: &RequestedChange) -> Result<Result<Option<FileChange>, String>, GitError> {
    let (here, depth) = tree.walk(&wish.path)?;
    let parts = wish.path.parts().count();
    if depth < parts
        && let Some(found) = here
        && !found.is_tree()
    {
        let parent = wish.path.parts().take(depth).collect::<Vec<_>>().join("/");
        return Ok(Err(format!("its parent {parent:?} is {}, not a directory", kind(found))));
    }
    let old = match here.filter(|_| depth == parts) {
        None => None,
        Some(found) => match found.file() {
            Some(version) => Some(version),
            None => return Ok(Err(format!("it is {} in the base; only regular files can be changed", kind(found)))),
        },
    };
    Ok(match &wish.edit {
        Edit::Delete if old.is_none() => Err("it does not exist in the base, so it cannot be deleted".to_owned()),
        Edit::Delete => Ok(Some(FileChange { old, new: None })),
        Edit::Write { bytes, exec } => {
            let kept = old.map_or(FileMode::Regular, |old| old.mode);
            let mode = match exec {
                Some(true) => FileMode::Executable,
                Some(false) => FileMode::Regular,
                None => kept,
            };
            let blob = Oid::hash_object(ObjectType::Blob, bytes)?;
            let same = old.is_some_and(|old| old.mode == mode && tree::oid(old.blob) == blob);
            Ok((!same).then(|| FileChange {
                old,
                new: Some(NewFile {
                    mode,
                    bytes: bytes.clone(),
                }),
            }))
        }
    })
}

fn kind(found: Found) -> &'static str {
    match found.mode {
        0o040_000 => "a directory",
        0o120_000 => "a symlink",
        0o160_000 => "a submodule",
        0o100_644 | 0o100_755 => "a file",
        _ => "an entry of an odd mode",
    }
}

/// What is wrong with the request by itself: a path named twice, a file below a file.
fn clashes_within(request: &[RequestedChange]) -> Vec<Refusal> {
    let mut refused = Vec::new();
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    for (index, wish) in request.iter().enumerate() {
        if let Some(first) = seen.insert(wish.path.as_str(), index) {
            refused.push(Refusal {
                index,
                path: wish.path.clone(),
                problem: format!("change {first} already names it; name each path once"),
                twin: None,
            });
        }
    }
    for (index, wish) in request.iter().enumerate() {
        let above = wish
            .path
            .as_str()
            .match_indices('/')
            .find_map(|(at, _)| seen.get_key_value(&wish.path.as_str()[..at]));
        if let Some((above, other)) = above {
            let problem = format!("change {other} names its parent {above:?} as a file; a path cannot be both");
            refused.push(Refusal {
                index,
                path: wish.path.clone(),
                problem,
                twin: None,
            });
        }
    }
    refused
}

/// The added files whose names, or whose new directories' names, differ only by letter case, or by how an accent is encoded, from what stands
/// beside them once the change is done, each with what it clashes with: on some file systems they are one.
pub(crate) fn case_twins(tree: &Paths<'_>, files: &BTreeMap<RepoPath, FileChange>) -> Result<Vec<(RepoPath, String)>, GitError> {
    let added: Vec<&RepoPath> = files
        .iter()
        .filter(|(_, change)| change.old.is_none())
        .map(|(path, _)| path)
        .collect();
    let mut twins = Vec::new();
    // Names that this change itself writes: folded full path -> as written.
    let mut written: HashMap<String, &str> = HashMap::new();
    for path in &added {
        let text = path.as_str();
        let ends = text.match_indices('/').map(|(at, _)| at).chain([text.len()]);
        let clash = ends.map(|end| &text[..end]).find_map(|part| {
            let first = written.entry(fold(part)).or_insert(part);
            (*first != part).then(|| first.to_string())
        });
        let clash = match clash {
            Some(twin) => Some(twin),
            None => twin_in_base(tree, files, path)?,
        };
        if let Some(twin) = clash {
            twins.push(((*path).clone(), twin));
        }
    }
    Ok(twins)
}

/// Looks into the last existing directory of an added path for a name that folds to the same.
fn twin_in_base(tree: &Paths<'_>, files: &BTreeMap<RepoPath, FileChange>, path: &RepoPath) -> Result<Option<String>, GitError> {
    let (Some(found), depth) = tree.walk(path)? else { return Ok(None) };
    let Some(name) = path.parts().nth(depth).filter(|_| found.is_tree()) else {
        return Ok(None);
    };
    let folded = fold(name);
    let directory = path.parts().take(depth).collect::<Vec<_>>().join("/");
    for entry in tree.tree(found.id)?.iter() {
        let Ok(other) = std::str::from_utf8(entry.name_bytes()) else {
            continue;
        };
        if other == name || fold(other) != folded {
            continue;
        }
        let full = if directory.is_empty() {
            other.to_owned()
        } else {
            format!("{directory}/{other}")
        };
        let leaves = full
            .parse::<RepoPath>()
            .is_ok_and(|full| files.get(&full).is_some_and(|change| change.new.is_none()));
        if !leaves {
            return Ok(Some(full));
        }
    }
    Ok(None)
}

/// As a file system sees it that knows neither letter case nor ways to encode an accent.
fn fold(text: &str) -> String {
    text.nfc().collect::<String>().to_lowercase().nfc().collect()
}

fn differs(path: &str, twin: &str) -> String {
    if path.nfc().take(twin.nfc().count()).eq(twin.nfc()) {
        // They look the same: the escapes show which is which. Proposals name files in NFC only.
        let twin = twin.escape_default();
        return format!(
            "the branch has \"{twin}\", the same name with its accents encoded otherwise (not NFC); a person must rename that first"
        );
    }
    format!("it differs only by letter case from {twin:?}; choose one spelling")
}
