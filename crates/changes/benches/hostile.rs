//! `cargo bench -p changes --bench hostile [-- WORD]`: what each file made to be slow costs, the slowest last. The promise about the slowest
//! one is the figure `hostile_input_slowest_ms`; this says where it comes from.

#[path = "../tests/slow_inputs/mod.rs"]
mod slow_inputs;

use std::collections::BTreeMap;

use changes::guard::{GuardOptions, Guards};
use domain::{ChangeSet, FileChange, FileMode, NewFile};

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    let options = GuardOptions {
        secret_rules: Some(("rules.toml".to_owned(), slow_inputs::SLOW_RULES.to_owned())),
        ..GuardOptions::default()
    };
    let guards = Guards::new(&options).expect("the rules of this file");
    let mut costs = Vec::new();
    for input in slow_inputs::slow_inputs(1_000_000) {
        if !wanted.is_empty() && !wanted.iter().any(|word| input.name.contains(word.as_str())) {
            continue;
        }
        let new = NewFile {
            mode: FileMode::Regular,
            bytes: input.text.into_bytes(),
        };
        let file = FileChange { old: None, new: Some(new) };
        let change = ChangeSet::new(BTreeMap::from([(input.path.parse().expect("a path"), file)]));
        let mut best = (f64::MAX, 0.0, 0.0);
        let mut said = String::new();
        // The first round compiles what is compiled once.
        for round in 0..3 {
            let began = processor_ms();
            let report = guards.inspect(&change, &BTreeMap::new());
            let guarded = processor_ms() - began;
            changes::summarize(&change, &BTreeMap::new(), None);
            let both = processor_ms() - began;
            if round > 0 && both < best.0 {
                best = (both, guarded, both - guarded);
            }
            let rules: std::collections::BTreeSet<_> = report.findings.iter().map(|finding| finding.rule.as_str()).collect();
            said = rules.into_iter().collect::<Vec<_>>().join(" ");
        }
        costs.push((best, input.name, input.path, said));
    }
    costs.sort_by(|a, b| a.0.0.total_cmp(&b.0.0));
    for ((both, guards, summary), name, path, said) in costs {
        println!("{both:7.1} ms = {guards:6.1} guards + {summary:6.1} summary  {name} ({path}): {said}");
    }
}

/// The time this thread has had on a processor, in milliseconds: what others do at the same time does not count.
fn processor_ms() -> f64 {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux tells what a thread has had");
    let first = told.split(' ').next().and_then(|nanoseconds| nanoseconds.parse::<f64>().ok());
    first.expect("nanoseconds") / 1e6
}
