//! A scene: an agent sends a password in a manifest, is told how it is done instead, and does it that way.

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::agent::Agent;

/// Where the agent puts the Secret, and the reference that belongs there instead.
const SECRET: &str = "kubernetes/applications/shop/secret.yaml";
const REFERENCE: &str = "kubernetes/applications/shop/infisical.yaml";
const PASSWORD: &str = "correct-horse-7291-battery";

/// The manifest that only names where the value is.
const REFERENCE_TEXT: &str = "apiVersion: secrets.infisical.com/v1beta1\nkind: InfisicalStaticSecret\nmetadata:\n  name: shop\n  namespace: shop\nspec:\n  infisicalAuthRef:\n    name: shop\n    namespace: shop\n  sources:\n    - projectId: homelab\n      environmentSlug: prod\n      secretPath: /shop-database\n  targets:\n    - name: shop-database\n      namespace: shop\n      kind: Secret\n      creationPolicy: Owner\n";

/// What came of the scene.
pub(super) struct Refused {
    /// The rule that spoke, and where.
    pub place: String,
    /// What the agent was told to do instead.
    pub hint: String,
}

/// The agent sends the password; the service refuses it, keeps nothing and shows the value nowhere.
pub(super) async fn password(agent: &Agent) -> Result<Refused> {
    let text =
        format!("apiVersion: v1\nkind: Secret\nmetadata:\n  name: shop-database\n  namespace: shop\nstringData:\n  password: {PASSWORD}\n");
    let (status, problem) = agent.ask("Give the shop its database password", &[(SECRET, Some(&text))]).await?;
    ensure!(
        status == 422 && problem["code"] == "guard_refused",
        "a password was not refused: {status} {problem}"
    );
    let finding = &problem["findings"][0];
    ensure!(finding["rule"] == "structure.secret", "another rule spoke first: {problem}");
    ensure!(!problem.to_string().contains(PASSWORD), "the answer shows the password");
    let word = |value: &Value| value.as_str().map(str::to_owned).context("a finding without words");
    Ok(Refused {
        place: format!("{} in {}:{}", word(&finding["rule"])?, word(&finding["path"])?, finding["line"]),
        hint: word(&finding["hint"])?,
    })
}

/// The same wish, done right: answers the proposal's document.
pub(super) async fn reference(agent: &Agent) -> Result<Value> {
    agent
        .propose(
            "Give the shop its database password",
            "The password is in Infisical at /shop-database; git only names it.",
            &[(REFERENCE, Some(REFERENCE_TEXT))],
        )
        .await
}
