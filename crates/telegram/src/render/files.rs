//! The list of touched paths, and the diff as far as it fits.

use domain::ChangeKind;

use super::rich::Rich;
use super::words::change_verb;
use crate::card::{Card, FileLine};
use crate::text::{cut_units, thousands, units, visible};

/// How many paths stand on a card whose whole list does not fit.
const WORST_SHOWN: usize = 8;

/// Sums of lines: `+4 −2`.
pub(super) fn line_counts(files: &[FileLine]) -> String {
    let sum = |part: fn(&FileLine) -> u32| files.iter().map(|file| part(file) as usize).sum::<usize>();
    format!("+{} −{}", thousands(sum(|f| f.added)), thousands(sum(|f| f.removed)))
}

/// `1 file`, `1,200 files`.
pub(super) fn file_count(files: &[FileLine]) -> String {
    if files.len() == 1 {
        "1 file".into()
    } else {
        format!("{} files", thousands(files.len()))
    }
}

/// Longest path or runbook in the verdict line.
const NAME_MAX: usize = 60;
/// Longest account of a change in the verdict line.
const VERB_MAX: usize = 80;

/// What happens, in a few words for the lock screen: `scale web to 5`, `change web/deployment.yaml`, `3 files in applications/web`.
pub(super) fn what(card: &Card) -> Rich {
    if let Some(id) = card.revert_of {
        return Rich::new().text("revert of ").code(&id.short());
    }
    if let Some(runbook) = &card.runbook {
        return Rich::new()
            .text("runbook ")
            .code(&plain_name(&crate::text::one_line(runbook), NAME_MAX));
    }
    if let Some(explained) = card.explained.as_ref().filter(|explained| !explained.verb.is_empty()) {
        return Rich::new().code(&plain_name(&crate::text::one_line(&explained.verb), VERB_MAX));
    }
    match card.files.as_slice() {
        [] => Rich::new().code(card.repository.as_str()),
        [file] => Rich::new().text(change_verb(file.kind)).text(" ").code(&tail(file.path.as_str())),
        files => {
            let place = Rich::new().text(&file_count(files));
            match common_directory(files) {
                Some(directory) => place.text(" in ").code(&tail(&directory)),
                None => place,
            }
        }
    }
}

/// Whether the verdict line holds all of a runbook's name and parameters.
pub(super) fn named_whole(runbook: &str) -> bool {
    units(&crate::text::one_line(runbook)) <= NAME_MAX
}

/// The last two parts of a path.
fn tail(path: &str) -> String {
    let parts: Vec<&str> = path.rsplitn(3, '/').take(2).collect();
    let kept = parts.into_iter().rev().collect::<Vec<_>>().join("/");
    plain_name(&kept, NAME_MAX)
}

/// A name for the verdict line. A lock screen shows no markup, so a name must not bring the line's own separator along.
fn plain_name(name: &str, max: usize) -> String {
    cut_units(&name.replace('·', "<U+00B7>"), max)
}

fn common_directory(files: &[FileLine]) -> Option<String> {
    let mut common: Vec<&str> = files.first()?.path.parent()?.split('/').collect();
    for file in files {
        let same = common.iter().zip(file.path.parts()).take_while(|(a, b)| **a == *b).count();
        common.truncate(same);
    }
    (!common.is_empty()).then(|| common.join("/"))
}

/// The paths, all of them if they fit into `max` units, else counts and the worst. The flag says whether all stand there.
pub(super) fn listing(files: &[FileLine], max: usize) -> (Rich, bool) {
    let all = files.iter().fold(Rich::new(), |list, file| list.line(file_line(file)));
    if all.units() <= max {
        return (all, true);
    }
    let count = |kind| files.iter().filter(|file| file.kind == kind).count();
    let heading = format!(
        "{}: {} changed, {} added, {} deleted. The worst; the whole list is in the document:",
        file_count(files),
        thousands(count(ChangeKind::Modified)),
        thousands(count(ChangeKind::Added)),
        thousands(count(ChangeKind::Deleted)),
    );
    let mut worst: Vec<&FileLine> = files.iter().collect();
    worst.sort_by_key(|file| std::cmp::Reverse(gravity(file)));
    let mut list = Rich::new().text(&heading);
    for file in worst.into_iter().take(WORST_SHOWN) {
        let line = file_line(file);
        if list.units() + line.units() + 1 > max {
            break;
        }
        list = list.line(line);
    }
    (list, false)
}

