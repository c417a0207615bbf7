//! HCL as blocks and attributes: enough of its lexical rules (strings with interpolation, comments, heredocs, brackets) to find where a
//! block begins and ends, and no more.

use std::collections::BTreeMap;

/// Blocks in blocks; real files have four or five.
const DEPTH_MAX: usize = 16;

/// The value that stands for an inner block itself.
pub(super) const BLOCK: &str = "block";

/// A top-level block with everything in it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Block {
    /// `resource`, `module`, `moved`, …; `values` for attributes outside of blocks, as in a `.tfvars` file.
    pub kind: String,
    pub labels: Vec<String>,
    /// As Terraform names it, such as `proxmox_virtual_environment_vm.worker`; unique in its file.
    pub address: String,
    /// By dotted path inside the block; the value as written, without comments.
    pub attributes: BTreeMap<String, String>,
}

/// The blocks of a file; `None` when brackets do not match or it is nested too deep.
pub(super) fn blocks(text: &str) -> Option<Vec<Block>> {
    let mut reader = Reader::default();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        reader.line(line, &mut lines)?;
        if reader.done.len() > BLOCKS_MAX {
            return None;
        }
    }
    reader.finish()
}

/// Blocks of one file; one with more is compared by nobody.
const BLOCKS_MAX: usize = 4_000;

#[derive(Default)]
struct Reader {
    done: Vec<Block>,
    loose: BTreeMap<String, String>,
    current: Option<Block>,
    /// Names of the blocks inside the current one.
    inside: Vec<String>,
    /// How often a block was seen in the current one, by path.
    repeated: BTreeMap<String, usize>,
    /// In a block comment.
    comment: bool,
    /// An attribute whose brackets are still open: name, text so far, how many are open.
    open: Option<(String, String, i64)>,
}

impl Reader {
    fn line<'t>(&mut self, line: &'t str, rest: &mut std::str::Lines<'t>) -> Option<()> {
        let scanned = scan(line, &mut self.comment);
        let code = scanned.code.trim();
        if let Some((name, mut text, open)) = self.open.take() {
            text.push('\n');
            text.push_str(code);
            self.heredoc(&scanned, &mut text, rest);
            let open = open + scanned.balance;
            match open {
                ..=0 => self.put(name, text),
                _ => self.open = Some((name, text, open)),
            }
            return Some(());
        }
        if code.is_empty() {
            return Some(());
        }
        if let Some((name, value)) = attribute(code) {
            let mut text = value.to_owned();
            self.heredoc(&scanned, &mut text, rest);
            match scanned.balance {
                1.. => self.open = Some((name.to_owned(), text, scanned.balance)),
                _ => self.put(name.to_owned(), text),
            }
            return Some(());
        }
        self.structure(code)
    }

    /// The lines of a heredoc that begins on this line.
    fn heredoc<'t>(&self, scanned: &Scanned, text: &mut String, rest: &mut std::str::Lines<'t>) {
        let Some(end) = &scanned.heredoc else { return };
        for line in rest.by_ref() {
            if line.trim() == end {
                break;
            }
            text.push('\n');
            text.push_str(line);
        }
    }

    /// A line that opens or closes a block.
    fn structure(&mut self, code: &str) -> Option<()> {
        if let Some(after) = code.strip_prefix('}') {
            self.close()?;
            let after = after.trim();
            return if after.is_empty() { Some(()) } else { self.structure(after) };
        }
        let (head, body) = code.split_once('{')?;
        self.open_block(head)?;
        let body = body.trim();
        if body.is_empty() {
            return Some(());
        }
        // `moved { from = a }` on one line: HCL allows one attribute there.
        let body = body.strip_suffix('}')?.trim();
        if let Some((name, value)) = attribute(body) {
            self.put(name.to_owned(), value.to_owned());
        } else if !body.is_empty() {
            return None;
        }
        self.close()
    }

    fn open_block(&mut self, head: &str) -> Option<()> {
        let mut words = head.split_whitespace().map(|word| word.trim_matches('"').to_owned());
        let kind = words.next()?;
        let labels: Vec<String> = words.collect();
        if self.current.is_none() {
            let address = match kind.as_str() {
                "resource" => labels.join("."),
                _ if labels.is_empty() => kind.clone(),
                _ => format!("{kind}.{}", labels.join(".")),
            };
            self.current = Some(Block {
                kind,
                labels,
                address,
                attributes: BTreeMap::new(),
            });
            return Some(());
        }
        if self.inside.len() >= DEPTH_MAX {
            return None;
        }
        let name = std::iter::once(kind).chain(labels).collect::<Vec<_>>().join(".");
        let name = self.unique(&name);
        self.inside.push(name);
        // An empty block means something too: that it is there.
        self.put(String::new(), BLOCK.to_owned());
        Some(())
    }

    /// A second block of the same name gets a number.
    fn unique(&mut self, name: &str) -> String {
        let times = self.repeated.entry(self.path(name)).or_default();
        *times += 1;
        if *times == 1 {
            name.to_owned()
        } else {
            format!("{name}[{}]", *times - 1)
        }
    }

    fn path(&self, name: &str) -> String {
        let mut path = self.inside.join(".");
        if !path.is_empty() && !name.is_empty() {
            path.push('.');
        }
        path + name
    }

    fn put(&mut self, name: String, value: String) {
        let path = self.path(&name);
        let into = self.current.as_mut().map_or(&mut self.loose, |block| &mut block.attributes);
        into.insert(path, value.trim().to_owned());
    }

    fn close(&mut self) -> Option<()> {
        if self.inside.pop().is_some() {
            return Some(());
        }
        self.repeated.clear();
        self.done.push(self.current.take()?);
        Some(())
    }

    fn finish(mut self) -> Option<Vec<Block>> {
        if self.current.is_some() || self.open.is_some() || self.comment {
            return None;
        }
        let mut seen: BTreeMap<String, usize> = BTreeMap::new();
        for block in &mut self.done {
            let times = seen.entry(block.address.clone()).or_default();
            *times += 1;
            if *times > 1 {
                block.address = format!("{}[{times}]", block.address);
            }
        }
        if !self.loose.is_empty() {
            self.done.push(Block {
                kind: "values".to_owned(),
                address: "values".to_owned(),
                labels: Vec::new(),
                attributes: self.loose,
            });
        }
        Some(self.done)
    }
}

