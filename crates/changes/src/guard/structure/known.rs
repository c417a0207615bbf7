//! Files that are known by what they hold: Terraform's state and plans, kubeconfigs, talosconfigs.

use super::super::tree::Node;
use super::Walk;
use super::references::is_reference;

const STATE_HINT: &str = "keep it in the state backend, never in git";

impl Walk<'_, '_> {
    /// Files that are known by what they hold.
    pub(super) fn whole_file(&mut self, document: &Node, kind: &str, versioned: bool) {
        let tree = self.tree;
        let has = |key: &str| tree.get(document, key).is_some();
        let line = Some(document.line + self.shift);
        if has("terraform_version") && (has("lineage") || has("serial")) {
            self.sink.put(
                "file.terraform-state",
                line,
                "this is Terraform state: it holds every secret in clear",
                STATE_HINT,
            );
        }
        if has("format_version") && (has("planned_values") || has("resource_changes")) {
            self.sink.put(
                "file.terraform-plan",
                line,
                "this is a plan as JSON: it holds sensitive values in clear",
                STATE_HINT,
            );
        }
        if kind == "Config" && has("users") && (has("clusters") || has("contexts")) && versioned {
            let users = tree.get(document, "users").map(Node::items).unwrap_or_default();
            for user in users {
                let Some(fields) = tree.get(user, "user").filter(|fields| self.may(fields)) else {
                    continue;
                };
                for (key, value) in fields.entries() {
                    let secret = matches!(key.text(), Some("token" | "password" | "client-key-data"));
                    let value = tree.resolve(value);
                    let place = self.place(key.text().unwrap_or_default());
                    if secret && value.text().is_some_and(|text| !is_reference(text, place)) {
                        self.sink.hide(value.text().unwrap_or_default());
                        let message = format!("a kubeconfig with {} of a user", key.text().unwrap_or_default());
                        self.sink.put(
                            "file.kubeconfig",
                            Some(value.line + self.shift),
                            message,
                            "keep kubeconfigs out of git; give the workload a ServiceAccount",
                        );
                    }
                }
            }
        }
        if let Some(contexts) = tree.get(document, "contexts") {
            for (_, context) in contexts.entries() {
                if !self.may(context) {
                    break;
                }
                let key = tree.get(context, "key").filter(|_| tree.get(context, "crt").is_some());
                if let Some(key) = key.filter(|key| key.text().is_some_and(|text| !is_reference(text, self.place("key")))) {
                    self.sink.hide(key.text().unwrap_or_default());
                    self.sink.put(
                        "file.talosconfig",
                        Some(key.line + self.shift),
                        "a talosconfig with a client key",
                        "keep talosconfigs out of git",
                    );
                }
            }
        }
    }
}
