//! What a runbook's file says about trusting it: how far it may rise, how a run is verified, how often it may run, how it is undone.
//!
//! ```toml
//! ceiling = "standard"          # the highest tier that trust may give it; absent: prompted
//! rollback = "revert"           # how a run is undone; needed for the ceiling standard
//!
//! [verify]                      # when a run counts as a success; absent: the defaults
//! applications = ["{app}"]      # Argo CD Applications; absent: every one that the change touches
//! healthy_within = "10m"        # synced and healthy at the commit within this time after the push
//! stable_for = "5m"             # and still so after this time
//!
//! [limits]                      # for runs that nobody is asked about; absent: no limit of its own
//! per_target_per_day = 4
//! per_hour = 10
//! concurrent = 1
//! ```

use domain::Tier;
use serde::Deserialize;
use toml::Spanned;

use super::format::Checker;
use super::template::Template;

/// Most applications that one run may name.
const APPLICATIONS_MAX: usize = 20;
/// Longest verification, in seconds: a run whose end nobody knows after a day is unknown.
const VERIFY_SECONDS_MAX: u32 = 24 * 3600;
/// Largest limit: a larger one would not limit anything.
const LIMIT_MAX: i64 = 1000;

/// When a run counts as a success.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verification {
    /// Seconds after the push within which everything must be synced and healthy at the commit.
    pub healthy_within_seconds: u32,
    /// Seconds that it must then stay so.
    pub stable_for_seconds: u32,
    /// The applications that must be, as templates; `None` for all that the change touches.
    pub(super) applications: Option<Vec<Template>>,
}

impl Default for Verification {
    /// Ten minutes for a roll-out, five to see it stay.
    fn default() -> Self {
        Self {
            healthy_within_seconds: 600,
            stable_for_seconds: 300,
            applications: None,
        }
    }
}

/// How often a runbook may run without asking anybody. A run beyond a limit is refused until there is room again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RunLimits {
    /// Runs on one target within 24 hours.
    pub per_target_per_day: Option<u32>,
    /// Runs within an hour, over all targets.
    pub per_hour: Option<u32>,
    /// Runs under way at the same time.
    pub concurrent: Option<u32>,
}

/// How a run is undone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rollback {
    /// By a commit that is the inverse of the run's.
    Revert,
}

/// Everything of this file, checked.
#[derive(Debug, Clone)]
pub(super) struct Safety {
    pub ceiling: Tier,
    pub rollback: Option<Rollback>,
    pub verification: Verification,
    pub limits: RunLimits,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileVerify {
    applications: Option<Spanned<Vec<Spanned<String>>>>,
    healthy_within: Option<Spanned<String>>,
    stable_for: Option<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileLimits {
    per_target_per_day: Option<Spanned<i64>>,
    per_hour: Option<Spanned<i64>>,
    concurrent: Option<Spanned<i64>>,
}

pub(super) fn check(
    checker: &mut Checker<'_>,
    ceiling: Option<&Spanned<String>>,
    rollback: Option<&Spanned<String>>,
    verify: Option<&FileVerify>,
    limits: Option<&FileLimits>,
) -> Safety {
    let undone = rollback.and_then(|rollback| rollback_of(checker, rollback));
    let highest = ceiling.map_or(Tier::Prompted, |ceiling| ceiling_of(checker, ceiling));
    if let Some(ceiling) = ceiling
        && highest == Tier::Standard
        && rollback.is_none()
    {
        checker.add(
            &ceiling.span(),
            "the ceiling is standard but the file does not say how a run is undone",
            "add rollback = \"revert\": nothing runs by itself without a way back",
        );
    }
    Safety {
        ceiling: highest,
        rollback: undone,
        verification: verify.map(|verify| verification(checker, verify)).unwrap_or_default(),
        limits: limits.map(|limits| run_limits(checker, limits)).unwrap_or_default(),
    }
}

fn ceiling_of(checker: &mut Checker<'_>, ceiling: &Spanned<String>) -> Tier {
    ceiling.get_ref().parse().unwrap_or_else(|error: domain::InvalidId| {
        checker.add(&ceiling.span(), error.to_string(), "write ceiling = \"prompted\" or \"standard\"");
        Tier::Prompted
    })
}

fn rollback_of(checker: &mut Checker<'_>, rollback: &Spanned<String>) -> Option<Rollback> {
    if rollback.get_ref() == "revert" {
        return Some(Rollback::Revert);
    }
    let message = format!("there is no rollback {:?}", rollback.get_ref());
    checker.add(&rollback.span(), message, "write rollback = \"revert\"");
    None
}

fn verification(checker: &mut Checker<'_>, verify: &FileVerify) -> Verification {
    let default = Verification::default();
    let mut seconds = |text: Option<&Spanned<String>>, least: u32, otherwise: u32| {
        let Some(text) = text else { return otherwise };
        seconds(text.get_ref(), least).unwrap_or_else(|| {
            let message = format!("{:?} is not a duration from {least}s to 24h", text.get_ref());
            checker.add(&text.span(), message, "write for example \"30s\", \"10m\" or \"1h\"");
            otherwise
        })
    };
    let healthy_within_seconds = seconds(verify.healthy_within.as_ref(), 10, default.healthy_within_seconds);
    let stable_for_seconds = seconds(verify.stable_for.as_ref(), 0, default.stable_for_seconds);
    let applications = verify.applications.as_ref().map(|names| {
        let count = names.get_ref().len();
        if count == 0 || count > APPLICATIONS_MAX {
            checker.add(
                &names.span(),
                format!("{count} applications are named"),
                "name 1 to 20, or leave the key out to verify every application that the change touches",
            );
        }
        let mut templates = Vec::new();
        for name in names.get_ref() {
            if name.get_ref().trim().is_empty() {
                checker.add(&name.span(), "an application's name is empty", "name an Argo CD Application");
            }
            templates.extend(checker.template(name));
        }
        templates
    });
    Verification {
        healthy_within_seconds,
        stable_for_seconds,
        applications,
    }
}

fn run_limits(checker: &mut Checker<'_>, limits: &FileLimits) -> RunLimits {
    let mut limit = |number: Option<&Spanned<i64>>| {
        let number = number?;
        let within = (1..=LIMIT_MAX).contains(number.get_ref());
        if !within {
            let message = format!("a limit of {} limits nothing, or everything", number.get_ref());
            checker.add(&number.span(), message, "write a number from 1 to 1000, or leave the key out");
        }
        u32::try_from(*number.get_ref()).ok().filter(|_| within)
    };
    RunLimits {
        per_target_per_day: limit(limits.per_target_per_day.as_ref()),
        per_hour: limit(limits.per_hour.as_ref()),
        concurrent: limit(limits.concurrent.as_ref()),
    }
}

/// A number and `s`, `m` or `h`.
fn seconds(text: &str, least: u32) -> Option<u32> {
    let unit = text.chars().last()?;
    let factor = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        _ => return None,
    };
    let number = text.strip_suffix(unit)?;
    let digits = number.bytes().all(|byte| byte.is_ascii_digit());
    let seconds = number.parse::<u32>().ok().filter(|_| digits)?.checked_mul(factor)?;
    (least..=VERIFY_SECONDS_MAX).contains(&seconds).then_some(seconds)
}
