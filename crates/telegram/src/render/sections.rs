//! The parts of a card, from top to bottom. Each has its own limit, so that no part can push another one off the card.

use domain::{Decision, Delivery, Outcome, Risk, Tier};

use super::rich::Rich;
use super::words::{clock, ended_by, landed, progress, remaining, state};
use super::{RenderOptions, files, paragraph};
use crate::card::{ApplicationLine, Card, CardKind, CheckMark, Requirement};
use crate::text::{cut_telling, cut_units, one_line, units, visible};

/// Longest name of a person, group, branch or application.
const NAME_MAX: usize = 60;
/// A group with what may be approved instead: what is cut off here nobody knows of.
pub(super) const GROUP_MAX: usize = 160;
/// Who is asked, who approved and who may: shorter than a list, or it would be left out as a whole.
const NEED_MAX: usize = 400;
/// Longest list of applications, of requirements, and of remarks.
const LIST_MAX: usize = 440;
/// Lines that say what a change does; the rest is counted.
const EXPLAINED_MAX: usize = 6;
/// Other proposals named that touch the same files.
const OVERLAPS_MAX: usize = 3;
/// Longest sentence about why something failed.
const NOTE_MAX: usize = 360;
/// Longest block of commands.
const COMMANDS_MAX: usize = 500;

/// Foreign words on one line of ours: cut, visible, never a line break.
fn short(text: &str) -> String {
    cut_units(&one_line(text), NAME_MAX)
}

/// Whether it only tells that all is well: what happened and how it stands, the rest folded, the diff behind its button.
pub(super) fn is_brief(card: &Card) -> bool {
    let fails = card.outcome.is_some_and(Outcome::is_failure) && card.recovered_at.is_none();
    let note = matches!(card.kind, CardKind::StandardNote | CardKind::ObservedNote);
    note && !fails && card.delivery != Delivery::PushBlocked
}

/// Verdict, where, second step, and progress.
pub(super) fn head(card: &Card, options: &RenderOptions) -> Rich {
    let top = verdict(card, options).line(place(card));
    if card.superseded.is_some() {
        return top; // nothing on it counts any more
    }
    top.line(second_step(card, options))
        .line(codes(card, options))
        .line(note(card))
        .line(revised(card))
        .line(decided(card, options))
        .line(carried(card))
        .line(applications(card))
}

/// What must still happen, what exactly it is about, and what we noticed.
pub(super) fn details(card: &Card, options: &RenderOptions) -> Rich {
    let asked = requirements(card, options).line(deadline(card, options));
    asked
        .line(overlaps(card))
        .line(explained(card))
        .line(checks(card))
        .line(remarks(card))
}

/// Tier, what, and how it stands; where somebody ended it, who and when.
pub(super) fn verdict(card: &Card, options: &RenderOptions) -> Rich {
    let (mark, mut words) = state(card);
    if let Some(by) = ended_by(card).filter(|_| card.superseded.is_none()) {
        let at = clock(by.at, options.now, options.time_zone);
        words.push_str(&format!(" by {} at {at}", short(&by.who)));
    }
    let tier = match (card.kind, card.tier) {
        (CardKind::ObservedNote, _) => "OBSERVED",
        (_, Tier::Manual) => "MANUAL",
        (_, Tier::Prompted) => "PROMPTED",
        (_, Tier::Standard) => "STANDARD",
    };
    Rich::new()
        .text(mark)
        .text(" ")
        .bold(tier)
        .text(card.explained.as_ref().map_or("", |explained| risk(explained.risk)))
        .text(" · ")
        .join(files::what(card))
        .text(" · ")
        .bold(&words)
}

fn place(card: &Card) -> Rich {
    let mut line = Rich::new().text(card.repository.as_str());
    if !card.branch.is_empty() {
        line = line.text(" · ").text(&short(&card.branch));
    }
    if !card.files.is_empty() {
        line = line.text(&format!(
            " · {} · {}",
            files::file_count(&card.files),
            files::line_counts(&card.files)
        ));
    }
    line = line.text(" · ").text(&asking(card));
    if let Some(id) = card.id {
        line = line.text(" · ").code(&id.short());
    }
    if let Some(url) = card.superseded.as_ref().and_then(|newer| newer.url.as_deref()) {
        line = line.text("\n").link("To the next card.", Some(url));
    }
    line
}

