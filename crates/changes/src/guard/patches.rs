//! Which files are patches of manifests and no manifests themselves.

use std::collections::BTreeMap;

use domain::{ChangeSet, RepoPath};

use super::structure;
use super::tree::{self, Node};
use super::work::Work;

/// Files that a kustomization of this change, or its old version, names as patches, and whether of Secrets.
pub(super) fn named(changes: &ChangeSet, old: &BTreeMap<RepoPath, Vec<u8>>) -> BTreeMap<String, bool> {
    let is_kustomization = |path: &&RepoPath| matches!(path.file_name(), "kustomization.yaml" | "kustomization.yml" | "Kustomization");
    // What is not read here is no patch, and then judged as a whole manifest.
    let work = Work::aside();
    let mut named = BTreeMap::new();
    let new = changes
        .iter()
        .filter_map(|(path, change)| change.new.as_ref().map(|new| (path, new.bytes.as_slice())));
    let texts = new.chain(old.iter().map(|(path, bytes)| (path, bytes.as_slice())));
    for (path, bytes) in texts.filter(|(path, _)| is_kustomization(path)) {
        let Some(Ok(tree)) = std::str::from_utf8(bytes).ok().map(|text| tree::parse(text, &work)) else {
            continue;
        };
        for document in &tree.documents {
            for list in ["patches", "patchesStrategicMerge", "patchesJson6902"] {
                for item in tree.get(document, list).map(Node::items).unwrap_or_default() {
                    let file = tree.text_at(item, &["path"]).or_else(|| tree.resolve(item).text());
                    let folder = path.parent().map_or_else(String::new, |folder| format!("{folder}/"));
                    let Some(file) = file else { continue };
                    let of_secret = tree.text_at(item, &["target", "kind"]).is_some_and(structure::names_secret);
                    *named.entry(format!("{folder}{}", file.trim_start_matches("./"))).or_default() |= of_secret;
                }
            }
        }
    }
    named
}

/// Whether a file may lack what a whole manifest has: it is named as a patch, or stands where patches do.
pub(super) fn is_patch(path: &RepoPath, named: &BTreeMap<String, bool>) -> bool {
    let telling = |part: &str| part.contains("patch") || matches!(part, "overlays" | "components" | "overrides");
    named.contains_key(path.as_str()) || path.parts().any(telling)
}
