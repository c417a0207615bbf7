//! Container images: what of a reference changed, and whether that is forward.

use std::cmp::Ordering;

use super::report::Scope;
use super::rules::{IMAGE_CHANGED, IMAGE_DOWNGRADE, IMAGE_MAJOR, IMAGE_PINNED, IMAGE_SOURCE, IMAGE_UNPINNED, IMAGE_UPDATED, Rule};
use super::words::{clean, word};

/// The parts of a reference.
#[derive(Debug, PartialEq, Eq)]
struct Image<'t> {
    /// As written, without tag and digest.
    name: &'t str,
    tag: Option<&'t str>,
    digest: Option<&'t str>,
}

impl<'t> Image<'t> {
    fn parse(text: &'t str) -> Self {
        let (rest, digest) = text.split_once('@').map_or((text, None), |(rest, digest)| (rest, Some(digest)));
        let last = rest.rfind('/').map_or(0, |slash| slash + 1);
        let (name, tag) = match rest[last..].find(':') {
            Some(colon) => (&rest[..last + colon], Some(&rest[last + colon + 1..])),
            None => (rest, None),
        };
        Self {
            name,
            tag: tag.filter(|tag| !tag.is_empty()),
            digest: digest.filter(|digest| !digest.is_empty()),
        }
    }

    /// `nginx` is `docker.io/library/nginx`.
    fn source(&self) -> String {
        let is_registry = |part: &str| part.contains(['.', ':']) || part == "localhost";
        match self.name.split_once('/') {
            None => format!("docker.io/library/{}", self.name),
            Some((first, _)) if is_registry(first) => self.name.to_owned(),
            Some(_) => format!("docker.io/{}", self.name),
        }
    }

    fn is_floating(&self) -> bool {
        self.digest.is_none() && self.tag.is_none_or(|tag| tag == "latest")
    }

    /// The last part of the name, which is enough to recognise it.
    fn short(&self) -> &str {
        self.name.rsplit('/').next().unwrap_or(self.name)
    }

    fn version(&self) -> String {
        match (self.tag, self.digest) {
            (Some(tag), None) => word(tag),
            (None, Some(digest)) => short_digest(digest),
            (Some(tag), Some(digest)) => format!("{} ({})", word(tag), short_digest(digest)),
            (None, None) => "no tag".to_owned(),
        }
    }
}

/// `sha256:0123456789ab…`
fn short_digest(digest: &str) -> String {
    const SHOWN: usize = 7 + 12;
    word(&clean(digest, SHOWN))
}

/// Says how an image changed. `place` is empty or says which one, such as `container app: `.
pub(super) fn say(scope: &mut Scope<'_>, place: &str, old: &str, new: &str) {
    if old == new {
        return;
    }
    let (from, to) = (Image::parse(old), Image::parse(new));
    // Of several containers the image is named, of one the object.
    let subject = if place.is_empty() { scope.name.clone() } else { word(to.short()) };
    let verb = format!("update {subject} to {}", to.version());
    let moved = from.source() != to.source();
    if moved {
        scope.say_as(
            &IMAGE_SOURCE,
            format!("{place}image {} → {}", word(old), word(new)),
            format!("change where {subject} comes from"),
        );
    }
    if to.is_floating() && (moved || !from.is_floating()) {
        scope.say_as(
            &IMAGE_UNPINNED,
            format!("{place}image {} is not pinned to a version", word(new)),
            verb.clone(),
        );
    }
    let rule = direction(&from, &to);
    if moved && rule != &IMAGE_DOWNGRADE || to.is_floating() {
        return;
    }
    let note = match rule.id {
        id if id == IMAGE_DOWNGRADE.id => " (older)",
        id if id == IMAGE_MAJOR.id => " (new major version)",
        _ if from.digest.is_some() && to.digest.is_none() => " (no longer pinned by digest)",
        _ => "",
    };
    scope.say_as(
        rule,
        format!("{place}image {} {} → {}{note}", word(to.short()), from.version(), to.version()),
        verb,
    );
}

/// Says what is odd about an image that was not there before.
pub(super) fn say_new(scope: &mut Scope<'_>, place: &str, image: &str) {
    if Image::parse(image).is_floating() {
        scope.say(&IMAGE_UNPINNED, format!("{place}image {} is not pinned to a version", word(image)));
    }
}

/// A reference in few characters.
pub(super) fn short(image: &str) -> String {
    let parsed = Image::parse(image);
    match (parsed.tag, parsed.digest) {
        (None, None) => word(parsed.short()),
        _ => format!("{}:{}", word(parsed.short()), parsed.version()),
    }
}

