//! Regular expressions over texts that somebody chose to make them slow: a search takes time in proportion to the text, or gives up.
//!
//! Only lazily built automata are used. One that has to be built anew for nearly every letter of a text (which an expression of large counted
//! repetitions and a fitting text can bring about) gives up, where other engines would fall back to walking all states for each letter.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::OnceLock;

use regex_automata::hybrid::{dfa, regex};
use regex_automata::nfa::thompson::pikevm::PikeVM;
use regex_automata::nfa::thompson::{self, WhichCaptures};
use regex_automata::util::syntax;
use regex_automata::{Anchored, Input, MatchKind};

use super::super::work::Work;

/// Bytes that one compiled expression may take.
const COMPILED_MAX: usize = 16 << 20;
/// Bytes for the states that are built during searches; an expression keeps far fewer for ordinary texts.
const STATES_MAX: usize = 512 << 10;
/// How often they may all be thrown away before it is asked whether that is worth it.
const CLEARED_MAX: usize = 1;
/// Letters that a state must serve to be worth it.
const LETTERS_PER_STATE: usize = 10;
/// Work per byte of states: building them is what makes a search slow.
const STATE_BYTE: usize = 3;

/// An expression that is compiled at its first use: compiling a few hundred takes seconds.
pub(super) struct Lazy {
    source: String,
    compiled: OnceLock<Option<Compiled>>,
}

struct Compiled {
    search: regex::Regex,
    /// Finds the groups of a match that is known.
    groups: PikeVM,
    states: usize,
}

/// What expressions keep between searches: one for each change and made anew for it, so that what a search costs, and whether it gives up,
/// depends on the change alone.
#[derive(Default)]
pub(in crate::guard) struct Memory(HashMap<*const Lazy, regex::Cache>);

/// Why a search has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoAnswer {
    /// The expression cannot be compiled within its limits, or this text is too much for it.
    Broken,
    /// The change's work is used up.
    Spent,
}

/// A match and the first of the groups asked for.
pub(super) struct Found {
    pub whole: Range<usize>,
    /// The group that was asked for, or the first one that is not empty.
    pub group: Option<Range<usize>>,
}

impl Lazy {
    pub const fn new(source: String) -> Self {
        Self {
            source,
            compiled: OnceLock::new(),
        }
    }

    pub fn source(&self) -> &str {
        &self.source
    }

    fn get(&self) -> Result<&Compiled, NoAnswer> {
        // Classes such as `\w` mean ASCII in that format. Expressions that need Unicode get it.
        let compile = || Compiled::new(&self.source, false).or_else(|| Compiled::new(&self.source, true));
        self.compiled.get_or_init(compile).as_ref().ok_or(NoAnswer::Broken)
    }

    /// Whether it matches anywhere in a text.
    pub fn is_match(&self, text: &[u8], memory: &mut Memory, work: &Work) -> Result<bool, NoAnswer> {
        Ok(self.next(text, 0, memory, work)?.is_some())
    }

    /// The first match that begins at a place of a text or behind it.
    pub fn next(&self, text: &[u8], from: usize, memory: &mut Memory, work: &Work) -> Result<Option<Range<usize>>, NoAnswer> {
        let compiled = self.get()?;
        // At least this is read, and a match that ends the text reads all of it.
        if !work.spend(50) {
            return Err(NoAnswer::Spent);
        }
        let key = std::ptr::from_ref(self);
        let cache = memory.0.entry(key).or_insert_with(|| compiled.search.create_cache());
        let before = Cost::of(cache);
        let found = compiled.search.try_search(cache, &Input::new(text).range(from..));
        work.add(Cost::of(cache).since(&before, text.len() - from));
        if !work.spend(0) {
            return Err(NoAnswer::Spent);
        }
        Ok(found.map_err(|_| NoAnswer::Broken)?.map(|found| found.range()))
    }

    /// The next match with its groups: the one of that number, or else the first that is not empty.
    pub fn next_with_group(
        &self,
        text: &[u8],
        from: usize,
        group: Option<usize>,
        memory: &mut Memory,
        work: &Work,
    ) -> Result<Option<Found>, NoAnswer> {
        let Some(whole) = self.next(text, from, memory, work)? else {
            return Ok(None);
        };
        let compiled = self.get()?;
        let groups = compiled.groups.get_nfa().group_info().group_len(regex_automata::PatternID::ZERO);
        if groups <= 1 || group == Some(0) {
            let group = group.map(|_| whole.clone());
            return Ok(Some(Found { whole, group }));
        }
        // Walking all states costs this much at worst, and the matches of secrets are short.
        if !work.spend(whole.len().saturating_mul(compiled.states)) {
            return Err(NoAnswer::Spent);
        }
        let input = Input::new(text).range(whole.clone()).anchored(Anchored::Yes);
        let mut captures = compiled.groups.create_captures();
        compiled.groups.search(&mut compiled.groups.create_cache(), &input, &mut captures);
        let group = match group {
            Some(group) => captures.get_group(group),
            None => (1..groups)
                .filter_map(|nth| captures.get_group(nth))
                .find(|group| !group.is_empty()),
        };
        Ok(Some(Found {
            whole,
            group: group.map(|span| span.start..span.end),
        }))
    }
}

