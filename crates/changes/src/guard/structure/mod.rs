//! Secrets that no pattern of letters gives away: they are secrets by where they stand in a parsed file.

mod arguments;
pub(super) mod hint;
mod kinds;
mod known;
pub(super) mod lines;
mod references;
pub(super) mod scripts;
pub(super) mod talos;
pub(super) mod words;

use super::sink::Sink;
use super::template::{self, Neutral};
use super::tree::{self, Kind, Node, Style, Tree, Unreadable};
use arguments::ARGUMENTS;
use hint::Owner;
pub(super) use references::writes_a_literal;
use references::{Place, has_sops};
use words::{is_secret, likeness};

/// How deep files within files are followed.
const NESTED_MAX: usize = 2;
/// Aliases that are followed in one file, so that a tangle of them ends.
const STEPS_MAX: usize = 150_000;

/// Work per value, and per key or item of it.
const STEP: usize = 200;
const CHILD: usize = 40;
/// Words of which one stands in every manifest, kubeconfig, talosconfig, machine configuration, state or plan, and work per byte to look for them.
const TELLING: &[&str] = &[
    "apiVersion",
    "contexts:",
    "\"contexts\"",
    "machine:",
    "\"machine\"",
    "trustdinfo",
    "\"terraform_version\"",
    "\"format_version\"",
];
const SNIFFED: usize = 2;
/// What is not looked at when the work ends here.
pub(super) const MISSED: &str = "secrets by their place";

/// Looks through all documents of a file. `patches_secret`: a kustomization names it as a patch of Secrets.
pub(super) fn inspect(tree: &Tree, path: &str, patches_secret: bool, sink: &mut Sink<'_>) {
    let mut walk = Walk::of(tree, path, sink);
    walk.patches_secret = patches_secret;
    for document in &tree.documents {
        walk.sops = has_sops(tree, document);
        walk.document(document);
    }
    if walk.left == 0 {
        sink.put(
            "yaml.budget",
            None,
            "its aliases expand to too much to be looked through",
            "write the values out",
        );
    }
}

/// Looks through a file whose name does not say that it is YAML or JSON, when a word in it does: a copy of a manifest, a kubeconfig, a state.
/// What is neither is prose or a program, and passes. `template`: its lines were looked at already.
pub(super) fn under_any_name(text: &str, path: &str, template: bool, sink: &mut Sink<'_>) {
    if !sink.work.spend_on(MISSED, text.len() * SNIFFED) || !TELLING.iter().any(|word| text.contains(word)) {
        return;
    }
    let begins_so = lines::begins_as_yaml(text);
    let neutral = if template { Neutral::of(text, sink.work) } else { None };
    match template::read(text, neutral.as_ref(), sink.work) {
        Ok(tree) if holds_more_than_text(&tree) => return inspect(&tree, path, false, sink),
        // The change's own budget is told for the whole file.
        Err(Unreadable::Budget { why: tree::TOO_MUCH, .. }) => {}
        Err(Unreadable::Budget { line, why }) if begins_so => {
            sink.put("yaml.budget", Some(line), format!("not looked through: {why}"), "split it");
        }
        Ok(_) | Err(_) => {}
    }
    if begins_so && !template {
        lines::template(text, &Owner::of_path(path), sink);
    }
}

/// Looks through a text that stands encoded in a file: another file, or lines such as `DB_PASSWORD=…`.
pub(super) fn decoded(text: &str, path: &str, sink: &mut Sink<'_>) {
    if !lines::may_assign(text, sink) {
        return;
    }
    match tree::parse(text, sink.work) {
        Ok(tree) if holds_more_than_text(&tree) => inspect(&tree, path, false, sink),
        Ok(_) | Err(_) => lines::assignments(text, 0, "structure.values", &Owner::of_path(path), sink),
    }
}

/// Looks through a collection in flow style that stands in a file which is read by lines, `shift` lines below its top.
fn fragment(text: &str, shift: usize, owner: &Owner, sink: &mut Sink<'_>) {
    let neutral = Neutral::of(text, sink.work);
    let Ok(tree) = template::read(text, neutral.as_ref(), sink.work) else {
        return;
    };
    let mut walk = Walk::of(&tree, "", sink);
    walk.shift = shift;
    walk.owner = owner.clone();
    for document in &tree.documents {
        walk.document(document);
    }
}

fn holds_more_than_text(tree: &Tree) -> bool {
    tree.documents.iter().any(|document| !matches!(document.kind, Kind::Scalar { .. }))
}

struct Walk<'w, 's> {
    tree: &'w Tree,
    sink: &'w mut Sink<'s>,
    path: &'w str,
    /// Lines above the text that is parsed, when it stands within another file.
    shift: usize,
    nested: usize,
    depth: usize,
    left: usize,
    rule: &'static str,
    owner: Owner,
    /// What is walked is a patch whose target is a Secret.
    patches_secret: bool,
    /// SOPS has encrypted the document that is walked.
    sops: bool,
}