/// Who asks: `agent ops-bot`, or `asked by alice`.
pub(super) fn asking(card: &Card) -> String {
    match &card.requested_by {
        Some(person) => format!("asked by {}", short(person)),
        None => format!("agent {}", card.agent),
    }
}

fn second_step(card: &Card, options: &RenderOptions) -> Rich {
    let Some(step) = &card.confirm else { return Rich::new() };
    let digest = card.digest.map(|digest| digest.short()).unwrap_or_default();
    Rich::new()
        .bold("‼️ Are you sure? ")
        .code(&cut_units(&one_line(&step.worst), 160))
        .text(" · digest ")
        .code(&digest)
        .text(&format!(
            "\nAsked of {} until {}. Whoever else taps Yes may be asked first, too.",
            cut_units(&one_line(&step.who.join(", ")), 2 * NAME_MAX),
            clock(step.until, options.now, options.time_zone)
        ))
}

fn codes(card: &Card, options: &RenderOptions) -> Rich {
    let Some(step) = &card.codes else { return Rich::new() };
    let who = cut_units(&one_line(&step.who.join(", ")), 2 * NAME_MAX);
    let until = clock(step.until, options.now, options.time_zone);
    Rich::new()
        .text(&format!("🔑 Waits until {until} for a code of {who}: "))
        .code("/code 123456")
        .text(", or a reply to this card")
}

/// Why it stands where it stands. Often the words of a remote or of Argo CD: framed as code.
pub(super) fn note(card: &Card) -> Rich {
    let said_below = card.untracked.as_deref().map(one_line);
    let note = card.note.as_deref().map(one_line);
    let note = note.filter(|note| !note.is_empty() && said_below.as_ref() != Some(note));
    let label = match (card.outcome, card.delivery) {
        (Some(Outcome::Synced | Outcome::Pushed), _) => "Note: ",
        (None, Delivery::Queued) => "", // "waits: …"
        _ if card.recovered_at.is_some() => "At first: ",
        _ => "Why: ",
    };
    note.map_or_else(Rich::new, |note| Rich::new().text(label).code(&cut_telling(&note, NOTE_MAX)))
}

/// Whoever approved an earlier revision must know that it does not count any more.
fn revised(card: &Card) -> Rich {
    if card.decision != Decision::Pending || card.outcome.is_some() || card.revision < 2 {
        return Rich::new();
    }
    Rich::new().text(&format!("Revision {}: earlier approvals do not count", card.revision))
}

/// The reason of whoever ended it, or the question for it; and who approved, where no group tells it.
fn decided(card: &Card, options: &RenderOptions) -> Rich {
    let Some(by) = &card.decided else { return Rich::new() };
    if ended_by(card).is_none() {
        let told = card.decision != Decision::Approved || card.requirements.iter().any(|need| !need.have.is_empty());
        let at = clock(by.at, options.now, options.time_zone);
        let line = || Rich::new().text(&format!("Approved by {} at {at}", short(&by.who)));
        return if told { Rich::new() } else { line() };
    }
    let reason = by.reason.as_deref().map(one_line).filter(|reason| !reason.is_empty());
    match reason {
        Some(reason) => Rich::new().text("Reason: ").code(&cut_telling(&reason, 280)),
        None if card.decision == Decision::Rejected && !card.chips.is_empty() => {
            Rich::new().text("Why? Tap a reason, or reply to this card.")
        }
        None => Rich::new(),
    }
}

