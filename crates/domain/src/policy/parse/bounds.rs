//! How much a policy file may hold. Generous for people, and little enough that reading it and asking it stay quick.

use std::collections::BTreeMap;

use toml::Spanned;

use super::{Checker, File};

/// Largest file in bytes.
const BYTES_MAX: usize = 1 << 20;
/// Most rules, people, agents and grants, of each.
const ENTRIES_MAX: usize = 5_000;
/// Most groups, classes, floors and delegations, of each.
const FEW_MAX: usize = 1_000;
/// Most freeze windows: each is asked before anything is sent.
const FREEZES_MAX: usize = 200;
/// Longest name of a rule, a class or a freeze: cards show it.
pub(super) const NAME_CHARACTERS_MAX: usize = 100;
/// Most path patterns in one list.
const PATHS_MAX: usize = 1_000;
/// Most path patterns in the whole file.
pub(super) const PATTERNS_MAX: usize = 20_000;

/// Most path patterns that name no directory and no file in full, such as `**/*.tf`: every path meets all of them.
pub(super) const NAMELESS_MAX: usize = 500;

/// Whether the file is small enough to be read; told otherwise.
pub(super) fn size(checker: &mut Checker<'_>) -> bool {
    let bytes = checker.text.len();
    if bytes > BYTES_MAX {
        let message = format!("the file has {bytes} bytes, and {BYTES_MAX} are the most");
        checker.add(&(0..0), message, "use fewer rules with patterns that cover more");
    }
    bytes <= BYTES_MAX
}

/// Whether the file holds no more of anything than it may; told otherwise, with the line of the first that is too many.
pub(super) fn counts(checker: &mut Checker<'_>, file: &File) -> bool {
    let told = [
        list(checker, &file.rules, ENTRIES_MAX, "rules"),
        table(checker, &file.people, ENTRIES_MAX, "people"),
        table(checker, &file.agents, ENTRIES_MAX, "agents"),
        list(checker, &file.grants, ENTRIES_MAX, "grants"),
        table(checker, &file.groups, FEW_MAX, "groups"),
        list(checker, &file.classes, FEW_MAX, "classes"),
        list(checker, &file.floors, FEW_MAX, "floors"),
        list(checker, &file.delegations, FEW_MAX, "delegations"),
        list(checker, &file.freezes, FREEZES_MAX, "freezes"),
        list(checker, &file.reserved, PATHS_MAX, "reserved paths"),
    ];
    let paths = file.rules.iter().map(|rule| rule.get_ref().paths.get_ref());
    let paths = paths.chain(file.floors.iter().map(|floor| floor.get_ref().paths.get_ref()));
    let paths = paths.chain(file.classes.iter().map(|class| &class.get_ref().paths));
    let mut paths = paths.chain(file.freezes.iter().map(|freeze| &freeze.get_ref().paths));
    let paths = paths.all(|paths| list(checker, paths, PATHS_MAX, "paths in one list"));
    paths && told.iter().all(|within| *within)
}

fn list<T>(checker: &mut Checker<'_>, list: &[Spanned<T>], most: usize, what: &str) -> bool {
    if let Some(first) = list.get(most) {
        told(checker, first.span().start, list.len(), most, what);
    }
    list.len() <= most
}

fn table<T>(checker: &mut Checker<'_>, table: &BTreeMap<String, Spanned<T>>, most: usize, what: &str) -> bool {
    let mut begins: Vec<usize> = table.values().map(|entry| entry.span().start).collect();
    begins.sort_unstable();
    if let Some(first) = begins.get(most) {
        told(checker, *first, table.len(), most, what);
    }
    table.len() <= most
}

fn told(checker: &mut Checker<'_>, at: usize, count: usize, most: usize, what: &str) {
    let message = format!("the file has {count} {what}, and {most} are the most; this is the first too many");
    checker.add(&(at..at), message, "join what says the same, or remove what is no longer needed");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Policy;

    const HEAD: &str = "version = 1\n[people.a]\ntelegram_id = 1\n[groups]\nsre = [\"a\"]\n";

    fn told(text: &str) -> Vec<String> {
        Policy::parse(text)
            .err()
            .unwrap_or_default()
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    fn many(count: usize, one: impl Fn(usize) -> String) -> String {
        (0..count).map(one).collect()
    }

    fn rule(number: usize, paths: &str) -> String {
        format!("[[rules]]\nname = \"r{number}\"\npaths = [{paths}]\ntier = \"manual\"\n")
    }

    #[test]
    fn what_is_too_many_is_told_with_its_line() {
        let people = |count| many(count, |n| format!("[people.p{n}]\ntelegram_id = {}\n", n + 2));
        let freeze = |n| format!("[[freezes]]\nname = \"f{n}\"\nstart = 2026-01-01\nduration = \"1d\"\n");
        let globs = |count| many(count, |n| format!("\"d{n}/x\","));
        for (text, line, what) in [
            (many(5_001, |n| rule(n, "\"a\"")), 6 + 4 * 5_000, "5001 rules, and 5000"),
            (people(5_000), 6 + 2 * 4_999, "5001 people, and 5000"),
            (many(1_000, |n| format!("g{n} = [\"a\"]\n")), 6 + 999, "1001 groups, and 1000"),
            (many(201, freeze), 6 + 4 * 200, "201 freezes, and 200"),
            (rule(0, &globs(1_001)), 8, "1001 paths in one list, and 1000"),
        ] {
            let told = told(&format!("{HEAD}{text}"));
            let expected = format!("line {line}: the file has {what} are the most");
            assert!(told.len() == 1 && told[0].starts_with(&expected), "{what}: {told:?}");
        }
        let told = told(&format!("{HEAD}{}", many(21, |n| rule(n, &globs(1_000)))));
        assert_eq!(told.len(), 1);
        assert!(
            told[0].starts_with("line 88: the file has more than 20000 path patterns"),
            "{told:?}"
        );
    }

    #[test]
    fn a_file_that_is_too_large_is_not_read() {
        let huge = format!("{HEAD}#{}", "x".repeat(BYTES_MAX));
        let told = told(&huge);
        assert!(told.len() == 1 && told[0].starts_with("line 1: the file has 1048"), "{told:?}");
        let own = Policy::parse(HEAD).expect("a policy");
        assert_eq!(own.with_repository_rules(&huge).expect_err("too large").len(), 1);
    }

    #[test]
    fn as_many_as_there_may_be_are_read() {
        let freeze = |n| format!("[[freezes]]\nname = \"f{n}\"\nstart = 2026-01-01\nduration = \"1d\"\n");
        let text = format!("{HEAD}{}{}", many(1_000, |n| rule(n, "\"a\"")), many(200, freeze));
        assert_eq!(told(&text), Vec::<String>::new());
    }
}
