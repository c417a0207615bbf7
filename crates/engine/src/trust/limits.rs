//! How often a runbook may run without asking anybody: counted from the call on, so that a burst cannot slip by before the first push.

use changes::RunLimits;
use chrono::Duration;
use domain::ledger::Target;
use domain::{Origin, Proposal, RepositoryName, RunbookName, Tier, Timestamp};
use store::{StandardRun, StoreError, Tx};

use crate::{Book, Problem};

/// What a run that asks nobody must keep to.
#[derive(Debug, Clone)]
pub(crate) struct Limited {
    pub runbook: RunbookName,
    pub repository: RepositoryName,
    pub target: Target,
    pub limits: RunLimits,
}

/// What a new proposal must keep to; `None` when people decide about it, or its runbook has no limits.
pub(crate) fn limited(book: &Book, proposal: &Proposal) -> Option<Limited> {
    let Origin::Runbook(call) = &proposal.origin else { return None };
    let limits = book.runbook(&proposal.repository, &call.runbook)?.limits();
    (proposal.tier() == Tier::Standard && limits != RunLimits::default()).then(|| Limited {
        runbook: call.runbook.clone(),
        repository: proposal.repository.clone(),
        target: Target::of(proposal.revision.facts.paths.iter().cloned()),
        limits,
    })
}

/// Refuses a run that would be one too many.
pub(crate) async fn check_limits(tx: &mut Tx, limited: &Limited, now: Timestamp) -> Result<Option<Problem>, StoreError> {
    let day_ago = now - Duration::hours(24);
    let runs = tx
        .standard_runs(&limited.runbook, &limited.repository, &limited.target, day_ago)
        .await?;
    Ok(exceeded(&runs, limited, now))
}

fn exceeded(runs: &[StandardRun], limited: &Limited, now: Timestamp) -> Option<Problem> {
    let RunLimits {
        per_hour,
        per_target_per_day,
        concurrent,
    } = limited.limits;
    let name = &limited.runbook;
    let refuse = |detail: String, seconds: i64| {
        let hint = "wait, or propose the change with \"tier\": \"prompted\" so that people decide";
        Problem::new(429, "runbook_limit", detail, hint)
            .at("/runbook")
            .retry(u32::try_from(seconds.max(1)).unwrap_or(u32::MAX))
    };
    let within = |span: Duration, limit: Option<u32>, counts: &dyn Fn(&&StandardRun) -> bool| {
        let limit = usize::try_from(limit?).unwrap_or(usize::MAX);
        let counted: Vec<&StandardRun> = runs.iter().filter(|run| run.at > now - span).filter(|run| counts(run)).collect();
        // When the oldest of the newest `limit` leaves the span, there is room again.
        let oldest = counted.len().checked_sub(limit).and_then(|at| counted.get(at))?;
        Some((limit, (oldest.at + span - now).num_seconds() + 1))
    };
    if let Some((limit, wait)) = within(Duration::hours(1), per_hour, &|_| true) {
        return Some(refuse(format!("runbook {name} may run by itself {limit} times an hour"), wait));
    }
    if let Some((limit, wait)) = within(Duration::hours(24), per_target_per_day, &|run| run.same_target) {
        let detail = format!("runbook {name} may run by itself {limit} times a day on {}", limited.target);
        return Some(refuse(detail, wait));
    }
    let under_way = runs.iter().filter(|run| run.under_way).count();
    let concurrent = concurrent.map(|limit| usize::try_from(limit).unwrap_or(usize::MAX));
    concurrent.filter(|limit| under_way >= *limit).map(|limit| {
        let detail = format!("{under_way} runs of runbook {name} that asked nobody are under way; {limit} may be");
        refuse(detail, 30)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minutes: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + Duration::days(10) + Duration::minutes(minutes)
    }

    fn run(minutes: i64, same_target: bool, under_way: bool) -> StandardRun {
        StandardRun {
            at: at(minutes),
            same_target,
            under_way,
        }
    }

    #[test]
    fn one_too_many_is_told_when_there_is_room_again() {
        let limited = |limits| Limited {
            runbook: "scale".parse().expect("a name"),
            repository: "homelab".parse().expect("a name"),
            target: Target::of(["a.yaml".parse().expect("a path")]),
            limits,
        };
        let hourly = limited(RunLimits {
            per_hour: Some(2),
            ..RunLimits::default()
        });
        let daily = limited(RunLimits {
            per_target_per_day: Some(1),
            ..RunLimits::default()
        });
        let one_at_once = limited(RunLimits {
            concurrent: Some(1),
            ..RunLimits::default()
        });
        let two = [run(-50, true, false), run(-10, false, false)];
        let wait = |problem: Option<Problem>| problem.and_then(|problem| problem.retry_after);
        assert_eq!(
            wait(exceeded(&two, &hourly, at(0))),
            Some(601),
            "the first leaves the hour in ten minutes"
        );
        assert_eq!(wait(exceeded(&two, &hourly, at(10))), None);
        assert_eq!(wait(exceeded(&two, &daily, at(0))), Some(23 * 3600 + 601));
        assert_eq!(wait(exceeded(&two[1..], &daily, at(0))), None, "another target");
        assert_eq!(wait(exceeded(&two, &one_at_once, at(0))), None);
        assert_eq!(wait(exceeded(&[run(-90, false, true)], &one_at_once, at(0))), Some(30));
        // A clock that was turned back puts runs into the future: they count, and nobody waits for ever less than a second.
        assert!(wait(exceeded(&two, &hourly, at(-60))).is_some_and(|wait| wait > 0));
    }
}