impl Compiled {
    fn new(source: &str, unicode: bool) -> Option<Self> {
        let syntax = syntax::Config::new().unicode(unicode).utf8(false);
        let limits = thompson::Config::new().utf8(false).nfa_size_limit(Some(COMPILED_MAX));
        let nfa = |config| thompson::Compiler::new().syntax(syntax).configure(config).build(source).ok();
        let forward = nfa(limits.clone().which_captures(WhichCaptures::All))?;
        let backward = nfa(limits.reverse(true).which_captures(WhichCaptures::None))?;
        let config = dfa::Config::new()
            .unicode_word_boundary(true)
            .cache_capacity(STATES_MAX)
            .skip_cache_capacity_check(true)
            .minimum_cache_clear_count(Some(CLEARED_MAX))
            .minimum_bytes_per_state(Some(LETTERS_PER_STATE));
        let automaton = |nfa, config| dfa::Builder::new().configure(config).build_from_nfa(nfa).ok();
        let reverse = automaton(backward, config.clone().match_kind(MatchKind::All).specialize_start_states(false))?;
        Some(Self {
            states: forward.states().len(),
            groups: PikeVM::new_from_nfa(forward.clone()).ok()?,
            search: regex::Builder::new().build_from_dfas(automaton(forward, config)?, reverse),
        })
    }
}

/// What an expression's searches have cost so far.
struct Cost {
    letters: usize,
    cleared: usize,
    states: usize,
}

impl Cost {
    fn of(cache: &regex::Cache) -> Self {
        let (forward, backward) = cache.as_parts();
        Self {
            letters: forward.search_total_len() + backward.search_total_len(),
            cleared: forward.clear_count() + backward.clear_count(),
            states: cache.memory_usage(),
        }
    }

    /// The work since then, by a search that read no more than so many letters forth and back.
    fn since(&self, before: &Self, most: usize) -> usize {
        let cleared = self.cleared - before.cleared;
        // Throwing states away forgets what was counted.
        let letters = if cleared > 0 { 2 * most } else { self.letters - before.letters };
        let states = (self.states + cleared * STATES_MAX).saturating_sub(before.states);
        letters + states * STATE_BYTE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(source: &str, text: &str, group: Option<usize>) -> Result<Option<(String, Option<String>)>, NoAnswer> {
        let lazy = Lazy::new(source.to_owned());
        let found = lazy.next_with_group(text.as_bytes(), 0, group, &mut Memory::default(), &Work::alone())?;
        Ok(found.map(|found| (text[found.whole].to_owned(), found.group.map(|group| text[group].to_owned()))))
    }

    #[test]
    fn a_match_and_its_groups_are_those_of_other_engines() {
        let said = |whole: &str, group: Option<&str>| Ok(Some((whole.to_owned(), group.map(str::to_owned))));
        assert_eq!(next(r"a(b*)(c+)", "xaccd", None), said("acc", Some("cc")));
        assert_eq!(next(r"a(b*)(c+)", "xaccd", Some(1)), said("acc", Some("")));
        assert_eq!(next(r"a(b*)(c+)", "xaccd", Some(0)), said("acc", Some("acc")));
        assert_eq!(next(r"\bkey\b", "a key.", None), said("key", None));
        assert_eq!(next(r"(?i)KEY", "a key.", None), said("key", None));
        assert_eq!(next(r"a|ab", "ab", None), said("a", None));
        assert_eq!(next(r"(a+?)(a*)", "aaa", None), said("aaa", Some("a")));
        assert_eq!(next(r"x$", "x\ny", None), Ok(None));
        assert_eq!(next(r"(?m)x$", "x\ny", None), said("x", None));
        assert_eq!(next(r"\p{Cyrillic}+", "a \u{436}\u{436}", None), said("\u{436}\u{436}", None));
    }

    #[test]
    fn what_cannot_be_compiled_or_walked_has_no_answer() {
        assert_eq!(next("(", "a", None), Err(NoAnswer::Broken));
        assert_eq!(next("(((((a{1,900}){1,900}){1,900}))))", "a", None), Err(NoAnswer::Broken));
        // Letters without a pattern, by a small generator.
        let mut state = 1u64;
        let mut letter = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            if state >> 63 == 0 { 'a' } else { 'b' }
        };
        let letters: String = (0..200_000).map(|_| letter()).collect();
        assert_eq!(
            next("[ab]*a[ab]{300}!", &letters, None),
            Err(NoAnswer::Broken),
            "a state for each letter"
        );
    }

    #[test]
    fn reading_on_for_every_match_uses_the_work_up() {
        let lazy = Lazy::new("a+b|a".to_owned());
        let (text, work, mut memory) = ("a".repeat(200_000), Work::alone(), Memory::default());
        let mut from = 0;
        let ended = loop {
            match lazy.next(text.as_bytes(), from, &mut memory, &work) {
                Ok(Some(found)) => from = found.end,
                other => break other,
            }
        };
        assert_eq!(ended, Err(NoAnswer::Spent));
    }
}
