//! What looking at one change may cost, counted in work and not in time: the same change gets the same answer on every machine and under
//! every load. One budget for the whole change, shared by its files; where it ends, a finding says what was not looked at.
//!
//! A unit is about a nanosecond of one slow core. Whoever is about to do something asks first ([`Work::spend`]) and leaves it when the
//! answer is no, so that nothing needs to be interrupted.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;

/// For all files of a change. An ordinary change of twenty manifests needs a few hundredths of it, some 200 KB of new manifests all of it.
const CHANGE: u64 = 26_000_000;

/// What is left for the files of a change that were not looked at yet.
pub(super) struct Shares {
    left: u64,
    files: u64,
}

impl Shares {
    pub const fn of(files: usize) -> Self {
        Self {
            left: CHANGE,
            files: files as u64,
        }
    }

    /// The share of the next file. What small files leave over is for the larger ones, so these come last.
    pub fn next(&self) -> Work {
        Work::new(self.left / self.files.max(1))
    }

    /// Takes back what a file left over.
    pub fn back(&mut self, given: &Work) {
        self.left = self.left.saturating_sub(given.spent.get());
        self.files = self.files.saturating_sub(1);
    }
}

/// The share of one file.
pub(super) struct Work {
    share: u64,
    spent: Cell<u64>,
    missed: RefCell<BTreeSet<&'static str>>,
}

impl Work {
    const fn new(share: u64) -> Self {
        Self {
            share,
            spent: Cell::new(0),
            missed: RefCell::new(BTreeSet::new()),
        }
    }

    /// For words that are no file, and for what an operator hands in: as much as a whole change.
    pub const fn alone() -> Self {
        Self::new(CHANGE)
    }

    /// For a look aside, whose answer nobody depends on.
    pub const fn aside() -> Self {
        Self::new(CHANGE / 10)
    }

    /// Counts work that is about to be done, and says whether it may be. What was refused is not counted.
    pub fn spend(&self, units: usize) -> bool {
        let spent = self.spent.get().saturating_add(units as u64);
        if spent > self.share {
            return false;
        }
        self.spent.set(spent);
        true
    }

    /// What may still be spent.
    pub fn left(&self) -> usize {
        usize::try_from(self.share.saturating_sub(self.spent.get())).unwrap_or(usize::MAX)
    }

    /// Counts work that was done already.
    pub fn add(&self, units: usize) {
        self.spent.set(self.spent.get().saturating_add(units as u64));
    }

    /// The same as [`Work::spend`], and when it may not be done, remembers what is missed.
    pub fn spend_on(&self, what: &'static str, units: usize) -> bool {
        let may = self.spend(units);
        if !may {
            self.miss(what);
        }
        may
    }

    /// Remembers what is not looked at.
    pub fn miss(&self, what: &'static str) {
        self.missed.borrow_mut().insert(what);
    }

    /// What was not looked at, in words; empty when everything was.
    pub fn missed(&self) -> String {
        self.missed.borrow().iter().copied().collect::<Vec<_>>().join(", ")
    }
}

/// The work that looking at a text is, by its bytes and lines.
pub(super) struct Cost {
    bytes: usize,
    /// Bytes of letters that are not ASCII: only these can hide something.
    beyond_ascii: usize,
    lines: usize,
}

impl Cost {
    pub fn of(text: &[u8]) -> Self {
        Self {
            bytes: text.len(),
            beyond_ascii: text.iter().filter(|byte| !byte.is_ascii()).count(),
            lines: text.iter().filter(|byte| **byte == b'\n').count() + 1,
        }
    }

    /// Its lines are told apart from those of another text.
    pub const fn compared(&self) -> usize {
        self.bytes + self.lines * 60
    }

    /// Each letter is asked whether it hides something.
    pub const fn looked_at(&self) -> usize {
        self.bytes * 7 + self.beyond_ascii * 100 + self.lines * 60
    }

    /// Runs of letters are tried as base64.
    pub const fn decoded(&self) -> usize {
        self.bytes * 4 + self.lines * 20
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_small_files_leave_over_is_for_the_others() {
        let mut shares = Shares::of(3);
        let small = shares.next();
        assert!(small.spend(1_000));
        shares.back(&small);
        let large = shares.next();
        assert!(large.spend((CHANGE as usize - 1_000) / 2));
        assert!(!large.spend_on("the rest", 1), "its share has an end");
        assert_eq!(large.missed(), "the rest");
        shares.back(&large);
        assert!(shares.next().spend((CHANGE as usize - 1_000) / 2), "and the last file has as much");
    }

    #[test]
    fn a_whole_change_costs_no_more_than_one_file() {
        let mut shares = Shares::of(1_000);
        let mut done = 0;
        for _ in 0..1_000 {
            let work = shares.next();
            while work.spend(1_000) {
                done += 1_000;
            }
            shares.back(&work);
        }
        assert!(done <= CHANGE, "{done}");
    }
}
