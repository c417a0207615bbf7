//! Roles and bindings: who may do what, and whether that became more.

use std::collections::BTreeSet;

use super::pair::Pair;
use super::report::Scope;
use super::rules::{CLUSTER_ADMIN, RBAC_CHANGED, RBAC_SUBJECTS, RBAC_WIDENED, RESTRICTED, ROLE_REPLACED};
use super::value::Value;
use super::words::{list, word};

/// Permissions that one role's rules may spell out before they are compared as text only.
const PERMISSIONS_MAX: usize = 2_000;

/// Role and ClusterRole.
pub(super) fn role(scope: &mut Scope<'_>, object: &mut Pair) {
    let rules = object.take("rules");
    if rules.changed() {
        rules_changed(scope, &rules);
    }
    let aggregation = object.take("aggregationRule");
    if aggregation.changed() && !aggregation.new.is_absent() {
        scope.say(&RBAC_WIDENED, "takes its rules from other roles by label");
    }
}

fn rules_changed(scope: &mut Scope<'_>, rules: &Pair) {
    let (Some(old), Some(new)) = (permissions(&rules.old), permissions(&rules.new)) else {
        scope.say(&RBAC_WIDENED, "rules change beyond what can be compared");
        return;
    };
    let added: Vec<&Permission> = new
        .iter()
        .filter(|permission| !old.iter().any(|had| had.covers(permission)))
        .collect();
    let removed: Vec<&Permission> = old
        .iter()
        .filter(|permission| !new.iter().any(|has| has.covers(permission)))
        .collect();
    if added.iter().any(|permission| permission.is_everything()) {
        let verb = format!("grant everything to {}", scope.label);
        scope.say_as(&CLUSTER_ADMIN, "may do everything with everything", verb);
    } else if scope.is_new && !added.iter().any(|permission| permission.is_sensitive()) {
        scope.note_as(&RBAC_CHANGED, format!("may {}", say(&added)), format!("add {}", scope.label));
    } else if !added.is_empty() {
        scope.say(&RBAC_WIDENED, format!("may now {}", say(&added)));
    }
    if !removed.is_empty() {
        scope.say(&RESTRICTED, format!("may no longer {}", say(&removed)));
    }
    if added.is_empty() && removed.is_empty() {
        scope.say(&RBAC_CHANGED, "rules are written in another way and allow the same");
    }
}

/// One verb on one resource of one group, or on a URL.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Permission {
    verb: String,
    group: String,
    resource: String,
    /// One object only; empty for all.
    name: String,
}

impl Permission {
    fn covers(&self, other: &Self) -> bool {
        let has = |mine: &str, theirs: &str| mine == "*" || mine == theirs;
        has(&self.verb, &other.verb)
            && has(&self.group, &other.group)
            && has(&self.resource, &other.resource)
            && (self.name.is_empty() || self.name == other.name)
    }

    /// What lets its bearer read secrets, run code elsewhere or gain more rights.
    fn is_sensitive(&self) -> bool {
        const RESOURCES: [&str; 9] = [
            "secrets",
            "pods/exec",
            "pods/attach",
            "serviceaccounts/token",
            "nodes",
            "nodes/proxy",
            "roles",
            "clusterroles",
            "clusterrolebindings",
        ];
        let verb = matches!(self.verb.as_str(), "*" | "escalate" | "bind" | "impersonate");
        verb || self.resource == "*" || self.group == "*" || RESOURCES.contains(&self.resource.as_str())
    }

    fn is_everything(&self) -> bool {
        self.verb == "*" && self.group == "*" && self.resource == "*" && self.name.is_empty()
    }
}

/// What a list of rules allows, spelled out; `None` when that is too much.
fn permissions(rules: &Value) -> Option<BTreeSet<Permission>> {
    let mut all = BTreeSet::new();
    for rule in rules.items() {
        let verbs = rule.get("verbs").texts();
        let mut groups = rule.get("apiGroups").texts();
        let mut resources = rule.get("resources").texts();
        let urls = rule.get("nonResourceURLs").texts();
        if resources.is_empty() && !urls.is_empty() {
            (groups, resources) = (vec!["URL"], urls);
        }
        let mut names = rule.get("resourceNames").texts();
        if names.is_empty() {
            names.push("");
        }
        let many = verbs
            .len()
            .saturating_mul(groups.len())
            .saturating_mul(resources.len())
            .saturating_mul(names.len());
        if all.len().saturating_add(many) > PERMISSIONS_MAX {
            return None;
        }
        for verb in &verbs {
            for group in &groups {
                for resource in &resources {
                    all.extend(names.iter().map(|name| Permission {
                        verb: (*verb).to_owned(),
                        group: (*group).to_owned(),
                        resource: (*resource).to_owned(),
                        name: (*name).to_owned(),
                    }));
                }
            }
        }
    }
    Some(all)
}

