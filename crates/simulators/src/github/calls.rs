//! What each call answers, and when it refuses.

use serde_json::{Value, json};

use super::{
    Host, documents,
    http::{Call, Reply},
    merge::{self, MergeMethod, NotMerged},
    pulls::{Comment, Merge, Pull, Shelf, now},
};

/// Longest title and body in characters.
const TITLE: usize = 256;
const BODY: usize = 65_536;

/// Entries per page where nothing is asked, and at most.
const PAGE: usize = 30;
const PAGE_LIMIT: usize = 100;

pub(crate) fn rate_limit(host: &Host) -> Reply {
    let (limit, remaining, reset) = host.quota();
    let core = json!({"limit": limit, "used": limit - remaining, "remaining": remaining, "reset": reset});
    Reply::new(200, json!({"resources": {"core": core, "search": core}, "rate": core}))
}

pub(crate) fn branch(host: &Host, shelf: &Shelf, name: &str) -> Reply {
    match shelf.repo.branch(name).tip() {
        None => Reply::error(404, "Branch not found"),
        Some(tip) => {
            let url = format!("{}/repos/{}/commits/{tip}", host.bases().api, shelf.repo.full_name());
            Reply::new(200, json!({"name": name, "commit": {"sha": tip, "url": url}, "protected": false}))
        }
    }
}

pub(crate) fn list(host: &Host, shelf: &Shelf, call: &Call<'_>) -> Reply {
    let asked = |key: &str| call.query.get(key).map_or("", String::as_str);
    let state = asked("state");
    // Only `owner:branch` is a filter; anything else is ignored, and everything comes back.
    let head = asked("head").split_once(':');
    let chosen = |pull: &&Pull| {
        let by_state = match state {
            "all" => true,
            "closed" => !pull.is_open(),
            _ => pull.is_open(),
        };
        let by_head = head.is_none_or(|(owner, branch)| owner.eq_ignore_ascii_case(&shelf.repo.owner) && branch == pull.head);
        by_state && by_head && (asked("base").is_empty() || asked("base") == pull.base)
    };
    let size = asked("per_page").parse().unwrap_or(PAGE).clamp(1, PAGE_LIMIT);
    let page: usize = asked("page").parse().unwrap_or(1).max(1);
    let newest_first = shelf.pulls.values().rev().filter(chosen);
    let items = newest_first.skip((page - 1) * size).take(size);
    let items: Vec<Value> = items.map(|pull| documents::pull(&host.bases(), &shelf.repo, pull, false)).collect();
    Reply::new(200, Value::Array(items))
}

pub(crate) fn create(host: &Host, shelf: &mut Shelf, call: &Call<'_>) -> Reply {
    if !call.user.write {
        return Reply::lacks("pull_requests=write");
    }
    let text = |key: &str| call.body[key].as_str().unwrap_or_default().to_owned();
    let (title, body, base) = (text("title"), text("body"), text("base"));
    let head = text("head");
    let head = head.rsplit(':').next().unwrap_or_default().to_owned();
    let custom = |message: String| Reply::invalid(json!([{"resource": "PullRequest", "code": "custom", "message": message}]));
    for (field, missing) in [("title", title.is_empty()), ("head", head.is_empty()), ("base", base.is_empty())] {
        if missing {
            return Reply::invalid(json!([{"resource": "PullRequest", "code": "missing_field", "field": field}]));
        }
    }
    if let Some(reply) = too_long(&title, &body) {
        return reply;
    }
    let (head_tip, base_tip) = match (shelf.repo.branch(&head).tip(), shelf.repo.branch(&base).tip()) {
        (Some(head), Some(base)) => (head, base),
        (missing, _) => {
            let field = if missing.is_none() { "head" } else { "base" };
            return Reply::invalid(json!([{"resource": "PullRequest", "field": field, "code": "invalid"}]));
        }
    };
    if shelf
        .pulls
        .values()
        .any(|pull| pull.is_open() && pull.head == head && pull.base == base)
    {
        return custom(format!("A pull request already exists for {}:{head}.", shelf.repo.owner));
    }
    if shelf.repo.branch(&base).contains(&base_tip, &head_tip) {
        return custom(format!("No commits between {base} and {head}"));
    }
    let pull = shelf.open(title, body, head, base, call.user.login.clone(), head_tip);
    let document = documents::pull(&host.bases(), &shelf.repo, &pull, true);
    let mut reply = Reply::new(201, document);
    let location = reply.body["url"].as_str().unwrap_or_default().to_owned();
    reply.headers.push(("location", location));
    reply
}

pub(crate) fn get(host: &Host, shelf: &Shelf, number: u64) -> Reply {
    match shelf.pulls.get(&number) {
        Some(pull) => Reply::new(200, documents::pull(&host.bases(), &shelf.repo, pull, true)),
        None => Reply::error(404, "Not Found"),
    }
}

