//! Letters of other scripts that imitate Latin ones: some of them in a word, and words of nothing else.

/// Letters in whose company a dotless `i` is what it is.
const TURKIC: &[char] = &['\u{C7}', '\u{E7}', '\u{11E}', '\u{11F}', '\u{130}', '\u{15E}', '\u{15F}', '\u{259}'];

/// The look-alikes in words that hold ASCII letters too, as code points.
pub(super) fn mixed(text: &str) -> Option<String> {
    if text.is_ascii() {
        return None;
    }
    let turkic = text.contains(TURKIC);
    text.split(|c: char| !c.is_alphanumeric()).find_map(|word| {
        let latin = word.chars().any(|c| c.is_ascii_alphabetic());
        let mut alike = word.chars().filter(|c| looks_latin(*c) && !(turkic && *c == '\u{131}')).peekable();
        (latin && alike.peek().is_some()).then(|| points(alike))
    })
}

/// Where a value or a key ends on a line: what stands beyond is no company for a word.
const ENDS: &[char] = &['#', ':', '=', '"', '\'', '`', '/', '@', '{', '}', '[', ']'];
/// Where prose goes on, and a list in flow style does not.
const PAUSES: &[char] = &[',', ';', '(', ')'];
/// What holds the words of one name together.
const JOINTS: &[char] = &['-', '_', '.'];

/// A word of a line that reads as Latin and is not, as code points. A word in the company of others of its language is what it is: beside it
/// in its value, or on the lines around where all of it is prose. Nothing reads comments, so they imitate nothing.
pub(super) fn imitated(line: &str, around: [&str; 2]) -> Option<String> {
    if line.is_ascii() {
        return None;
    }
    let line = without_comment(line);
    let flow = line.contains(['{', '[']);
    let mut in_quotes = false;
    let mut rest = Some(line);
    let near = if is_prose(line) {
        around
            .into_iter()
            .filter(|near| is_prose(near))
            .fold(0, |all, near| all | company(near))
    } else {
        0
    };
    let mut values = std::iter::from_fn(|| {
        let text = rest?;
        let at = text.find(ENDS);
        let end = at.and_then(|at| text[at..].chars().next());
        rest = at.zip(end).map(|(at, end)| &text[at + end.len_utf8()..]);
        let value = &text[..at.unwrap_or(text.len())];
        let flowing = in_quotes || !(flow || matches!(end, Some(':' | '=')) || is_list(value));
        in_quotes ^= end == Some('"');
        Some((value, flowing))
    });
    values.find_map(|(value, flowing)| match flowing {
        true => imitation(value, near | company(value)),
        false => value.split(PAUSES).find_map(|item| imitation(item, near | company(item))),
    })
}

/// The same for one part of a path.
pub(super) fn imitated_part(part: &str) -> Option<String> {
    if part.is_ascii() {
        return None;
    }
    if let (Some(only), true) = (part.chars().next(), part.chars().count() == 1) {
        return is_twin(only).then(|| points([only].into_iter()));
    }
    imitation(part, company(part))
}

/// A full line of it, or what stands behind a blank and `#` where no quote may hold it.
fn without_comment(line: &str) -> &str {
    let text = line.trim_start();
    if (text.starts_with('#') && !text.starts_with("#!")) || text.starts_with("//") {
        return "";
    }
    let comment = [" #", "\t#"].iter().filter_map(|start| line.find(start)).min();
    match comment {
        Some(at) if !line[..at].contains(['"', '\'', '`']) => &line[..at],
        Some(_) | None => line,
    }
}

/// Commas without a blank behind them: `a,b`.
fn is_list(value: &str) -> bool {
    value
        .as_bytes()
        .windows(2)
        .any(|pair| matches!(pair, [b',' | b';', behind] if *behind != b' '))
}

/// Words and no Latin letter among them.
fn is_prose(line: &str) -> bool {
    !line.bytes().any(|byte| byte.is_ascii_alphabetic()) && !without_comment(line).is_empty()
}

/// The first word of nothing but twins that has no company. A single letter is one only within a name such as `node-a`: on its own it is a
/// word of many languages.
fn imitation(text: &str, company: u8) -> Option<String> {
    text.split(|c: char| !c.is_alphanumeric() && !JOINTS.contains(&c)).find_map(|name| {
        let latin = name.bytes().any(|byte| byte.is_ascii_alphabetic());
        let mut words = name.split(JOINTS);
        words.find_map(|word| {
            let mut letters = word.chars().filter(|c| !c.is_ascii());
            let script = script(letters.next()?);
            let script = if letters.all(|c| self::script(c) == script) { script } else { 0 };
            let long = word.chars().count() > 1;
            let counts = long || (latin && !word.chars().any(is_symbol));
            let imitates = counts && word.chars().all(|c| c.is_ascii_digit() || is_twin(c)) && script & company == 0;
            imitates.then(|| points(word.chars().filter(|c| !c.is_ascii())))
        })
    })
}

/// The scripts of the letters that imitate nothing, one bit each.
fn company(text: &str) -> u8 {
    let told = text.chars().filter(|c| !c.is_ascii() && c.is_alphabetic() && !is_twin(*c));
    told.fold(0, |all, c| all | script(c))
}

