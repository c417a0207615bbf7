//! What a runbook would have done by itself while it still asked.

/// Runs that a human decided, counted for one record.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Shadow {
    /// All of them.
    pub runs: u64,
    /// Those that would have run without asking, had the runbook been `standard` (what [`super::Ruling`] said at intake).
    pub alone: u64,
    /// Of those, the ones that the humans approved.
    pub agreed: u64,
}

impl Shadow {
    /// "would have run by itself: 12 of 15 times; humans agreed 12 of 12"; `None` while there is nothing to say.
    pub fn words(&self) -> Option<String> {
        let Self { runs, alone, agreed } = self;
        match (runs, alone) {
            (0, _) => None,
            (_, 0) => Some(format!("would have run by itself: 0 of {runs} times")),
            _ => Some(format!(
                "would have run by itself: {alone} of {runs} times; humans agreed {agreed} of {alone}"
            )),
        }
    }
}
