//! Versions and waiting in HTTP's own words: `ETag`, `If-Match`, `If-None-Match` (RFC 9110), `Prefer: wait` (RFC 7240).
//!
//! The `ETag` of a document is `"v7"` for version 7, and `"v7.5f3a0c91"` while the document tells more than is stored: what the change waits
//! for, and which others touch its files. It is strong: any visible change changes the tag. A change is meant for a version alone.

use axum::http::{HeaderMap, HeaderName, HeaderValue};

use domain::Sha256Hash;
use engine::{Meant, Problem};

/// Digits that tell apart what is told beside one version.
const BESIDE_DIGITS: usize = 8;

/// An entity tag of ours, without its quotes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntityTag(String);

impl EntityTag {
    /// The tag of a version of which nothing more is told.
    pub fn of(version: u64) -> Self {
        Self(format!("v{version}"))
    }

    /// The tag of a version with what is told beside it; empty parts tell nothing.
    pub fn beside(version: u64, told: &[&str]) -> Self {
        if told.iter().all(|part| part.is_empty()) {
            return Self::of(version);
        }
        let mut digits = Sha256Hash::of(told.join("\0").as_bytes()).to_string();
        digits.truncate(BESIDE_DIGITS);
        Self(format!("v{version}.{digits}"))
    }

    /// As the header has it.
    pub fn text(&self) -> String {
        format!("\"{}\"", self.0)
    }

    /// As a header's value.
    pub fn value(&self) -> HeaderValue {
        // Only digits vary, so the text is always a valid header value.
        HeaderValue::from_str(&self.text()).unwrap_or_else(|_| HeaderValue::from_static("\"v0\""))
    }
}

/// What `If-None-Match` names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Known {
    /// `*`: any version.
    Any,
    /// These versions by their tags; tags that are not ours are left out, since they match nothing.
    Versions(Vec<(u64, EntityTag)>),
}

impl Known {
    /// Whether the caller has exactly this already.
    pub fn has(&self, tag: &EntityTag) -> bool {
        match self {
            Self::Any => true,
            Self::Versions(versions) => versions.iter().any(|(_, known)| known == tag),
        }
    }

    /// The newest version that the caller has: what a wait is to go beyond.
    pub fn newest(&self) -> Option<u64> {
        match self {
            Self::Any => None,
            Self::Versions(versions) => versions.iter().map(|(version, _)| *version).max(),
        }
    }
}

/// Reads `If-None-Match`. Weak tags count, as RFC 9110 has it for this header.
///
/// # Errors
/// 400 when the header is not a list of entity tags.
pub fn if_none_match(headers: &HeaderMap) -> Result<Option<Known>, Problem> {
    let Some(tags) = tags(headers, &axum::http::header::IF_NONE_MATCH)? else {
        return Ok(None);
    };
    if tags.iter().any(|tag| tag.text == "*") {
        return Ok(Some(Known::Any));
    }
    let ours = tags.into_iter().filter_map(|tag| Some((tag.version()?, EntityTag(tag.text))));
    Ok(Some(Known::Versions(ours.collect())))
}

/// Reads `If-Match`: the versions that a change is meant for, compared strongly (RFC 9110). A weak tag, and one that is none of ours, is that
/// of no version: the caller learns the current one.
///
/// # Errors
/// 428 without the header; 400 when it is not a list of entity tags.
pub fn if_match(headers: &HeaderMap) -> Result<Meant, Problem> {
    let Some(tags) = tags(headers, &axum::http::header::IF_MATCH)? else {
        return Err(Problem::new(
            428,
            "if_match_required",
            "this call needs an If-Match header",
            "read the proposal and send its ETag as If-Match, so that nothing you have not seen is replaced",
        ));
    };
    if tags.iter().any(|tag| tag.text == "*") {
        return Ok(Meant::Any);
    }
    Ok(Meant::OneOf(tags.iter().filter(|tag| !tag.weak).filter_map(Tag::version).collect()))
}

/// A wait that the caller asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wait {
    /// Seconds, never more than the ceiling.
    pub seconds: u64,
}

impl Wait {
    /// The `Preference-Applied` value.
    pub fn applied(self) -> HeaderValue {
        HeaderValue::from_str(&format!("wait={}", self.seconds)).unwrap_or_else(|_| HeaderValue::from_static("wait=0"))
    }
}

/// The wait from the query (which wins) or from `Prefer`, cut to the ceiling. A preference that cannot be read is ignored, as RFC 7240 asks.
pub fn wait(query: Option<u64>, headers: &HeaderMap, ceiling: u64) -> Option<Wait> {
    let seconds = query.or_else(|| preferred_wait(headers))?;
    Some(Wait {
        seconds: seconds.min(ceiling),
    })
}

fn preferred_wait(headers: &HeaderMap) -> Option<u64> {
    headers
        .get_all("prefer")
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|preference| preference.split(';').next()?.split_once('='))
        .find(|(name, _)| name.trim().eq_ignore_ascii_case("wait"))
        .and_then(|(_, seconds)| seconds.trim().trim_matches('"').parse().ok())
}

struct Tag {
    weak: bool,
    text: String,
}

