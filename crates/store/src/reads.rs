//! Every question one can ask, once: [`Reader`] asks it on the read-only pool, [`Tx`] inside the writer's transaction.

use std::collections::BTreeSet;

use domain::code::Generator;
use domain::ledger::{Hold, LedgerKey, Shadow, Target, Trial};
use domain::{
    AgentName, ChangeSet, CommitId, Delivery, Facts, Lock, Order, OrderId, Orders, Proposal, ProposalId, RepositoryName, Revision,
    RunbookName, Sha256Hash, Stop, Timestamp, UserId,
};
use sqlx::SqlitePool;

use crate::model::{
    Agent, AuditRow, Card, Cursor, LedgerRecord, ListFilter, OpenOffer, Ordered, Override, Owed, Post, StandardRun, Standing, StoredAnswer,
    Told,
};
use crate::{
    Decided, Overlap, RefusedCards, RefusedReports, RepositoryPolicy, StoreError, Tx, Unexplained, agents, answers, asked, audit, cards,
    decisions, effects, generators, ledger, overlaps, policies, posts, proposals, reports, sql, stops, unexplained,
};

/// Reads outside of any transaction: each call sees the last commit. Cheap to make.
#[derive(Debug, Clone)]
pub struct Reader {
    pub(crate) pool: SqlitePool,
}

