//! Stops: while one covers a change, nothing of it is sent to the remote. Approvals are kept. Resuming needs two people.
//! Locks: somebody takes their own rights away at once. Giving them back needs two others.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{AgentName, InvalidId, Origin, PathGlob, PersonRef, Proposal, RepoPath, RunbookName, Tier, Timestamp, UserId};

/// How many people must ask for it before a stop ends.
pub const RESUME_PEOPLE: usize = 2;
/// Seconds for which a wish to resume counts: two people who mean the same moment, not one of today and one of last week.
pub const RESUME_SECONDS: i64 = 3600;

/// What a stop is about.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "of", rename_all = "snake_case")]
pub enum Scope {
    /// Everything.
    All,
    /// What one agent asked for.
    Agent(AgentName),
    /// Changes of some paths.
    Path(PathGlob),
    /// Runs of one runbook.
    Runbook(RunbookName),
    /// Changes of one tier.
    Tier(Tier),
}

/// Somebody said stop.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stop {
    /// Its number, given by the store.
    pub id: u64,
    /// What it is about.
    pub scope: Scope,
    /// Who said it.
    pub by: PersonRef,
    /// When.
    pub at: Timestamp,
    /// Why, in their words; may be empty.
    pub reason: String,
    /// Who wants it to end, in order.
    #[serde(default)]
    pub votes: Vec<ResumeVote>,
}

/// Somebody wants a stop to end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResumeVote {
    /// Who.
    pub by: PersonRef,
    /// When.
    pub at: Timestamp,
}

/// What became of a wish to resume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resumption {
    /// The stop ends.
    Over,
    /// So many more people must ask for it.
    Missing(usize),
}

/// What a stop looks at in a change.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// The agent it belongs to.
    pub agent: &'a AgentName,
    /// All touched paths.
    pub paths: &'a [RepoPath],
    /// The runbook that rendered it.
    pub runbook: Option<&'a RunbookName>,
    /// The tier in force.
    pub tier: Tier,
}

impl<'a> From<&'a Proposal> for Subject<'a> {
    fn from(proposal: &'a Proposal) -> Self {
        let called = match &proposal.origin {
            Origin::Runbook(call) | Origin::Observed(call) => Some(&call.runbook),
            Origin::Change | Origin::Revert { .. } => None,
        };
        Self {
            agent: &proposal.agent,
            paths: &proposal.revision.facts.paths,
            runbook: called.or(proposal.revision.facts.runbook.as_ref()),
            tier: proposal.tier(),
        }
    }
}

impl Stop {
    /// Whether it holds a change back.
    pub fn covers(&self, subject: &Subject<'_>) -> bool {
        match &self.scope {
            Scope::All => true,
            Scope::Agent(agent) => agent == subject.agent,
            Scope::Path(glob) => subject.paths.iter().any(|path| glob.matches(path)),
            Scope::Runbook(runbook) => subject.runbook == Some(runbook),
            Scope::Tier(tier) => *tier == subject.tier,
        }
    }

    /// Counts the wishes to resume, with a new one. `may` says who is entitled to one now: whoever lost that right meanwhile no longer counts,
    /// nor does a wish that is older than [`RESUME_SECONDS`], or that a clock which was turned back has put into the future.
    pub fn resume(&mut self, vote: ResumeVote, may: impl Fn(UserId) -> bool) -> Resumption {
        counted(&mut self.votes, vote, may)
    }

    /// One sentence for cards and agents.
    pub fn why(&self) -> String {
        let reason = if self.reason.trim().is_empty() {
            String::new()
        } else {
            format!(": {}", self.reason.trim())
        };
        format!("{} stopped {}{reason}", self.by.name, self.scope)
    }
}

/// Counts fresh wishes of people who are entitled to one, each person once.
fn counted(votes: &mut Vec<ResumeVote>, vote: ResumeVote, may: impl Fn(UserId) -> bool) -> Resumption {
    let now = vote.at;
    votes.retain(|known| known.by.id != vote.by.id);
    votes.push(vote);
    let fresh = votes.iter().filter(|vote| is_fresh(vote, now));
    let people: BTreeSet<UserId> = fresh.map(|vote| vote.by.id).filter(|id| may(*id)).collect();
    match RESUME_PEOPLE.saturating_sub(people.len()) {
        0 => Resumption::Over,
        missing => Resumption::Missing(missing),
    }
}

fn is_fresh(vote: &ResumeVote, now: Timestamp) -> bool {
    (0..RESUME_SECONDS).contains(&(now - vote.at).num_seconds())
}

/// Somebody took their own rights away: while it stands they are in no group, so that nothing they approved counts, nor anything they do now.
/// They can still stop.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lock {
    /// Its number, given by the store.
    pub id: u64,
    /// Who.
    pub person: PersonRef,
    /// When.
    pub at: Timestamp,
    /// Who wants them back, in order.
    #[serde(default)]
    pub votes: Vec<ResumeVote>,
}

impl Lock {
    /// Counts the wishes to give somebody's rights back, with a new one; as for [`Stop::resume`]. One's own never counts.
    pub fn restore(&mut self, vote: ResumeVote, may: impl Fn(UserId) -> bool) -> Resumption {
        let own = self.person.id;
        counted(&mut self.votes, vote, |id| id != own && may(id))
    }
}

/// Names an order that two people can end. A number is never given twice, so a button of an old message never means a new order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OrderId {
    /// A stop, by its number.
    Stop(u64),
    /// A lock, by its number.
    Lock(u64),
}

