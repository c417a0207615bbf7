//! The text of a unified diff, read strictly.

use std::str::FromStr as _;

use domain::RepoPath;

use super::{Action, FilePatch, Hunk, Kind, Line, refused};
use crate::DiffError;

/// Reads a whole diff. An empty one is refused.
pub(crate) fn parse(diff: &str) -> Result<Vec<FilePatch>, DiffError> {
    let mut reader = Reader {
        lines: diff.split('\n').collect(),
        at: 0,
    };
    // What follows the last line ending is no line.
    if reader.lines.last() == Some(&"") {
        reader.lines.pop();
    }
    let mut files = Vec::new();
    while let Some(line) = reader.peek() {
        if line.trim().is_empty() {
            reader.at += 1;
        } else if line.starts_with("diff --git ") || line.starts_with("--- ") {
            files.push(reader.file()?);
        } else {
            return Err(reader.fault("this is text outside the patch; send the diff alone, without fences or remarks"));
        }
    }
    if files.is_empty() {
        return Err(refused(1, None, "it holds no change"));
    }
    Ok(files)
}

struct Reader<'d> {
    lines: Vec<&'d str>,
    at: usize,
}

/// The mode of an executable file.
const EXECUTABLE: u32 = 0o100_755;

/// What the lines above the hunks said.
#[derive(Default)]
struct Header<'d> {
    git: Option<&'d str>,
    old: Option<Side>,
    new: Option<Side>,
    created: Option<u32>,
    deleted: bool,
    /// Old and new mode of a file that stays.
    modes: (Option<u32>, Option<u32>),
    rename: (Option<String>, Option<String>),
    copy: (Option<String>, Option<String>),
}

/// One of the `---` and `+++` lines.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Side {
    Nothing,
    File(String),
}

