//! A promotion as a change of the policy file: one `[[grants]]` entry more, with every comment and the layout of the rest as they were.

use domain::Timestamp;
use domain::ledger::LedgerKey;
use toml_edit::{ArrayOfTables, DocumentMut, Item, Table, value};

/// What an accepted offer writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewGrant {
    /// Whose promotion it is.
    pub key: LedgerKey,
    /// The last day on which it holds.
    pub until: chrono::NaiveDate,
    /// The record that was shown with the offer.
    pub evidence: String,
}

impl NewGrant {
    /// When it ends: with the end of its last day, UTC.
    pub fn expires_at(&self) -> Timestamp {
        let next = self.until.checked_add_days(chrono::Days::new(1)).unwrap_or(self.until);
        next.and_time(chrono::NaiveTime::MIN).and_utc()
    }

    /// The lines for a human who writes them by hand.
    pub fn lines(&self) -> String {
        let environment = &self.key.environment;
        format!(
            "[[grants]]\nrunbook = \"{}\"\nrepository = \"{}\"\nclass = \"{}\"\nhash = \"{}\"\nuntil = {}\nevidence = \"{}\"\n",
            self.key.runbook, environment.repository, environment.class, self.key.hash, self.until, self.evidence
        )
    }

    fn table(&self) -> Table {
        let environment = &self.key.environment;
        let mut table = Table::new();
        table["runbook"] = value(self.key.runbook.as_str());
        table["repository"] = value(environment.repository.as_str());
        table["class"] = value(environment.class.as_str());
        table["hash"] = value(self.key.hash.to_string());
        let until: Result<toml_edit::Datetime, _> = self.until.to_string().parse();
        table["until"] = until.map_or_else(|_| value(self.until.to_string()), value);
        table["evidence"] = value(self.evidence.as_str());
        table.decor_mut().set_prefix("\n");
        table
    }

    /// Whether an entry is about the same runbook in the same environment, whatever its hash: what it granted is over.
    fn replaces(&self, entry: &Table) -> bool {
        let text = |key: &str| entry.get(key).and_then(Item::as_str);
        let environment = &self.key.environment;
        text("runbook") == Some(self.key.runbook.as_str())
            && text("repository") == Some(environment.repository.as_str())
            && text("class").unwrap_or("default") == environment.class.as_str()
    }
}

/// The policy file with this grant, in place of earlier ones of the same runbook in the same environment.
///
/// # Errors
/// What keeps the file from being edited.
pub fn with_grant(text: &str, grant: &NewGrant) -> Result<String, String> {
    let mut document: DocumentMut = text
        .parse()
        .map_err(|error: toml_edit::TomlError| format!("it is no TOML: {error}"))?;
    let entry = document.entry("grants").or_insert(Item::ArrayOfTables(ArrayOfTables::new()));
    let Some(grants) = entry.as_array_of_tables_mut() else {
        return Err("its grants are not written as [[grants]]".to_owned());
    };
    grants.retain(|entry| !grant.replaces(entry));
    grants.push(grant.table());
    Ok(document.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::ledger::Environment;
    use domain::{Policy, Sha256Hash};

    const TEXT: &str = "# ours\nversion = 1 # for ever\n\n[people]\nalice = { telegram_id = 1 }\n\n[groups]\noperators = [\"alice\"]\n\n# what runs\n[[rules]]\nname = \"all\"\npaths = [\"**\"]\ntier = \"standard\"\nrunbook = \"scale\"\napprovers = \"operators\"\n";

    fn grant(hash: u8) -> NewGrant {
        NewGrant {
            key: LedgerKey {
                runbook: "scale".parse().expect("a name"),
                hash: Sha256Hash([hash; 32]),
                environment: Environment {
                    repository: "homelab".parse().expect("a name"),
                    class: "default".parse().expect("a name"),
                },
            },
            until: "2027-03-01".parse().expect("a date"),
            evidence: "20 of 20, at least 86 %".to_owned(),
        }
    }

    #[test]
    fn a_grant_is_added_and_nothing_else_changes() {
        let edited = with_grant(TEXT, &grant(9)).expect("edits");
        let added = edited.strip_prefix(TEXT).expect("the rest stays byte for byte");
        assert_eq!(added.trim_start(), grant(9).lines());
        let policy = Policy::parse(&edited).expect("a policy");
        let read = policy.grant(&grant(9).key).expect("granted");
        assert_eq!(
            (read.until, read.evidence.as_deref()),
            (grant(9).expires_at(), Some("20 of 20, at least 86 %"))
        );
    }

    #[test]
    fn a_later_grant_takes_the_place_of_the_earlier_one() {
        let first = with_grant(TEXT, &grant(9)).expect("edits");
        let other = first.clone()
            + "\n# kept\n[[grants]]\nrunbook = \"restart\"\nrepository = \"homelab\"\nhash = \""
            + &"01".repeat(32)
            + "\"\nuntil = 2027-01-01\n";
        let second = with_grant(&other, &grant(8)).expect("edits");
        let policy = Policy::parse(&second).expect("a policy");
        assert_eq!(policy.grants().len(), 2, "{second}");
        assert!(policy.grant(&grant(8).key).is_some() && policy.grant(&grant(9).key).is_none());
        assert!(second.contains("# kept"));
    }

    #[test]
    fn what_cannot_be_edited_is_told() {
        assert!(with_grant("version = ", &grant(9)).is_err_and(|why| why.starts_with("it is no TOML")));
        assert!(with_grant("grants = []", &grant(9)).is_err_and(|why| why.contains("[[grants]]")));
    }
}
