//! Where a runbook stands: the tier that trust allows now, what may be offered, what is missing, what must be taken away.

use super::counting::Counted;
use super::trial::Weight;
use super::{Counts, DemotionCause, Hold, Ranges, Record, Target, Trial, TrustConstants, bound, lower_bound, share_words};
use crate::{ProposalId, Tier, Timestamp};

/// What follows from a record at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Standing {
    /// Lower bound of the success rate, from 0 to 1.
    pub bound: f64,
    /// What was counted.
    pub counts: Counts,
    /// "19 of 20, at least 79 %".
    pub words: String,
    /// The tier that trust allows now, before a single run is looked at ([`Standing::rule`]).
    pub tier: Tier,
    /// Why that tier, as a sentence for a card.
    pub why: String,
    /// When the promotion in force ends.
    pub standard_until: Option<Timestamp>,
    /// A promotion that may be offered to a human now.
    pub offer: Option<Offer>,
    /// What an offer lacks, each a phrase such as "3 more trials (11 of 14)". Empty while the runbook is `standard`.
    pub missing: Vec<String>,
    /// A demotion that follows from the record and is not written down yet. It is in force already.
    pub due: Option<DemotionDue>,
    /// The holds that stand.
    pub holds: Vec<Hold>,
    ranges: Ranges,
    /// Whether nothing but the missing promotion keeps it from `standard`.
    promotable: bool,
    /// Whether a human gave the promotion and the record is still too short to say what was tried.
    given: bool,
}

/// A promotion to put before a human. Taking it makes a commit to the policy; nothing here promotes.
#[derive(Debug, Clone, PartialEq)]
pub struct Offer {
    /// The moment of the record: what goes wrong from here on voids the promotion.
    pub offered_at: Timestamp,
    /// When the promotion shall end.
    pub expires_at: Timestamp,
    /// The evidence: "20 of 20, at least 86 %, on 9 days and 3 targets".
    pub evidence: String,
}

/// A demotion to write down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DemotionDue {
    /// When its cause became known: the `at` of the [`super::Demotion`].
    pub at: Timestamp,
    /// To which tier.
    pub to: Tier,
    /// Why.
    pub cause: DemotionCause,
    /// The run that caused it.
    pub proposal: ProposalId,
}

/// What trust says about one run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ruling {
    /// It does not run at all until a human lifts the hold.
    Held {
        /// The hold.
        hold: Hold,
        /// A sentence for the agent and the card.
        why: String,
    },
    /// It runs, at most at this tier.
    Runs {
        /// The highest tier that trust allows this run.
        tier: Tier,
        /// Why.
        why: String,
        /// Whether it would run by itself if the runbook were `standard`: what a shadow counts.
        alone: bool,
    },
}

/// Looks at a record. Pure and total: the same record, time and constants give the same standing.
pub fn standing(record: &Record<'_>, now: Timestamp, constants: &TrustConstants) -> Standing {
    let counted = Counted::of(record.trials, now, constants);
    let counts = counted.counts(None);
    let bound = lower_bound(counts.succeeded, counts.failed, constants.tail);
    let setback = setback(record, now, constants);
    let second = second_failure(record, &counted, now, constants);
    let due = second.or_else(|| lost_grant(record, setback, now));
    let manual = second.is_some() || unlifted_manual(record);
    let live = record
        .grant
        .filter(|grant| setback.is_none() && grant.granted_at <= now && now < grant.expires_at);

    let promotable = record.ceiling == Tier::Standard && !manual;
    let trusted = match (manual, live) {
        (true, _) => Tier::Manual,
        (false, Some(_)) => Tier::Standard,
        (false, None) => Tier::Prompted,
    };
    let tier = trusted.min(record.ceiling);
    let standard = tier == Tier::Standard;
    let missing = if standard {
        Vec::new()
    } else {
        missing(record, &counted, bound, manual, due, now, constants)
    };
    let words = share_words(counts.succeeded, counts.failed, bound);
    let offer = (!standard && missing.is_empty()).then(|| Offer {
        offered_at: now,
        expires_at: now + constants.grant,
        evidence: format!(
            "{words}, on {} and {}",
            crate::counted(counts.days, "day", "days"),
            crate::counted(counts.targets, "target", "targets")
        ),
    });
    Standing {
        bound,
        counts,
        why: why(record, tier, manual, setback, now),
        words,
        tier,
        standard_until: live.filter(|_| standard).map(|grant| grant.expires_at),
        offer,
        missing,
        due,
        holds: record.holds.to_vec(),
        ranges: Ranges::of(record.trials, record.schema, now, constants),
        promotable,
        given: live.is_some_and(|grant| grant.given) && counts.succeeded < constants.trials_min,
    }
}

