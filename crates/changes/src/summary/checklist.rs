//! The checklist that an operator goes through before any change to infrastructure, answered as facts: is it defined in code, does it go
//! through git, does the right tool apply it, does nothing go around git, is no secret in it, who approves.

use std::collections::{BTreeMap, BTreeSet};

use domain::{ChangeSet, RepoPath, Tier, is_text};
use serde::{Deserialize, Serialize};

use super::words::{list, word};

/// Whether a fact holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Holds {
    /// It does.
    Yes,
    /// It does not: somebody should look before anything else.
    No,
    /// Nobody can tell from the change.
    Unknown,
}

/// One answered question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fact {
    /// Stable: `in_code`, `in_git`, `right_tool`, `no_way_around`, `no_secret`, `approval`.
    pub name: String,
    /// The answer.
    pub holds: Holds,
    /// The answer in words, with what it rests on. May hold foreign words, cleaned; escape it for where it is shown.
    pub words: String,
}

/// Who says yes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Approval<'a> {
    /// How far the change goes by itself.
    pub tier: Tier,
    /// Who is asked, in words, such as `2 of operators`; empty when nobody is.
    pub approvers: &'a str,
}

/// What the change alone does not tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Question<'a> {
    /// The branch that the change goes to.
    pub branch: &'a str,
    /// Who says yes.
    pub approval: Approval<'a>,
    /// How many secrets a search of the contents found; `None` when nobody searched.
    pub secrets_found: Option<usize>,
    /// Whether an Argo CD is configured for the repository: elsewhere nobody knows what applies its manifests.
    pub argocd: bool,
}

/// Answers the checklist. `old` holds the old contents of changed files, as for [`summarize`](super::summarize).
pub fn checklist(changes: &ChangeSet, old: &BTreeMap<RepoPath, Vec<u8>>, question: &Question<'_>) -> Vec<Fact> {
    vec![
        in_code(changes),
        in_git(question),
        right_tool(changes, question.argocd),
        no_way_around(changes, old),
        no_secret(question.secrets_found),
        approval(question.approval),
    ]
}

/// Answers again what depends on the route, which may have become stricter since the rest was answered.
pub fn answer_again(facts: &mut [Fact], question: &Question<'_>) {
    for fact in facts {
        match fact.name.as_str() {
            "in_git" => *fact = in_git(question),
            "approval" => *fact = approval(question.approval),
            _ => {}
        }
    }
}

fn fact(name: &str, holds: Holds, words: impl Into<String>) -> Fact {
    Fact {
        name: name.to_owned(),
        holds,
        words: words.into(),
    }
}

/// What applies a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Tool {
    ArgoCd,
    Terraform,
    /// Machine configuration that Terraform renders and `talosctl` applies.
    Talos,
    /// Nothing: text for people.
    Nobody,
}

impl Tool {
    const fn words(self, argocd: bool) -> &'static str {
        match self {
            Self::ArgoCd if argocd => "Argo CD",
            Self::ArgoCd => "whatever applies manifests",
            Self::Terraform => "Terraform",
            Self::Talos => "Terraform and talosctl",
            Self::Nobody => "nothing",
        }
    }

    /// By place and name; `None` for a file that none of them applies.
    fn of(path: &RepoPath) -> Option<Self> {
        let name = path.file_name();
        let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
        let below = |dirs: &[&str]| path.parts().rev().skip(1).any(|part| dirs.contains(&part));
        match extension {
            "md" | "adoc" | "rst" => Some(Self::Nobody),
            "tf" | "tfvars" | "tofu" | "hcl" if name.contains("talos") => Some(Self::Talos),
            "tf" | "tfvars" | "tofu" | "hcl" => Some(Self::Terraform),
            "yaml" | "yml" | "json" | "tpl" if below(&["talos"]) => Some(Self::Talos),
            "yaml" | "yml" | "json" | "tpl" if below(&["kubernetes", "k8s", "manifests", "apps", "charts", "clusters"]) => {
                Some(Self::ArgoCd)
            }
            _ if below(&["terraform"]) => Some(Self::Terraform),
            _ => None,
        }
    }
}

fn in_code(changes: &ChangeSet) -> Fact {
    let opaque: Vec<&str> = changes
        .iter()
        .filter(|(_, change)| change.new.as_ref().is_some_and(|new| !is_text(&new.bytes)))
        .map(|(path, _)| path.file_name())
        .collect();
    let loose: Vec<&str> = changes
        .paths()
        .filter(|path| Tool::of(path).is_none())
        .map(RepoPath::file_name)
        .collect();
    let for_people = changes.paths().all(|path| Tool::of(path) == Some(Tool::Nobody));
    match (opaque.is_empty(), loose.is_empty()) {
        (true, true) if for_people => fact("in_code", Holds::Yes, "only text for people"),
        (false, _) => fact("in_code", Holds::No, format!("not text: {}", list(opaque))),
        (true, false) => fact("in_code", Holds::Unknown, format!("nothing is known to apply {}", list(loose))),
        (true, true) => fact("in_code", Holds::Yes, "defined in code: manifests, values or Terraform"),
    }
}

