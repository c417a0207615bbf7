//! The document below a card: the whole list of paths, the commands where they did not fit, and the whole diff. `git apply` and `patch`
//! skip everything before the first header, so the document can be applied as it is.

use super::files::{file_count, plain_listing};
use crate::card::{Card, CardKind, Document};
use crate::text::{CAPTION_UNITS_MAX, cut_units};

/// The whole list of paths and the whole diff as a file.
pub fn full_diff(card: &Card) -> Document {
    let name = card.id.map_or_else(|| "change".to_owned(), |id| id.short());
    let manual = card.kind == CardKind::ManualNote;
    let digest = card.digest.map(|digest| digest.to_string()).unwrap_or_default();
    let mut text = format!(
        "# {name} · revision {} · digest {digest}\n# {}\n",
        card.revision,
        file_count(&card.files)
    );
    text.push_str(&plain_listing(&card.files));
    if manual && !card.commands.is_empty() {
        text.push_str("#\n# To commit it yourself:\n");
        for line in card.commands.iter().flat_map(|command| command.lines()) {
            text.push_str(&format!("#   {line}\n"));
        }
    }
    text.push('\n');
    text.push_str(card.patch.as_ref().filter(|_| manual).unwrap_or(&card.diff));
    let what = if manual { "Patch" } else { "Diff" };
    let short = card
        .digest
        .map(|digest| format!(" · digest {}", digest.short()))
        .unwrap_or_default();
    let caption = format!("{what} of {name} · revision {}{short} · {}", card.revision, file_count(&card.files));
    Document {
        file_name: format!("{name}.{}", if manual { "patch" } else { "diff" }),
        bytes: text.into_bytes(),
        caption: cut_units(&caption, CAPTION_UNITS_MAX),
        picture: false,
    }
}