fn direction(from: &Image<'_>, to: &Image<'_>) -> &'static Rule {
    match (from.tag, to.tag) {
        // Same tag, or none: only the digest differs.
        (from_tag, to_tag) if from_tag == to_tag => {
            if from.digest.is_none() && to.digest.is_some() {
                &IMAGE_PINNED
            } else {
                &IMAGE_CHANGED
            }
        }
        (Some(old), Some(new)) => versions(old, new),
        (Some(_) | None, None) if to.digest.is_some() && from.digest.is_none() => &IMAGE_PINNED,
        _ => &IMAGE_CHANGED,
    }
}

/// Which rule two differing tags fall under.
pub(super) fn versions(old: &str, new: &str) -> &'static Rule {
    match (core(old), core(new)) {
        (Some((from, from_rest)), Some((to, to_rest))) => match compare(&from, &to) {
            Some(Ordering::Greater) => &IMAGE_DOWNGRADE,
            Some(Ordering::Less) if from.first() != to.first() => &IMAGE_MAJOR,
            // Another flavour of an image, such as -alpine, is more than an update.
            Some(Ordering::Less) if flavour(from_rest) == flavour(to_rest) => &IMAGE_UPDATED,
            Some(Ordering::Equal) if !from_rest.is_empty() && to_rest.is_empty() && is_prerelease(from_rest) => &IMAGE_UPDATED,
            Some(Ordering::Equal) if from_rest.is_empty() && is_prerelease(to_rest) => &IMAGE_DOWNGRADE,
            _ => &IMAGE_CHANGED,
        },
        _ => &IMAGE_CHANGED,
    }
}

/// Compares numbers; `None` where one is a shorter form of the other (`1.27` moves, `1.27.3` does not).
fn compare(from: &[u64], to: &[u64]) -> Option<Ordering> {
    let common = from.len().min(to.len());
    match from[..common].cmp(&to[..common]) {
        Ordering::Equal if from.len() != to.len() => None,
        ordering => Some(ordering),
    }
}

/// `v1.27.3-alpine` as `[1, 27, 3]` and `alpine`.
fn core(tag: &str) -> Option<(Vec<u64>, &str)> {
    let tag = tag.strip_prefix(['v', 'V']).unwrap_or(tag);
    let end = tag.find(['-', '+', '_']).unwrap_or(tag.len());
    let numbers: Option<Vec<u64>> = tag[..end].split('.').map(|part| part.parse().ok()).collect();
    // A commit id of digits is no version.
    numbers
        .filter(|numbers| numbers.len() > 1 || end <= 8)
        .map(|numbers| (numbers, tag.get(end + 1..).unwrap_or_default()))
}

/// A suffix without its digits: `alpine3.20` and `alpine3.21` are one flavour.
fn flavour(rest: &str) -> String {
    rest.chars().filter(char::is_ascii_alphabetic).collect()
}

fn is_prerelease(rest: &str) -> bool {
    ["rc", "alpha", "beta", "pre", "dev", "snapshot", "nightly"]
        .iter()
        .any(|word| rest.to_ascii_lowercase().starts_with(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_compared_as_versions() {
        for (old, new, expected) in [
            ("1.26", "1.27", &IMAGE_UPDATED),
            ("1.27", "1.26", &IMAGE_DOWNGRADE),
            ("1.9.0", "1.10.0", &IMAGE_UPDATED),
            ("v1.2.3", "v2.0.0", &IMAGE_MAJOR),
            ("1.27.3-alpine", "1.27.4-alpine", &IMAGE_UPDATED),
            ("1.27.3-alpine", "1.27.4-bookworm", &IMAGE_CHANGED),
            ("1.27", "1.27.3", &IMAGE_CHANGED),
            ("2.0.0-rc1", "2.0.0", &IMAGE_UPDATED),
            ("2.0.0", "2.0.0-rc1", &IMAGE_DOWNGRADE),
            ("2024.10.1", "2024.11.0", &IMAGE_UPDATED),
            ("3f2a9c1", "7d1b0aa", &IMAGE_CHANGED),
            ("stable", "1.2", &IMAGE_CHANGED),
            ("99999999999999999999.1", "1.2", &IMAGE_CHANGED),
        ] {
            assert_eq!(versions(old, new).id, expected.id, "{old} → {new}");
        }
    }

    #[test]
    fn one_image_under_two_names_has_one_source() {
        for (a, b) in [
            ("nginx", "docker.io/library/nginx:1"),
            ("team/app:1", "docker.io/team/app@sha256:0"),
        ] {
            assert_eq!(Image::parse(a).source(), Image::parse(b).source());
        }
        assert_ne!(
            Image::parse("registry.example.com:5000/nginx").source(),
            Image::parse("nginx").source()
        );
    }
}