fn in_git(question: &Question<'_>) -> Fact {
    let branch = word(question.branch);
    match question.approval.tier {
        Tier::Manual => fact(
            "in_git",
            Holds::Unknown,
            format!("a human commits it to {branch}; the service watches it land"),
        ),
        Tier::Prompted => fact("in_git", Holds::Yes, format!("committed and pushed to {branch} after approval")),
        Tier::Standard => fact("in_git", Holds::Yes, format!("committed and pushed to {branch} at once")),
    }
}

fn right_tool(changes: &ChangeSet, argocd: bool) -> Fact {
    let tools: BTreeSet<Tool> = changes.paths().filter_map(Tool::of).filter(|tool| *tool != Tool::Nobody).collect();
    let unknown = changes.paths().any(|path| Tool::of(path).is_none());
    let misplaced = changes.paths().find(|path| {
        let in_kubernetes = path.parts().any(|part| part == "kubernetes");
        in_kubernetes && matches!(Tool::of(path), Some(Tool::Terraform | Tool::Talos))
    });
    if let Some(path) = misplaced {
        let place = match argocd {
            true => "where Argo CD looks, and is not for it",
            false => "among manifests, and is none",
        };
        return fact("right_tool", Holds::No, format!("{} lies {place}", word(path.as_str())));
    }
    let names: Vec<&str> = tools.iter().map(|tool| tool.words(argocd)).collect();
    match (names.as_slice(), unknown) {
        ([], false) => fact("right_tool", Holds::Yes, "only text for people"),
        ([], true) => fact("right_tool", Holds::Unknown, "no tool is known for these paths"),
        ([_], unknown) if !argocd && tools.contains(&Tool::ArgoCd) => {
            let others = if unknown { "; for some paths no tool is known" } else { "" };
            let words = format!("manifests, and no Argo CD is configured here: what applies them is not known{others}");
            fact("right_tool", Holds::Unknown, words)
        }
        ([tool], false) => fact("right_tool", Holds::Yes, format!("applied by {tool}")),
        ([tool], true) => fact(
            "right_tool",
            Holds::Unknown,
            format!("applied by {tool}; for some paths no tool is known"),
        ),
        (several, _) => fact(
            "right_tool",
            Holds::No,
            format!("needs {}: better one change per tool", several.join(" and ")),
        ),
    }
}

/// Commands that change infrastructure without git.
const AROUND: [&str; 13] = [
    "kubectl apply",
    "kubectl create",
    "kubectl edit",
    "kubectl patch",
    "kubectl delete",
    "kubectl replace",
    "kubectl scale",
    "kubectl set",
    "talosctl patch",
    "talosctl apply-config",
    "terraform apply",
    "terraform destroy",
    "helm upgrade",
];

fn no_way_around(changes: &ChangeSet, old: &BTreeMap<RepoPath, Vec<u8>>) -> Fact {
    let commands = |bytes: &[u8]| -> BTreeSet<&str> {
        let text = String::from_utf8_lossy(bytes);
        AROUND.into_iter().filter(|command| text.contains(command)).collect()
    };
    for (path, change) in changes.iter() {
        let (Some(new), true) = (&change.new, Tool::of(path) != Some(Tool::Nobody)) else {
            continue;
        };
        let before = old.get(path).map(|bytes| commands(bytes)).unwrap_or_default();
        if let Some(command) = commands(&new.bytes).difference(&before).next() {
            return fact("no_way_around", Holds::No, format!("{} now says `{command}`", word(path.as_str())));
        }
    }
    fact(
        "no_way_around",
        Holds::Yes,
        "no command that changes the cluster or machines without git",
    )
}

fn no_secret(found: Option<usize>) -> Fact {
    match found {
        Some(0) => fact("no_secret", Holds::Yes, "no secret found in the contents"),
        Some(many) => fact(
            "no_secret",
            Holds::No,
            format!(
                "{} in the contents; secrets belong in Infisical",
                super::words::count(many, "secret")
            ),
        ),
        None => fact("no_secret", Holds::Unknown, "the contents were not searched for secrets"),
    }
}

fn approval(approval: Approval<'_>) -> Fact {
    let who = super::words::clean(approval.approvers, 120);
    match (approval.tier, who.is_empty()) {
        (Tier::Manual, true) => fact("approval", Holds::Yes, "whoever commits it"),
        (Tier::Manual, false) => fact("approval", Holds::Yes, format!("whoever commits it: {who}")),
        (Tier::Prompted, true) => fact("approval", Holds::No, "nobody is asked"),
        (Tier::Prompted, false) => fact("approval", Holds::Yes, format!("needs {who}")),
        (Tier::Standard, _) => fact("approval", Holds::Yes, "a proven runbook: people are told afterwards"),
    }
}