/// Commit, pull request, how it landed, what came after.
fn carried(card: &Card) -> Rich {
    let mut lines = Rich::new();
    if let Some(commit) = &card.commit {
        let line = Rich::new().text("Commit ").link(&commit.id.short(), commit.url.as_deref());
        let author = commit.author.as_deref().map(|author| format!(" by {}", short(author)));
        lines = lines.line(line.text(&author.unwrap_or_default()));
    }
    if let Some(url) = &card.pull_request_url {
        lines = lines.line(Rich::new().text("Pull request: ").link(&cut_units(&one_line(url), 120), Some(url)));
    }
    if let Some(how) = card.landed {
        lines = lines.line(Rich::new().text(landed(how)));
    }
    if let Some(id) = card.reverted_by {
        lines = lines.line(Rich::new().text("Reverted by ").code(&id.short()));
    }
    if let Some(back) = &card.by_hand {
        let (commit, author) = (back.commit.short(), short(&back.author));
        let line = match (back.restored, back.put_back) {
            (false, _) => Rich::new()
                .text("Commit ")
                .code(&commit)
                .text(&format!(" by {author} says that it reverts this")),
            (true, None) => Rich::new()
                .text("Reverted by hand in commit ")
                .code(&commit)
                .text(&format!(" by {author}")),
            (true, Some(later)) => Rich::new()
                .text("Reverted by hand in commit ")
                .code(&commit)
                .text(&format!(" by {author}, on the branch again since "))
                .code(&later.short()),
        };
        lines = lines.line(line);
    }
    lines
}

fn applications(card: &Card) -> Rich {
    if let Some(why) = &card.untracked {
        return Rich::new().text("Not followed: ").text(&cut_units(&one_line(why), 200));
    }
    fitted(card.applications.iter().map(|app| application(card, app)), "applications")
}

/// Its mark, its name, and how it stands unless the note says exactly that.
pub(super) fn application(card: &Card, app: &ApplicationLine) -> Rich {
    let line = Rich::new().text(&format!("{} {}", progress(app.state), short(&app.name)));
    let headline = one_line(&app.headline);
    if headline.is_empty() || card.note.as_deref().map(one_line).as_ref() == Some(&headline) {
        return line;
    }
    line.text(": ").code(&cut_units(&headline, 160))
}

fn requirements(card: &Card, options: &RenderOptions) -> Rich {
    let line = |need: &Requirement| {
        let have: Vec<String> = need
            .have
            .iter()
            .map(|(name, at)| format!("{} {}", short(name), clock(*at, options.now, options.time_zone)))
            .collect();
        let (count, quorum, group) = (need.have.len(), need.quorum, cut_units(&one_line(&need.group), GROUP_MAX));
        let mut line = if card.decision == Decision::Pending {
            format!("Needs {quorum} of {group}: {count}/{quorum}")
        } else {
            format!("Approvals of {group}: {count}/{quorum}")
        };
        if !have.is_empty() {
            line.push_str(&format!(" · {}", have.join(", ")));
        }
        if card.decision == Decision::Pending && !need.eligible.is_empty() {
            let names: Vec<String> = need.eligible.iter().map(|name| short(name)).collect();
            line.push_str(&format!(" · may approve: {}", names.join(", ")));
        }
        Rich::new().text(&cut_units(&line, NEED_MAX))
    };
    fitted(
        card.requirements
            .iter()
            .filter(|need| card.decision == Decision::Pending || !need.have.is_empty())
            .map(line),
        "groups",
    )
}

/// When it expires, or until when it can be stopped; and the digest that an approval is bound to.
fn deadline(card: &Card, options: &RenderOptions) -> Rich {
    let mut line = Rich::new();
    let pending = card.decision == Decision::Pending && card.outcome.is_none();
    if let Some(at) = card.expires_at.filter(|_| pending) {
        let left = remaining(at, options.now);
        let left = if left.is_empty() { left } else { format!(" ({left})") };
        line = line.text(&format!("Expires {}{left}", clock(at, options.now, options.time_zone)));
    }
    if let Some(at) = card.hold_until.filter(|_| card.delivery == Delivery::Queued) {
        let at = at.with_timezone(&options.time_zone).format("%H:%M:%S");
        line = line.text(&format!("Held back until {at}: Cancel stops it"));
    }
    // The question of a second step names the digest already.
    if let Some(digest) = card.digest.filter(|_| card.confirm.is_none()) {
        let label = if line.is_empty() { "digest " } else { " · digest " };
        line = line.text(label).code(&digest.short());
    }
    line
}

