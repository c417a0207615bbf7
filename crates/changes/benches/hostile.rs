//! `cargo bench -p changes --bench hostile [-- WORD]`: what each file made to be slow costs, the slowest last. The promise about the slowest
//! one is the figure `hostile_input_slowest_ms`; this says where it comes from.

#[path = "../tests/slow_inputs/mod.rs"]
mod slow_inputs;

use std::collections::BTreeMap;

use changes::guard::{GuardOptions, Guards};
use domain::{ChangeSet, FileChange, FileMode, FileVersion, NewFile, RepoPath};

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
        let path: RepoPath = input.path.parse().expect("a path");
        let old = input.text.replace('0', "1");
        for (how, old) in [("", None), (", changed", Some(old))] {
            let (change, before) = change(&path, old, &input.text);
            let mut best = (f64::MAX, 0.0, 0.0);
            let mut said = String::new();
            // The first round compiles what is compiled once.
            for round in 0..3 {
                let began = processor_ms();
                let report = guards.inspect(&change, &before);
                let guarded = processor_ms() - began;
                changes::summarize(&change, &before, None);
                let both = processor_ms() - began;
                if round > 0 && both < best.0 {
                    best = (both, guarded, both - guarded);
                }
                let rules: std::collections::BTreeSet<_> = report.findings.iter().map(|finding| finding.rule.as_str()).collect();
                said = rules.into_iter().collect::<Vec<_>>().join(" ");
            }
            costs.push((best, format!("{}{how}", input.name), input.path, said));
        }
    }
    costs.sort_by(|a, b| a.0.0.total_cmp(&b.0.0));
    for ((both, guards, summary), name, path, said) in costs {
        println!("{both:7.1} ms = {guards:6.1} guards + {summary:6.1} summary  {name} ({path}): {said}");
    }
}

/// A file that is added, or changed from an old content.
fn change(path: &RepoPath, old: Option<String>, new: &str) -> (ChangeSet, BTreeMap<RepoPath, Vec<u8>>) {
    let mode = FileMode::Regular;
    let blob = "286c5f5776916d7d7d5849988ca9d83e722cf9c2".parse().expect("a blob id");
    let file = FileChange {
        old: old.is_some().then_some(FileVersion { mode, blob }),
        new: Some(NewFile {
            mode,
            bytes: new.as_bytes().to_vec(),
        }),
    };
    let before = old.map(|old| (path.clone(), old.into_bytes())).into_iter().collect();
    (ChangeSet::new(BTreeMap::from([(path.clone(), file)])), before)
}

/// The time this thread has had on a processor, in milliseconds: what others do at the same time does not count.
fn processor_ms() -> f64 {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux tells what a thread has had");
    let first = told.split(' ').next().and_then(|nanoseconds| nanoseconds.parse::<f64>().ok());
    first.expect("nanoseconds") / 1e6
}
