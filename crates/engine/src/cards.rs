//! From a proposal's row to what its card shows. Facts only: the wording and the limits are the telegram crate's.

use changes::guard::{CheckResult, Effect, Finding};
use changes::summary::Holds;
use domain::{Decision, Delivery, FileChange, FileMode, Origin, Outcome, Proposal, ReviewVerdict, Risk, Sha256Hash, Tier, is_text};
use store::{Card as StoredCard, CardState, StoreError};
use telegram::{
    Action, ApplicationLine, Binary, Card, CardKind, CheckLine, CheckMark, CommitLine, ConfirmStep, Decided, Explained, FileLine, Progress,
    Requirement, Superseded,
};

use crate::usecases::revert::{REVERT_PREFIX, revert_reason};
use crate::{Checked, Engine, RepositorySetup};

/// Reasons that a reject can carry with one more tap.
pub(crate) const CHIPS: [&str; 5] = ["wrong target", "wrong time", "too big", "needs tests", "not needed"];

impl Engine {
    /// What a card of this proposal shows now. `stored` is the card's own row: an older revision's card says that it is superseded.
    pub(crate) async fn card(&self, proposal: &Proposal, stored: Option<&StoredCard>) -> Result<Card, StoreError> {
        let mut card = Card::new(
            kind_of(proposal),
            Some(proposal.id),
            proposal.tier(),
            proposal.agent.clone(),
            proposal.repository.clone(),
            proposal.created_at,
        );
        self.fill_request(&mut card, proposal).await?;
        let others = self.store().read().overlaps(proposal.id).await?;
        card.overlaps = others.into_iter().map(|other| (other.id.short(), other.agent)).collect();
        self.fill_state(&mut card, proposal);
        self.fill_orders(&mut card, proposal).await?;
        if let Some(stored) = stored
            && (stored.state == CardState::Superseded || stored.revision < proposal.revision.number)
        {
            card.superseded = Some(Superseded {
                url: self.next_card(stored).await?,
            });
            card.buttons.clear();
            return Ok(card);
        }
        let now = self.now();
        card.buttons = self.buttons(proposal);
        if proposal
            .ended_by
            .as_ref()
            .is_some_and(|ending| ending.reason.is_none() && ending.reason_until.is_some_and(|until| until > now))
        {
            card.chips = CHIPS.iter().map(|chip| (*chip).to_owned()).collect();
        }
        if let Some(stored) = stored
            && !proposal.is_over()
        {
            self.fill_steps(&mut card, stored, proposal).await?;
        }
        Ok(card)
    }

    /// What people are asked once more on this card.
    async fn fill_steps(&self, card: &mut Card, stored: &StoredCard, proposal: &Proposal) -> Result<(), StoreError> {
        let action = match proposal.delivery {
            _ if proposal.decision == Decision::Pending => Action::Approve,
            Delivery::Queued => Action::SendAnyway,
            Delivery::PushBlocked => Action::Retry,
            _ => return Ok(()),
        };
        card.codes = self.codes_awaited(stored.id, proposal);
        let mut steps = self.open_steps(stored.id);
        steps.retain(|step| step.action == action);
        let Some(until) = steps.iter().map(|step| step.until).max() else {
            return Ok(());
        };
        let worst = match action {
            Action::SendAnyway => format!("passes {}", crate::orders::names(&self.freezes_of(proposal))),
            Action::Retry => self.retry_takes(proposal).await?.unwrap_or_default(),
            _ => worst_line(card, self.shows_all(card)),
        };
        card.confirm = Some(ConfirmStep {
            action,
            worst,
            who: steps.into_iter().map(|step| step.who).collect(),
            until,
        });
        Ok(())
    }

    /// Whether a card shows its whole change.
    pub(crate) fn shows_all(&self, card: &Card) -> bool {
        let telegram = self.telegram();
        telegram.is_none_or(|telegram| telegram::render(card, &self.options(telegram, None)).complete)
    }

    /// A link to the newest card of the same chat that shows a later revision.
    async fn next_card(&self, old: &StoredCard) -> Result<Option<String>, StoreError> {
        let cards = self.store().read().cards(old.proposal).await?;
        let next = cards
            .iter()
            .rev()
            .find(|card| card.chat == old.chat && card.revision > old.revision && card.state == CardState::Shown);
        Ok(next.and_then(|card| message_link(card.chat, card.message?)))
    }

