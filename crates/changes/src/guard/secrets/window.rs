//! The parts of a text near the keywords of a pattern, so that an expression reads a few lines and not a megabyte.

use std::ops::Range;

/// What is read before a keyword: a name in front of `= value`, or the start of a multi-line construct.
const BEFORE: usize = 512;
/// What is read behind it: long enough for keys in several lines.
const BEHIND: usize = 4_096;

/// Windows around the given places in rising order, cut at line ends and never overlapping; without places the whole text.
pub(super) fn around(text: &[u8], places: Option<&[usize]>) -> Vec<Range<usize>> {
    let Some(places) = places else {
        return std::iter::once(0..text.len()).collect();
    };
    let mut windows: Vec<Range<usize>> = Vec::new();
    let mut places = places.to_vec();
    places.sort_unstable();
    for place in places {
        let wanted = place.saturating_add(BEHIND).min(text.len());
        match windows.last_mut() {
            Some(last) if wanted <= last.end => {}
            // Only ever forward, so that one endless line is read once.
            Some(last) if place.saturating_sub(BEFORE) <= last.end => last.end = line_end(text, wanted),
            Some(_) | None => windows.push(line_start(text, place.saturating_sub(BEFORE))..line_end(text, wanted)),
        }
    }
    windows
}

/// The line in which a byte stands, at most 4 KiB of it.
pub(super) fn line_of(text: &[u8], at: usize) -> &[u8] {
    let from = at.saturating_sub(2_048);
    let part = &text[from..text.len().min(at + 2_048)];
    &part[line_start(part, at - from)..line_end(part, at - from)]
}

fn line_start(text: &[u8], at: usize) -> usize {
    text[..at.min(text.len())]
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |nth| nth + 1)
}

fn line_end(text: &[u8], at: usize) -> usize {
    let at = at.min(text.len());
    text[at..].iter().position(|byte| *byte == b'\n').map_or(text.len(), |nth| at + nth)
}
