//! `docs/risk.md` is the list of rules, word for word.

use changes::summary::RULES;

#[test]
fn the_page_lists_the_rules_as_they_are() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/risk.md")).expect("docs/risk.md");
    let listed: Vec<&str> = page
        .lines()
        .filter(|line| line.starts_with("| `") && line.matches('|').count() == 4)
        .collect();
    let rules: Vec<String> = RULES
        .iter()
        .map(|rule| {
            format!(
                "| `{}` | {} | {} |",
                rule.id,
                format!("{:?}", rule.severity).to_lowercase(),
                rule.words
            )
        })
        .collect();
    assert_eq!(listed, rules, "write these rows into docs/risk.md:\n{}", rules.join("\n"));
}