    async fn fill_request(&self, card: &mut Card, proposal: &Proposal) -> Result<(), StoreError> {
        let route = &proposal.revision.route;
        card.rule = route.rule.clone().unwrap_or_default();
        card.why.clone_from(&route.why);
        (card.title, card.reason) = self.told(proposal);
        card.requested_by = proposal.requested_by.as_ref().map(|person| person.name.clone());
        card.branch.clone_from(&proposal.branch);
        card.base = Some(proposal.revision.base);
        card.digest = Some(proposal.revision.digest);
        card.revision = proposal.revision.number;
        card.revised = match (proposal.revision.author, &proposal.revision.facts.runbook) {
            (domain::RevisionAuthor::Agent, _) => None,
            (domain::RevisionAuthor::Countersign, Some(_)) => Some("rendered anew by countersign".to_owned()),
            (domain::RevisionAuthor::Countersign, None) => Some("merged by countersign".to_owned()),
        };
        card.policy = route.policy.short();
        card.runbook = match &proposal.origin {
            Origin::Runbook(call) | Origin::Observed(call) => Some(format!("{} {}", call.runbook, parameters(&call.parameters))),
            Origin::Change | Origin::Revert { .. } => None,
        };
        if let Origin::Revert { of, .. } = &proposal.origin {
            card.revert_of = Some(*of);
        }
        card.shadow = self.shadow_words(proposal).await?;
        let Some(contents) = self.store().read().contents(proposal.id, proposal.revision.number).await? else {
            card.remarks.push("the contents are past their retention".to_owned());
            return Ok(());
        };
        if let Some(setup) = self.repository(&proposal.repository)
            && let Ok(diff) = setup.git.unified_diff(&contents).await
        {
            for stats in &diff.files {
                if let Some(change) = contents.get(&stats.path) {
                    card.files.push(file_line(stats, change));
                }
            }
            card.diff = diff.text;
            if proposal.tier() == Tier::Manual && diff.files.iter().any(|file| file.binary) {
                match setup.git.patch(&contents).await {
                    Ok(patch) => card.patch = Some(patch),
                    Err(error) => {
                        tracing::warn!(proposal = %proposal.id, %error, "the patch cannot be made");
                        card.remarks.push("the patch lacks what is no text: do not apply it".to_owned());
                    }
                }
            }
        } else {
            card.remarks
                .push("the diff cannot be read at the moment: open it before you decide".to_owned());
        }
        card.remarks
            .extend(proposal.revision.replay.iter().map(|said| format!("replay: {said}")));
        match self.checked(proposal).await? {
            Some(checked) => tell(card, proposal, checked),
            None => {
                let remarks = changes::inspect(&contents).into_iter();
                card.remarks
                    .extend(remarks.map(|remark| format!("{}: {}", remark.path, remark.message)));
            }
        }
        Ok(())
    }

    /// Title and reason as far as they are somebody else's words. What the service wrote itself is nobody's claim: of a revert that a person
    /// asked for only what the agent had called the change it takes back is left, and what a runbook words stands on the card already.
    fn told(&self, proposal: &Proposal) -> (String, String) {
        let given = |given: &str, own: &str| if given == own { String::new() } else { given.to_owned() };
        match &proposal.origin {
            Origin::Change | Origin::Observed(_) => (proposal.title.clone(), proposal.reason.clone()),
            Origin::Revert { of, commit } => {
                let reason = given(&proposal.reason, &revert_reason(*of, *commit));
                match (&proposal.requested_by, proposal.title.strip_prefix(REVERT_PREFIX)) {
                    (Some(_), Some(title)) => (title.to_owned(), reason),
                    (Some(_) | None, _) => (proposal.title.clone(), reason),
                }
            }
            Origin::Runbook(call) => {
                let book = self.book();
                let runbook = book
                    .runbook(&proposal.repository, &call.runbook)
                    .filter(|runbook| runbook.content_hash() == call.hash);
                let (title, reason) = runbook.and_then(|runbook| runbook.words(&call.parameters).ok()).unwrap_or_default();
                (given(&proposal.title, &title), given(&proposal.reason, &reason))
            }
        }
    }