impl<'w, 's> Walk<'w, 's> {
    fn of(tree: &'w Tree, path: &'w str, sink: &'w mut Sink<'s>) -> Self {
        Self {
            tree,
            sink,
            path,
            shift: 0,
            nested: 0,
            depth: 0,
            left: STEPS_MAX,
            rule: "structure.values",
            owner: Owner::of_path(path),
            patches_secret: false,
            sops: false,
        }
    }

    fn document(&mut self, node: &'w Node) {
        self.item(node, "");
    }

    /// A document, or an item of a typed list, which is of that kind unless it says another.
    fn item(&mut self, node: &'w Node, inherited: &str) {
        // An alias within its own anchor has no end.
        if self.depth > tree::DEPTH_MAX || self.left == 0 {
            self.left = 0;
            return;
        }
        if !self.may(node) {
            return;
        }
        self.depth += 1;
        self.one_document(node, inherited);
        self.depth -= 1;
    }

    /// Whether a value and what stands right below it may be looked at. Behind an alias it costs as much each time.
    fn may(&self, node: &Node) -> bool {
        let width = self.tree.resolve(node).width();
        self.sink.work.spend_on(MISSED, STEP + width * CHILD)
    }

    fn one_document(&mut self, node: &'w Node, inherited: &str) {
        let document = self.tree.resolve(node);
        if document.entries().is_empty() {
            return self.walk(document, "");
        }
        let own = self.tree.text_at(document, &["kind"]).filter(|kind| !kind.is_empty());
        let kind = own.unwrap_or(inherited);
        let versioned = !inherited.is_empty() || self.tree.get(document, "apiVersion").is_some();
        self.whole_file(document, kind, versioned);
        if versioned && !kind.is_empty() {
            let outer = std::mem::replace(&mut self.owner, Owner::of(self.tree, document, kind));
            self.manifest(document, kind);
            self.owner = outer;
        } else {
            talos::inspect(self.tree, document, self.shift, self.sops, self.sink);
            // A kustomization need not say that it is one.
            if self.tree.get(document, "secretGenerator").is_some() {
                self.generators(document);
            } else {
                self.walk(document, "");
            }
        }
    }

    /// Everything below a node. `key` is the key it stands under.
    fn walk(&mut self, node: &'w Node, key: &str) {
        self.left = self.left.saturating_sub(1);
        if self.depth > tree::DEPTH_MAX || self.left == 0 {
            self.left = 0;
            return;
        }
        if !self.may(node) {
            return;
        }
        self.depth += 1;
        self.below(node, key);
        self.depth -= 1;
    }

    fn below(&mut self, node: &'w Node, key: &str) {
        let node = self.tree.resolve(node);
        match &node.kind {
            Kind::Mapping(entries) => {
                if self.pair(node) || self.operation(node) {
                    return;
                }
                let outer = self.patches_secret;
                if let (Some(_), Some(kind)) = (self.tree.get(node, "patch"), self.tree.text_at(node, &["target", "kind"])) {
                    self.patches_secret = names_secret(kind);
                }
                for (key, value) in entries {
                    self.entry(key, value);
                }
                self.patches_secret = outer;
            }
            Kind::Sequence(items) => {
                if ARGUMENTS.contains(&key) {
                    self.arguments(items);
                }
                for item in items {
                    match &self.tree.resolve(item).kind {
                        Kind::Scalar { .. } => self.text(item),
                        // Manifests within charts' `extraObjects` and the like.
                        Kind::Mapping(_) if self.tree.get(item, "kind").is_some() && self.tree.get(item, "apiVersion").is_some() => {
                            self.document(item)
                        }
                        _ => self.walk(item, key),
                    }
                }
            }
            Kind::Scalar { .. } => self.text(node),
            Kind::Alias(_) => {}
        }
    }

    fn entry(&mut self, key: &'w Node, value: &'w Node) {
        self.named(key.text().unwrap_or_default(), value);
    }

    fn named(&mut self, name: &str, value: &'w Node) {
        let value = self.tree.resolve(value);
        if matches!(name, "labels" | "matchLabels" | "nodeSelector" | "openAPIV3Schema") {
            return;
        }
        let Kind::Scalar { text, style, .. } = &value.kind else {
            return self.walk(value, name);
        };
        let plain = *style == Style::Plain;
        if likeness(name).is_some_and(|like| is_secret(like, text, plain, self.place(name))) && !is_annotation(name) {
            self.found(
                self.rule,
                value,
                format!("{} holds a literal under {}", self.owner.words(), quoted(name)),
                Some(name),
            );
        } else {
            self.text(value);
        }
    }