/// An order that stands until two people end it.
#[derive(Debug, Clone, PartialEq)]
pub enum Order {
    /// Nothing that it covers is sent.
    Stop(Stop),
    /// Somebody without rights, who cannot be one of the two.
    Lock(Lock),
}

impl Order {
    /// What names it.
    pub const fn id(&self) -> OrderId {
        match self {
            Self::Stop(stop) => OrderId::Stop(stop.id),
            Self::Lock(lock) => OrderId::Lock(lock.id),
        }
    }

    /// In a sentence: `stop 3 (all)`, `the lock of alice`.
    pub fn named(&self) -> String {
        match self {
            Self::Stop(stop) => format!("stop {} ({})", stop.id, stop.scope),
            Self::Lock(lock) => format!("the lock of {}", lock.person.name),
        }
    }

    /// What people write to end it.
    pub fn command(&self) -> String {
        match self {
            Self::Stop(stop) => format!("/resume {}", stop.id),
            Self::Lock(lock) => format!("/unlock {}", lock.person.name),
        }
    }

    /// Whose rights it took away: they cannot ask for its end.
    pub const fn whose(&self) -> Option<UserId> {
        match self {
            Self::Stop(_) => None,
            Self::Lock(lock) => Some(lock.person.id),
        }
    }

    /// Everybody who wants it to end, in order.
    pub fn votes(&self) -> &[ResumeVote] {
        match self {
            Self::Stop(stop) => &stop.votes,
            Self::Lock(lock) => &lock.votes,
        }
    }

    /// Counts the wishes that it ends, with a new one: [`Stop::resume`], [`Lock::restore`].
    pub fn end(&mut self, vote: ResumeVote, may: impl Fn(UserId) -> bool) -> Resumption {
        match self {
            Self::Stop(stop) => stop.resume(vote, may),
            Self::Lock(lock) => lock.restore(vote, may),
        }
    }

    /// The wishes that count at `now`.
    pub fn fresh(&self, now: Timestamp) -> impl Iterator<Item = &ResumeVote> {
        self.votes().iter().filter(move |vote| is_fresh(vote, now))
    }
}

/// A stop as people ask for it: `[SCOPE] [[because] REASON]`. Nothing at all stops everything. A colon, a dash or `because` may stand before
/// the reason; without a scope one of them must.
#[derive(Debug, Clone, PartialEq)]
pub struct StopRequest {
    /// What to stop.
    pub scope: Scope,
    /// Why; may be empty.
    pub reason: String,
}

impl FromStr for StopRequest {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let text = text.trim();
        let (first, rest) = word(text);
        let named = |kind: &str, rest: &str| {
            let (of, reason) = word(rest);
            let of = of.trim_end_matches([':', ',']);
            Ok(Self {
                scope: format!("{kind} {of}").parse()?,
                reason: bare(reason),
            })
        };
        // Phones begin a sentence with a capital letter.
        match first.trim_end_matches([':', ',']).to_lowercase().as_str() {
            "" | "because" | "-" | "\u{2013}" | "\u{2014}" => Ok(Self {
                scope: Scope::All,
                reason: bare(text),
            }),
            "all" | "everything" => Ok(Self {
                scope: Scope::All,
                reason: bare(rest),
            }),
            kind @ ("agent" | "path" | "runbook" | "tier") => named(kind, rest),
            // Tells what is accepted.
            _ => text.parse().map(|scope| Self {
                scope,
                reason: String::new(),
            }),
        }
    }
}

fn word(text: &str) -> (&str, &str) {
    let text = text.trim_start();
    text.split_once(char::is_whitespace).unwrap_or((text, ""))
}

/// A reason without what leads up to it.
fn bare(text: &str) -> String {
    let marks = |c: char| c.is_whitespace() || matches!(c, ':' | ',' | '-' | '\u{2013}' | '\u{2014}');
    let text = text.trim_start_matches(marks);
    let reason = match word(text) {
        (first, rest) if first.trim_end_matches(':').eq_ignore_ascii_case("because") => rest,
        _ => text,
    };
    reason.trim_start_matches(marks).trim_end().to_owned()
}

/// What a person wrote behind `/stop`: nothing or `all`, `agent NAME`, `path GLOB`, `runbook NAME`, `tier TIER`.
impl FromStr for Scope {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let invalid = || InvalidId {
            what: "scope",
            given: text.chars().take(80).collect(),
            expected: "all, agent NAME, path GLOB, runbook NAME or tier manual|prompted|standard",
        };
        let (kind, of) = text.trim().split_once(char::is_whitespace).unwrap_or((text.trim(), ""));
        let of = of.trim();
        match kind {
            "" | "all" if of.is_empty() => Ok(Self::All),
            "agent" => of.parse().map(Self::Agent),
            "runbook" => of.parse().map(Self::Runbook),
            "tier" => of.parse().map(Self::Tier),
            "path" if !of.is_empty() => {
                let relative = (!of.starts_with('/')).then(|| PathGlob::new(of).ok()).flatten();
                relative.map(Self::Path).ok_or_else(|| InvalidId {
                    what: "path",
                    given: of.chars().take(80).collect(),
                    expected: "a pattern from the repository's root, without a slash at the beginning, such as kubernetes/**",
                })
            }
            _ => Err(invalid()),
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::Agent(agent) => write!(f, "agent {agent}"),
            Self::Path(glob) => write!(f, "path {}", glob.as_str()),
            Self::Runbook(runbook) => write!(f, "runbook {runbook}"),
            Self::Tier(tier) => write!(f, "tier {tier}"),
        }
    }
}

#[cfg(test)]
mod tests;
