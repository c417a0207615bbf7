//! `[guard]`: what an operator adds to the guard rails, and what each rule does.

use std::collections::BTreeMap;
use std::time::Duration;

use changes::guard::Effect;
use engine::GuardFiles;

use super::convert::Checker;
use super::raw::{RawGuard, RawGuardRule};

/// The word that switches a rule off.
const OFF: &str = "off";
/// Longest time for all policies together: an agent waits for its answer meanwhile.
const POLICY_MILLISECONDS_MAX: u64 = 10_000;

impl Checker<'_> {
    pub(super) fn guard(&mut self, raw: RawGuard) -> GuardFiles {
        if !(1..=POLICY_MILLISECONDS_MAX).contains(&raw.policy_milliseconds) {
            self.problem(
                "guard.policy_milliseconds",
                format!("{} is not a time that policies can have", raw.policy_milliseconds),
                format!("write 1 to {POLICY_MILLISECONDS_MAX}"),
            );
        }
        if raw.policies.is_none() && !raw.policy_packages.is_empty() {
            self.problem(
                "guard.policy_packages",
                "packages are named, but no folder of policies",
                "add guard.policies, or take the packages out",
            );
        }
        if let Some(kubernetes) = &raw.kubernetes
            && !is_version(&kubernetes.version)
        {
            let message = format!("{:?} is no version of Kubernetes", kubernetes.version);
            self.problem(
                "guard.kubernetes.version",
                message,
                "write that of the definitions, such as \"1.35\"",
            );
        }
        let (mut effects, mut off) = (BTreeMap::new(), BTreeMap::new());
        for (nth, rule) in raw.rules.into_iter().enumerate() {
            let twice = effects.contains_key(&rule.id) || off.contains_key(&rule.id);
            if twice {
                let message = format!("the rule {:?} is configured twice", rule.id);
                self.problem(&format!("guard.rules[{nth}].id"), message, "keep one of the two");
            }
            self.guard_rule(nth, rule, &mut effects, &mut off);
        }
        GuardFiles {
            secret_rules: raw.secret_rules.map(|path| self.path(&path)),
            custom_resources: raw.custom_resources.map(|path| self.path(&path)),
            kubernetes: raw
                .kubernetes
                .map(|kubernetes| (kubernetes.version, self.path(&kubernetes.definitions))),
            policies: raw.policies.map(|path| self.path(&path)),
            policy_packages: raw.policy_packages,
            policy_limit: Duration::from_millis(raw.policy_milliseconds),
            effects,
            off,
        }
    }

    fn guard_rule(&mut self, nth: usize, rule: RawGuardRule, effects: &mut BTreeMap<String, Effect>, off: &mut BTreeMap<String, String>) {
        let key = |name: &str| format!("guard.rules[{nth}].{name}");
        if rule.effect == OFF {
            let reason = rule.reason.unwrap_or_default();
            if reason.trim().is_empty() {
                let message = format!("the rule {:?} is switched off without a reason", rule.id);
                self.problem(&key("reason"), message, "say for whoever reads this later why it is off");
            }
            off.insert(rule.id, reason);
            return;
        }
        match rule.effect.parse() {
            Ok(effect) => {
                effects.insert(rule.id, effect);
            }
            Err(_) => self.problem(
                &key("effect"),
                format!("{:?} is no effect", rule.effect),
                "write \"refuse\", \"manual\", \"prompted\", \"remark\" or \"off\"",
            ),
        }
    }
}

/// `1.35`, `v1.35` or `1.35.2`.
fn is_version(text: &str) -> bool {
    let parts: Vec<&str> = text.strip_prefix('v').unwrap_or(text).split('.').collect();
    let number = |part: &&str| !part.is_empty() && part.len() <= 4 && part.bytes().all(|byte| byte.is_ascii_digit());
    (2..=3).contains(&parts.len()) && parts.iter().all(number)
}