macro_rules! reads {
    ($( $(#[$doc:meta])* $module:ident :: $name:ident ( $($arg:ident : $ty:ty),* ) -> $answer:ty; )*) => {
        impl Reader {
            $( $(#[$doc])*
            pub async fn $name(&self, $($arg: $ty),*) -> Result<$answer, StoreError> {
                let mut connection = self.pool.acquire().await.map_err(sql::failed)?;
                $module::$name(&mut connection, $($arg),*).await
            } )*
        }
        impl Tx {
            $( $(#[$doc])*
            pub async fn $name(&mut self, $($arg: $ty),*) -> Result<$answer, StoreError> {
                let answer = $module::$name(self.connection()?, $($arg),*).await;
                self.noted(answer)
            } )*
        }
    };
}

impl Reader {
    /// A proposal by id.
    pub async fn proposal(&self, id: ProposalId) -> Result<Option<Proposal>, StoreError> {
        let mut connection = self.pool.acquire().await.map_err(sql::failed)?;
        proposals::proposal(&mut connection, id).await
    }
}

reads! {
    /// The full contents of one revision; `None` when there is no such revision or retention removed its contents.
    proposals::contents(id: ProposalId, revision: u32) -> Option<ChangeSet>;
    /// What the checks said of one revision, as JSON; `None` when retention removed it, or when an older version stored the revision.
    proposals::checks(id: ProposalId, revision: u32) -> Option<String>;
    /// All revisions in order, the current one last.
    proposals::revisions(id: ProposalId) -> Vec<Revision>;
    /// A page of proposals, newest first, and where the next page begins. At most 1,000 a page.
    proposals::list(filter: &ListFilter, cursor: Option<Cursor>, limit: u32) -> (Vec<Proposal>, Option<Cursor>);
    /// The pending proposal of this agent with exactly this content and base.
    proposals::pending_by_digest(agent: &AgentName, digest: Sha256Hash, base: CommitId) -> Option<ProposalId>;
    /// The proposal that an agent's report of this commit made.
    proposals::observed(repository: &RepositoryName, commit: CommitId) -> Option<ProposalId>;
    /// The runs whose window is open at `now` and that nobody took back, with their commits: the newest 200.
    ledger::runs_in_window(repository: &RepositoryName, now: Timestamp) -> Vec<(ProposalId, CommitId)>;
    /// The runs that were decided at or after a moment and are on the branch, with their commits, newest first: the newest 200. Also where runs
    /// are no trials.
    ledger::runs_since(repository: &RepositoryName, since: Timestamp) -> Vec<(ProposalId, CommitId)>;
    /// The proposal that this commit delivered, however it came about.
    proposals::by_commit(repository: &RepositoryName, commit: CommitId) -> Option<ProposalId>;
    /// The proposals without an outcome that people mean by this text: a whole id, or its last six digits as cards show them.
    proposals::pending_prefix(text: &str) -> Vec<ProposalId>;
    /// As `pending_prefix`, over all proposals, newest first, at most 20.
    proposals::by_short(text: &str) -> Vec<ProposalId>;
    /// What waits for this branch's owner (`queued` or `committing`), in the order of the decisions.
    proposals::deliverable(repository: &RepositoryName, branch: &str) -> Vec<ProposalId>;
    /// The proposals without an outcome in one of these states, oldest first.
    proposals::in_delivery(states: &[Delivery]) -> Vec<Proposal>;
    /// How many proposals of this agent have no outcome.
    proposals::count_open(agent: &AgentName) -> u64;
    /// Proposals whose push a human must look at.
    proposals::count_blocked() -> u64;
    /// How many proposals this agent has made, and how many of its reports were refused, at or after `since`.
    proposals::count_created_since(agent: &AgentName, since: Timestamp) -> u64;
    /// `count_open`, `count_created_since` and `pending_by_digest` in one question: the intake asks all three for every proposal.
    proposals::standing(agent: &AgentName, since: Timestamp, digest: Sha256Hash, base: CommitId) -> Standing;
    /// The other proposals on their way to the branch that touch a file of this one, oldest first, at most 20.
    overlaps::overlaps(proposal: ProposalId) -> Vec<Overlap>;
    /// This agent's refused reports at or after `since`.
    reports::refused_reports(agent: &AgentName, since: Timestamp) -> RefusedReports;
    /// When the card was asked for that must be an hour old before this agent may ask again; `None` while it has fewer than `limit`.
    asked::asked_by_agent(agent: &AgentName, since: Timestamp, limit: u64) -> Option<Timestamp>;
    /// The same for a chat.
    asked::asked_in_chat(chat: i64, since: Timestamp, limit: u64) -> Option<Timestamp>;
    /// What the card quotas refused this agent in the hour before `now`.
    asked::refused_cards(agent: &AgentName, now: Timestamp) -> RefusedCards;
    /// Commits that nothing explains, the newest first: those found before the one of this row, where one is named.
    unexplained::unexplained(repository: &RepositoryName, before: Option<i64>, limit: u32) -> Vec<Unexplained>;
    /// How many commits of the branch wait for the next look, as of the last one.
    unexplained::unlooked(repository: &RepositoryName) -> u64;
    /// Those found at or before `found_before` whose time to be explained is over and not settled, oldest first, at most 100.
    unexplained::unsettled(repository: &RepositoryName, found_before: Timestamp) -> Vec<Unexplained>;
    /// What this person decided at or after `since`, the newest first.
    decisions::decided(person: UserId, since: Timestamp) -> Vec<Decided>;
    /// How many cards went to this chat at or after `since`.
    cards::card_count_since(chat: i64, since: Timestamp) -> u64;
    /// All cards of a proposal, oldest first.
    cards::cards(proposal: ProposalId) -> Vec<Card>;
    /// The card whose buttons carry this nonce.
    cards::card_by_nonce(nonce: &str) -> Option<Card>;
    /// The newest card that is this message.
    cards::cards_by_message(chat: i64, message: i64) -> Option<Card>;
    /// The cards (`sending` or `shown`) of proposals without an outcome.
    cards::open_cards() -> Vec<Card>;
    /// The answer that this agent got for this key.
    answers::idempotent(agent: &AgentName, key: &str) -> Option<StoredAnswer>;
    /// A value that must outlive restarts, such as the poll offset.
    answers::meta(key: &str) -> Option<String>;
    /// All agents by name.
    agents::agents() -> Vec<Agent>;
    /// An agent by name.
    agents::agent(name: &AgentName) -> Option<Agent>;
    /// The agent whose token has this hash, whatever its expiry: found by a prefix, compared in constant time.
    agents::agent_by_token(hash: Sha256Hash) -> Option<Agent>;
    /// What is owed for a proposal, parked effects included.
    effects::effects_waiting(proposal: ProposalId) -> Vec<Owed>;
    /// The effects that wait for a human, oldest first.
    effects::parked() -> Vec<Owed>;
    /// When a worker has something to do next; may be past. Effects whose like is running count from the end of its lease.
    effects::next_due() -> Option<Timestamp>;
    /// The audit rows about a proposal, in order.
    audit::audit_of(proposal: ProposalId) -> Vec<AuditRow>;
    /// Audit rows after a row number, in order, at most `limit`.
    audit::audit_after(row: u64, limit: u32) -> Vec<AuditRow>;
    /// The trial of a proposal.
    ledger::trial(proposal: ProposalId) -> Option<Trial>;
    /// The trials whose result is not known, by the time at which their window closes.
    ledger::open_trials() -> Vec<Trial>;
    /// The runs of this runbook, whatever its hash, that went out without asking anybody at or after `since`, oldest first.
    ledger::standard_runs(runbook: &RunbookName, repository: &RepositoryName, target: &Target, since: Timestamp) -> Vec<StandardRun>;
    /// The records that runs of this runbook since `since` belong to.
    ledger::ledger_keys(runbook: &RunbookName, repository: &RepositoryName, since: Timestamp) -> Vec<LedgerKey>;
    /// Everything that is known of one record; of its trials those that started at or after `since`.
    ledger::ledger_record(key: &LedgerKey, since: Timestamp) -> LedgerRecord;
    /// The notes that wait for a chat's digest, oldest first; `thread` 0 is none.
    ledger::digest(chat: i64, thread: i64) -> Vec<ProposalId>;
    /// The holds that stand on a runbook in a repository.
    ledger::holds(runbook: &RunbookName, repository: &RepositoryName) -> Vec<Hold>;
    /// Whether this offer of a promotion is open.
    ledger::offer_stands(offer: u64) -> bool;
    /// The open offer of a promotion.
    ledger::open_offer(key: &LedgerKey) -> Option<OpenOffer>;
    /// The stops that stand, oldest first.
    stops::standing_stops() -> Vec<Stop>;
    /// The people who took their own rights away.
    stops::standing_locks() -> Vec<Lock>;
    /// A stop or lock, and when it ended.
    stops::order(order: OrderId) -> Option<(Order, Option<Timestamp>)>;
    /// The message whose buttons carry this nonce, where that is no card.
    posts::post_by_nonce(nonce: &str) -> Option<Post>;
    /// The messages that tell of something, oldest first.
    posts::posts_of(told: Told) -> Vec<Post>;
    /// The digests that tell of a run, oldest first.
    posts::digests_with(run: ProposalId) -> Vec<Post>;
    /// The freezes that a proposal was let pass.
    stops::overrides(proposal: ProposalId) -> Vec<Override>;
    /// Everything that people ordered and that stands.
    stops::ordered() -> Ordered;
    /// What decides about sending one proposal: stops and passed freezes, and whose rights are taken away.
    stops::orders(proposal: ProposalId) -> (Orders, BTreeSet<UserId>);
    /// A person's generator of codes.
    generators::generator(person: UserId) -> Option<Generator>;
    /// All generators of codes.
    generators::generators() -> Vec<Generator>;
    /// What the runbook would have done by itself, over the runs that people decided.
    ledger::shadow(key: &LedgerKey) -> Shadow;
    /// What is known of the policy that a repository carries itself.
    policies::repository_policy(repository: &RepositoryName) -> Option<RepositoryPolicy>;
    /// What the policy looked at in the repository's last decisions, newest first, at most `limit`.
    policies::decided_facts(repository: &RepositoryName, limit: u32) -> Vec<Facts>;
}