/// `get, list on secrets; * on pods/exec`.
fn say(permissions: &[&Permission]) -> String {
    const SHOWN: usize = 4;
    let mut by_resource: Vec<(String, Vec<&str>)> = Vec::new();
    for permission in permissions.iter().take(500) {
        let name = if permission.name.is_empty() {
            String::new()
        } else {
            format!(" {}", word(&permission.name))
        };
        let resource = format!("{}{name}", word(&permission.resource));
        match by_resource.iter_mut().find(|(known, _)| *known == resource) {
            Some((_, verbs)) if verbs.contains(&permission.verb.as_str()) => {}
            Some((_, verbs)) => verbs.push(&permission.verb),
            None => by_resource.push((resource, vec![&permission.verb])),
        }
    }
    // What is most dangerous must not be behind "and more".
    by_resource.sort_by_key(|(resource, verbs)| (!(resource.contains('*') || verbs.contains(&"*")), !resource.starts_with("secrets")));
    let mut shown = by_resource
        .iter()
        .take(SHOWN)
        .map(|(resource, verbs)| match verbs.contains(&"*") {
            true => format!("do anything with {resource}"),
            false => format!("{} on {resource}", list(verbs)),
        })
        .collect::<Vec<_>>()
        .join("; ");
    if by_resource.len() > SHOWN {
        shown.push_str(&format!(" and {} more", by_resource.len() - SHOWN));
    }
    shown
}

/// RoleBinding and ClusterRoleBinding.
pub(super) fn binding(scope: &mut Scope<'_>, object: &mut Pair, everywhere: bool) {
    let role = object.take("roleRef");
    let subjects = object.take("subjects");
    let name = role.new.text_at("name").unwrap_or_default();
    let where_ = if everywhere { " in all namespaces" } else { "" };
    let (was, is) = (who(&subjects.old), who(&subjects.new));
    let added: Vec<&String> = is.difference(&was).collect();
    let removed: Vec<&String> = was.difference(&is).collect();
    let admin = name == "cluster-admin" || name == "admin" && everywhere;
    if role.changed() && !role.old.is_absent() {
        let rule = if admin { &CLUSTER_ADMIN } else { &ROLE_REPLACED };
        scope.say(
            rule,
            format!(
                "role {} → {}{where_}",
                word(role.old.text_at("name").unwrap_or_default()),
                word(name)
            ),
        );
    }
    if !added.is_empty() {
        let rule = if admin { &CLUSTER_ADMIN } else { &RBAC_SUBJECTS };
        let verb = format!("grant {} to {}", word(name), list_plain(&added));
        scope.say_as(
            rule,
            format!(
                "{} {} {}{where_}",
                list_plain(&added),
                if added.len() == 1 { "gets" } else { "get" },
                word(name)
            ),
            verb,
        );
    }
    if !removed.is_empty() {
        scope.say(
            &RESTRICTED,
            format!(
                "{} no longer {} {}",
                list_plain(&removed),
                if removed.len() == 1 { "has" } else { "have" },
                word(name)
            ),
        );
    }
}

fn list_plain(words: &[&String]) -> String {
    const SHOWN: usize = 4;
    let mut shown = words.iter().take(SHOWN).map(|word| word.as_str()).collect::<Vec<_>>().join(", ");
    if words.len() > SHOWN {
        shown.push_str(&format!(" and {} more", words.len() - SHOWN));
    }
    shown
}

/// `ServiceAccount shop/web`.
fn who(subjects: &Value) -> BTreeSet<String> {
    let one = |subject: &Value| {
        let part = |field: &str| subject.text_at(field).map(word);
        let namespace = part("namespace").map(|namespace| format!("{namespace}/")).unwrap_or_default();
        format!(
            "{} {namespace}{}",
            part("kind").unwrap_or_default(),
            part("name").unwrap_or_default()
        )
    };
    subjects.items().iter().map(one).collect()
}
