//! Reading risk classes and floors.

use std::collections::BTreeSet;
use std::ops::Range;

use serde::Deserialize;
use toml::Spanned;

use super::Checker;
use crate::policy::raises::{Class, Floor};
use crate::{Risk, SecondFactor, Tier};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileClass {
    name: Spanned<String>,
    repository: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) paths: Vec<Spanned<String>>,
    risk: Option<Spanned<String>>,
    #[serde(default)]
    kinds: Vec<Spanned<String>>,
    deletes: Option<bool>,
    tier: Option<Spanned<String>>,
    quorum: Option<Spanned<u32>>,
    second_factor: Option<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileFloor {
    repository: Option<Spanned<String>>,
    pub(super) paths: Spanned<Vec<Spanned<String>>>,
    tier: Option<Spanned<String>>,
    quorum: Option<Spanned<u32>>,
    second_factor: Option<Spanned<String>>,
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
        let written = Written {
            who: &who,
            tier: class.tier.as_ref(),
            quorum: class.quorum.as_ref(),
            second_factor: class.second_factor.as_ref(),
        };
        let (tier, quorum, second_factor) = raise(checker, &span, &written, people);
        classes.push(Class {
            repository: checker.repository(class.repository.as_ref()),
            name,
            paths,
            risk,
            kinds: class.kinds.into_iter().map(Spanned::into_inner).collect(),
            deletes: class.deletes,
            tier,
            quorum,
            second_factor,
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
        let written = Written {
            who: "a floor",
            tier: floor.tier.as_ref(),
            quorum: floor.quorum.as_ref(),
            second_factor: floor.second_factor.as_ref(),
        };
        let (tier, quorum, second_factor) = raise(checker, &span, &written, people);
        floors.push(Floor {
            repository: checker.repository(floor.repository.as_ref()),
            paths,
            tier,
            quorum,
            second_factor,
        });
    }
    floors
}

/// What a class or a floor asks for.
struct Written<'a> {
    who: &'a str,
    tier: Option<&'a Spanned<String>>,
    quorum: Option<&'a Spanned<u32>>,
    second_factor: Option<&'a Spanned<String>>,
}

/// The tier, the number of people, and the second factor that something asks for.
fn raise(checker: &mut Checker<'_>, span: &Range<usize>, written: &Written<'_>, people: usize) -> (Tier, u32, Option<SecondFactor>) {
    let who = written.who;
    let read = written.tier.and_then(|text| {
        let read = text.get_ref().parse::<Tier>();
        read.map_err(|error| checker.add(&text.span(), error.to_string(), "write manual or prompted"))
            .ok()
    });
    if let (Some(Tier::Standard), Some(text)) = (read, written.tier) {
        checker.add(
            &text.span(),
            format!("{who} raises to standard, which raises nothing"),
            "write manual or prompted, or take the tier out",
        );
    }
    if written.tier.is_none() && written.quorum.is_none() && written.second_factor.is_none() {
        checker.add(span, format!("{who} raises nothing"), "add tier, quorum or second_factor");
    }
    if let Some(quorum) = written.quorum {
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
    let second_factor = written.second_factor.and_then(|text| checker.second_factor(text));
    if let (Some(SecondFactor::Person), Some(text)) = (second_factor, written.second_factor.filter(|_| people < 2)) {
        checker.add(
            &text.span(),
            format!("{who} asks for a second person, and the policy names {people}"),
            "add people, or write second_factor = \"totp\"",
        );
    }
    if let (Some(Tier::Manual), Some(text)) = (read, written.second_factor) {
        checker.add(
            &text.span(),
            format!("{who} has a second factor and is manual: nobody approves what a human commits"),
            "take second_factor out, or write tier = \"prompted\"",
        );
    }
    // People can only be asked where the service does not act by itself.
    let asks = written.quorum.is_some() || written.second_factor.is_some();
    let asked = if asks { Tier::Prompted } else { Tier::Standard };
    let tier = read.unwrap_or(Tier::Standard).min(asked);
    (tier, written.quorum.map_or(0, |quorum| *quorum.get_ref()), second_factor)
}
