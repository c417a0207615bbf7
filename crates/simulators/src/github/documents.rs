//! The JSON that GitHub would answer, complete enough for strict clients and for the published description.

use git2::Repository;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::{
    merge::{commits, mergeable},
    pulls::{Comment, HostedRepo, Pull},
};
use crate::git::repo::oid;

/// Where links for people and for programs begin.
#[derive(Clone, Debug)]
pub(crate) struct Bases {
    pub html: String,
    pub api: String,
}

/// Links of a repository: field and what follows the repository's own address.
const REPOSITORY_LINKS: [(&str, &str); 37] = [
    ("archive_url", "/{archive_format}{/ref}"),
    ("assignees_url", "/assignees{/user}"),
    ("blobs_url", "/git/blobs{/sha}"),
    ("branches_url", "/branches{/branch}"),
    ("collaborators_url", "/collaborators{/collaborator}"),
    ("comments_url", "/comments{/number}"),
    ("commits_url", "/commits{/sha}"),
    ("compare_url", "/compare/{base}...{head}"),
    ("contents_url", "/contents/{+path}"),
    ("contributors_url", "/contributors"),
    ("deployments_url", "/deployments"),
    ("downloads_url", "/downloads"),
    ("events_url", "/events"),
    ("forks_url", "/forks"),
    ("git_commits_url", "/git/commits{/sha}"),
    ("git_refs_url", "/git/refs{/sha}"),
    ("git_tags_url", "/git/tags{/sha}"),
    ("hooks_url", "/hooks"),
    ("issue_comment_url", "/issues/comments{/number}"),
    ("issue_events_url", "/issues/events{/number}"),
    ("issues_url", "/issues{/number}"),
    ("keys_url", "/keys{/key_id}"),
    ("labels_url", "/labels{/name}"),
    ("languages_url", "/languages"),
    ("merges_url", "/merges"),
    ("milestones_url", "/milestones{/number}"),
    ("notifications_url", "/notifications{?since,all,participating}"),
    ("pulls_url", "/pulls{/number}"),
    ("releases_url", "/releases{/id}"),
    ("stargazers_url", "/stargazers"),
    ("statuses_url", "/statuses/{sha}"),
    ("subscribers_url", "/subscribers"),
    ("subscription_url", "/subscription"),
    ("tags_url", "/tags"),
    ("teams_url", "/teams"),
    ("trees_url", "/git/trees{/sha}"),
    ("url", ""),
];

/// Links of a user: field and what follows the user's own address.
const USER_LINKS: [(&str, &str); 11] = [
    ("events_url", "/events{/privacy}"),
    ("followers_url", "/followers"),
    ("following_url", "/following{/other_user}"),
    ("gists_url", "/gists{/gist_id}"),
    ("organizations_url", "/orgs"),
    ("received_events_url", "/received_events"),
    ("repos_url", "/repos"),
    ("starred_url", "/starred{/owner}{/repo}"),
    ("subscriptions_url", "/subscriptions"),
    ("url", ""),
    ("avatar_url", "/avatar"),
];

pub(crate) fn user(bases: &Bases, login: &str) -> Value {
    let own = format!("{}/users/{login}", bases.api);
    let mut fields = links(&USER_LINKS, &own);
    fields.insert("login".into(), json!(login));
    fields.insert("id".into(), json!(number_of(login)));
    fields.insert("node_id".into(), json!(format!("U_{login}")));
    fields.insert("gravatar_id".into(), json!(""));
    fields.insert("html_url".into(), json!(format!("{}/{login}", bases.html)));
    fields.insert("type".into(), json!("User"));
    fields.insert("site_admin".into(), json!(false));
    Value::Object(fields)
}

pub(crate) fn repository(bases: &Bases, repo: &HostedRepo, full: bool) -> Value {
    let full_name = repo.full_name();
    let own = format!("{}/repos/{full_name}", bases.api);
    let html = format!("{}/{full_name}", bases.html);
    let mut fields = links(&REPOSITORY_LINKS, &own);
    let more = json!({
        "id": number_of(&full_name), "node_id": format!("R_{}", repo.name), "name": repo.name, "full_name": full_name,
        "owner": user(bases, &repo.owner), "private": true, "html_url": html, "description": null, "fork": false,
        "clone_url": format!("{html}.git"), "git_url": format!("git:{html}.git"), "ssh_url": format!("git@github.com:{full_name}.git"),
        "svn_url": html, "default_branch": repo.default_branch, "forks": 0, "forks_count": 0, "has_downloads": false,
        "has_issues": true, "has_projects": false, "has_wiki": false, "has_pages": false, "homepage": null, "language": null,
        "archived": false, "disabled": false, "mirror_url": null, "open_issues": 0, "open_issues_count": 0, "license": null,
        "pushed_at": EPOCH, "size": 1, "stargazers_count": 0, "watchers": 0, "watchers_count": 0, "created_at": EPOCH,
        "updated_at": EPOCH,
    });
    fields.extend(object(more));
    if full {
        let more = json!({"has_discussions": false, "network_count": 0, "subscribers_count": 0});
        fields.extend(object(more));
    }
    Value::Object(fields)
}

