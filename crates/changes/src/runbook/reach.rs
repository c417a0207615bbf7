//! Whether some value of its parameters can bring an edit's path into the allowed paths. A wrong "yes" costs nothing, as each run is checked; a
//! runbook that can never run is told when it is written.

use std::collections::BTreeSet;

use domain::PathGlob;

use super::template::Part;

/// One step of a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// Exactly this character.
    Is(char),
    /// One character of a name.
    One,
    /// Any number of characters of a name.
    Some,
    /// Any characters at all, slashes included.
    Any,
}

/// Whether the path of these parts can lie within one of the patterns. A parameter is at least one character of one name.
pub(super) fn reaches(parts: &[Part], allowed: &[PathGlob]) -> bool {
    let mut path = Vec::new();
    for part in parts {
        match part {
            Part::Text(text) => path.extend(text.chars().map(Step::Is)),
            Part::Parameter(_) => path.extend([Step::One, Step::Some]),
        }
    }
    allowed
        .iter()
        .any(|glob| steps(glob.as_str()).is_none_or(|pattern| meet(&path, &pattern)))
}

/// The steps of a pattern, or somewhat more than it covers; `None` when it has alternatives or classes.
fn steps(glob: &str) -> Option<Vec<Step>> {
    let mut steps = Vec::new();
    let mut rest = glob;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        steps.push(match c {
            '{' | '[' => return None,
            '?' => Step::One,
            '*' if rest.starts_with('*') => {
                rest = &rest[1..];
                // `a/**/b` covers a/b, too.
                rest = rest.strip_prefix('/').unwrap_or(rest);
                Step::Any
            }
            '*' => Step::Some,
            c => Step::Is(c),
        });
    }
    Some(steps)
}

/// Whether some text is covered by both.
fn meet(one: &[Step], other: &[Step]) -> bool {
    let mut seen = BTreeSet::new();
    let mut open = vec![(0, 0)];
    while let Some((i, j)) = open.pop() {
        if !seen.insert((i, j)) {
            continue;
        }
        let (a, b) = (one.get(i).copied(), other.get(j).copied());
        if a.is_none() && b.is_none() {
            return true;
        }
        let many = |step: Option<Step>| matches!(step, Some(Step::Some | Step::Any));
        // What may be any number of characters may be none.
        if many(a) {
            open.push((i + 1, j));
        }
        if many(b) {
            open.push((i, j + 1));
        }
        if let (Some(step), Some(with)) = (a, b)
            && shares(step, with)
        {
            // One character of both; what takes more stays.
            open.push((i + usize::from(!many(a)), j + usize::from(!many(b))));
        }
    }
    false
}

/// Whether one character fits both.
const fn shares(one: Step, other: Step) -> bool {
    match (one, other) {
        (Step::Is(a), Step::Is(b)) => a as u32 == b as u32,
        (Step::Any, _) | (_, Step::Any) => true,
        (Step::Is(c), Step::One | Step::Some) | (Step::One | Step::Some, Step::Is(c)) => c != '/',
        (Step::One | Step::Some, Step::One | Step::Some) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runbook::template::Template;

    #[test]
    fn a_path_reaches_what_some_value_brings_it_to() {
        for (path, glob, expected) in [
            ("apps/{app}/values.yaml", "apps/*/values.yaml", true),
            ("apps/{app}/values.yaml", "apps/**", true),
            ("apps/{app}/values.yaml", "apps/**/values.yaml", true),
            ("apps/{app}.yaml", "apps/**/*.yaml", true),
            ("apps/{app}/{file}", "apps/web/*", true),
            ("apps/{app}/x", "apps/we?/x", true),
            ("apps/{app}/x", "apps/w[ab]b/x", true),
            ("apps/{app}/x", "{apps,nets}/*/x", true),
            ("{a}{b}", "ab", true),
            ("{a}{b}", "a", false),
            ("app/{app}/values.yaml", "apps/*/values.yaml", false),
            ("apps/{app}/values.yml", "apps/*/values.yaml", false),
            ("apps/{app}/values.yaml", "apps/*", false),
            ("apps/{app}", "apps/*/values.yaml", false),
            ("apps/{app}/x", "nets/**", false),
            ("apps/{app}-web/x", "apps/*-db/x", false),
        ] {
            let template = Template::parse(path).unwrap();
            let globs = [PathGlob::new(glob).unwrap()];
            assert_eq!(reaches(template.parts(), &globs), expected, "{path} {glob}");
        }
        // The patterns of the test are those of the policy: each one that is reached is matched by some path.
        let covers = |glob: &str, path: &str| PathGlob::new(glob).unwrap().matches(&path.parse().unwrap());
        assert!(covers("apps/**/values.yaml", "apps/values.yaml") && !covers("apps/*", "apps/web/values.yaml"));
    }
}
