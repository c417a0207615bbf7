//! The display facts of one card: what the caller looked up, in the words people read. Rendering is in [`crate::render()`].

use domain::{
    AgentName, ChangeKind, CommitId, Decision, Delivery, Landed, Outcome, ProposalId, RepoPath, RepositoryName, Risk, Sha256Hash, Tier,
    Timestamp,
};

use crate::Action;

/// Which shape a card has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CardKind {
    /// Prompted: humans decide with buttons.
    Approval,
    /// Manual: a note without Approve; a human commits.
    ManualNote,
    /// Standard: told after the fact.
    StandardNote,
    /// An agent pushed by itself and reported the commit; it was verified.
    ObservedNote,
}

/// Everything a card shows. Build it with [`Card::new`] and set what is known; empty fields leave no trace on the card.
///
/// `title`, `reason`, `diff` and application headlines come from outside and are treated as hostile. The rest is machine-made,
/// and is escaped all the same.
#[derive(Debug, Clone, PartialEq)]
pub struct Card {
    /// The shape.
    pub kind: CardKind,
    /// The proposal; none only where a card is made up without one.
    pub id: Option<ProposalId>,
    /// Its tier.
    pub tier: Tier,
    /// The rule that decided, such as `kubernetes/applications/**`.
    pub rule: String,
    /// Why this tier, in one sentence.
    pub why: String,
    /// The agent's title; what the change that is taken back was called, where a person asked.
    pub title: String,
    /// The agent's reason: a claim.
    pub reason: String,
    /// The agent it belongs to: who asks, unless a person does.
    pub agent: AgentName,
    /// The person who asks for a revert.
    pub requested_by: Option<String>,
    /// Where.
    pub repository: RepositoryName,
    /// On which branch.
    pub branch: String,
    /// The commit the change was resolved against.
    pub base: Option<CommitId>,
    /// The runbook that rendered it, with its parameters, such as `restart-app (app=ollama)`.
    pub runbook: Option<String>,
    /// What the runbook would have done by itself, and how often people agreed.
    pub shadow: Option<String>,
    /// Every touched path, in the order of the change set.
    pub files: Vec<FileLine>,
    /// What the change does, as the service reads it.
    pub explained: Option<Explained>,
    /// How each check went, in order.
    pub checks: Vec<CheckLine>,
    /// What the checks found, worst first.
    pub remarks: Vec<String>,
    /// The operator's checklist in words, for the folded facts.
    pub checklist: Vec<String>,
    /// The whole unified diff as text.
    pub diff: String,
    /// Manual: the change as `git apply` takes it, where that is not the diff: contents that are no text stand whole in it.
    pub patch: Option<String>,
    /// The digest of what is shown.
    pub digest: Option<Sha256Hash>,
    /// The revision, from 1.
    pub revision: u32,
    /// Who made this revision and how, where it was not the agent, such as `merged by countersign`.
    pub revised: Option<String>,
    /// The policy's hash, short.
    pub policy: String,
    /// Who must approve.
    pub requirements: Vec<Requirement>,
    /// Other proposals on their way that touch a file of this one: the short id and the agent of each.
    pub overlaps: Vec<(String, AgentName)>,
    /// What was decided.
    pub decision: Decision,
    /// How far it is.
    pub delivery: Delivery,
    /// Its end.
    pub outcome: Option<Outcome>,
    /// How a manual change arrived.
    pub landed: Option<Landed>,
    /// Why it waits, is blocked, conflicted, refused or failed.
    pub note: Option<String>,
    /// Who ended or completed the decision.
    pub decided: Option<Decided>,
    /// When it was proposed.
    pub created_at: Timestamp,
    /// When a pending proposal expires.
    pub expires_at: Option<Timestamp>,
    /// Until when an approved change is held back so that Cancel still works; none once that time is over.
    pub hold_until: Option<Timestamp>,
    /// The commit that carries it.
    pub commit: Option<CommitLine>,
    /// The pull request of a manual change.
    pub pull_request_url: Option<String>,
    /// The applications it touches.
    pub applications: Vec<ApplicationLine>,
    /// Why no application is followed (no Argo CD configured, nothing tracks these files).
    pub untracked: Option<String>,
    /// Manual: the exact commands.
    pub commands: Vec<String>,
    /// The proposal that reverted this one.
    pub reverted_by: Option<ProposalId>,
    /// The commit that somebody made with git and that reverts this one, or says so.
    pub by_hand: Option<domain::ByHand>,
    /// The proposal this one reverts.
    pub revert_of: Option<ProposalId>,
    /// This card shows an old revision.
    pub superseded: Option<Superseded>,
    /// When a degraded or failed end healed later.
    pub recovered_at: Option<Timestamp>,
    /// Reject reasons to choose from, while the window for a reason is open.
    pub chips: Vec<String>,
    /// The second step is open: the keyboard asks again.
    pub confirm: Option<ConfirmStep>,
    /// Whose approvals wait for a code.
    pub codes: Option<CodeStep>,
    /// The buttons the caller allows now. Order and rows are the card's.
    pub buttons: Vec<Action>,
}