impl Tag {
    fn version(&self) -> Option<u64> {
        let after = self.text.strip_prefix('v')?;
        let (digits, beside) = after.split_once('.').unwrap_or((after, "00000000"));
        if beside.len() != BESIDE_DIGITS || !beside.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return None;
        }
        let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) && (digits == "0" || !digits.starts_with('0'));
        plain.then(|| digits.parse().ok()).flatten()
    }
}

/// The entity tags of a header that may be repeated; `None` without the header.
fn tags(headers: &HeaderMap, name: &HeaderName) -> Result<Option<Vec<Tag>>, Problem> {
    let values: Vec<&HeaderValue> = headers.get_all(name).iter().collect();
    if values.is_empty() {
        return Ok(None);
    }
    let mut tags = Vec::new();
    for value in values {
        let found = value.to_str().ok().and_then(split_tags).ok_or_else(|| {
            Problem::new(
                400,
                "invalid_header",
                format!("{name} is not a list of entity tags"),
                "send the ETag exactly as it came, with its quotes: \"v7\"",
            )
        })?;
        tags.extend(found);
    }
    Ok(Some(tags))
}

fn split_tags(value: &str) -> Option<Vec<Tag>> {
    let mut tags = Vec::new();
    for part in value.split(',').map(str::trim) {
        if part == "*" {
            tags.push(Tag {
                weak: false,
                text: part.to_owned(),
            });
            continue;
        }
        let (weak, quoted) = part.strip_prefix("W/").map_or((false, part), |rest| (true, rest));
        let text = quoted.strip_prefix('"')?.strip_suffix('"')?;
        if text.contains('"') {
            return None;
        }
        tags.push(Tag {
            weak,
            text: text.to_owned(),
        });
    }
    Some(tags)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn versions(numbers: &[u64]) -> Known {
        Known::Versions(numbers.iter().map(|number| (*number, EntityTag::of(*number))).collect())
    }

    fn headers(name: &'static str, values: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn if_match_names_versions_or_says_what_is_wrong() {
        let of = |versions: &[u64]| Ok(Meant::OneOf(versions.to_vec()));
        for (values, expected) in [
            (&["\"v7\""][..], of(&[7])),
            (&[" \"v7\" "], of(&[7])),
            (&["\"v7.5f3a0c91\""], of(&[7])),
            (&["\"v7\", \"v8\""], of(&[7, 8])),
            (&["\"v7\"", "W/\"v8\""], of(&[7])),
            (&["*"], Ok(Meant::Any)),
            (&["W/\"v7\""], of(&[])),
            (&["\"abc\""], of(&[])),
            (&["\"v\""], of(&[])),
            (&["\"v07\""], of(&[])),
            (&["\"v99999999999999999999999\""], of(&[])),
            (&[], Err(428)),
            (&["v7"], Err(400)),
            (&["7"], Err(400)),
            (&[""], Err(400)),
            (&["w/\"v7\""], Err(400)),
            (&["\"v\"7\""], Err(400)),
        ] {
            assert_eq!(if_match(&headers("if-match", values)).map_err(|p| p.status), expected, "{values:?}");
        }
    }

    #[test]
    fn if_none_match_takes_lists_weak_tags_and_any() {
        for (values, expected) in [
            (&[][..], Ok(None)),
            (&["*"], Ok(Some(Known::Any))),
            (&["\"v7\""], Ok(Some(versions(&[7])))),
            (
                &["\"v7.5f3a0c91\""],
                Ok(Some(Known::Versions(vec![(7, EntityTag("v7.5f3a0c91".to_owned()))]))),
            ),
            (&["\"v7.5F3A0C91\", \"v7.5f\", \"v7.\""], Ok(Some(versions(&[])))),
            (&["W/\"v7\", \"x\"", "\"v9\""], Ok(Some(versions(&[7, 9])))),
            (&["v7"], Err(400)),
        ] {
            assert_eq!(
                if_none_match(&headers("if-none-match", values)).map_err(|p| p.status),
                expected,
                "{values:?}"
            );
        }
        assert_eq!(versions(&[7, 9]).newest(), Some(9));
        assert!(Known::Any.has(&EntityTag::of(3)) && !versions(&[7]).has(&EntityTag::of(3)));
        // What is told beside a version is part of what the caller has.
        let told = |words: &[&str]| EntityTag::beside(7, words);
        assert_eq!(told(&["", ""]), EntityTag::of(7));
        assert!(!versions(&[7]).has(&told(&["waits", ""])) && told(&["waits", ""]) != told(&["", "waits"]));
    }

    #[test]
    fn a_wait_comes_from_query_or_preference_and_has_a_ceiling() {
        for (query, prefer, expected) in [
            (None, &[][..], None),
            (Some(5), &["wait=9"], Some(5)),
            (Some(600), &[], Some(60)),
            (None, &["wait=9"], Some(9)),
            (None, &["respond-async, Wait=\"9\"; foo=bar"], Some(9)),
            (None, &["return=minimal", "wait=100"], Some(60)),
            (None, &["wait=soon"], None),
            (None, &["wait=-1"], None),
            (None, &["wait"], None),
        ] {
            assert_eq!(
                wait(query, &headers("prefer", prefer), 60).map(|w| w.seconds),
                expected,
                "{query:?} {prefer:?}"
            );
        }
        assert_eq!(Wait { seconds: 9 }.applied(), "wait=9");
    }
}