/// Scripts whose words are taken for Latin ones. Without one: letters that no language is written in.
const fn script(c: char) -> u8 {
    match c {
        '\u{400}'..='\u{52F}' | '\u{1C80}'..='\u{1C8F}' | '\u{A640}'..='\u{A69F}' => 1,
        '\u{370}'..='\u{3FF}' | '\u{1F00}'..='\u{1FFF}' => 2,
        '\u{530}'..='\u{58F}' => 4,
        '\u{13A0}'..='\u{13FF}' | '\u{AB70}'..='\u{ABBF}' => 8,
        // Full width letters and Roman numerals are written in Chinese, Japanese and Korean.
        '\u{2160}'..='\u{217F}' | '\u{3040}'..='\u{9FFF}' | '\u{AC00}'..='\u{D7A3}' | '\u{FF00}'..='\u{FFEF}' => 16,
        '\u{A4D0}'..='\u{A4FF}' => 32,
        '\u{2C80}'..='\u{2CFF}' => 64,
        _ => 0,
    }
}

/// Greek letters that stand for themselves in names: an alpha is no `a`.
const fn is_symbol(c: char) -> bool {
    matches!(c, '\u{3B1}'..='\u{3C9}') && c != '\u{3BF}'
}

/// Letters that cannot be told from ASCII letters. In Cyrillic these are fewer than those that merely look like one, so that short Russian
/// words are read as what they are.
fn is_twin(c: char) -> bool {
    let alike = "\u{405}\u{406}\u{408}\u{410}\u{412}\u{415}\u{41A}\u{41C}\u{41D}\u{41E}\u{420}\u{421}\u{422}\u{423}\u{425}\u{430}\u{435}\u{43A}\u{43E}\u{440}\u{441}\u{443}\u{445}\u{455}\u{456}\u{458}\u{474}\u{475}\u{4AE}\u{4AF}\u{4BB}\u{4CF}\u{4C0}\u{501}\u{50C}\u{51B}\u{51C}\u{51D}";
    let cyrillic = ('\u{400}'..='\u{52F}').contains(&c);
    if cyrillic { alike.contains(c) } else { looks_latin(c) }
}

/// The first letters by their numbers.
fn points(letters: impl Iterator<Item = char>) -> String {
    let points: Vec<String> = letters.take(5).map(|c| format!("U+{:04X}", u32::from(c))).collect();
    points.join(", ")
}

/// Letters and digits that look like ASCII ones in common fonts: Cyrillic, Greek, Armenian, Cherokee, Lisu and Coptic ones, Roman numerals,
/// small capitals, full width and mathematical ones.
fn looks_latin(c: char) -> bool {
    let cyrillic = "\u{405}\u{406}\u{408}\u{410}\u{412}\u{415}\u{417}\u{41A}\u{41C}\u{41D}\u{41E}\u{420}\u{421}\u{422}\u{423}\u{425}\u{430}\u{435}\u{43A}\u{43C}\u{43D}\u{43E}\u{43F}\u{440}\u{441}\u{442}\u{443}\u{445}\u{455}\u{456}\u{458}\u{474}\u{475}\u{4AE}\u{4AF}\u{4BB}\u{4CF}\u{4C0}\u{501}\u{50C}\u{50D}\u{51B}\u{51C}\u{51D}";
    let greek = "\u{391}\u{392}\u{395}\u{396}\u{397}\u{399}\u{39A}\u{39C}\u{39D}\u{39F}\u{3A1}\u{3A4}\u{3A5}\u{3A7}\u{3B1}\u{3B3}\u{3B9}\u{3BA}\u{3BD}\u{3BF}\u{3C1}\u{3C3}\u{3C5}\u{3C7}\u{3C9}\u{3F2}\u{3F3}\u{37F}";
    let armenian = "\u{54F}\u{555}\u{570}\u{578}\u{57D}\u{581}\u{585}\u{566}\u{561}";
    let coptic = "\u{2C80}\u{2C82}\u{2C88}\u{2C8E}\u{2C92}\u{2C93}\u{2C94}\u{2C98}\u{2C9A}\u{2C9E}\u{2C9F}\u{2CA2}\u{2CA3}\u{2CA4}\u{2CA5}\u{2CA6}\u{2CA8}\u{2CAC}";
    matches!(c, '\u{13A0}'..='\u{13F4}' | '\u{AB70}'..='\u{ABBF}' | '\u{A4D0}'..='\u{A4F7}' | '\u{2160}'..='\u{217F}' | '\u{1D00}'..='\u{1D22}')
        || matches!(c, '\u{FF21}'..='\u{FF3A}' | '\u{FF41}'..='\u{FF5A}' | '\u{1D400}'..='\u{1D7CB}' | '\u{1D7CE}'..='\u{1D7FF}')
        || matches!(c, '\u{0251}' | '\u{0261}' | '\u{0131}' | '\u{212A}')
        || cyrillic.contains(c)
        || greek.contains(c)
        || armenian.contains(c)
        || coptic.contains(c)
}