/// Who else changes these files. Nothing waits for that: the one that comes second is compared with what the first one left.
fn overlaps(card: &Card) -> Rich {
    let over = card.outcome.is_some() || card.superseded.is_some();
    let Some((first, rest)) = card.overlaps.split_first().filter(|_| !over) else {
        return Rich::new();
    };
    let name = |line: Rich, (id, agent): &(String, domain::AgentName)| line.code(id).text(&format!(" ({})", short(agent.as_str())));
    let mut line = name(Rich::new().text("↔️ Same files as "), first);
    for other in rest.iter().take(OVERLAPS_MAX - 1) {
        line = name(line.text(", "), other);
    }
    let missing = card.overlaps.len().saturating_sub(OVERLAPS_MAX);
    let more = if missing == 0 {
        String::new()
    } else {
        format!(" and {missing} more")
    };
    line.text(&format!("{more}: once one of them lands, this is shown again, or conflicts"))
}

const fn risk(risk: Risk) -> &'static str {
    match risk {
        Risk::Low => " · low risk",
        Risk::Medium => " · MEDIUM risk",
        Risk::High => " · HIGH risk",
        Risk::Critical => " · CRITICAL",
    }
}

/// What it does, worst first, and how far it reaches.
fn explained(card: &Card) -> Rich {
    let Some(explained) = &card.explained else { return Rich::new() };
    let line = |(risk, text): &(Risk, String)| {
        let mark = match risk {
            Risk::Critical => "‼️ ",
            Risk::High => "❗ ",
            Risk::Medium => "! ",
            Risk::Low => "· ",
        };
        Rich::new().text(mark).code(&cut_units(&one_line(text), 160))
    };
    let shown = explained.lines.iter().take(EXPLAINED_MAX).map(line).fold(Rich::new(), Rich::line);
    let missing = explained.lines.len().saturating_sub(EXPLAINED_MAX) + explained.more;
    let shown = match missing {
        0 => shown,
        missing => shown.line(Rich::new().text(&format!("… and {}", domain::counted(missing, "smaller thing", "smaller things")))),
    };
    match one_line(&explained.reach) {
        reach if reach.is_empty() => shown,
        reach => shown.line(Rich::new().text("Reaches ").code(&cut_units(&reach, 160))),
    }
}

/// Every check with its mark on one line.
fn checks(card: &Card) -> Rich {
    if card.checks.is_empty() {
        return Rich::new();
    }
    let one = |check: &crate::CheckLine| {
        let mark = match check.mark {
            CheckMark::Good => "✓",
            CheckMark::Bad => "✗",
            CheckMark::Unknown => "?",
        };
        format!("{} {mark}", short(&check.name))
    };
    let all: Vec<_> = card.checks.iter().map(one).collect();
    Rich::new().text("Checks: ").text(&cut_units(&all.join(" · "), LIST_MAX))
}

fn remarks(card: &Card) -> Rich {
    fitted(
        card.remarks
            .iter()
            .map(|remark| Rich::new().text("! ").code(&cut_units(&one_line(remark), 160))),
        "remarks",
    )
}

/// As many lines as fit, then how many are missing.
fn fitted(lines: impl Iterator<Item = Rich>, what: &str) -> Rich {
    let (mut shown, mut missing) = (Rich::new(), 0usize);
    for line in lines {
        if missing > 0 || shown.units() + line.units() > LIST_MAX {
            missing += 1;
        } else {
            shown = shown.line(line);
        }
    }
    if missing > 0 {
        shown.line(Rich::new().text(&format!("… and {missing} more {what}")))
    } else {
        shown
    }
}

