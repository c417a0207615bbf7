//! `countersign approvers`: how each person of the policy decides, for the operators of this machine only. No chat and no agent sees it.

use chrono::Utc;
use engine::Habits;
use serde_json::json;

use super::open;
use crate::cli::{Failure, WithConfig};
use crate::out::say;

pub(crate) async fn run(with: WithConfig) -> Result<(), Failure> {
    let settings = with.settings()?;
    let book = settings
        .rules()
        .map_err(|problems| Failure::Files(problems.iter().map(ToString::to_string).collect()))?;
    let store = open(&settings.database).await?;
    let mut lines = Vec::new();
    for person in book.policy.people() {
        let decided = store.read().decided(person.id, Habits::since(Utc::now())).await?;
        let habits = Habits::of(&decided);
        lines.push(json!({
            "name": person.name,
            "decisions": habits.as_ref().map_or(0, |habits| habits.decisions),
            "approved": habits.as_ref().map_or(0, |habits| habits.approved),
            "median_seconds": habits.map(|habits| habits.median.num_seconds()),
        }));
    }
    store.close().await;
    lines.iter().for_each(|line| say!("{line}"));
    Ok(())
}
