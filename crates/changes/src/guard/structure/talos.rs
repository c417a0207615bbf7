//! Secrets of Talos: machine configurations and the output of `talosctl gen secrets`.

use super::super::sink::Sink;
use super::super::tree::{Node, Tree};
use super::references::{Place, is_reference};

/// Places of secrets in a machine configuration.
const MACHINE: &[&[&str]] = &[
    &["machine", "token"],
    &["machine", "ca", "key"],
    &["cluster", "token"],
    &["cluster", "secret"],
    &["cluster", "ca", "key"],
    &["cluster", "aggregatorCA", "key"],
    &["cluster", "serviceAccount", "key"],
    &["cluster", "etcd", "ca", "key"],
    &["cluster", "aescbcEncryptionSecret"],
    &["cluster", "secretboxEncryptionSecret"],
];

/// Places of secrets in a secrets bundle.
const BUNDLE: &[&[&str]] = &[
    &["cluster", "secret"],
    &["secrets", "bootstraptoken"],
    &["secrets", "secretboxencryptionsecret"],
    &["secrets", "aescbcencryptionsecret"],
    &["trustdinfo", "token"],
    &["certs", "etcd", "key"],
    &["certs", "k8s", "key"],
    &["certs", "k8saggregator", "key"],
    &["certs", "k8sserviceaccount", "key"],
    &["certs", "os", "key"],
];

const HINT: &str = "keep machine secrets outside git (talosctl gen secrets into a store), and put only a patch without them here; what was sent must be replaced";

/// Secrets at the places that these files have. Only the named places: the rest is walked as in any other file.
pub(super) fn inspect(tree: &Tree, document: &Node, shift: usize, sops: bool, sink: &mut Sink<'_>) {
    let has = |key: &str| tree.get(document, key).is_some();
    let places = if has("trustdinfo") || (has("certs") && has("secrets")) {
        BUNDLE
    } else if has("machine") || (has("cluster") && tree.text_at(document, &["version"]) == Some("v1alpha1")) {
        MACHINE
    } else {
        return;
    };
    for place in places {
        let value = place.iter().try_fold(tree.resolve(document), |node, key| tree.get(node, key));
        let Some(value) = value else { continue };
        let key = place.last().copied().unwrap_or_default();
        let Some(text) = value.text().filter(|text| !is_reference(text, Place { key, sops })) else {
            continue;
        };
        sink.hide(text);
        let lines = (value.line + shift, value.end_line + shift);
        sink.put_unless_standing("structure.talos", lines, format!("a Talos secret at {}", place.join(".")), HINT);
    }
}