    /// `name` and `value` side by side: environment variables, Helm parameters.
    fn pair(&mut self, node: &'w Node) -> bool {
        let (Some(name), Some(value)) = (self.tree.text_at(node, &["name"]), self.tree.get(node, "value")) else {
            return false;
        };
        let Kind::Scalar { text, style, .. } = &value.kind else {
            return false;
        };
        if likeness(name).is_some_and(|like| is_secret(like, text, *style == Style::Plain, self.place(name))) {
            self.found(
                "structure.env",
                value,
                format!("{} sets {} to a literal", self.owner.words(), quoted(name)),
                Some(name),
            );
            return true;
        }
        self.text(value);
        true
    }

    /// An operation of a JSON patch: its value is looked at as what stands at its path. Only Secrets have `stringData`; whose `data` it is,
    /// the target says.
    fn operation(&mut self, node: &'w Node) -> bool {
        let (Some("add" | "replace" | "test"), Some(path), Some(value)) = (
            self.tree.text_at(node, &["op"]),
            self.tree.text_at(node, &["path"]).and_then(|path| path.strip_prefix('/')),
            self.tree.get(node, "value"),
        ) else {
            return false;
        };
        let parts: Vec<String> = path.split('/').map(|part| part.replace("~1", "/").replace("~0", "~")).collect();
        let part = parts.first().map_or("", String::as_str);
        let of_secret = part == "stringData" || (part == "data" && self.patches_secret);
        match parts.as_slice() {
            [_] if of_secret => {
                for (key, value) in value.entries() {
                    self.literal(part, key.text().unwrap_or("a key"), value);
                }
            }
            [_, name] if of_secret => self.literal(part, name, value),
            [.., list, _] if ARGUMENTS.contains(&list.as_str()) => self.arguments(std::slice::from_ref(value)),
            [.., name] => self.named(name, value),
            [] => {}
        }
        true
    }

    /// A text that may be a file of its own: YAML, JSON or assignments in a block.
    fn text(&mut self, node: &'w Node) {
        let node = self.tree.resolve(node);
        let Kind::Scalar { text, .. } = &node.kind else { return };
        let json = text.trim_start().starts_with(['{', '[']) && text.len() > 8;
        if self.nested >= NESTED_MAX || (!json && !text.contains('\n')) {
            return;
        }
        // A quoted text is folded, so that only its first line is known; a block's lines are its own.
        let shift = self.shift + node.line - 1;
        let neutral = if template::has_actions(text) {
            Neutral::of(text, self.sink.work)
        } else {
            None
        };
        match template::read(text, neutral.as_ref(), self.sink.work) {
            Ok(inner) if holds_more_than_text(&inner) => {
                let mut walk = Walk {
                    tree: &inner,
                    sink: self.sink,
                    path: self.path,
                    shift,
                    nested: self.nested + 1,
                    depth: self.depth,
                    left: self.left,
                    rule: self.rule,
                    owner: self.owner.clone(),
                    patches_secret: self.patches_secret,
                    sops: false,
                };
                for document in &inner.documents {
                    walk.sops = has_sops(&inner, document);
                    walk.document(document);
                }
                self.left = walk.left;
            }
            Ok(_) | Err(_) => lines::assignments(text, shift, self.rule, &self.owner, self.sink),
        }
    }

    const fn place<'k>(&self, key: &'k str) -> Place<'k> {
        Place { key, sops: self.sops }
    }

    fn found(&mut self, rule: &str, value: &Node, message: String, key: Option<&str>) {
        if self.sink.is_full(rule) {
            return;
        }
        self.sink.hide(value.text().unwrap_or_default());
        let lines = (value.line + self.shift, value.end_line + self.shift);
        let key = key.filter(|key| key.len() <= 100 && key.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b)));
        let hint = self.owner.infisical(key);
        self.sink.put_unless_standing(rule, lines, message, hint);
    }
}

/// Annotations such as `nginx.ingress.kubernetes.io/auth-secret` name things.
fn is_annotation(key: &str) -> bool {
    key.contains('/')
}

/// Whether a value under a key is a secret itself. What looks encrypted by SOPS passes. `plain`: written without quotes.
pub(crate) fn is_literal_secret(key: &str, value: &str, plain: bool) -> bool {
    likeness(key).is_some_and(|like| is_secret(like, value, plain, Place { key, sops: true }))
}

/// Whether the `kind` of a patch's target, which is an expression, means Secrets.
pub(super) fn names_secret(kind: &str) -> bool {
    kind.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| word == "Secret")
}

/// A name in quotes, cut, with odd characters escaped.
pub(super) fn quoted(name: &str) -> String {
    let short: String = name.chars().take(80).collect();
    format!("{short:?}")
}