    fn fill_state(&self, card: &mut Card, proposal: &Proposal) {
        card.decision = proposal.decision;
        card.delivery = proposal.delivery;
        card.outcome = proposal.outcome;
        card.landed = proposal.landed;
        card.note.clone_from(&proposal.note);
        card.expires_at = (proposal.decision == Decision::Pending).then_some(proposal.expires_at);
        if let (Delivery::Queued, Err(mut holds)) = (proposal.delivery, self.may_send(proposal)) {
            let promised = |hold: &domain::Hold| matches!(hold, domain::Hold::Promised { .. });
            if holds.iter().all(promised) {
                card.hold_until = proposal.hold_until;
            } else {
                // What waits for a freeze can be cancelled for longer than the time to think again.
                holds.retain(|hold| !promised(hold));
                card.note = Some(domain::said_in(&holds, self.zone()));
            }
        }
        card.reverted_by = proposal.reverted_by;
        card.by_hand.clone_from(&proposal.by_hand);
        card.recovered_at = proposal.recovered_at;
        card.requirements = self.requirements(proposal);
        card.decided = decided(proposal);
        let setup = self.repository(&proposal.repository);
        card.commit = proposal.commit.map(|id| CommitLine {
            id,
            url: setup
                .and_then(|setup| setup.commit_url.as_ref())
                .map(|url| url.replace("{commit}", &id.to_string())),
            author: proposal.committed_by.clone(),
        });
        card.pull_request_url = proposal.pull.as_ref().map(|pull| pull.url.clone());
        card.applications = proposal
            .applications
            .iter()
            .map(|app| ApplicationLine {
                name: app.name.clone(),
                headline: app.headline.clone(),
                state: progress_of(&app.state),
            })
            .collect();
        // The note says it where it is known.
        if proposal.applications.is_empty() && proposal.commit.is_some() && proposal.note.is_none() {
            card.untracked = match setup {
                Some(setup) if setup.argocd.is_none() => Some("no Argo CD is configured for this repository".to_owned()),
                Some(_) if proposal.outcome == Some(Outcome::Pushed) => Some("no application tracks these files".to_owned()),
                Some(_) | None => None,
            };
        }
        if proposal.tier() == Tier::Manual && by_hand_only(proposal) && !proposal.is_over() && proposal.commit.is_none() {
            card.commands = setup.map(|setup| commands(setup, proposal)).unwrap_or_default();
        }
    }

    /// What people ordered about it: stops over what is not sent yet, and freezes that somebody let it pass.
    async fn fill_orders(&self, card: &mut Card, proposal: &Proposal) -> Result<(), StoreError> {
        let stored = card.note.take();
        let mut said: Vec<String> = self.after_rewrite(proposal).or(stored).into_iter().collect();
        let wait = match (proposal.delivery, proposal.tier()) {
            (Delivery::None, Tier::Prompted) => Some("what is approved waits for its end"),
            (Delivery::None | Delivery::AwaitingCommit, Tier::Manual) => Some("please commit nothing before its end"),
            // A queued one has said so already.
            _ => None,
        };
        if let Some(wait) = wait.filter(|_| !proposal.is_over()) {
            said.extend(
                self.stops_over(proposal)
                    .iter()
                    .map(|stop| format!("{} (/resume {}, by two people): {wait}", stop.why(), stop.id)),
            );
        }
        let freezes = self.freezes_ahead_of(proposal);
        said.extend(
            freezes
                .iter()
                .map(|freeze| format!("{}: what is approved waits for it", freeze.why_in(self.zone()))),
        );
        said.extend(self.edited_words(proposal));
        said.extend(self.branch_words(proposal));
        let passes = self.store().read().overrides(proposal.id).await?;
        said.extend(
            passes
                .iter()
                .map(|pass| format!("{} let it pass the freeze {:?}", pass.by.name, pass.freeze)),
        );
        card.note = (!said.is_empty()).then(|| said.join("; "));
        Ok(())
    }

    /// What stands in the way of a delivery at the remote, where the proposal's own words do not say so.
    pub(crate) fn branch_words(&self, proposal: &Proposal) -> Option<String> {
        match proposal.delivery {
            Delivery::None | Delivery::AwaitingCommit => {
                let setup = self.repository(&proposal.repository)?;
                self.rewritten(setup).filter(|_| !proposal.is_over())
            }
            Delivery::Queued | Delivery::Committing => self.delayed(proposal.id),
            Delivery::PushBlocked | Delivery::Pushed | Delivery::Syncing | Delivery::Ended => None,
        }
    }

