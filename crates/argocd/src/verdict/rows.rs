//! The rows: one application, one commit, first match wins.

use chrono::{DateTime, TimeDelta, Utc};

use super::facts::{Ancestry, Contains, Found, Operated, Question};
use super::{
    Arrival, Change, CompareError, Ending, Evidence, GoneReason, Judgement, Latch, Patience, Presence, Sighted, Stage, Tracking, Verdict,
    Want, health, signs,
};
use crate::model::{Application, Phase, Resource, SyncCode, View};

/// Judges one application for one change.
///
/// Call it whenever the application, the evidence about it, or the time changes; a verdict that is already final and good
/// stays. `tracking` is what the previous call returned (the default at first).
pub fn judge(tracking: &Tracking, evidence: &Evidence<'_>, change: &Change, ancestry: &Ancestry<'_>, now: DateTime<Utc>) -> Judgement {
    if let Some(settled) = tracking.settled.as_ref().filter(|settled| !may_recover(settled)) {
        return Judgement {
            tracking: tracking.clone(),
            verdict: settled.clone(),
            wants: Vec::new(),
        };
    }
    let mut case = Case {
        evidence,
        change,
        now,
        tracking: tracking.clone(),
        wants: Vec::new(),
    };
    case.note_refresh();
    let verdict = case.presence(ancestry);
    case.conclude(verdict)
}

/// A failure may turn out well later; an absence or a success is the end.
fn may_recover(settled: &Verdict) -> bool {
    matches!(
        settled,
        Verdict::SyncFailed { .. } | Verdict::Degraded { .. } | Verdict::RolledBack { .. } | Verdict::TimedOut { .. }
    )
}

/// Whether a change that was only thought to concern an application maybe does: it is out of sync at the commit, or an
/// operation that contains the commit has begun since the baseline. From then on, judge it as touched.
pub fn moved_by(app: &Application, change: &Change, ancestry: &Ancestry<'_>) -> bool {
    let question = question(app, change, &change.commit, ancestry);
    let out_of_sync = app.status.sync.status == Some(SyncCode::OutOfSync) && question.compared(app).yes();
    let before = change.baseline.as_ref().and_then(|baseline| baseline.operation_started_at);
    let operated = question.operated(app);
    out_of_sync || operated.is_some_and(|op| op.found.yes() && !op.dry_run && op.started_at != before)
}

fn question<'a>(app: &Application, change: &'a Change, commit: &'a str, ancestry: &'a Ancestry<'a>) -> Question<'a> {
    Question {
        target: &change.target,
        commit,
        ancestry,
        any_source: app.spec.source_hydrator.is_some(),
    }
}

/// One evaluation in progress.
pub(super) struct Case<'a> {
    pub evidence: &'a Evidence<'a>,
    pub change: &'a Change,
    pub now: DateTime<Utc>,
    pub tracking: Tracking,
    pub wants: Vec<Want>,
}