/// `full` is the answer about one pull request; lists leave the second half out.
pub(crate) fn pull(bases: &Bases, repo: &HostedRepo, pull: &Pull, full: bool) -> Value {
    let full_name = repo.full_name();
    let api = format!("{}/repos/{full_name}", bases.api);
    let (own, issue) = (format!("{api}/pulls/{}", pull.number), format!("{api}/issues/{}", pull.number));
    let html = format!("{}/{full_name}/pull/{}", bases.html, pull.number);
    let side = |branch: &str, sha: &str| {
        json!({
            "label": format!("{}:{branch}", repo.owner), "ref": branch, "sha": sha, "user": user(bases, &repo.owner),
            "repo": repository(bases, repo, false),
        })
    };
    let base_sha = repo.branch(&pull.base).tip().unwrap_or_default();
    let statuses = format!("{api}/statuses/{}", pull.head_sha);
    let review_comment = format!("{api}/pulls/comments{{/number}}");
    let href = |address: &str| json!({"href": address});
    let addresses = json!({
        "url": own, "html_url": html, "diff_url": format!("{html}.diff"), "patch_url": format!("{html}.patch"),
        "issue_url": issue, "commits_url": format!("{own}/commits"), "review_comments_url": format!("{own}/comments"),
        "review_comment_url": review_comment, "comments_url": format!("{issue}/comments"), "statuses_url": statuses,
        "_links": {
            "self": href(&own), "html": href(&html), "issue": href(&issue), "comments": href(&format!("{issue}/comments")),
            "review_comments": href(&format!("{own}/comments")), "review_comment": href(&review_comment),
            "commits": href(&format!("{own}/commits")), "statuses": href(&statuses),
        },
    });
    let mut document = json!({
        "id": number_of(&html), "node_id": format!("PR_{}", pull.number), "number": pull.number,
        "state": if pull.is_open() { "open" } else { "closed" }, "locked": false, "title": pull.title, "body": pull.body,
        "user": user(bases, &pull.author), "labels": [], "milestone": null, "assignee": null, "assignees": [],
        "requested_reviewers": [], "requested_teams": [], "draft": false, "author_association": "COLLABORATOR",
        "auto_merge": null, "created_at": pull.created, "updated_at": pull.updated, "closed_at": pull.closed,
        "merged_at": pull.merge.as_ref().map(|merge| &merge.at),
        "merge_commit_sha": pull.merge.as_ref().map(|merge| &merge.commit),
        "head": side(&pull.head, &pull.head_sha), "base": side(&pull.base, &base_sha),
    });
    if let Value::Object(document) = &mut document {
        document.extend(object(addresses));
    }
    if full && let Value::Object(document) = &mut document {
        document.extend(object(details(bases, repo, pull)));
    }
    document
}

pub(crate) fn comment(bases: &Bases, repo: &HostedRepo, pull: &Pull, comment: &Comment) -> Value {
    let api = format!("{}/repos/{}", bases.api, repo.full_name());
    json!({
        "id": comment.id, "node_id": format!("IC_{}", comment.id), "url": format!("{api}/issues/comments/{}", comment.id),
        "html_url": format!("{}/{}/pull/{}#issuecomment-{}", bases.html, repo.full_name(), pull.number, comment.id),
        "issue_url": format!("{api}/issues/{}", pull.number), "user": user(bases, &comment.author), "body": comment.body,
        "created_at": comment.created, "updated_at": comment.created, "author_association": "COLLABORATOR",
    })
}

/// What only the answer about one pull request has.
fn details(bases: &Bases, repo: &HostedRepo, pull: &Pull) -> Value {
    let mergeable = if pull.is_open() { mergeable(repo, pull) } else { None };
    let state = match mergeable {
        Some(true) => "clean",
        Some(false) => "dirty",
        None => "unknown",
    };
    let counts = counts(repo, pull).unwrap_or_default();
    json!({
        "merged": pull.merge.is_some(), "merged_by": pull.merge.as_ref().map(|merge| user(bases, &merge.by)),
        "mergeable": mergeable, "rebaseable": mergeable, "mergeable_state": state, "maintainer_can_modify": false,
        "comments": pull.comments.len(), "review_comments": 0, "commits": counts.commits, "additions": counts.additions,
        "deletions": counts.deletions, "changed_files": counts.files,
    })
}

#[derive(Default)]
struct Counts {
    commits: usize,
    additions: usize,
    deletions: usize,
    files: usize,
}

fn counts(repo: &HostedRepo, pull: &Pull) -> Option<Counts> {
    let branch = repo.branch(&pull.base);
    let repository: Repository = branch.open().ok()?;
    let base = repository.refname_to_id(&branch.reference()).ok()?;
    let head = oid(&pull.head_sha).ok()?;
    let fork = repository.merge_base(base, head).ok()?;
    let tree = |id| repository.find_commit(id).and_then(|commit| commit.tree()).ok();
    let diff = repository.diff_tree_to_tree(tree(fork).as_ref(), tree(head).as_ref(), None).ok()?;
    let stats = diff.stats().ok()?;
    Some(Counts {
        commits: commits(&repository, base, head).ok()?.len(),
        additions: stats.insertions(),
        deletions: stats.deletions(),
        files: stats.files_changed(),
    })
}

/// When every simulated repository was made.
const EPOCH: &str = "2026-01-01T00:00:00Z";

fn links(table: &[(&str, &str)], own: &str) -> Map<String, Value> {
    table
        .iter()
        .map(|(field, rest)| ((*field).to_owned(), json!(format!("{own}{rest}"))))
        .collect()
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}

/// A stable number for a name, as ids are.
fn number_of(name: &str) -> u32 {
    let hash = Sha256::digest(name.as_bytes());
    u32::from_be_bytes([hash[0] & 0x7f, hash[1], hash[2], hash[3]])
}