    /// The freezes that hold it and that somebody may let it pass.
    pub(crate) fn freezes_of(&self, proposal: &Proposal) -> Vec<domain::Freeze> {
        let overridden = self.orders_of(proposal.id).overridden;
        let mut freezes = crate::orders::frozen(&self.book().policy, proposal, &overridden, self.now());
        freezes.retain(|freeze| freeze.override_group.is_some());
        freezes
    }

    /// The freezes that would hold what people still decide about. What humans commit by themselves none holds.
    pub(crate) fn freezes_ahead_of(&self, proposal: &Proposal) -> Vec<domain::Freeze> {
        if proposal.is_over() || (proposal.delivery, proposal.tier()) != (Delivery::None, Tier::Prompted) {
            return Vec::new();
        }
        let overridden = self.orders_of(proposal.id).overridden;
        crate::orders::frozen(&self.book().policy, proposal, &overridden, self.now())
    }

    fn requirements(&self, proposal: &Proposal) -> Vec<Requirement> {
        let policy = self.book().policy.clone();
        let (agent, approvers) = (proposal.asking_agent(), proposal.approvers());
        let standing = policy.standing(&proposal.revision.route, agent, &approvers, self.now());
        // Whoever taps should know beforehand what it takes.
        let code = if proposal.decision == Decision::Pending && proposal.revision.route.asks_code() {
            ", each with a code"
        } else {
            ""
        };
        let places = standing.places.into_iter().map(|place| {
            let have = proposal.approvals().filter(|review| place.have.contains(&review.by.id));
            let eligible = place.eligible.iter().filter_map(|id| policy.person(*id));
            Requirement {
                have: have
                    .map(|review| (signed(review) + &stands_in(&policy, review, &place.group), review.at))
                    .collect(),
                eligible: eligible.map(|person| person.name.clone()).collect(),
                group: format!("{}{code}", place.label),
                quorum: place.quorum,
            }
        });
        places.collect()
    }

    /// The buttons that make sense in this state.
    fn buttons(&self, proposal: &Proposal) -> Vec<Action> {
        let mut buttons = Vec::new();
        match (proposal.decision, proposal.delivery) {
            (Decision::Pending, Delivery::None) if proposal.tier() == Tier::Prompted => {
                buttons.extend([Action::Approve, Action::Reject, Action::FullDiff]);
            }
            (Decision::Pending, Delivery::AwaitingCommit) => {
                buttons.extend([Action::FullDiff, Action::Dismiss]);
                if by_hand_only(proposal) {
                    buttons.push(Action::CopyCommands);
                }
            }
            (Decision::Approved | Decision::NotRequired, Delivery::Queued) => {
                buttons.push(Action::Cancel);
                if !self.freezes_of(proposal).is_empty() {
                    buttons.push(Action::SendAnyway);
                }
            }
            (_, Delivery::PushBlocked) => buttons.extend([Action::Retry, Action::Cancel]),
            _ => {}
        }
        if proposal.tier() == Tier::Standard {
            // Told afterwards: nobody has seen the whole diff yet.
            buttons.push(Action::FullDiff);
        }
        if proposal.is_delivered() {
            buttons.push(Action::Revert);
            if proposal.tier() == Tier::Standard && matches!(proposal.origin, Origin::Runbook(_) | Origin::Observed(_)) {
                buttons.push(Action::Demote);
            }
            buttons.push(Action::CopySha);
            let on_request = self
                .repository(&proposal.repository)
                .and_then(|setup| self.instance_of(setup))
                .is_some_and(|instance| instance.sync_on_request);
            // Nobody came in time: it can be synced all the same, and then it recovers.
            if on_request && matches!(proposal.outcome, None | Some(Outcome::TimedOut)) {
                for (index, app) in proposal.applications.iter().enumerate().take(8) {
                    if app.needs_sync() {
                        buttons.push(Action::Sync(u8::try_from(index).unwrap_or(0)));
                    }
                }
            }
        }
        buttons
    }
}

fn kind_of(proposal: &Proposal) -> CardKind {
    match (&proposal.origin, proposal.tier()) {
        (Origin::Observed(_), _) => CardKind::ObservedNote,
        (Origin::Change | Origin::Runbook(_) | Origin::Revert { .. }, Tier::Manual) => CardKind::ManualNote,
        (Origin::Change | Origin::Runbook(_) | Origin::Revert { .. }, Tier::Prompted) => CardKind::Approval,
        (Origin::Change | Origin::Runbook(_) | Origin::Revert { .. }, Tier::Standard) => CardKind::StandardNote,
    }
}