impl<'d> Reader<'d> {
    fn peek(&self) -> Option<&'d str> {
        self.lines.get(self.at).copied()
    }

    fn fault(&self, problem: impl Into<String>) -> DiffError {
        refused(self.at + 1, None, problem)
    }

    fn file(&mut self) -> Result<FilePatch, DiffError> {
        let line = self.at + 1;
        let header = self.header()?;
        let mut hunks = Vec::new();
        while self.peek().is_some_and(|line| line.starts_with("@@")) {
            hunks.push(self.hunk()?);
        }
        let action = action(line, &header, !hunks.is_empty())?;
        let fault = |problem: &str| refused(line, Some(action.source()), problem);
        let executable = |mode| mode == EXECUTABLE;
        let modes = match header.modes {
            (None, None) => None,
            (Some(old), Some(new)) => Some((executable(old), executable(new))),
            _ => return Err(fault("an old mode and a new mode line belong together")),
        };
        if modes.is_some() && matches!(action, Action::Create { .. } | Action::Delete { .. }) {
            return Err(fault("the old mode and new mode lines contradict that the file is new or deleted"));
        }
        if hunks.is_empty() && modes.is_none() && matches!(action, Action::Modify { .. }) {
            return Err(fault("it has no hunk"));
        }
        Ok(FilePatch {
            line,
            action,
            modes,
            hunks,
        })
    }

    fn header(&mut self) -> Result<Header<'d>, DiffError> {
        let mut header = Header::default();
        if let Some(names) = self.peek().and_then(|line| line.strip_prefix("diff --git ")) {
            header.git = Some(names.trim_end_matches('\r'));
            self.at += 1;
            while let Some(line) = self.peek() {
                if !self.extended(line.trim_end_matches('\r'), &mut header)? {
                    break;
                }
                self.at += 1;
            }
        }
        if let Some(old) = self.peek().and_then(|line| line.strip_prefix("--- ")) {
            header.old = Some(self.side(old)?);
            self.at += 1;
            let Some(new) = self.peek().and_then(|line| line.strip_prefix("+++ ")) else {
                return Err(self.fault("a +++ line must follow the --- line"));
            };
            header.new = Some(self.side(new)?);
            self.at += 1;
        }
        Ok(header)
    }

    /// One line between `diff --git` and `---`. `false`: it is none of these.
    fn extended(&self, line: &str, header: &mut Header<'_>) -> Result<bool, DiffError> {
        const MODES: &str = "only regular files (100644, 100755) can be changed";
        let mode = |text: &str| match text.trim() {
            "100644" => Ok(0o100_644),
            "100755" => Ok(EXECUTABLE),
            _ => Err(self.fault(MODES)),
        };
        if let Some(text) = line.strip_prefix("new file mode ") {
            header.created = Some(mode(text)?);
        } else if let Some(text) = line.strip_prefix("deleted file mode ") {
            mode(text)?;
            header.deleted = true;
        } else if let Some(text) = line.strip_prefix("old mode ") {
            header.modes.0 = Some(mode(text)?);
        } else if let Some(text) = line.strip_prefix("new mode ") {
            header.modes.1 = Some(mode(text)?);
        } else if let Some(text) = line.strip_prefix("index ") {
            if let Some((_, text)) = text.split_once(' ') {
                mode(text)?;
            }
        } else if let Some(name) = line.strip_prefix("rename from ") {
            header.rename.0 = Some(self.name(name)?);
        } else if let Some(name) = line.strip_prefix("rename to ") {
            header.rename.1 = Some(self.name(name)?);
        } else if let Some(name) = line.strip_prefix("copy from ") {
            header.copy.0 = Some(self.name(name)?);
        } else if let Some(name) = line.strip_prefix("copy to ") {
            header.copy.1 = Some(self.name(name)?);
        } else if line.starts_with("GIT binary patch") || line.starts_with("Binary files ") {
            return Err(self.fault("binary content cannot be sent as a diff; send the file's full content"));
        } else {
            return Ok(line.starts_with("similarity index ") || line.starts_with("dissimilarity index "));
        }
        Ok(true)
    }

    /// A name after `---` or `+++`: a tab ends it (a time may follow).
    fn side(&self, text: &str) -> Result<Side, DiffError> {
        let text = text.trim_end_matches('\r');
        let text = text.split('\t').next().unwrap_or_default();
        if text == "/dev/null" {
            return Ok(Side::Nothing);
        }
        self.name(text).map(Side::File)
    }

    fn name(&self, text: &str) -> Result<String, DiffError> {
        match text.strip_prefix('"') {
            None => Ok(text.to_owned()),
            Some(rest) => unquote(rest).ok_or_else(|| self.fault("the quoted name cannot be read")),
        }
    }

    fn hunk(&mut self) -> Result<Hunk, DiffError> {
        let line = self.at + 1;
        let head = self.peek().and_then(ranges);
        let Some(((old_start, old_count), (new_start, new_count))) = head else {
            return Err(self.fault("a hunk starts with @@ -line,count +line,count @@"));
        };
        if (old_count > 0 && old_start == 0) || (new_count > 0 && new_start == 0) {
            return Err(self.fault("lines are counted from 1"));
        }
        self.at += 1;
        let (mut old, mut new) = (0, 0);
        let mut lines: Vec<Line> = Vec::new();
        while old < old_count || new < new_count {
            let Some(text) = self.peek() else {
                return Err(refused(line, None, counts(old_count, new_count, old, new)));
            };
            let (kind, content) = match text.as_bytes().first() {
                // An editor may have cut the one blank of an empty context line; git takes it too.
                None => (Kind::Context, text),
                Some(b' ') => (Kind::Context, &text[1..]),
                Some(b'-') => (Kind::Removed, &text[1..]),
                Some(b'+') => (Kind::Added, &text[1..]),
                Some(b'\\') => {
                    end_without_newline(&mut lines);
                    self.at += 1;
                    continue;
                }
                Some(_) => return Err(self.fault(counts(old_count, new_count, old, new))),
            };
            old += usize::from(kind != Kind::Added);
            new += usize::from(kind != Kind::Removed);
            if old > old_count || new > new_count {
                return Err(self.fault(counts(old_count, new_count, old, new)));
            }
            lines.push(Line {
                kind,
                text: format!("{content}\n"),
            });
            self.at += 1;
        }
        if self.peek().is_some_and(|text| text.starts_with('\\')) {
            end_without_newline(&mut lines);
            self.at += 1;
        }
        if self
            .peek()
            .is_some_and(|text| text.starts_with([' ', '+', '\\']) || (text.starts_with('-') && !text.starts_with("--- ")))
        {
            return Err(self.fault(format!(
                "the hunk of line {line} goes on after its {old_count} old and {new_count} new lines; correct its counts"
            )));
        }
        Ok(Hunk {
            line,
            old_start,
            old_count,
            lines,
        })
    }
}

fn end_without_newline(lines: &mut [Line]) {
    if let Some(last) = lines.last_mut()
        && last.text.ends_with('\n')
    {
        last.text.pop();
    }
}

fn counts(old_count: usize, new_count: usize, old: usize, new: usize) -> String {
    format!("the hunk announces {old_count} old and {new_count} new lines, but has {old} and {new}; correct its counts")
}

/// `@@ -1,2 +3,4 @@ anything`; a missing count is 1.
fn ranges(line: &str) -> Option<((usize, usize), (usize, usize))> {
    let rest = line.strip_prefix("@@ -")?;
    let (both, _) = rest.split_once(" @@")?;
    let (old, new) = both.split_once(" +")?;
    let range = |text: &str| match text.split_once(',') {
        Some((start, count)) => Some((start.parse().ok()?, count.parse().ok()?)),
        None => Some((text.parse().ok()?, 1)),
    };
    Some((range(old)?, range(new)?))
}

/// git's quoting of odd names: C escapes, octal bytes. The opening quote is gone already.
fn unquote(text: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    loop {
        match rest.next()? {
            b'"' => break,
            b'\\' => match rest.next()? {
                b'n' => bytes.push(b'\n'),
                b't' => bytes.push(b'\t'),
                c @ (b'"' | b'\\') => bytes.push(c),
                first @ b'0'..=b'3' => {
                    let digits = [first, rest.next()?, rest.next()?];
                    bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 8).ok()?);
                }
                _ => return None,
            },
            byte => bytes.push(byte),
        }
    }
    if rest.next().is_some() {
        return None;
    }
    String::from_utf8(bytes).ok()
}

