//! Secret patterns over texts: one pass for all keywords, then only those expressions whose keyword stands near.
//!
//! An inline comment that switches a rule off does not exist here: whoever writes the change would write the comment too.

mod expression;
mod format;
mod window;

use aho_corasick::AhoCorasick;

pub use format::Problem;

pub(super) use expression::Memory;

use super::work::Work;
use expression::{Lazy, NoAnswer};
use format::{Allowlist, Pattern, RuleFile, Target};

/// The patterns that always apply.
const BUILT_IN: &str = include_str!("builtin.toml");
/// What one pattern may report for one text.
const HITS_PER_PATTERN: usize = 20;

/// Matches of one pattern in one text that are looked at, those that an allowlist or the entropy rules out included.
const MATCHES_PER_PATTERN: usize = 5_000;

/// Work per byte of text that is searched for keywords, and per keyword that is found.
const BYTE: usize = 4;
const KEYWORD: usize = 30;
/// What is not looked at when the work ends here.
pub(super) const MISSED: &str = "secrets by their form";

/// A place where a secret stands. Only the guard rails see it; the value is taken from the text when it must be compared, never shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Hit {
    /// Index of the pattern.
    pub pattern: usize,
    /// Where the secret begins and ends in the text; the whole text is 0 to 0 for a pattern of paths.
    pub start: usize,
    pub end: usize,
}

/// What was found, and what could not be looked for.
#[derive(Default)]
pub(super) struct Hits {
    pub hits: Vec<Hit>,
    /// Patterns that could not be compiled, or that matched so often that not every match was looked at.
    pub broken: Vec<usize>,
}

/// All patterns, ready to be matched.
pub(super) struct Engine {
    patterns: Vec<Pattern>,
    allow: Vec<Allowlist>,
    keywords: Option<AhoCorasick>,
    /// Which patterns a keyword stands for.
    owners: Vec<Vec<usize>>,
}

impl Engine {
    /// The built-in patterns and those of an operator's file; a pattern with a known id replaces the built-in one. Returns remarks too.
    pub fn new(operator: Option<(&str, &str)>) -> Result<(Self, Vec<Problem>), Vec<Problem>> {
        let RuleFile {
            mut patterns, mut allow, ..
        } = format::read("built-in rules", BUILT_IN, true)?;
        let mut remarks = Vec::new();
        if let Some((file, text)) = operator {
            let theirs = format::read(file, text, false)?;
            patterns.retain(|ours| !theirs.patterns.iter().any(|pattern| pattern.id == ours.id));
            patterns.extend(theirs.patterns);
            allow.extend(theirs.allow);
            remarks = theirs.remarks;
        }
        let mut words: Vec<String> = patterns.iter().flat_map(|pattern| pattern.keywords.iter().cloned()).collect();
        words.sort();
        words.dedup();
        let owns = |word: &String| (0..patterns.len()).filter(|nth| patterns[*nth].keywords.contains(word)).collect();
        let owners = words.iter().map(owns).collect();
        let keywords = AhoCorasick::builder().ascii_case_insensitive(true).build(&words).map_err(|error| {
            vec![Problem {
                file: operator.map_or("built-in rules", |(file, _)| file).to_owned(),
                line: 0,
                message: format!("the keywords cannot be searched for: {error}"),
                remedy: "use fewer or shorter keywords".to_owned(),
            }]
        })?;
        let keywords = (!words.is_empty()).then_some(keywords);
        Ok((
            Self {
                patterns,
                allow,
                keywords,
                owners,
            },
            remarks,
        ))
    }

    /// A pattern's id, as in its file.
    pub fn id(&self, pattern: usize) -> &str {
        &self.patterns[pattern].id
    }

    /// What a pattern looks for.
    pub fn about(&self, pattern: usize) -> &str {
        let pattern = &self.patterns[pattern];
        if pattern.about.is_empty() { &pattern.id } else { &pattern.about }
    }

    /// Ids and descriptions of all patterns.
    pub fn ids(&self) -> impl Iterator<Item = (&str, &str)> {
        (0..self.patterns.len()).map(|nth| (self.id(nth), self.about(nth)))
    }

    /// All secrets of a text at a path, in no order. Ends early when the work does, which `work` then knows.
    pub fn search(&self, path: &str, text: &[u8], memory: &mut Memory, work: &Work) -> Hits {
        let mut found = Hits::default();
        if !work.spend_on(MISSED, text.len().saturating_mul(BYTE)) {
            return found;
        }
        let mut asked = Asked { path, text, memory, work };
        if self.allow.iter().any(|list| !list.all && asked.any(&list.paths, path.as_bytes())) {
            return found;
        }
        let mut near: Vec<Option<Vec<usize>>> = vec![None; self.patterns.len()];
        if let Some(keywords) = &self.keywords {
            for word in keywords.find_overlapping_iter(text) {
                let owners = &self.owners[word.pattern().as_usize()];
                if !work.spend_on(MISSED, owners.len() * KEYWORD) {
                    return found;
                }
                for owner in owners {
                    near[*owner].get_or_insert_default().push(word.start());
                }
            }
        }
        for (nth, pattern) in self.patterns.iter().enumerate() {
            let places = near[nth].take();
            if !pattern.keywords.is_empty() && places.is_none() {
                continue;
            }
            match self.match_pattern(nth, &mut asked, places.as_deref(), &mut found.hits) {
                Ok(()) => {}
                Err(NoAnswer::Broken) => found.broken.push(nth),
                Err(NoAnswer::Spent) => {
                    work.miss(MISSED);
                    break;
                }
            }
        }
        found
    }

