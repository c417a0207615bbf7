//! What the service's own checks say of one revision: the guard rails, what the change does, and the operator's checklist. Computed once,
//! when the revision comes, and kept beside its contents: no card and no document computes it again.

use std::collections::{BTreeMap, BTreeSet};

use changes::Summary;
use changes::guard::{Check, Effect, Finding, Guards, Report};
use changes::summary::{Approval, Fact, Question, answer_again, checklist};
use domain::{ChangeSet, CommitId, Facts, Proposal, Raise, RepoPath, Route, Tier};
use gitworker::Entry;
use serde::{Deserialize, Serialize};
use store::StoreError;

use crate::intake::{facts_of, risk_of, unavailable};
use crate::{Engine, Problem, RepositorySetup};

/// Bytes that are looked at where they are: going to another thread and back costs more. Even a hostile text of this size is soon read.
const INLINE_MAX: usize = 8 * 1024;
/// Findings of one revision that are kept, worst first; nobody reads more.
const FINDINGS_MAX: usize = 100;

/// What the checks say of one revision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checked {
    /// What the guard rails found, worst first.
    pub findings: Vec<Finding>,
    /// Findings that were left out.
    pub more: usize,
    /// How each check went.
    pub checks: Vec<Check>,
    /// What the change does.
    pub summary: Summary,
    /// The operator's checklist.
    pub checklist: Vec<Fact>,
}

/// How the guard rails are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    /// Findings refuse and raise as configured.
    Strict,
    /// Findings are told and hold nothing up: a revert in an emergency, or what an older version accepted.
    Told,
    /// The same for what the service itself offers: that it changes the policy is what is asked.
    Offered,
}

impl Checked {
    /// The findings that refuse the change.
    pub fn refusals(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| finding.effect == Effect::Refuse)
    }

    /// The findings that ask for a stricter tier, in the policy's words: the first of each rule.
    pub(crate) fn raises(&self) -> Vec<Raise> {
        let mut seen = BTreeSet::new();
        let raise = |finding: &Finding| match finding.effect {
            Effect::Raise(tier) if tier < Tier::Standard && seen.insert(finding.rule.clone()) => Some(Raise {
                rule: finding.rule.clone(),
                why: finding.message.clone(),
                tier,
            }),
            Effect::Raise(_) | Effect::Refuse | Effect::Remark => None,
        };
        self.findings.iter().filter_map(raise).collect()
    }

    /// Answers again what depends on the route.
    pub(crate) fn routed(&mut self, branch: &str, route: &Route) {
        answer_again(&mut self.checklist, &question(branch, route.tier, &route.needs()));
    }

    /// As it is stored.
    pub(crate) fn json(&self) -> Option<String> {
        serde_json::to_string(self)
            .inspect_err(|error| tracing::error!(%error, "what the checks said cannot be written down; it is computed again when needed"))
            .ok()
    }

    /// As it was stored; `None` for what another version wrote and this one cannot read.
    pub(crate) fn read(json: &str) -> Option<Self> {
        serde_json::from_str(json)
            .inspect_err(|error| tracing::warn!(%error, "what the checks said cannot be read; it is computed again"))
            .ok()
    }
}

/// What depends on the route alone.
const fn question<'a>(branch: &'a str, tier: Tier, approvers: &'a str) -> Question<'a> {
    Question {
        branch,
        approval: Approval { tier, approvers },
        secrets_found: None,
        argocd: false,
    }
}