/// What the checks say, in the card's places: each thing once.
fn tell(card: &mut Card, proposal: &Proposal, checked: Checked) {
    let mut summary = checked.summary;
    if !proposal.applications.is_empty() {
        summary.applications = Some(proposal.applications.iter().map(|app| app.name.clone()).collect());
    }
    card.explained = Some(explained(summary));
    let holds = |name: &str| checked.checklist.iter().find(|fact| fact.name == name);
    // Branch, approvers and secrets stand elsewhere on the card; what does not hold is said in words below.
    for (name, label) in [
        ("in_code", "in code"),
        ("right_tool", "right tool"),
        ("no_way_around", "through git"),
    ] {
        let Some(fact) = holds(name) else { continue };
        match fact.holds {
            Holds::Yes => card.checks.push(CheckLine::new(label, CheckMark::Good)),
            Holds::No => {
                card.checks.push(CheckLine::new(label, CheckMark::Bad));
                card.remarks.push(fact.words.clone());
            }
            Holds::Unknown => card.checks.push(CheckLine::new(label, CheckMark::Unknown)),
        }
    }
    for check in checked.checks {
        match check.result {
            CheckResult::Passed => card.checks.push(CheckLine::new(&check.label, CheckMark::Good)),
            CheckResult::Failed => card.checks.push(CheckLine::new(&check.label, CheckMark::Bad)),
            CheckResult::Skipped => {}
        }
    }
    card.remarks.extend(checked.findings.iter().map(remark));
    // Said by its finding already.
    if checked
        .findings
        .iter()
        .any(|finding| card.why.starts_with(&format!("{}: {}", finding.rule, finding.message)))
    {
        card.why.clear();
    }
    card.checklist = checked.checklist.into_iter().map(|fact| fact.words).collect();
}

/// A finding on one line: what it means for the tier, what it is, and where; of the path only what tells files apart.
fn remark(finding: &Finding) -> String {
    let parts: Vec<&str> = finding.path.parts().collect();
    let place = parts[parts.len().saturating_sub(2)..].join("/");
    let line = finding.line.map_or_else(String::new, |line| format!(":{line}"));
    let effect = match finding.effect {
        Effect::Raise(tier) if tier < Tier::Standard => format!("{tier}: "),
        Effect::Raise(_) | Effect::Refuse | Effect::Remark => String::new(),
    };
    format!("{effect}{} ({place}{line}, {})", finding.message, finding.rule)
}

fn explained(summary: changes::Summary) -> Explained {
    let named = |what: &str, names: Vec<&str>| match names.as_slice() {
        [] => None,
        [one] => Some(format!("{what} {one}")),
        [first, rest @ ..] => Some(format!(
            "{what}s {first}{}",
            rest.iter().map(|name| format!(", {name}")).collect::<String>()
        )),
    };
    let applications = summary.applications.iter().flatten().map(String::as_str).collect();
    let namespaces = summary.namespaces.iter().map(String::as_str).collect();
    let reach = [named("application", applications), named("namespace", namespaces)];
    Explained {
        verb: summary.verb,
        risk: summary.risk,
        lines: summary.lines.into_iter().map(|line| (line.severity.risk(), line.text)).collect(),
        more: summary.more,
        reach: reach.into_iter().flatten().collect::<Vec<_>>().join(" · "),
    }
}

/// What the second step repeats. Where nothing is grave and the card shows everything, it is asked because of the pace alone.
pub(crate) fn worst_line(card: &Card, complete: bool) -> String {
    let deleted: Vec<_> = card
        .files
        .iter()
        .filter(|file| file.kind == domain::ChangeKind::Deleted)
        .map(|file| file.path.to_string())
        .collect();
    if !deleted.is_empty() {
        return format!("deletes {}", deleted.join(", "));
    }
    let worst = card.explained.as_ref().and_then(|explained| explained.lines.first());
    if let Some((Risk::High | Risk::Critical, line)) = worst {
        return line.clone();
    }
    let files = domain::counted(card.files.len(), "file", "files");
    let grave = card.explained.as_ref().is_some_and(|explained| explained.risk >= Risk::High);
    if complete && !grave {
        return format!("{files}, approved quicker than reading: open the diff first");
    }
    if let Some(remark) = card.remarks.first() {
        return remark.clone();
    }
    let why = if complete {
        "of high risk"
    } else {
        "and not everything fits on the card"
    };
    format!("{files}, {why}")
}