/// What we know, folded; `first` stands above the rest.
pub(super) fn facts(card: &Card, options: &RenderOptions, first: Rich) -> Rich {
    let labelled = |label: &str, value: &str, max: usize| match one_line(value) {
        value if value.is_empty() => Rich::new(),
        value => Rich::new().text(label).text(" ").code(&cut_units(&value, max)),
    };
    let mut revision = format!("Proposed {}", clock(card.created_at, options.now, options.time_zone));
    // While it is pending a line above says which revision it is.
    if card.revision > 1 && revised(card).is_empty() {
        revision.push_str(&format!(" · revision {}", card.revision));
    }
    if let Some(revised) = &card.revised {
        revision.push_str(&format!(" · {}", short(revised)));
    }
    // The verdict names the runbook as far as it fits there.
    let runbook = card.runbook.as_deref().filter(|runbook| !files::named_whole(runbook));
    let agent = card.requested_by.as_ref().map_or("", |_| card.agent.as_str());
    let inside = first
        .line(rule(card))
        .line(checklist(card))
        .line(labelled("Runbook", runbook.unwrap_or_default(), 120))
        .line(labelled("Agent", agent, 60))
        .line(labelled("Trust", card.shadow.as_deref().unwrap_or_default(), 160))
        .line(labelled("Base", &card.base.map(|base| base.short()).unwrap_or_default(), 40))
        .line(labelled("Policy", &card.policy, 40))
        .line(Rich::new().text(&revision))
        .line(labelled("Id", &card.id.map(|id| id.to_string()).unwrap_or_default(), 40));
    Rich::new().quote(inside)
}

/// The operator's checklist in one sentence.
fn checklist(card: &Card) -> Rich {
    let words: Vec<_> = card.checklist.iter().map(|fact| one_line(fact)).collect();
    match words.as_slice() {
        [] => Rich::new(),
        words => Rich::new().text("Checklist ").code(&cut_units(&words.join(" · "), LIST_MAX)),
    }
}

/// The rule, and what it says, in one line where the reason begins with it.
fn rule(card: &Card) -> Rich {
    let name = cut_units(&one_line(&card.rule), 100);
    let line = if name.is_empty() {
        Rich::new()
    } else {
        Rich::new().text("Rule ").code(&name)
    };
    match card.why.strip_prefix(&format!("rule {:?}", card.rule)).filter(|_| !name.is_empty()) {
        Some(rest) => line.text(&cut_units(&visible(&rest.replace('\n', " ")), 160)),
        None => line.line(Rich::new().text(&cut_units(&one_line(&card.why), 160))),
    }
}

/// What the agent says, as the agent's. Where a person asked, it says only what the agent had called the change that is taken back.
pub(super) fn claim(card: &Card, max: usize) -> Rich {
    let (title, reason) = (one_line(&card.title), paragraph(&card.reason));
    if title.is_empty() && reason.is_empty() {
        return Rich::new();
    }
    let label = match &card.requested_by {
        Some(_) => Rich::new().text(&format!("Takes back what {} called:", card.agent)),
        None => Rich::new()
            .bold(&format!("{} claims", card.agent))
            .text(" (the agent's own words, not checked):"),
    };
    let left = max.saturating_sub(label.units() + 2);
    let title = cut_telling(&title, (left / 2).min(200));
    let reason = cut_telling(&reason, left.saturating_sub(units(&title) + 1));
    label.line(Rich::new().quote(Rich::new().foreign(&title, true).line(Rich::new().foreign(&reason, false))))
}

/// Manual: what a human types. Too many of them stand at the head of the patch.
pub(super) fn commands(card: &Card) -> Rich {
    let text = crate::text::visible(&card.commands.join("\n"));
    if text.is_empty() || card.outcome.is_some() {
        Rich::new()
    } else if units(&text) <= COMMANDS_MAX {
        Rich::new().text("To commit it yourself:").line(Rich::new().pre(&text, None))
    } else {
        Rich::new().text("The commands stand at the head of the patch below.")
    }
}