impl Engine {
    /// Looks at a change against its base: what the policy must know of it, and what people and agents are told.
    ///
    /// # Errors
    /// 503 while the old contents cannot be read: nothing is judged half.
    pub(crate) async fn look(
        &self,
        setup: &RepositorySetup,
        base: CommitId,
        change: &ChangeSet,
        manner: Manner,
    ) -> Result<(Facts, Checked), Problem> {
        let old = old_contents(setup, base, change).await?;
        let mut facts = facts_of(change, &old);
        let applications = self.touched_names(setup, change);
        let book = self.book();
        let guards = book.guards().clone();
        let policy = book.policy.for_repository(&setup.name);
        let place = Place {
            branch: setup.branch().to_owned(),
            argocd: self.instance_of(setup).is_some(),
            reserved: change
                .paths()
                .filter(|path| manner != Manner::Offered && policy.is_reserved(path))
                .cloned()
                .collect(),
        };
        let checked = if size_of_all(change, &old) <= INLINE_MAX {
            let here = || check(&guards, &place, change, &old, applications.as_deref(), manner);
            // Unwind safety: nothing that is left half done is looked at again.
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(here)).map_err(|_| "it panicked".to_owned())
        } else {
            let work = change.clone();
            // Reading has a budget, but a large change is more than a moment's work.
            let aside = tokio::task::spawn_blocking(move || check(&guards, &place, &work, &old, applications.as_deref(), manner));
            aside.await.map_err(|error| error.to_string())
        };
        let checked = checked.map_err(|error| {
            tracing::error!(%error, repository = %setup.name, "a change could not be checked");
            Problem::internal("check this change")
        })?;
        facts.risk = Some(risk_of(&checked.summary));
        facts.kinds = checked.summary.objects.iter().map(|object| object.kind.clone()).collect();
        facts.raised = checked.raises();
        Ok((facts, checked))
    }

    /// What the checks said of a proposal's current revision. `None` after retention, and for a revision of an older version while its base
    /// cannot be read.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn checked(&self, proposal: &Proposal) -> Result<Option<Checked>, StoreError> {
        let (id, number) = (proposal.id, proposal.revision.number);
        let stored = self.store().read().checks(id, number).await?;
        let mut checked = match stored.as_deref().and_then(Checked::read) {
            Some(checked) => checked,
            None => match self.check_late(proposal).await? {
                Some(checked) => checked,
                None => return Ok(None),
            },
        };
        checked.routed(&proposal.branch, &proposal.revision.route);
        Ok(Some(checked))
    }

    /// An older version stored the revision: it is looked at now, once.
    async fn check_late(&self, proposal: &Proposal) -> Result<Option<Checked>, StoreError> {
        let (id, number) = (proposal.id, proposal.revision.number);
        let Some(setup) = self.repository(&proposal.repository) else {
            return Ok(None);
        };
        let Some(contents) = self.store().read().contents(id, number).await? else {
            return Ok(None);
        };
        let Ok((_, checked)) = self.look(setup, proposal.revision.base, &contents, Manner::Told).await else {
            return Ok(None);
        };
        if let Some(json) = checked.json() {
            self.store()
                .write(move |tx| Box::pin(async move { tx.put_checks(id, number, &json).await }))
                .await?;
        }
        Ok(Some(checked))
    }

    /// The applications that a change touches; `None` when Argo CD cannot tell, or none is configured.
    fn touched_names(&self, setup: &RepositorySetup, change: &ChangeSet) -> Option<Vec<String>> {
        let instance = self.instance_of(setup)?;
        let state = instance.watch.snapshot();
        state.reachable.then(|| {
            crate::workers::touched(setup, &state, change.paths())
                .into_iter()
                .map(|app| app.name)
                .collect()
        })
    }
}

/// Bytes of a change, old and new.
fn size_of_all(change: &ChangeSet, old: &BTreeMap<RepoPath, Vec<u8>>) -> usize {
    let new = change.iter().filter_map(|(_, file)| Some(file.new.as_ref()?.bytes.len()));
    new.chain(old.values().map(Vec::len)).sum()
}

/// The old contents of the files that a change modifies or deletes.
async fn old_contents(setup: &RepositorySetup, base: CommitId, change: &ChangeSet) -> Result<BTreeMap<RepoPath, Vec<u8>>, Problem> {
    let changed = change.iter().filter(|(_, file)| file.old.is_some());
    let paths: Vec<_> = changed.map(|(path, _)| path.clone()).collect();
    let entries = setup.git.read(base, &paths).await.map_err(|error| unavailable(setup, &error))?;
    let file = |(path, entry)| match entry {
        Entry::File { bytes, .. } => Some((path, bytes)),
        Entry::Absent | Entry::Other { .. } => None,
    };
    Ok(entries.into_iter().filter_map(file).collect())
}

/// Where a change is to land.
struct Place {
    branch: String,
    /// Whether Argo CD follows the repository.
    argocd: bool,
    /// Paths of the change that decide about agents.
    reserved: BTreeSet<RepoPath>,
}

fn check(
    guards: &Guards,
    place: &Place,
    change: &ChangeSet,
    old: &BTreeMap<RepoPath, Vec<u8>>,
    applications: Option<&[String]>,
    manner: Manner,
) -> Checked {
    let report = guards.inspect(change, old);
    let report = match manner {
        Manner::Strict => report,
        Manner::Told | Manner::Offered => report.told_only(),
    };
    // Tier and approvers are not known yet: they are answered once the route is.
    let question = Question {
        secrets_found: Some(report.secrets()),
        argocd: place.argocd,
        ..question(&place.branch, Tier::Manual, "")
    };
    let checklist = checklist(change, old, &question);
    let Report { mut findings, checks } = report;
    let more = findings.len().saturating_sub(FINDINGS_MAX);
    findings.truncate(FINDINGS_MAX);
    Checked {
        findings,
        more,
        checks,
        summary: changes::summarize_with(change, old, applications, |path| place.reserved.contains(path)),
        checklist,
    }
}