impl Standing {
    /// The same where nobody can see how a run ends, and `why`: no record can grow there, so people are asked, whatever was granted.
    #[must_use]
    pub fn unseen(mut self, why: &str) -> Self {
        if self.tier != Tier::Manual {
            self.why = format!("prompted: {why}");
        }
        self.tier = self.tier.min(Tier::Prompted);
        self.missing.insert(0, format!("somebody who sees the end: {why}"));
        (self.standard_until, self.offer, self.promotable) = (None, None, false);
        self
    }

    /// What trust says about one run with these parameters (defaults filled in) on these paths.
    pub fn rule(&self, parameters: &serde_json::Value, target: &Target) -> Ruling {
        if let Some(hold) = self.holds.iter().find(|hold| target.paths().any(|path| *path == hold.path)) {
            let why = format!(
                "{} is on hold for {} since {}: a run on it was reverted; a human must lift the hold first",
                hold.runbook,
                hold.path,
                day(hold.since)
            );
            return Ruling::Held { hold: hold.clone(), why };
        }
        match self.ranges.outside(parameters) {
            Some(outside) if self.tier == Tier::Standard && !self.given => Ruling::Runs {
                tier: Tier::Prompted,
                why: format!("prompted for this run: {outside}"),
                alone: false,
            },
            outside => Ruling::Runs {
                tier: self.tier,
                why: self.why.clone(),
                alone: self.promotable && outside.is_none(),
            },
        }
    }
}

/// Something that went wrong with one run, and when it became known.
#[derive(Debug, Clone, Copy)]
struct Setback {
    at: Timestamp,
    cause: DemotionCause,
    /// `None` when a human took the tier away.
    proposal: Option<ProposalId>,
}

/// What went wrong with a run: a failure, and a revert, which may come later.
fn setbacks_of(trial: &Trial, now: Timestamp, constants: &TrustConstants) -> impl Iterator<Item = Setback> + use<> {
    let counts = trial.source.weight(constants) != Weight::None;
    let failed = trial.failed_at(now).map(|at| (at, trial.result_at(now).cause()));
    let reverted = trial.reverted_at.map(|at| (at, DemotionCause::Revert));
    let proposal = Some(trial.proposal);
    let both = failed.into_iter().chain(reverted).filter(move |_| counts);
    both.map(move |(at, cause)| Setback { at, cause, proposal })
}

/// The first thing that went wrong since the promotion was offered: it ends the promotion.
fn setback(record: &Record<'_>, now: Timestamp, constants: &TrustConstants) -> Option<Setback> {
    let grant = record.grant?;
    let runs = record.trials.iter().flat_map(|trial| setbacks_of(trial, now, constants));
    let demotions = record.demotions.iter().map(|demotion| Setback {
        at: demotion.at,
        cause: demotion.cause,
        proposal: demotion.proposal,
    });
    runs.chain(demotions)
        .filter(|setback| setback.at >= grant.offered_at)
        .min_by_key(|setback| setback.at)
}

/// The demotion that a setback makes, unless it is written down or the promotion was over by then.
fn lost_grant(record: &Record<'_>, setback: Option<Setback>, now: Timestamp) -> Option<DemotionDue> {
    let (grant, setback) = (record.grant?, setback?);
    let written = record.demotions.iter().any(|demotion| demotion.at >= grant.offered_at);
    let counted = grant.granted_at <= now && setback.at < grant.expires_at;
    (counted && !written).then_some(DemotionDue {
        at: setback.at,
        to: Tier::Prompted,
        cause: setback.cause,
        proposal: setback.proposal?,
    })
}

