//! Reading risk classes and floors.

use std::collections::BTreeSet;

use serde::Deserialize;
use toml::Spanned;

use super::Checker;
use crate::policy::raises::{Class, Floor};
use crate::{Risk, Tier};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileClass {
    name: Spanned<String>,
    repository: Option<Spanned<String>>,
    #[serde(default)]
    paths: Vec<Spanned<String>>,
    risk: Option<Spanned<String>>,
    #[serde(default)]
    kinds: Vec<Spanned<String>>,
    deletes: Option<bool>,
    tier: Option<Spanned<String>>,
    quorum: Option<Spanned<u32>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileFloor {
    repository: Option<Spanned<String>>,
    paths: Spanned<Vec<Spanned<String>>>,
    tier: Option<Spanned<String>>,
    quorum: Option<Spanned<u32>>,
}

/// Reads the risk classes.
pub(super) fn classes(checker: &mut Checker<'_>, written: Vec<Spanned<FileClass>>, people: usize) -> Vec<Class> {
    let mut names = BTreeSet::new();
    let mut classes = Vec::new();
    for entry in written {
        let span = entry.span();
        let class = entry.into_inner();
        let name = class.name.get_ref().clone();
        checker.unique(&mut names, &name, &span, "class");
        let who = format!("class {name:?}");
        if class.paths.is_empty() && class.risk.is_none() && class.kinds.is_empty() && class.deletes.is_none() {
            checker.add(
                &span,
                format!("{who} says of no change that it belongs to it"),
                "add paths, risk, kinds or deletes",
            );
        }
        let risk = class.risk.as_ref().and_then(|text| {
            let read = text.get_ref().parse::<Risk>();
            read.map_err(|error| checker.add(&text.span(), error.to_string(), "write low, medium, high or critical"))
                .ok()
        });
        for kind in class.kinds.iter().filter(|kind| kind.get_ref().trim().is_empty()) {
            checker.add(
                &kind.span(),
                format!("{who} names an empty kind"),
                "name a kind such as \"PersistentVolumeClaim\"",
            );
        }
        let paths = class.paths.iter().filter_map(|glob| checker.glob(glob)).collect();
        let (tier, quorum) = raise(checker, &span, &who, class.tier.as_ref(), class.quorum.as_ref(), people);
        classes.push(Class {
            repository: checker.repository(class.repository.as_ref()),
            name,
            paths,
            risk,
            kinds: class.kinds.into_iter().map(Spanned::into_inner).collect(),
            deletes: class.deletes,
            tier,
            quorum,
        });
    }
    classes
}

/// Reads the floors.
pub(super) fn floors(checker: &mut Checker<'_>, written: Vec<Spanned<FileFloor>>, people: usize) -> Vec<Floor> {
    let mut floors = Vec::new();
    for entry in written {
        let span = entry.span();
        let floor = entry.into_inner();
        if floor.paths.get_ref().is_empty() {
            checker.add(&floor.paths.span(), "a floor has no paths", "name at least one path pattern");
        }
        let paths = floor.paths.get_ref().iter().filter_map(|glob| checker.glob(glob)).collect();
        let (tier, quorum) = raise(checker, &span, "a floor", floor.tier.as_ref(), floor.quorum.as_ref(), people);
        floors.push(Floor {
            repository: checker.repository(floor.repository.as_ref()),
            paths,
            tier,
            quorum,
        });
    }
    floors
}

/// The tier and the number of people that something asks for.
fn raise(
    checker: &mut Checker<'_>,
    span: &std::ops::Range<usize>,
    who: &str,
    tier: Option<&Spanned<String>>,
    quorum: Option<&Spanned<u32>>,
    people: usize,
) -> (Tier, u32) {
    let read = tier.and_then(|text| {
        let read = text.get_ref().parse::<Tier>();
        read.map_err(|error| checker.add(&text.span(), error.to_string(), "write manual or prompted"))
            .ok()
    });
    if let (Some(Tier::Standard), Some(text)) = (read, tier) {
        checker.add(
            &text.span(),
            format!("{who} raises to standard, which raises nothing"),
            "write manual or prompted, or take the tier out",
        );
    }
    if tier.is_none() && quorum.is_none() {
        checker.add(span, format!("{who} raises nothing"), "add tier or quorum");
    }
    if let Some(quorum) = quorum {
        let number = *quorum.get_ref();
        if number == 0 {
            checker.add(&quorum.span(), format!("{who} has a quorum of 0"), "at least 1");
        } else if number as usize > people {
            checker.add(
                &quorum.span(),
                format!("{who} asks for {number} people, and the policy names {people}"),
                "lower the quorum or add people",
            );
        }
    }
    // People can only be asked where the service does not act by itself.
    let asked = quorum.map(|_| Tier::Prompted);
    let tier = read.unwrap_or(Tier::Standard).min(asked.unwrap_or(Tier::Standard));
    (tier, quorum.map_or(0, |quorum| *quorum.get_ref()))
}
