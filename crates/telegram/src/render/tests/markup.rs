//! A strict reader of Telegram's HTML dialect: fewer tags and rules than the server's, so that what passes here passes there.

use crate::card::{Press, Rendered};
use crate::text::units;

/// Says what is wrong with a message, if anything.
pub fn check(message: &Rendered) -> Result<(), String> {
    let text = parse(&message.html)?.0;
    let invisible = |c: char| c != '\n' && c != '\t' && (c.is_control() || domain::is_deceptive(c));
    for (what, text, max) in [("html", &text, 4096), ("plain", &message.plain, 4096)] {
        if units(text) > max || text.trim().is_empty() {
            return Err(format!("{what}: {} units", units(text)));
        }
        if let Some(c) = text.chars().find(|c| invisible(*c)) {
            return Err(format!("{what}: invisible {c:?}"));
        }
    }
    for button in message.keyboard.iter().flatten() {
        let fits = match &button.press {
            Press::Data(data) => (1..=64).contains(&data.len()) && crate::decode(data).is_ok(),
            Press::Url(url) => url.starts_with("http"),
            Press::Copy(text) => (1..=256).contains(&units(text)),
        };
        if !fits || button.label.is_empty() {
            return Err(format!("button {button:?}"));
        }
    }
    if message.keyboard.iter().any(Vec::is_empty) {
        return Err("an empty row".into());
    }
    match &message.document {
        Some(document) if units(&document.caption) > 1024 || document.bytes.is_empty() => Err("the document".into()),
        _ => Ok(()),
    }
}

/// The words outside of quotes and code.
pub fn outside_of_frames(html: &str) -> String {
    parse(html).expect("good markup").1
}

/// All words, and those outside of quotes and code.
fn parse(html: &str) -> Result<(String, String), String> {
    let (mut all, mut outside, mut open) = (String::new(), String::new(), Vec::<&str>::new());
    let mut rest = html;
    while let Some(c) = rest.chars().next() {
        if let Some(tag) = rest.strip_prefix('<') {
            let (tag, after) = tag.split_once('>').ok_or("an open <")?;
            rest = after;
            if let Some(name) = tag.strip_prefix('/') {
                if open.pop() != Some(name) {
                    return Err(format!("</{name}> closes something else"));
                }
                continue;
            }
            let name = tag.split(' ').next().unwrap_or_default();
            let shape = match name {
                "b" | "code" | "pre" => tag == name || (open.last() == Some(&"pre") && tag == "code class=\"language-diff\""),
                "a" => tag
                    .strip_prefix("a href=\"http")
                    .and_then(|t| t.strip_suffix('"'))
                    .is_some_and(|t| !t.contains(['"', '<'])),
                "blockquote" => tag == "blockquote expandable" && open.is_empty(),
                _ => false,
            };
            let inside_code = open.iter().any(|t| *t == "code" || (*t == "pre" && name != "code"));
            if !shape || inside_code || (name == "pre" && !open.is_empty()) {
                return Err(format!("<{tag}> in {open:?}"));
            }
            open.push(name);
            continue;
        }
        let (c, length) = match c {
            '&' => [("&amp;", '&'), ("&lt;", '<'), ("&gt;", '>'), ("&quot;", '"')]
                .into_iter()
                .find(|(entity, _)| rest.starts_with(entity))
                .map(|(entity, c)| (c, entity.len()))
                .ok_or("a bare &")?,
            '>' => return Err("a bare >".into()),
            c => (c, c.len_utf8()),
        };
        rest = &rest[length..];
        all.push(c);
        if !open.iter().any(|tag| matches!(*tag, "code" | "pre" | "blockquote")) {
            outside.push(c);
        }
    }
    if open.is_empty() {
        Ok((all, outside))
    } else {
        Err(format!("{open:?} is never closed"))
    }
}
