//! One level of base64: what a text says once it is decoded.

use base64::Engine as _;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// Shorter runs are words.
const RUN_MIN: usize = 20;
/// Lines of a folded block have at least this many letters each.
const FOLDED_MIN: usize = 40;

/// Pieces of text with the line on which each one begins in the file.
#[derive(Default)]
pub(super) struct Pieces {
    pub text: Vec<u8>,
    /// Where a piece begins in `text`, and its first and last line in the file.
    starts: Vec<(usize, usize, usize)>,
}

impl Pieces {
    pub fn add(&mut self, piece: &[u8], first: usize, last: usize) {
        self.starts.push((self.text.len(), first, last));
        self.text.extend_from_slice(piece);
        self.text.push(b'\n');
    }

    /// Every piece with its first and last line in the file.
    pub fn each(&self) -> impl Iterator<Item = (&[u8], (usize, usize))> {
        let ends = self.starts.iter().skip(1).map(|(start, ..)| *start).chain([self.text.len()]);
        self.starts
            .iter()
            .zip(ends)
            .map(|((start, first, last), end)| (&self.text[*start..end], (*first, *last)))
    }

    /// The lines of the file that a place of the text comes from.
    pub fn lines(&self, at: usize) -> (usize, usize) {
        let nth = self.starts.partition_point(|(start, ..)| *start <= at);
        nth.checked_sub(1).map_or((1, 1), |nth| (self.starts[nth].1, self.starts[nth].2))
    }
}

/// Every readable text behind base64 in a text.
pub(super) fn decoded(text: &str) -> Pieces {
    let mut pieces = Pieces::default();
    let mut folded: Option<(usize, String)> = None;
    let mut last = 0;
    for (nth, line) in text.lines().enumerate() {
        let (at, body) = (nth + 1, line.trim());
        last = at;
        let whole = body.len() >= 4 && body.bytes().all(is_base64);
        if whole && (body.len() >= FOLDED_MIN || folded.is_some()) {
            folded.get_or_insert_with(|| (at, String::new())).1.push_str(body);
            continue;
        }
        if let Some((first, joined)) = folded.take() {
            put(&joined, first, at - 1, &mut pieces);
        }
        for run in body
            .split(|c: char| !c.is_ascii() || !is_base64(c as u8))
            .filter(|run| run.len() >= RUN_MIN)
        {
            // `key=dGVzdA==` is one run: padding ends a value, and anything behind it begins another.
            for part in run.trim_end_matches('=').split('=').filter(|part| part.len() >= RUN_MIN) {
                put(part, at, at, &mut pieces);
            }
        }
    }
    if let Some((first, joined)) = folded {
        put(&joined, first, last, &mut pieces);
    }
    pieces
}

const fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'-' | b'_' | b'=')
}

fn put(run: &str, first: usize, last: usize, pieces: &mut Pieces) {
    let config = GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true);
    let alphabet = if run.contains(['-', '_']) { &URL_SAFE } else { &STANDARD };
    let run = run.trim_end_matches('=');
    // A cut end is no reason to look away: a last single letter carries nothing.
    let run = if run.len() % 4 == 1 { &run[..run.len() - 1] } else { run };
    let Ok(bytes) = GeneralPurpose::new(alphabet, config).decode(run) else {
        return;
    };
    let odd = |byte: &&u8| byte.is_ascii_control() && !matches!(byte, b'\n' | b'\r' | b'\t');
    if std::str::from_utf8(&bytes).is_ok() && bytes.iter().filter(odd).count() == 0 {
        pieces.add(&bytes, first, last);
    }
}