pub(crate) fn update(host: &Host, shelf: &mut Shelf, number: u64, call: &Call<'_>) -> Reply {
    if !call.user.write {
        return Reply::lacks("pull_requests=write");
    }
    let Some(pull) = shelf.pulls.get_mut(&number) else {
        return Reply::error(404, "Not Found");
    };
    let text = |key: &str| call.body[key].as_str();
    if let Some(reply) = too_long(text("title").unwrap_or_default(), text("body").unwrap_or_default()) {
        return reply;
    }
    let reopening = text("state") == Some("open") && !pull.is_open();
    if reopening && (pull.merge.is_some() || shelf.repo.branch(&pull.head).tip().is_none()) {
        return Reply::invalid(json!([{
            "resource": "PullRequest", "code": "invalid", "field": "state", "message": "state cannot be changed. The pull request cannot be reopened.",
        }]));
    }
    let before = pull.clone();
    if let Some(title) = text("title") {
        pull.title = title.to_owned();
    }
    if let Some(body) = text("body") {
        pull.body = body.to_owned();
    }
    match text("state") {
        Some("closed") if pull.is_open() => pull.closed = Some(now()),
        Some("open") => pull.closed = pull.closed.take().filter(|_| !reopening),
        _ => {}
    }
    if *pull != before {
        pull.updated = now();
    }
    get(host, shelf, number)
}

pub(crate) fn merge(host: &Host, shelf: &mut Shelf, number: u64, call: &Call<'_>) -> Reply {
    if !call.user.write {
        return Reply::lacks("contents=write");
    }
    let text = |key: &str| call.body[key].as_str();
    let Some(method) = MergeMethod::of(text("merge_method").unwrap_or_default()) else {
        return Reply::invalid(json!([{"resource": "PullRequest", "code": "invalid", "field": "merge_method"}]));
    };
    let Some(pull) = shelf.pulls.get_mut(&number) else {
        return Reply::error(404, "Not Found");
    };
    if !pull.is_open() {
        return Reply::error(405, "Pull Request is not mergeable");
    }
    if text("sha").is_some_and(|sha| sha != pull.head_sha) {
        return Reply::error(409, "Head branch was modified. Review and try the merge again.");
    }
    let login = &call.user.login;
    match merge::merge(&shelf.repo, pull, method, login, text("commit_title"), text("commit_message")) {
        Ok(commit) => {
            pull.merge = Some(Merge {
                commit: commit.clone(),
                by: login.clone(),
                at: now(),
            });
            pull.closed = Some(now());
            pull.updated = now();
            if host.options.delete_branch_on_merge {
                // Already gone is as good.
                let _ = shelf.repo.branch(&pull.head).delete_branch();
            }
            Reply::new(
                200,
                json!({"sha": commit, "merged": true, "message": "Pull Request successfully merged"}),
            )
        }
        Err(NotMerged::Conflict) => Reply::error(405, "Pull Request is not mergeable"),
        Err(NotMerged::BaseMoved) => Reply::error(409, "Base branch was modified. Review and try the merge again."),
        Err(NotMerged::Git(error)) => Reply::error(500, &error.to_string()),
    }
}

pub(crate) fn is_merged(shelf: &Shelf, number: u64) -> Reply {
    match shelf.pulls.get(&number).is_some_and(|pull| pull.merge.is_some()) {
        true => Reply::new(204, Value::Null),
        false => Reply::error(404, "Not Found"),
    }
}

pub(crate) fn create_comment(host: &Host, shelf: &mut Shelf, number: u64, call: &Call<'_>) -> Reply {
    if !call.user.write {
        return Reply::lacks("issues=write; pull_requests=write");
    }
    let Some(pull) = shelf.pulls.get_mut(&number) else {
        return Reply::error(404, "Not Found");
    };
    let body = call.body["body"].as_str().unwrap_or_default();
    if body.is_empty() {
        return Reply::invalid(json!([{"resource": "IssueComment", "code": "missing_field", "field": "body"}]));
    }
    let id = number * 1000 + pull.comments.len() as u64 + 1;
    let comment = Comment {
        id,
        author: call.user.login.clone(),
        body: body.to_owned(),
        created: now(),
    };
    pull.comments.push(comment.clone());
    pull.updated = now();
    Reply::new(201, documents::comment(&host.bases(), &shelf.repo, pull, &comment))
}

pub(crate) fn list_comments(host: &Host, shelf: &Shelf, number: u64) -> Reply {
    let Some(pull) = shelf.pulls.get(&number) else {
        return Reply::error(404, "Not Found");
    };
    let comments = pull
        .comments
        .iter()
        .map(|comment| documents::comment(&host.bases(), &shelf.repo, pull, comment));
    Reply::new(200, comments.collect())
}

fn too_long(title: &str, body: &str) -> Option<Reply> {
    let (field, limit) = match (title.chars().count() > TITLE, body.chars().count() > BODY) {
        (true, _) => ("title", TITLE),
        (false, true) => ("body", BODY),
        (false, false) => return None,
    };
    let message = format!("{field} is too long (maximum is {limit} characters)");
    Some(Reply::invalid(
        json!([{"resource": "Issue", "code": "custom", "field": field, "message": message}]),
    ))
}