/// Deletions first, then what can run, then what cannot be read, then many removed lines.
fn gravity(file: &FileLine) -> (bool, bool, bool, u32, u32) {
    (
        file.kind == ChangeKind::Deleted,
        file.exec == Some(true),
        file.binary.is_some(),
        file.removed,
        file.added,
    )
}

fn file_line(file: &FileLine) -> Rich {
    let mark = match file.kind {
        ChangeKind::Added => "+ ",
        ChangeKind::Modified => "~ ",
        ChangeKind::Deleted => "− ",
    };
    let line = Rich::new().text(mark).code(file.path.as_str());
    let line = match &file.binary {
        Some(binary) => line
            .text(&format!(
                " binary, {} bytes, SHA-256 ",
                thousands(usize::try_from(binary.size).unwrap_or(usize::MAX))
            ))
            .code(&binary.sha256.to_string()),
        None => line.text(&format!(" {}", line_counts(std::slice::from_ref(file)))),
    };
    let line = match file.exec {
        Some(true) => line.bold(" becomes executable"),
        Some(false) => line.text(" no longer executable"),
        None => line,
    };
    if file.kind == ChangeKind::Deleted {
        line.bold(" deleted")
    } else {
        line
    }
}

/// The list of paths as plain lines, for the head of a document. `diff` and `git apply` skip what stands before the first header.
pub(super) fn plain_listing(files: &[FileLine]) -> String {
    files
        .iter()
        .fold(String::new(), |list, file| list + "# " + &file_line(file).into_parts().1 + "\n")
}

/// Bytes of a readable diff at most: more than any card can hold (a UTF-16 unit is at most three bytes), so that a diff of megabytes costs
/// little more than a small one.
const READ_MAX: usize = 16_384;

/// What a file's one line begins with. No line of a hunk can begin with it.
const FILE_MARK: &str = "=== ";

/// The diff for reading on a phone: one line per file instead of git's four, unseen characters visible, without the last line feed. Only
/// the beginning of one that cannot fit anyway.
pub(super) fn readable(diff: &str) -> String {
    let mut out = String::new();
    let mut lines = diff.strip_suffix('\n').unwrap_or(diff).split('\n').peekable();
    while let Some(line) = lines.next() {
        if out.len() > READ_MAX {
            break;
        }
        if !out.is_empty() {
            out.push('\n');
        }
        let Some(names) = line.strip_prefix("diff --git ") else {
            out.push_str(&line[..line.floor_char_boundary(READ_MAX)]);
            continue;
        };
        // Up to the first hunk or the next file everything is git's own: a removed line that looks like a header stands below a hunk.
        let mut header = Vec::new();
        while let Some(line) = lines.next_if(|line| !line.starts_with("@@") && !line.starts_with("diff --git ")) {
            header.push(line);
        }
        out.push_str(&file_header(names, &header));
    }
    visible(&out)
}

/// `=== kubernetes/web/service.yaml (new file)`.
fn file_header(names: &str, header: &[&str]) -> String {
    let value = |key: &str| header.iter().find_map(|line| line.strip_prefix(key));
    let executable = |mode: &str| mode.trim() == "100755";
    let mut remarks = Vec::new();
    if let Some(mode) = value("new file mode ") {
        remarks.push(if executable(mode) { "new, executable" } else { "new" });
    }
    if value("deleted file mode ").is_some() {
        remarks.push("deleted");
    }
    if let Some(mode) = value("new mode ") {
        remarks.push(if executable(mode) {
            "becomes executable"
        } else {
            "no longer executable"
        });
    }
    if value("Binary files ").is_some() || value("GIT binary patch").is_some() {
        remarks.push("binary");
    }
    let remarks = if remarks.is_empty() {
        String::new()
    } else {
        format!(" ({})", remarks.join(", "))
    };
    format!("{FILE_MARK}{}{remarks}", one_name(names))
}