impl Case<'_> {
    /// Rows 1, 2 and what comes before any comparison.
    fn presence(&mut self, ancestry: &Ancestry<'_>) -> Verdict {
        let app = match self.evidence.presence {
            Presence::Unreachable(reason) => return Verdict::Unobserved { reason: reason.to_owned() },
            Presence::Missing => {
                self.wants.push(Want::Details { not_before: self.now });
                return Verdict::CheckingAbsence;
            }
            Presence::Gone if self.change.deletes_app => return deleted(&self.change.commit),
            Presence::Gone => {
                return Verdict::Gone {
                    reason: GoneReason::Deleted,
                };
            }
            Presence::Here(app) => app,
        };
        if let Some(verdict) = self.going(app) {
            return verdict;
        }
        if self.tracking.latch.is_none() && !signs::follows(app, &self.change.target) {
            return Verdict::NotTracked {
                now: signs::sources_of(app),
            };
        }
        if app.view == View::List {
            self.wants.push(Want::Details {
                not_before: self.change.pushed_at,
            });
            return match &self.tracking.latch {
                Some(latch) => Verdict::Settling {
                    revision: latch.revision.clone(),
                    health: None,
                    message: String::new(),
                },
                None => self.not_seen(None),
            };
        }
        if app
            .spec
            .source_hydrator
            .as_ref()
            .is_some_and(|hydrator| self.change.target.tracks(&hydrator.dry_source))
        {
            return self.hydrated(app, ancestry);
        }
        let change = self.change;
        self.rows(app, &question(app, change, &change.commit, ancestry))
    }

    /// Row 1: deleted, being deleted, made anew.
    fn going(&self, app: &Application) -> Option<Verdict> {
        let before = self.change.baseline.as_ref().and_then(|baseline| baseline.uid.as_ref());
        let recreated = matches!((before, &app.metadata.uid), (Some(before), Some(now)) if before != now);
        let deleting = app.metadata.deletion_timestamp.is_some();
        if self.change.deletes_app {
            return Some(Verdict::AwaitingDeletion { begun: deleting });
        }
        match (recreated, deleting) {
            (true, _) => Some(Verdict::Gone {
                reason: GoneReason::Recreated,
            }),
            (_, true) => Some(Verdict::Gone {
                reason: GoneReason::Deleting,
            }),
            (false, false) => None,
        }
    }

    /// A hydrated application: the dry commit must first become a commit on the hydrated branch; from then on the rows
    /// ask about that one.
    fn hydrated(&mut self, app: &Application, ancestry: &Ancestry<'_>) -> Verdict {
        let change = self.change;
        let dry = Question {
            any_source: true,
            ..question(app, change, &change.commit, ancestry)
        };
        let contains = |sha: &Option<String>| sha.as_deref().is_some_and(|sha| dry.contains(sha));
        let status = &app.status.source_hydrator;
        let done = status.last_successful_operation.as_ref().filter(|done| contains(&done.dry_sha));
        if self.tracking.hydrated.is_none() {
            self.tracking.hydrated = done.and_then(|done| done.hydrated_sha.clone());
        }
        let Some(hydrated) = self.tracking.hydrated.clone() else {
            return match status.current_operation.as_ref().filter(|current| contains(&current.dry_sha)) {
                Some(failed) if failed.phase == "Failed" => Verdict::SyncFailed {
                    stage: Stage::Hydrate,
                    revision: failed.dry_sha.clone(),
                    message: failed.message.clone().unwrap_or_default(),
                    resources: Vec::new(),
                },
                Some(_) => Verdict::Hydrating,
                None => {
                    let seen = status.last_successful_operation.as_ref().and_then(|done| done.dry_sha.clone());
                    self.not_seen(seen)
                }
            };
        };
        // The hydrated branch need not be in our mirror: its newest commit that carries ours is recognised by equality.
        let newest = done.and_then(|done| done.hydrated_sha.clone());
        let carries = |revision: &str, commit: &str| match newest.as_deref() == Some(revision) {
            true => Contains::Yes,
            false => ancestry(revision, commit),
        };
        self.rows(app, &question(app, change, &hydrated, &carries))
    }

    /// Rows 3 to 13.
    fn rows(&mut self, app: &Application, question: &Question<'_>) -> Verdict {
        let compared = question.compared(app);
        let mut op = question.operated(app);
        if let Some(op) = &mut op
            && question.any_source
            && signs::is_from_before(op, self.change.baseline.as_ref())
        {
            // A dry commit that renders to the hydrated commit of before: that one's operation proves nothing about ours.
            op.found.contains = Contains::Unknown;
        }
        if !question.any_source {
            self.fetch_unknown([Some(&compared), op.as_ref().map(|op| &op.found)]);
        }
        if self.tracking.latch.is_some() {
            return match self.rolled_back(app, question, op.as_ref(), &compared) {
                Some(verdict) => verdict,
                None => health::gate(self, app, question, op.as_ref(), &compared),
            };
        }
        let verdict = op.as_ref().and_then(|op| self.operation(app, op));
        let is_applied = op.as_ref().is_some_and(|op| signs::applied(app, op, &compared));
        let verdict = verdict.or_else(|| if is_applied { None } else { self.comparison(app) });
        let verdict = verdict.or_else(|| {
            let arrived = self.arrival(app, op.as_ref(), &compared)?;
            self.tracking.latch = Some(arrived);
            Some(health::gate(self, app, question, op.as_ref(), &compared))
        });
        let verdict = verdict.or_else(|| self.rolled_back(app, question, op.as_ref(), &compared));
        if let Some(verdict) = verdict {
            return verdict;
        }
        if compared.yes() && app.status.sync.status == Some(SyncCode::OutOfSync) {
            return self.out_of_sync(app, question, op.as_ref(), &compared);
        }
        self.not_seen(compared.revision)
    }

    /// Rows 3, 4 and 5.
    fn operation(&mut self, app: &Application, op: &Operated) -> Option<Verdict> {
        if op.in_flight {
            let terminating = op.phase == Some(Phase::Terminating);
            if op.found.yes() && !op.dry_run {
                let (revision, message) = (op.found.short(), op.message.clone());
                return Some(Verdict::Syncing {
                    revision,
                    message,
                    retries: op.retries,
                    terminating,
                });
            }
            return Some(self.older_operation(op, terminating));
        }
        (op.failed() && op.found.yes() && !op.dry_run).then(|| signs::apply_failed(app, op))
    }

    /// Row 4.
    fn older_operation(&mut self, op: &Operated, terminating: bool) -> Verdict {
        let since = self.sighted().operated;
        let long = self.now > since + self.limit(|patience| patience.blocking_ms);
        if !long {
            self.wake(since + self.limit(|patience| patience.blocking_ms) + TimeDelta::seconds(1));
        }
        Verdict::WaitingOlderOperation {
            revision: op.found.revision.clone(),
            message: op.message.clone(),
            blocking: long || op.retries > 0,
            terminating,
        }
    }

    /// Rows 6 and 8: proof that the commit is there.
    fn arrival(&mut self, app: &Application, op: Option<&Operated>, compared: &Found) -> Option<Latch> {
        let sighted = self.sighted();
        let latch = |found: &Found, how| Latch {
            revision: found.short(),
            how,
            seen_at: match how {
                Arrival::Applied => sighted.operated,
                Arrival::NothingToApply | Arrival::Deleted => sighted.compared,
            },
        };
        if let Some(op) = op.filter(|op| signs::applied(app, op, compared)) {
            return Some(latch(&op.found, Arrival::Applied));
        }
        let synced = app.status.sync.status == Some(SyncCode::Synced) && compared.yes();
        synced.then(|| latch(compared, Arrival::NothingToApply))
    }

    /// Row 7: an error counts in the answer to a refresh asked after the push, and twice.
    fn comparison(&mut self, app: &Application) -> Option<Verdict> {
        let Some(message) = signs::comparison_error(app) else {
            self.tracking.compare_error = None;
            return None;
        };
        let answered = self.evidence.refresh.filter(|refresh| {
            let later = app.status.reconciled_at.is_some_and(|reconciled| reconciled > refresh.asked_at);
            refresh.asked_at >= self.change.pushed_at && (refresh.answered_at.is_some() || later)
        });
        if signs::is_passing_trouble(&message) {
            self.refresh_again();
            return Some(Verdict::ComparisonFailing { message });
        }
        let apart = self.limit(|patience| patience.error_apart_ms);
        if let Some(refresh) = answered {
            let asked_at = refresh.asked_at;
            let known = self.tracking.compare_error.get_or_insert(CompareError {
                first: asked_at,
                sightings: 1,
                asked_at,
            });
            if asked_at >= known.asked_at + apart {
                known.sightings += 1;
                known.asked_at = asked_at;
            }
            if known.sightings >= 2 {
                let (stage, resources) = (Stage::Compare, Vec::new());
                return Some(Verdict::SyncFailed {
                    stage,
                    revision: None,
                    message,
                    resources,
                });
            }
            let again = known.asked_at + apart;
            self.want_refresh(again);
        } else {
            self.refresh_again();
        }
        Some(Verdict::ComparisonFailing { message })
    }

    /// Row 12: an operation of an older revision has succeeded after the commit was deployed.
    fn rolled_back(&self, app: &Application, question: &Question<'_>, op: Option<&Operated>, compared: &Found) -> Option<Verdict> {
        let op = op.filter(|op| op.succeeded() && !op.dry_run && !op.partial)?;
        if op.found.contains != Contains::No || op.found.revision.is_none() {
            return None;
        }
        if compared.yes() && app.status.sync.status == Some(SyncCode::Synced) {
            return None;
        }
        let latched = self.tracking.latch.as_ref().is_some_and(|latch| latch.how == Arrival::Applied);
        let in_history = app.status.history.iter().any(|entry| {
            question.deployed(app, entry).yes() && matches!((entry.deployed_at, op.started_at), (Some(ours), Some(later)) if ours <= later)
        });
        (latched || in_history).then(|| Verdict::RolledBack {
            to: op.found.revision.clone(),
        })
    }

    /// Rows 9, 10 and 11: compared with the commit, and different from what is live.
    fn out_of_sync(&mut self, app: &Application, question: &Question<'_>, op: Option<&Operated>, compared: &Found) -> Verdict {
        if let Some(message) = signs::sync_error(app, question) {
            let (stage, revision) = (Stage::Apply, compared.revision.clone());
            return Verdict::SyncFailed {
                stage,
                revision,
                message,
                resources: signs::failed_resources(app),
            };
        }
        let revision = compared.short();
        let Some(automated) = app.automated() else {
            return match app.rolled_by() {
                Some(set) => Verdict::QueuedByApplicationSet {
                    application_set: set.to_owned(),
                },
                // What a person's Sync starts, even where Argo CD has compared a later commit of the branch.
                None => Verdict::AwaitingManualSync {
                    revision: question.commit.to_owned(),
                },
            };
        };
        let sighted = self.sighted();
        let asking = sighted.compared.max(sighted.operated) + self.limit(|patience| patience.stalled_ms);
        if self.now < asking {
            self.wake(asking);
            return Verdict::AboutToSync { revision };
        }
        let Some(resources) = self.resources(app, asking) else {
            return Verdict::AboutToSync { revision };
        };
        let (all, surplus, different) = signs::count(resources);
        if different > 0 && different == surplus && !automated.prune {
            self.tracking.latch = Some(Latch {
                revision,
                how: Arrival::NothingToApply,
                seen_at: sighted.compared,
            });
            return health::gate(self, app, question, op, compared);
        }
        if all > 0 && all == surplus && automated.prune && !automated.allow_empty {
            return Verdict::BlockedWouldWipe { resources: all };
        }
        self.windows(asking, revision)
    }

    /// Row 10's last question.
    fn windows(&mut self, asking: DateTime<Utc>, revision: String) -> Verdict {
        let answer = self.evidence.windows.filter(|(_, at)| *at >= asking);
        let due = answer.map_or(asking, |(_, at)| at + self.limit(|patience| patience.windows_ms));
        if due <= self.now {
            self.wants.push(Want::SyncWindows { not_before: due });
        } else {
            self.wake(due);
        }
        match answer.map(|(windows, _)| windows.blocks_automatic()) {
            Some(Some(window)) => Verdict::BlockedByWindow {
                window: window.to_string(),
            },
            None if self.now < asking + self.limit(|patience| patience.stalled_ms) => {
                self.wake(asking + self.limit(|patience| patience.stalled_ms));
                Verdict::AboutToSync { revision }
            }
            Some(None) | None => {
                self.refresh_again();
                Verdict::Stalled { revision }
            }
        }
    }

    /// Row 13.
    fn not_seen(&mut self, compared: Option<String>) -> Verdict {
        self.refresh_again();
        Verdict::NotSeenYet {
            compared,
            refreshes: self.tracking.refreshes,
        }
    }

    /// The resources, when this view has them; else asks for a view that has.
    pub fn resources<'b>(&mut self, app: &'b Application, not_before: DateTime<Utc>) -> Option<&'b [Resource]> {
        let resources = app.status.resources.as_deref();
        if resources.is_none() {
            let asked = self
                .evidence
                .confirmed_at
                .map_or(not_before, |at| not_before.max(at + TimeDelta::seconds(5)));
            self.wants.push(Want::Details { not_before: asked });
        }
        resources
    }

    /// Counts the refreshes that were asked since the push, by whomever.
    fn note_refresh(&mut self) {
        if let Some(refresh) = self.evidence.refresh
            && refresh.asked_at >= self.change.pushed_at
            && self.tracking.last_refresh.is_none_or(|last| refresh.asked_at > last)
        {
            self.tracking.refreshes += 1;
            self.tracking.last_refresh = Some(refresh.asked_at);
        }
    }

    /// Asks for the next refresh when it is due: at once after the push, then with growing pauses.
    pub fn refresh_again(&mut self) {
        let Some(last) = self.tracking.last_refresh else {
            self.wants.push(Want::Refresh {
                not_before: self.change.pushed_at,
            });
            return;
        };
        let pauses = &self.change.patience.refresh_pauses_ms;
        let step = self.tracking.refreshes.max(1) as usize - 1;
        let pause = pauses.get(step).or(pauses.last()).copied().unwrap_or(60_000);
        self.want_refresh(last + TimeDelta::milliseconds(i64::from(pause)));
    }

    /// Asks for a refresh at `due`, but not while the last one may still be answered.
    pub fn want_refresh(&mut self, due: DateTime<Utc>) {
        let pending = self.evidence.refresh.filter(|refresh| refresh.answered_at.is_none());
        let due = pending.map_or(due, |refresh| {
            due.max(refresh.asked_at + self.limit(|patience| patience.refresh_ms))
        });
        if due <= self.now {
            self.wants.push(Want::Refresh { not_before: due });
        } else {
            self.wake(due);
        }
    }

    /// One of the limits.
    pub fn limit(&self, of: impl Fn(&Patience) -> u32) -> TimeDelta {
        TimeDelta::milliseconds(i64::from(of(&self.change.patience)))
    }

    /// Since when the present state has been seen.
    pub fn sighted(&self) -> Sighted {
        self.evidence.sighted.unwrap_or_else(|| Sighted::first(self.now))
    }

    pub fn wake(&mut self, at: DateTime<Utc>) {
        self.wants.push(Want::WakeAt(at));
    }

    fn fetch_unknown(&mut self, found: [Option<&Found>; 2]) {
        let mut revisions: Vec<String> = found.into_iter().flatten().flat_map(|found| found.unknown.clone()).collect();
        revisions.sort();
        revisions.dedup();
        if revisions.is_empty() {
            self.tracking.unknown_since = None;
            return;
        }
        let due = self
            .tracking
            .unknown_since
            .map_or(self.now, |last| last + self.limit(|patience| patience.fetch_ms));
        if due <= self.now {
            self.tracking.unknown_since = Some(self.now);
            self.wants.push(Want::FetchCommits { revisions });
            self.wake(self.now + self.limit(|patience| patience.fetch_ms));
        } else {
            self.wake(due);
        }
    }

    /// Row 14, recovery, and what to keep.
    fn conclude(mut self, verdict: Verdict) -> Judgement {
        if let Some(settled) = self.tracking.settled.clone() {
            return self.recover(settled, verdict);
        }
        let late = self.change.deadline.is_some_and(|deadline| self.now >= deadline);
        let verdict = match verdict {
            waiting if !waiting.is_final() && late => Verdict::TimedOut {
                waiting: Box::new(waiting),
            },
            verdict => verdict,
        };
        if verdict.is_final() {
            self.tracking.settled = Some(verdict.clone());
            self.wants.clear();
        } else if let Some(deadline) = self.change.deadline {
            self.wake(deadline);
        }
        Judgement {
            tracking: self.tracking,
            verdict,
            wants: soonest(self.wants),
        }
    }

    /// After a final failure only a success counts; the network is not bothered for it.
    fn recover(mut self, settled: Verdict, verdict: Verdict) -> Judgement {
        let failed = !matches!(settled, Verdict::TimedOut { .. });
        let verdict = match verdict {
            Verdict::Synced {
                revision,
                how,
                part_of_later,
                notes,
                ..
            } => Verdict::Synced {
                revision,
                how,
                part_of_later,
                recovered: failed,
                notes,
            },
            _ => settled,
        };
        self.tracking.settled = Some(verdict.clone());
        let settling = self.tracking.latch.is_some() && matches!(verdict.ending(), Some(ending) if ending != Ending::Synced);
        self.wants
            .retain(|want| settling && matches!(want, Want::Details { .. } | Want::WakeAt(_)));
        Judgement {
            tracking: self.tracking,
            verdict,
            wants: soonest(self.wants),
        }
    }
}

/// Keeps only the earliest wake-up, at the end.
fn soonest(wants: Vec<Want>) -> Vec<Want> {
    let wake = wants
        .iter()
        .filter_map(|want| if let Want::WakeAt(at) = want { Some(*at) } else { None })
        .min();
    let others = wants.into_iter().filter(|want| !matches!(want, Want::WakeAt(_)));
    others.chain(wake.map(Want::WakeAt)).collect()
}

fn deleted(commit: &str) -> Verdict {
    Verdict::Synced {
        revision: commit.to_owned(),
        how: Arrival::Deleted,
        part_of_later: false,
        recovered: false,
        notes: Vec::new(),
    }
}