/// What a change does, in the service's words. All texts may hold foreign names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explained {
    /// In a few words, such as `scale web to 5`; empty when there is nothing better than the paths.
    pub verb: String,
    /// How bad the worst line is.
    pub risk: Risk,
    /// Worst first, each with its own risk.
    pub lines: Vec<(Risk, String)>,
    /// Lines left out before.
    pub more: usize,
    /// Which namespaces and applications it reaches, in words.
    pub reach: String,
}

/// One check and its mark.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckLine {
    /// Its short name, such as `secrets`.
    pub name: String,
    /// How it went.
    pub mark: CheckMark,
}

impl CheckLine {
    /// A check by its short name.
    pub fn new(name: &str, mark: CheckMark) -> Self {
        Self {
            name: name.to_owned(),
            mark,
        }
    }
}

/// How a check went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckMark {
    /// Nothing to hold against it.
    Good,
    /// It found something.
    Bad,
    /// Nobody can tell.
    Unknown,
}

/// One touched path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileLine {
    /// The path.
    pub path: RepoPath,
    /// What happens to it.
    pub kind: ChangeKind,
    /// Lines added.
    pub added: u32,
    /// Lines removed.
    pub removed: u32,
    /// Some(true): becomes executable, Some(false): stops being executable, None: unchanged.
    pub exec: Option<bool>,
    /// Binary content: shown by size and hash instead of lines.
    pub binary: Option<Binary>,
}

/// Content that is not text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Binary {
    /// In bytes.
    pub size: u64,
    /// Of the new content.
    pub sha256: Sha256Hash,
}

/// One group whose approvals are needed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requirement {
    /// The group's name.
    pub group: String,
    /// How many of them.
    pub quorum: u32,
    /// Who approved, and when.
    pub have: Vec<(String, Timestamp)>,
    /// Display names of those who may still approve.
    pub eligible: Vec<String>,
}

/// Who ended the decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decided {
    /// Display name of a person, or an agent's name.
    pub who: String,
    /// When.
    pub at: Timestamp,
    /// The person's reason, where one was given.
    pub reason: Option<String>,
}

/// The commit that carries a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitLine {
    /// Its id.
    pub id: CommitId,
    /// Its page on the host, when the host has pages.
    pub url: Option<String>,
    /// Manual and observed: who committed.
    pub author: Option<String>,
}

/// How an application stands, for its mark on the card.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Nothing to say yet.
    Waiting,
    /// Argo CD is at it.
    Working,
    /// Synced and healthy at this commit.
    Good,
    /// Unhealthy, failed, rolled back.
    Bad,
    /// Argo CD did not answer, or gave no final answer.
    Unknown,
}

/// One touched application.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApplicationLine {
    /// Its name.
    pub name: String,
    /// How it stands in a few words, such as `Synced · Healthy`.
    pub headline: String,
    /// Its mark.
    pub state: Progress,
}

/// A newer revision took this card's place. Which one is not said: further ones may follow that no edit of this card tells.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Superseded {
    /// A link to the next card of this chat, where there is one.
    pub url: Option<String>,
}