/// The path out of `a/path b/path`: nothing here is ever renamed, so both halves name the same. Anything else stays as git wrote it.
fn one_name(names: &str) -> &str {
    let same = |left: &str, right: &str| left.trim_start_matches('"').get(2..) == right.trim_start_matches('"').get(2..);
    match names.split_at_checked(names.len() / 2) {
        Some((left, right)) if right.strip_prefix(' ').is_some_and(|right| same(left, right)) => {
            left.trim_matches('"').get(2..).unwrap_or(names)
        }
        _ => names,
    }
}

/// As many whole hunks from the top as fit into `max` units; everything when the diff fits.
pub(super) fn whole_hunks(diff: &str, max: usize) -> &str {
    if units(diff) <= max {
        return diff;
    }
    let (mut kept, mut used, mut at, mut header_only) = (0, 0, 0, true);
    for line in diff.split_inclusive('\n') {
        let is_header = line.starts_with(FILE_MARK);
        // A hunk ends where the next one, or the next file, begins; a file header without a hunk is not worth showing.
        if (is_header || line.starts_with("@@")) && !header_only {
            kept = at;
        }
        header_only = if is_header { true } else { header_only && !line.starts_with("@@") };
        used += units(line);
        at += line.len();
        if used > max {
            break;
        }
    }
    diff[..kept].trim_end_matches('\n')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn diffs_are_cut_at_hunk_borders() {
        let diff = "=== x\n@@ -1 +1 @@\n-a\n+b\n@@ -9 +9 @@\n-c\n+d\n=== y\n@@ -1 +1 @@\n-e\n+f\n";
        let first = diff.find("\n@@ -9").expect("two hunks");
        let second = diff.find("\n=== y").expect("two files");
        for (max, expected) in [
            (1000, diff),
            (first + 5, &diff[..first]),
            (second + 4, &diff[..second]),
            (second + 18, &diff[..second]),
            (first - 1, ""),
            (0, ""),
        ] {
            assert_eq!(whole_hunks(diff, max), expected, "{max}");
        }
    }

    #[test]
    fn a_file_has_one_line_of_header_and_hunks_stay_as_they_are() {
        let diff = "diff --git a/x y b/x y\nindex 1..2 100644\n--- a/x y\n+++ b/x y\n@@ -1 +1 @@\n--- a/not a header\n+++ b/nor this\n context\n\\ No newline at end of file\n\
                    diff --git a/run.sh b/run.sh\nold mode 100644\nnew mode 100755\n\
                    diff --git \"a/\\303\\244\" \"b/\\303\\244\"\nnew file mode 100755\nindex 0..1\n--- /dev/null\n+++ \"b/\\303\\244\"\n@@ -0,0 +1 @@\n+one\n\
                    diff --git a/gone b/gone\ndeleted file mode 100644\n--- a/gone\n+++ /dev/null\n@@ -1 +0,0 @@\n-diff --git a/x b/x\n\
                    diff --git a/b.bin b/b.bin\nindex 1..2\nBinary files a/b.bin and b/b.bin differ\n";
        let expected = "=== x y\n@@ -1 +1 @@\n--- a/not a header\n+++ b/nor this\n context\n\\ No newline at end of file\n\
                        === run.sh (becomes executable)\n\
                        === \\303\\244 (new, executable)\n@@ -0,0 +1 @@\n+one\n\
                        === gone (deleted)\n@@ -1 +0,0 @@\n-diff --git a/x b/x\n\
                        === b.bin (binary)";
        assert_eq!(readable(diff), expected);
    }

    #[test]
    fn a_diff_of_nothing_but_headers_is_never_cut_and_called_whole() {
        let modes: String = (0..5000)
            .map(|n| format!("diff --git a/{n} b/{n}\nold mode 100644\nnew mode 100755\n"))
            .collect();
        assert!(units(&readable(&modes)) > super::super::DIFF_MAX);
        let long = readable(&format!("diff --git a/x b/x\n@@ -1 +1 @@\n+{}", "é".repeat(1_000_000)));
        assert!(long.len() < 3 * READ_MAX && units(&long) > super::super::DIFF_MAX);
    }
}
