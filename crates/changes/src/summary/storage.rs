//! Claims, volumes and storage classes.

use std::cmp::Ordering;

use super::fields::list_change;
use super::pair::Pair;
use super::quantity;
use super::report::Scope;
use super::rules::{RECLAIM_DELETE, STORAGE_CHANGED, VOLUME_GROWN, VOLUME_SHRUNK};
use super::value::Value;
use super::words::{value as shown, word};

/// PersistentVolumeClaim.
pub(super) fn claim(scope: &mut Scope<'_>, object: &mut Pair) {
    size(scope, &object.take("spec.resources.requests.storage"));
    fixed(
        scope,
        object,
        &["storageClassName", "volumeName", "volumeMode", "dataSource", "selector"],
    );
    access(scope, object);
}

/// PersistentVolume.
pub(super) fn volume(scope: &mut Scope<'_>, object: &mut Pair) {
    size(scope, &object.take("spec.capacity.storage"));
    reclaim(scope, &object.take("spec.persistentVolumeReclaimPolicy"));
    fixed(
        scope,
        object,
        &[
            "storageClassName",
            "claimRef",
            "csi",
            "nfs",
            "local",
            "hostPath",
            "iscsi",
            "nodeAffinity",
        ],
    );
    access(scope, object);
}

/// StorageClass, whose fields stand at the top.
pub(super) fn class(scope: &mut Scope<'_>, object: &mut Pair) {
    reclaim(scope, &object.take("reclaimPolicy"));
    let provisioner = object.take("provisioner");
    if !scope.is_new && provisioner.changed() {
        scope.say(
            &STORAGE_CHANGED,
            format!(
                "provisioner {} → {}",
                shown("provisioner", &provisioner.old),
                shown("provisioner", &provisioner.new)
            ),
        );
    }
}

fn size(scope: &mut Scope<'_>, size: &Pair) {
    let (Some(old), Some(new)) = (size.old.text(), size.new.text()) else {
        return;
    };
    let (from, to) = (word(old), word(new));
    match quantity::compare(old, new) {
        Some(Ordering::Less) => scope.say_as(
            &VOLUME_SHRUNK,
            format!("storage {from} → {to}"),
            format!("shrink {} to {to}", scope.name.clone()),
        ),
        Some(Ordering::Greater) => scope.say_as(
            &VOLUME_GROWN,
            format!("storage {from} → {to}"),
            format!("grow {} to {to}", scope.name.clone()),
        ),
        Some(Ordering::Equal) => {}
        None if old == new => {}
        None => scope.say(&STORAGE_CHANGED, format!("storage {from} → {to}")),
    }
}

fn reclaim(scope: &mut Scope<'_>, policy: &Pair) {
    if policy.changed() && (policy.new.text() == Some("Delete") || policy.new.is_absent()) {
        scope.say(
            &RECLAIM_DELETE,
            format!("reclaim policy {} → {}", shown("policy", &policy.old), shown("policy", &policy.new)),
        );
    } else if policy.changed() && !scope.is_new {
        scope.say(
            &super::rules::RESTRICTED,
            format!("reclaim policy {} → {}", shown("policy", &policy.old), shown("policy", &policy.new)),
        );
    }
}

fn fixed(scope: &mut Scope<'_>, object: &mut Pair, names: &[&str]) {
    for name in names {
        let field = object.take(&format!("spec.{name}"));
        if scope.is_new || !field.changed() {
            continue;
        }
        let is_simple = |value: &Value| value.is_absent() || value.text().is_some();
        scope.say(
            &STORAGE_CHANGED,
            match is_simple(&field.old) && is_simple(&field.new) {
                true => format!("{name} {} → {}", shown(name, &field.old), shown(name, &field.new)),
                false => format!("{name} changes"),
            },
        );
    }
}

fn access(scope: &mut Scope<'_>, object: &mut Pair) {
    let modes = object.take("spec.accessModes");
    if let Some(change) = list_change(&modes).filter(|_| !scope.is_new) {
        scope.say(&STORAGE_CHANGED, format!("accessModes {change}"));
    }
}