/// A link to a message. Only the messages of supergroups have one; it opens for their members.
fn message_link(chat: i64, message: i64) -> Option<String> {
    let number = chat.checked_neg()?.checked_sub(1_000_000_000_000).filter(|number| *number > 0)?;
    Some(format!("https://t.me/c/{number}/{message}"))
}

fn decided(proposal: &Proposal) -> Option<Decided> {
    let at = proposal.decided_at?;
    if let Some(ending) = &proposal.ended_by {
        let who = ending
            .by
            .as_ref()
            .map_or_else(|| proposal.agent.to_string(), |person| person.name.clone());
        return Some(Decided {
            who,
            at,
            reason: ending.reason.clone(),
        });
    }
    // Who approved did not expire or put aside what ended by itself.
    let verdict = match proposal.decision {
        Decision::Approved => ReviewVerdict::Approve,
        Decision::Rejected => ReviewVerdict::Reject,
        Decision::Pending | Decision::NotRequired | Decision::Expired | Decision::Withdrawn | Decision::Refused | Decision::Dismissed => {
            return None;
        }
    };
    let names: Vec<_> = proposal
        .current_reviews()
        .filter(|review| review.verdict == verdict)
        .map(signed)
        .collect();
    (!names.is_empty()).then(|| Decided {
        who: names.join(", "),
        at,
        reason: None,
    })
}

/// A name, and whether a code stands behind their word.
fn signed(review: &domain::Review) -> String {
    let code = if review.verified { " (code)" } else { "" };
    format!("{}{code}", review.by.name)
}

/// ` for carol`, where somebody filled the place of a member whom they stand in for.
fn stands_in(policy: &domain::Policy, review: &domain::Review, group: &domain::GroupName) -> String {
    let by = &review.by;
    if policy.members(group).contains(&by.name.as_str()) {
        return String::new();
    }
    let places = policy.stands_in(by.id, review.at);
    let place = places.iter().find(|(of, _, _)| *of == group);
    place.map_or_else(String::new, |(_, absent, _)| format!(" for {absent}"))
}

fn progress_of(state: &str) -> Progress {
    match state {
        "synced" => Progress::Good,
        "degraded" | "sync_failed" | "rolled_back" | "gone" => Progress::Bad,
        "timed_out" | "unknown" | "not_tracked" => Progress::Unknown,
        "syncing" | "settling" | "needs_sync" | "stalled" => Progress::Working,
        _ => Progress::Waiting,
    }
}

fn file_line(stats: &gitworker::FileStats, change: &FileChange) -> FileLine {
    let new = change.new.as_ref();
    let was = change.old.map(|old| old.mode);
    let exec = match (was, new.map(|new| new.mode)) {
        (Some(FileMode::Regular) | None, Some(FileMode::Executable)) => Some(true),
        (Some(FileMode::Executable), Some(FileMode::Regular)) => Some(false),
        _ => None,
    };
    let binary = new.filter(|new| stats.binary || !is_text(&new.bytes)).map(|new| Binary {
        size: new.bytes.len() as u64,
        sha256: Sha256Hash::of(&new.bytes),
    });
    let count = |lines: usize| u32::try_from(lines).unwrap_or(u32::MAX);
    FileLine {
        path: stats.path.clone(),
        kind: change.kind(),
        added: count(stats.added),
        removed: count(stats.removed),
        exec,
        binary,
    }
}

fn parameters(value: &serde_json::Value) -> String {
    let Some(object) = value.as_object() else { return String::new() };
    let pairs: Vec<_> = object
        .iter()
        .map(|(name, value)| format!("{name}={}", value.as_str().map_or_else(|| value.to_string(), str::to_owned)))
        .collect();
    format!("({})", pairs.join(", "))
}

/// Whether there is no pull request that somebody could merge.
fn by_hand_only(proposal: &Proposal) -> bool {
    proposal.pull.as_ref().is_none_or(|pull| pull.closed)
}

/// What a human runs to commit a manual change by hand. The patch is attached to the note.
pub(crate) fn commands(setup: &RepositorySetup, proposal: &Proposal) -> Vec<String> {
    vec![
        format!("git switch {} && git pull --ff-only", setup.branch()),
        format!("git apply --index {}.patch", proposal.id.short()),
        format!("git commit -m 'Apply {}' -m 'Proposal-Id: {}'", proposal.id.short(), proposal.id),
        format!("git push origin {}", setup.branch()),
    ]
}