/// What the header asks for, if its lines agree with each other.
fn action(line: usize, header: &Header<'_>, has_hunks: bool) -> Result<Action, DiffError> {
    let fault = |problem: &str| refused(line, None, problem);
    let path = |name: &str| {
        RepoPath::from_str(name).map_err(|refusal| DiffError::Path {
            line,
            problem: refusal.to_string(),
        })
    };
    if let (Some(from), Some(to)) = (&header.rename.0, &header.rename.1) {
        agree(line, header, from, to, has_hunks)?;
        return Ok(Action::Rename {
            from: path(from)?,
            to: path(to)?,
        });
    }
    if let (Some(from), Some(to)) = (&header.copy.0, &header.copy.1) {
        agree(line, header, from, to, has_hunks)?;
        return Ok(Action::Copy {
            from: path(from)?,
            to: path(to)?,
        });
    }
    let (old, new) = match (&header.old, &header.new) {
        (Some(old), Some(new)) => strip_prefixes(old, new),
        _ if has_hunks => return Err(fault("the --- and +++ lines are missing above the hunks")),
        // An empty file, or a mode alone: only the git line names it.
        _ => {
            let name = header
                .git
                .and_then(same_name)
                .ok_or_else(|| fault("the file's name cannot be read from the diff --git line"))?;
            match (header.created, header.deleted) {
                (Some(_), false) => (Side::Nothing, Side::File(name)),
                (None, true) => (Side::File(name), Side::Nothing),
                (None, false) if header.modes.1.is_some() => (Side::File(name.clone()), Side::File(name)),
                _ => return Err(fault("it changes nothing")),
            }
        }
    };
    let action = match (&old, &new) {
        (Side::Nothing, Side::File(name)) => Action::Create {
            path: path(name)?,
            exec: header.created.map(|mode| mode == EXECUTABLE),
        },
        (Side::File(name), Side::Nothing) => Action::Delete { path: path(name)? },
        (Side::File(old), Side::File(new)) if old == new => Action::Modify { path: path(new)? },
        (Side::File(_), Side::File(_)) => {
            return Err(fault(
                "the --- and +++ lines name different files; declare a rename with rename from/rename to, or delete one and create the other",
            ));
        }
        (Side::Nothing, Side::Nothing) => return Err(fault("both sides are /dev/null")),
    };
    let contradicted = match action {
        Action::Create { .. } => header.deleted,
        Action::Delete { .. } => header.created.is_some(),
        _ => header.deleted || header.created.is_some(),
    };
    if contradicted {
        return Err(refused(
            line,
            Some(action.source()),
            "the new or deleted file line contradicts the --- and +++ lines",
        ));
    }
    if header.git.and_then(same_name).is_some_and(|name| name != action.source().as_str()) {
        return Err(refused(
            line,
            Some(action.source()),
            "the diff --git line names another file than the --- and +++ lines",
        ));
    }
    Ok(action)
}

/// The `---` and `+++` lines of a declared rename or copy must name the same two files.
fn agree(line: usize, header: &Header<'_>, from: &str, to: &str, has_hunks: bool) -> Result<(), DiffError> {
    let named = match (&header.old, &header.new) {
        (Some(old), Some(new)) => strip_prefixes(old, new) == (Side::File(from.to_owned()), Side::File(to.to_owned())),
        _ => !has_hunks,
    };
    if named && header.created.is_none() && !header.deleted {
        return Ok(());
    }
    Err(refused(line, None, "the rename or copy lines contradict the --- and +++ lines"))
}

/// `a/` and `b/` are git's marks and no part of the name, if both sides have them; otherwise the names are taken as they stand.
fn strip_prefixes(old: &Side, new: &Side) -> (Side, Side) {
    let strip = |side: &Side, mark: &str| match side {
        Side::Nothing => Some(Side::Nothing),
        Side::File(name) => name.strip_prefix(mark).map(|name| Side::File(name.to_owned())),
    };
    match (strip(old, "a/"), strip(new, "b/")) {
        (Some(old), Some(new)) => (old, new),
        _ => (old.clone(), new.clone()),
    }
}

/// The name in `a/NAME b/NAME`.
fn same_name(names: &str) -> Option<String> {
    if let Some(quoted) = names.strip_prefix('"') {
        return unquote(&quoted[..=quoted.find("\" \"")?])?.strip_prefix("a/").map(str::to_owned);
    }
    let half = names.len().checked_sub(1)? / 2;
    let (old, new) = (names.get(..half)?, names.get(half + 1..)?);
    let (old, new) = (old.strip_prefix("a/")?, new.strip_prefix("b/")?);
    (old == new && names.as_bytes()[half] == b' ').then(|| old.to_owned())
}