/// The second step before something grave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfirmStep {
    /// What is being confirmed.
    pub action: Action,
    /// The worst line, such as `deletes apps/db/pvc.yaml`. Repeated together with the digest.
    pub worst: String,
    /// Who opened a step of their own and did not finish it.
    pub who: Vec<String>,
    /// When the last of these steps closes by itself.
    pub until: Timestamp,
}

/// A stop or a lock, as the message that tells of it shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderPost {
    /// Who ordered what, and why in their words.
    pub what: String,
    /// What follows from it, in a sentence.
    pub means: String,
    /// What the button does: [`Action::Resume`] or [`Action::Unlock`].
    pub ends: Action,
    /// What people can write instead.
    pub command: String,
    /// How it ends where fewer than two people in the chats may ask for it.
    pub helped: Option<String>,
    /// Who wants it to end, of those whose wish counts.
    pub wished: Vec<String>,
    /// Since when it is over.
    pub over: Option<Timestamp>,
}

/// Approvals that were tapped and wait for a code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CodeStep {
    /// Whose.
    pub who: Vec<String>,
    /// When the last of them is forgotten.
    pub until: Timestamp,
}

impl Card {
    /// A card with nothing but its identity; everything else is empty, pending and undelivered.
    pub fn new(
        kind: CardKind,
        id: Option<ProposalId>,
        tier: Tier,
        agent: AgentName,
        repository: RepositoryName,
        created_at: Timestamp,
    ) -> Self {
        Self {
            kind,
            id,
            tier,
            rule: String::new(),
            why: String::new(),
            title: String::new(),
            reason: String::new(),
            agent,
            requested_by: None,
            repository,
            branch: String::new(),
            base: None,
            runbook: None,
            shadow: None,
            files: Vec::new(),
            explained: None,
            checks: Vec::new(),
            remarks: Vec::new(),
            checklist: Vec::new(),
            diff: String::new(),
            patch: None,
            digest: None,
            revision: 1,
            revised: None,
            policy: String::new(),
            requirements: Vec::new(),
            overlaps: Vec::new(),
            decision: Decision::Pending,
            delivery: Delivery::None,
            outcome: None,
            landed: None,
            note: None,
            decided: None,
            created_at,
            expires_at: None,
            hold_until: None,
            commit: None,
            pull_request_url: None,
            applications: Vec::new(),
            untracked: None,
            commands: Vec::new(),
            reverted_by: None,
            by_hand: None,
            revert_of: None,
            superseded: None,
            recovered_at: None,
            chips: Vec::new(),
            confirm: None,
            codes: None,
            buttons: Vec::new(),
        }
    }
}

/// One message, ready to be sent.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rendered {
    /// The text as Telegram HTML; at most 4,096 UTF-16 units after parsing.
    pub html: String,
    /// The same words without markup, for the day Telegram does not accept our HTML.
    pub plain: String,
    /// Rows of buttons below the text.
    pub keyboard: Vec<Vec<Button>>,
    /// Sent as a reply to the text when the message is new; edits never touch it.
    pub document: Option<Document>,
    /// Whether the text shows the whole diff and every path. Where not, approving takes a second step.
    pub complete: bool,
}

/// One button.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Button {
    /// Its label.
    pub label: String,
    /// What it does.
    pub press: Press,
    /// Its colour in apps that know colours.
    pub style: Style,
}

/// What a button does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Press {
    /// Sends this data to us: see [`crate::decode`].
    Data(String),
    /// Opens an address.
    Url(String),
    /// Copies a text of at most 256 characters.
    Copy(String),
}

/// A button's colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Style {
    /// The app's own.
    #[default]
    Plain,
    /// Green.
    Success,
    /// Red.
    Danger,
}

/// A file to send.
#[derive(Clone, PartialEq, Eq)]
pub struct Document {
    /// Its name, such as `7K2M01.diff`.
    pub file_name: String,
    /// Its content.
    pub bytes: Vec<u8>,
    /// A short caption without markup, at most 1,024 UTF-16 units.
    pub caption: String,
    /// A picture (PNG) that the app shows at once, instead of a file.
    pub picture: bool,
}

impl std::fmt::Debug for Document {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Document({:?}, {} bytes)", self.file_name, self.bytes.len())
    }
}
