//! Options of commands: `--password=value`, `--token value`.

use std::sync::OnceLock;

use regex::Regex;

use super::super::tree::Node;
use super::words::{is_secret, likeness};
use super::{MISSED, Walk, quoted};

/// Keys of lists that are a command.
pub(super) const ARGUMENTS: &[&str] = &["args", "command", "extraArgs", "entrypoint", "cmd"];
/// Work per option, and per byte of one.
const OPTION: usize = 300;
const OPTION_BYTE: usize = 60;

impl<'w> Walk<'w, '_> {
    pub(super) fn arguments(&mut self, items: &'w [Node]) {
        let mut option: Option<String> = None;
        for item in items {
            let item = self.tree.resolve(item);
            let Some(text) = item.text() else { continue };
            if !self.sink.work.spend_on(MISSED, OPTION + text.len() * OPTION_BYTE) {
                return;
            }
            if let Some(name) = option.take()
                && !text.starts_with('-')
                && likeness(&name).is_some_and(|like| is_secret(like, text, false, self.place(&name)))
            {
                self.found(
                    "structure.args",
                    item,
                    format!("{} passes {} a literal", self.owner.words(), quoted(&name)),
                    Some(&name),
                );
                continue;
            }
            for captures in option_pattern().into_iter().flat_map(|pattern| pattern.captures_iter(text)) {
                let (name, value) = (&captures[1], captures.get(2).map_or("", |value| value.as_str()));
                if likeness(name).is_some_and(|like| is_secret(like, value, true, self.place(name))) && !self.sink.is_full("structure.args")
                {
                    self.sink.hide(value);
                    self.found(
                        "structure.args",
                        item,
                        format!("{} passes {} a literal", self.owner.words(), quoted(name)),
                        Some(name),
                    );
                }
            }
            let bare = text.strip_prefix('-').map(|rest| rest.trim_start_matches('-'));
            option = bare
                .filter(|rest| rest.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'))
                .map(str::to_owned);
        }
    }
}

/// `--password=value`, `PASSWORD=value`, `--token value`.
fn option_pattern() -> Option<&'static Regex> {
    static PATTERN: OnceLock<Option<Regex>> = OnceLock::new();
    let pattern = r#"(?:^|[\s;&|"'])-{0,2}([A-Za-z][A-Za-z0-9_.-]{2,60})[= ]["']?([^\s"';&|]{1,200})"#;
    PATTERN.get_or_init(|| Regex::new(pattern).ok()).as_ref()
}