/// `name = value`, where `=` is no comparison.
fn attribute(code: &str) -> Option<(&str, &str)> {
    let (name, value) = code.split_once('=')?;
    let name = name.trim().trim_matches('"');
    let ordinary = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.');
    (!name.is_empty() && name.chars().all(ordinary) && !value.starts_with('=')).then(|| (name, value.trim()))
}

struct Scanned {
    /// The line without comments.
    code: String,
    /// Brackets opened minus brackets closed, outside of strings.
    balance: i64,
    /// The word that ends a heredoc begun here.
    heredoc: Option<String>,
}

fn scan(line: &str, comment: &mut bool) -> Scanned {
    let mut code = String::new();
    let mut balance = 0;
    let mut heredoc = None;
    // For each open string, how many braces are open in its interpolation; the last entry is the innermost.
    let mut strings: Vec<usize> = Vec::new();
    let mut in_text = false;
    let mut rest = line;
    while let Some(c) = rest.chars().next() {
        let step = c.len_utf8();
        if *comment {
            match rest.find("*/") {
                Some(end) => {
                    *comment = false;
                    rest = &rest[end + 2..];
                    continue;
                }
                None => break,
            }
        }
        if in_text {
            let taken = if c == '\\' {
                step + rest[step..].chars().next().map_or(0, char::len_utf8)
            } else if rest.starts_with("${") || rest.starts_with("%{") {
                2
            } else {
                step
            };
            if taken == 2 && c != '\\' && rest[step..].starts_with('{') {
                strings.push(1);
                in_text = false;
            } else if c == '"' {
                in_text = false;
            }
            code.push_str(&rest[..taken]);
            rest = &rest[taken..];
            continue;
        }
        if rest.starts_with("/*") {
            *comment = true;
            rest = &rest[2..];
            continue;
        }
        if c == '#' || rest.starts_with("//") {
            break;
        }
        match c {
            '"' => in_text = true,
            '{' | '[' | '(' => match strings.last_mut() {
                Some(open) => *open += 1,
                None => balance += 1,
            },
            '}' | ']' | ')' => match strings.last_mut() {
                Some(open) => {
                    *open -= 1;
                    if *open == 0 {
                        strings.pop();
                        in_text = true;
                    }
                }
                None => balance -= 1,
            },
            '<' if rest.starts_with("<<") => heredoc = marker(&rest[2..]).or(heredoc),
            _ => {}
        }
        code.push(c);
        rest = &rest[step..];
    }
    Scanned { code, balance, heredoc }
}

/// `EOT` of `<<EOT` or `<<-EOT`, when it ends the line.
fn marker(after: &str) -> Option<String> {
    let word = after.strip_prefix('-').unwrap_or(after).trim_end();
    (!word.is_empty() && word.chars().all(|c| c.is_alphanumeric() || c == '_')).then(|| word.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_end_where_they_end() {
        let text = r#"
# resource "a" "commented" {
resource "proxmox_vm" "web" { // note }
  name   = "web-${var.zone == "a" ? "{" : "}"}" # }
  memory = 4096
  tags   = [
    "a", /* "b", */
    "c",
  ]
  disk {
    size = 10
  }
  disk {
    size = 20
  }
  script = <<-EOT
    if true; then echo "}"; fi
  EOT
}
moved { from = a.b }
locals {}
zone = "x"
"#;
        let blocks = blocks(text).expect("reads");
        let addresses: Vec<_> = blocks.iter().map(|block| block.address.as_str()).collect();
        assert_eq!(addresses, ["proxmox_vm.web", "moved", "locals", "values"]);
        let web = &blocks[0].attributes;
        assert_eq!(web["memory"], "4096");
        assert_eq!(web["disk.size"], "10");
        assert_eq!(web["disk[1].size"], "20");
        assert_eq!(web["tags"], "[\n\"a\",\n\"c\",\n]");
        assert!(web["script"].contains("echo"));
        assert_eq!(web["name"], r#""web-${var.zone == "a" ? "{" : "}"}""#);
        assert_eq!(blocks[3].attributes["zone"], "\"x\"");
    }

    #[test]
    fn what_does_not_end_is_not_read() {
        for text in ["a {", "}", "x = [", "a {\n b {\n}", "/*", "junk", &"a {\n".repeat(100)] {
            assert_eq!(blocks(text), None, "{text:?}");
        }
    }
}
