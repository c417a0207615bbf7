//! `[[argocd]]`.

use std::collections::BTreeMap;
use std::time::Duration;

use super::super::ArgocdSettings;
use super::super::raw::{RawArgocd, RawSync};
use super::Checker;

impl Checker<'_> {
    pub(super) fn argocd(&mut self, raw: Vec<RawArgocd>) -> Vec<ArgocdSettings> {
        let mut seen = BTreeMap::new();
        let mut instances = Vec::new();
        for (index, raw) in raw.into_iter().enumerate() {
            let key = |name: &str| format!("argocd[{index}].{name}");
            if raw.name.trim().is_empty() {
                self.problem(&key("name"), "it is empty", "give the instance a name");
            }
            if let Some(first) = seen.insert(raw.name.clone(), index) {
                self.problem(
                    &key("name"),
                    format!("{:?} is the name of argocd[{first}] already", raw.name),
                    "give each instance a name of its own",
                );
            }
            for (name, value) in [("deadline_seconds", raw.deadline_seconds), ("relist_seconds", raw.relist_seconds)] {
                if value == 0 {
                    self.problem(
                        &key(name),
                        "it is 0",
                        "write 1 or more seconds, or take the key out for the default",
                    );
                }
            }
            let url = self.url(&key("url"), &raw.url);
            let token = self.needed(&key("token"), raw.token, raw.token_file);
            let ca_file = raw.ca_file.map(|path| self.file(&key("ca_file"), &path));
            let (Some(url), Some(token)) = (url, token) else { continue };
            instances.push(ArgocdSettings {
                name: raw.name,
                url,
                token,
                ca_file,
                insecure_skip_verify: raw.insecure_skip_verify,
                projects: raw.projects,
                sync_on_request: raw.sync == RawSync::OnRequest,
                deadline: Duration::from_secs(raw.deadline_seconds),
                relist_every: Duration::from_secs(raw.relist_seconds),
            });
        }
        // An instance with a problem still exists: repositories that name it are not at fault.
        if instances.len() < seen.len() { Vec::new() } else { instances }
    }
}