    fn match_pattern(&self, nth: usize, asked: &mut Asked<'_>, places: Option<&[usize]>, hits: &mut Vec<Hit>) -> Result<(), NoAnswer> {
        let pattern = &self.patterns[nth];
        let (path, text) = (asked.path, asked.text);
        if let Some(only) = &pattern.path
            && !only.is_match(path.as_bytes(), asked.memory, asked.work)?
        {
            return Ok(());
        }
        let Some(regex) = &pattern.regex else {
            if !self.is_allowed(pattern, asked, &[], &[], &[]) {
                hits.push(Hit {
                    pattern: nth,
                    start: 0,
                    end: 0,
                });
            }
            return Ok(());
        };
        let (mut left, mut looks) = (HITS_PER_PATTERN, MATCHES_PER_PATTERN);
        for window in window::around(text, places) {
            let part = &text[window.clone()];
            let mut from = 0;
            while from <= part.len() {
                let Some(found) = regex.next_with_group(part, from, pattern.group, asked.memory, asked.work)? else {
                    break;
                };
                from = found.whole.end + usize::from(found.whole.is_empty());
                looks -= 1;
                if looks == 0 {
                    return Err(NoAnswer::Broken);
                }
                let place = found.group.unwrap_or_else(|| found.whole.clone());
                let (secret, whole) = (&part[place.clone()], &part[found.whole.clone()]);
                if secret.is_empty() || (pattern.entropy > 0.0 && entropy(secret) < pattern.entropy) {
                    continue;
                }
                let line = window::line_of(text, window.start + found.whole.start);
                if self.is_allowed(pattern, asked, secret, whole, line) {
                    continue;
                }
                hits.push(Hit {
                    pattern: nth,
                    start: window.start + place.start,
                    end: window.start + place.end,
                });
                left -= 1;
                if left == 0 {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn is_allowed(&self, pattern: &Pattern, asked: &mut Asked<'_>, secret: &[u8], whole: &[u8], line: &[u8]) -> bool {
        let mut allows = |list: &Allowlist| {
            let target = match list.target {
                Target::Secret => secret,
                Target::Match => whole,
                Target::Line => line,
            };
            let lower = secret.to_ascii_lowercase();
            // Words are compared at each place; where the work ends, nothing is allowed.
            let stopped = asked.work.spend(lower.len().saturating_mul(list.stopwords.len()))
                && list.stopwords.iter().any(|word| contains(&lower, word.as_bytes()));
            let by = [
                (list.regexes.is_empty(), asked.any(&list.regexes, target)),
                (list.paths.is_empty(), asked.any(&list.paths, asked.path.as_bytes())),
                (list.stopwords.is_empty(), stopped),
            ];
            if list.all {
                by.iter().all(|(absent, holds)| *absent || *holds)
            } else {
                by.iter().any(|(_, holds)| *holds)
            }
        };
        pattern.allow.iter().chain(&self.allow).any(&mut allows)
    }
}

/// What one search is about.
struct Asked<'a> {
    path: &'a str,
    text: &'a [u8],
    memory: &'a mut Memory,
    work: &'a Work,
}

impl Asked<'_> {
    /// Whether one of the expressions matches. One that has no answer allows nothing.
    fn any(&mut self, all: &[Lazy], text: &[u8]) -> bool {
        all.iter().any(|lazy| lazy.is_match(text, self.memory, self.work) == Ok(true))
    }
}

fn contains(text: &[u8], word: &[u8]) -> bool {
    !word.is_empty() && text.windows(word.len()).any(|window| window == word)
}

/// Shannon's entropy in bits per byte: 0 for `aaaa`, about 3.5 for words, above 4 for random letters and digits.
pub(super) fn entropy(bytes: &[u8]) -> f64 {
    let mut counts = [0usize; 256];
    for byte in bytes {
        counts[usize::from(*byte)] += 1;
    }
    let length = bytes.len().max(1) as f64;
    let share = |count: &usize| *count as f64 / length;
    counts
        .iter()
        .filter(|count| **count > 0)
        .map(|count| -share(count) * share(count).log2())
        .sum()
}

#[cfg(test)]
mod built_in {
    use super::{BUILT_IN, format};

    /// Nobody looks at them again at the start.
    #[test]
    fn they_are_as_good_as_anybody_elses() {
        let read = format::read("built-in rules", BUILT_IN, false).map_err(|problems| format!("{problems:?}"));
        assert!(read.is_ok_and(|rules| rules.remarks.is_empty()));
    }
}