/// Two failures among the last runs, unless that is written down already (and perhaps lifted since).
fn second_failure(record: &Record<'_>, counted: &Counted<'_>, now: Timestamp, constants: &TrustConstants) -> Option<DemotionDue> {
    let failures = counted.recent_failures(constants.recent);
    if failures.len() < 2 {
        return None;
    }
    let known = failures.iter().filter_map(|trial| Some((trial.failed_at(now)?, trial.proposal)));
    let (at, proposal) = known.max()?;
    let written = record
        .demotions
        .iter()
        .any(|demotion| demotion.to == Tier::Manual && demotion.at >= at);
    (!written).then_some(DemotionDue {
        at,
        to: Tier::Manual,
        cause: DemotionCause::SecondFailure,
        proposal,
    })
}

fn unlifted_manual(record: &Record<'_>) -> bool {
    let mut demotions = record.demotions.iter();
    demotions.any(|demotion| demotion.to == Tier::Manual && demotion.lifted_at.is_none())
}

/// What an offer lacks. After a demotion, trials, days and targets are counted anew; the bound and the last ten look at the whole record.
fn missing(
    record: &Record<'_>,
    counted: &Counted<'_>,
    bound: f64,
    manual: bool,
    due: Option<DemotionDue>,
    now: Timestamp,
    constants: &TrustConstants,
) -> Vec<String> {
    let mut missing = Vec::new();
    if record.ceiling < Tier::Standard {
        missing.push(format!("a higher ceiling in its file (now {})", record.ceiling));
    }
    if manual {
        missing.push("a human who lifts `manual`".to_owned());
    }
    for hold in record.holds {
        missing.push(format!("a human who lifts the hold on {}", hold.path));
    }
    let demoted_at = record
        .demotions
        .iter()
        .map(|demotion| demotion.at)
        .chain(due.map(|due| due.at))
        .max();
    let fresh = counted.counts(demoted_at);
    let since = if demoted_at.is_some() { " since its demotion" } else { "" };
    let mut lacks = |have: usize, need: usize, one: &str, many: &str| {
        let more = need.saturating_sub(have);
        if more > 0 {
            missing.push(format!(
                "{more} more {} ({have} of {need}{since})",
                if more == 1 { one } else { many }
            ));
        }
    };
    lacks(fresh.trials(), constants.trials_min, "trial", "trials");
    lacks(fresh.days, constants.days_min, "day with a trial", "days with a trial");
    lacks(fresh.targets, constants.targets_min, "target", "targets");
    if !counted.recent_failures(constants.recent).is_empty() {
        let more = constants.recent.saturating_sub(counted.counts(None).clean);
        missing.push(format!(
            "{more} more trials without a failure (none of the last {} may fail)",
            constants.recent
        ));
    }
    if bound < constants.bound_min {
        let (now, need) = (bound::percent(bound), bound::percent(constants.bound_min));
        missing.push(format!("a record that shows at least {need} % (now {now} %)"));
    }
    if let Some(again) = record.declined_at.map(|at| at + constants.offer_again).filter(|again| now < *again) {
        missing.push(format!("time: an offer was turned down, the next one is made from {}", day(again)));
    }
    missing
}

fn why(record: &Record<'_>, tier: Tier, manual: bool, setback: Option<Setback>, now: Timestamp) -> String {
    match (tier, record.grant) {
        (Tier::Manual, _) if manual => "manual: failed twice lately, or a human set it so".to_owned(),
        (Tier::Manual, _) => "manual: its file allows no more".to_owned(),
        (Tier::Standard, Some(grant)) => format!("standard until {}", day(grant.expires_at)),
        (Tier::Standard, None) => "standard".to_owned(),
        (Tier::Prompted, _) if record.ceiling < Tier::Standard => "prompted: its file allows no more".to_owned(),
        (Tier::Prompted, None) => "prompted: not promoted yet".to_owned(),
        (Tier::Prompted, Some(grant)) => match setback {
            Some(setback) => format!("prompted since {}: {}", day(setback.at), cause(setback.cause)),
            None if now >= grant.expires_at => format!("prompted: its promotion ended on {}", day(grant.expires_at)),
            None => format!("prompted: its promotion begins on {}", day(grant.granted_at)),
        },
    }
}

const fn cause(cause: DemotionCause) -> &'static str {
    match cause {
        DemotionCause::Failure => "a run failed",
        DemotionCause::Revert => "a run was reverted",
        DemotionCause::Unknown => "nobody can say how a run ended",
        DemotionCause::SecondFailure => "a second run failed",
        DemotionCause::Human => "a human took `standard` away",
    }
}

fn day(at: Timestamp) -> impl std::fmt::Display {
    at.format("%Y-%m-%d")
}
