//! Where every runbook stands, for lists: per repository and kind of target one record.

use std::collections::BTreeSet;

use changes::Runbook;
use domain::ledger::{Environment, LedgerKey, Shadow, Square, Standing, squares};
use domain::{Origin, Proposal, RepositoryName, RunbookName, Tier};
use store::StoreError;

use super::{key_of, since, standing};
use crate::Engine;

/// One runbook in one environment.
#[derive(Debug, Clone)]
pub struct RunbookStanding {
    /// Whose record it is.
    pub key: LedgerKey,
    /// What follows from it now.
    pub standing: Standing,
    /// What it would have done by itself while it asked.
    pub shadow: Shadow,
    /// The counted runs, oldest first.
    pub squares: Vec<Square>,
}

impl RunbookStanding {
    /// "standard until 2027-01-01 · 19 of 20, at least 79 %": the tier, why, and the record.
    pub fn words(&self) -> String {
        format!("{} · {}", self.standing.why, self.standing.words)
    }

    /// Whether a human must do something before it may run as it could.
    pub fn needs_a_human(&self) -> bool {
        !self.standing.holds.is_empty() || self.standing.tier == Tier::Manual
    }
}

impl Engine {
    /// Every record of a runbook that is in force; where it never ran and nobody grants it anything, one empty record per repository.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn standings(&self, name: &RunbookName) -> Result<Vec<RunbookStanding>, StoreError> {
        let (book, now) = (self.book(), self.now());
        let mut keys = BTreeSet::new();
        for setup in self.repositories() {
            if let Some(runbook) = book.runbook(&setup.name, name) {
                keys.extend(self.records_of(runbook, &setup.name).await?);
            }
        }
        let mut found = Vec::new();
        for key in keys {
            let read = self.store().read();
            let record = read.ledger_record(&key, since(now)).await?;
            let Some(standing) = standing(&book, &key, &record, now) else {
                continue;
            };
            let constants = domain::ledger::TrustConstants::default();
            found.push(RunbookStanding {
                shadow: read.shadow(&key).await?,
                squares: squares(&record.trials, now, &constants),
                standing,
                key,
            });
        }
        Ok(found)
    }

    /// What the runbook of a run that asks people would have done by itself so far; `None` for other changes.
    pub(crate) async fn shadow_words(&self, proposal: &Proposal) -> Result<Option<String>, StoreError> {
        let Origin::Runbook(call) = &proposal.origin else { return Ok(None) };
        if proposal.tier() != Tier::Prompted {
            return Ok(None);
        }
        let key = key_of(&self.book(), &proposal.repository, call, &proposal.revision.facts.paths);
        Ok(self.store().read().shadow(&key).await?.words())
    }

    async fn records_of(&self, runbook: &Runbook, repository: &RepositoryName) -> Result<BTreeSet<LedgerKey>, StoreError> {
        let (book, now) = (self.book(), self.now());
        let ours = |key: &LedgerKey| key.hash == runbook.content_hash() && key.environment.repository == *repository;
        let granted = self.granted(&book).into_iter().map(|(key, _)| key);
        let mut keys: BTreeSet<LedgerKey> = granted.filter(|key| key.runbook == *runbook.name() && ours(key)).collect();
        let tried = self.store().read().ledger_keys(runbook.name(), repository, since(now)).await?;
        keys.extend(tried.into_iter().filter(ours));
        if keys.is_empty() {
            keys.insert(LedgerKey {
                runbook: runbook.name().clone(),
                hash: runbook.content_hash(),
                environment: self.usual(runbook, repository),
            });
        }
        Ok(keys)
    }

    /// The environment of the first rule that names a runbook; the default one where none does.
    fn usual(&self, runbook: &Runbook, repository: &RepositoryName) -> Environment {
        let policy = self.book().policy.clone();
        let named = policy
            .for_repository(repository)
            .rules()
            .iter()
            .find(|rule| rule.runbooks.contains(runbook.name()) && rule.repository.as_ref().is_none_or(|only| only == repository));
        let mut environment = policy.environment(repository, []);
        if let Some(class) = named.and_then(|rule| rule.class.clone()) {
            environment.class = class;
        }
        environment
    }
}
