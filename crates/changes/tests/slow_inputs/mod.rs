//! Files made to be slow: what a reader of YAML or JSON, or an expression, takes longest over. One list for the test that every one is
//! answered, and for the figure of what the slowest one costs.

use std::fmt::Write as _;

/// A file that is made to be slow.
pub struct Slow {
    /// What it is, in words.
    pub name: &'static str,
    /// What it is called in the repository; the name decides who reads it.
    pub path: &'static str,
    /// Its content.
    pub text: String,
}

/// An operator's patterns that other engines walk for ever, or that match wherever they are tried.
pub const SLOW_RULES: &str = r#"
[[rules]]
id = "backtracks"
regex = '''(a+)+b|(x*)*y'''

[[rules]]
id = "nested-counts"
regex = '''((((z{1,20}){1,20}){1,5})!){2}'''

[[rules]]
id = "quadratic"
regex = '''q.*q.*q.*;'''

[[rules]]
id = "any-secret"
regex = '''secret_[a-z0-9]*'''
keywords = ["secret_"]

[[rules.allowlists]]
regexTarget = "line"
regexes = ['''harmless.*$''', '''^(.*)*fine''']
stopwords = ["example", "sample", "changeme"]
"#;

/// Every input, each as large as `bytes` where it can be as large as one likes.
pub fn slow_inputs(bytes: usize) -> Vec<Slow> {
    let mut all = nested(bytes);
    all.extend(many(bytes));
    all.extend(scalars(bytes));
    all.extend(words(bytes));
    all.extend(others(bytes));
    all
}

fn slow(name: &'static str, path: &'static str, text: String) -> Slow {
    Slow { name, path, text }
}

/// A piece again and again, up to so many bytes.
fn fill(bytes: usize, piece: &str) -> String {
    piece.repeat(bytes / piece.len())
}

/// Pieces that differ by their number, up to so many bytes.
fn numbered(bytes: usize, piece: impl Fn(usize) -> String) -> String {
    let mut text = String::with_capacity(bytes);
    for nth in 0.. {
        let next = piece(nth);
        if text.len() + next.len() > bytes {
            break;
        }
        text.push_str(&next);
    }
    text
}

fn bomb(levels: usize) -> String {
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..levels {
        let _ = writeln!(bomb, "a{level}: &a{level} [{}]", vec![format!("*a{}", level - 1); 10].join(", "));
    }
    bomb
}

/// Deep, and larger than it looks.
fn nested(bytes: usize) -> Vec<Slow> {
    let manifest = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata:\n";
    vec![
        slow(
            "a bomb in each of many documents",
            "a.yaml",
            fill(bytes, &format!("---\n{}", bomb(6))),
        ),
        slow("aliases that explode", "a.yaml", bomb(12)),
        slow("a bomb of long texts", "a.yaml", {
            let text = "x".repeat(bytes / 2);
            format!("a: &a {text}\nb:\n{}", fill(bytes / 2, "- *a\n"))
        }),
        slow(
            "a bomb in a manifest",
            "a.yaml",
            format!("{manifest}{}", bomb(12).replace("\na", "\n  a").replace("a0: ", "  a0: ")),
        ),
        slow("merged again and again", "a.yaml", {
            let keys: String = (0..200).map(|key| format!("k{key}: 1, ")).collect();
            let merged = fill(bytes - 4_000, "- {<<: *a}\n");
            format!("a: &a {{{keys}}}\nb:\n{merged}")
        }),
        slow("a large mapping behind many aliases", "a.yaml", {
            let keys: String = (0..bytes / 200).map(|key| format!("k{key}: 1, ")).collect();
            format!("a: &a {{{keys}}}\nb:\n{}", fill(bytes / 10, "- *a\n"))
        }),
        slow("a Secret behind many aliases", "a.yaml", {
            let keys: String = (0..bytes / 200).map(|key| format!("k{key}: v, ")).collect();
            let items = fill(bytes / 10, "- *a\n");
            format!("x: &a {{apiVersion: v1, kind: Secret, stringData: {{{keys}}}}}\napiVersion: v1\nkind: List\nitems:\n{items}")
        }),
        slow("a small bomb in each of many Helm values", "a.yaml", {
            let values = bomb(5).replace('\n', "\n        ");
            let piece = format!(
                "---\napiVersion: argoproj.io/v1alpha1\nkind: Application\nmetadata: {{name: a}}\nspec:\n  source:\n    helm:\n      values: |\n        {}\n",
                values.trim_end()
            );
            fill(bytes, &piece)
        }),
        slow("manifests with a fault", "a.yaml", {
            numbered(bytes, |nth| {
                format!("---\napiVersion: v1\nkind: Service\nmetadata: {{name: a{nth}}}\nspecs: 1\n")
            })
        }),
        slow("deep lists", "a.yaml", fill(bytes, "[")),
        slow("deep mappings", "a.yaml", fill(bytes, "{a: ")),
        slow("deep block lists", "a.yaml", fill(bytes, "- ")),
        slow("deep keys", "a.yaml", fill(bytes, "? ")),
        slow("deep by indentation", "a.yaml", {
            let levels = 60;
            let ladder: String = (0..levels).map(|level| format!("{}a:\n", " ".repeat(level))).collect();
            fill(bytes, &format!("---\n{ladder}"))
        }),
        slow(
            "lists as deep as they may be",
            "a.yaml",
            fill(bytes, &format!("- {}1{}\n", "[".repeat(60), "]".repeat(60))),
        ),
        slow("deep JSON", "a.json", fill(bytes, "[")),
        slow(
            "deep JSON that ends",
            "a.json",
            format!("{}1{}", fill(bytes / 2, "["), fill(bytes / 2, "]")),
        ),
        slow("closing brackets", "a.json", fill(bytes, "]")),
        slow("JSON objects in objects", "a.json", fill(bytes, "{\"a\":")),
        slow("JSON lists side by side", "a.json", format!("[{}1]", fill(bytes, "[],"))),
        slow("JSON in YAML in JSON", "a.yaml", {
            let inner = fill(bytes / 3, "{\\\"a\\\": 1}, ");
            format!("a: \"[{inner}1]\"\n")
        }),
        slow(
            "a file in each of many values",
            "a.yaml",
            fill(bytes, "- |\n  a: |\n    b: 1\n    c: [1]\n"),
        ),
        slow("one large file in a value", "a.yaml", format!("a: |\n{}", fill(bytes, "  b: 1\n"))),
        slow(
            "one large broken file in a value",
            "a.yaml",
            format!("a: |\n{}  [", fill(bytes, "  b: 1\n")),
        ),
        slow(
            "JSON as text in many values",
            "a.yaml",
            fill(bytes, "- '{\"password\": \"x1y2z3w4\"}'\n"),
        ),
    ]
}

/// Many of the same.
fn many(bytes: usize) -> Vec<Slow> {
    vec![
        slow("many values", "a.yaml", fill(bytes, "- 1\n")),
        slow("as many values as there may be", "a.yaml", fill(bytes.min(230_000), "- 1\n")),
        slow("many keys", "a.yaml", numbered(bytes, |n| format!("k{n}: 1\n"))),
        slow(
            "as many keys as there may be",
            "a.yaml",
            numbered(bytes.min(260_000), |n| format!("k{n}: 1\n")),
        ),
        slow("many tiny keys", "a.yaml", numbered(bytes, |n| format!("? {n:x}\n"))),
        slow("many equal keys", "a.yaml", fill(bytes.min(140_000), "a: 1\n")),
        slow("many JSON values", "a.json", format!("[{}1]", fill(bytes, "1,"))),
        slow(
            "many JSON keys",
            "a.json",
            format!("{{{}\"z\":1}}", numbered(bytes, |n| format!("\"{n:x}\":1,"))),
        ),
        slow("documents", "a.yaml", fill(bytes, "---\n")),
        slow("documents with a value", "a.yaml", fill(bytes, "--- 1\n")),
        slow("documents with a mapping", "a.yaml", fill(bytes.min(200_000), "---\na: 1\n")),
        slow("ends of documents", "a.yaml", fill(bytes, "...\n")),
        slow("directives", "a.yaml", fill(bytes, "%TAG !a! tag:a,2000:\n")),
        slow(
            "manifests",
            "a.yaml",
            fill(bytes, "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {}\n---\n"),
        ),
        slow(
            "manifests with many faults",
            "a.yaml",
            format!(
                "apiVersion: v1\nkind: Pod\nmetadata: {{name: a}}\nspec:\n  containers:\n{}",
                fill(bytes, "  - {nmae: 1, image: [], x: y}\n")
            ),
        ),
        slow(
            "a manifest with as many faults as it may have",
            "a.yaml",
            format!(
                "apiVersion: v1\nkind: Pod\nmetadata: {{name: a}}\nspec:\n  containers:\n{}",
                fill(bytes.min(240_000), "  - {nmae: 1, image: [], x: y}\n")
            ),
        ),
        slow(
            "manifests of unknown kinds",
            "a.yaml",
            numbered(bytes.min(400_000), |n| {
                format!("---\napiVersion: x{n}/v1\nkind: K{n}\nmetadata: {{name: a}}\n")
            }),
        ),
        slow(
            "a large ConfigMap",
            "a.yaml",
            format!(
                "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: a}}\ndata:\n{}",
                numbered(bytes.min(300_000), |n| format!("  k{n}: x\n"))
            ),
        ),
        slow(
            "a List of many",
            "a.yaml",
            format!(
                "apiVersion: v1\nkind: List\nitems:\n{}",
                fill(bytes.min(330_000), "- {apiVersion: v1, kind: Namespace, metadata: {name: a}}\n")
            ),
        ),
        slow("containers of one Deployment", "a.yaml", {
            let head = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\nspec:\n  selector: {}\n  template:\n    spec:\n      containers:\n";
            format!(
                "{head}{}",
                numbered(bytes.min(400_000), |n| format!("      - {{name: c{n}, image: \"a/b:{n}\"}}\n"))
            )
        }),
        slow("anchors", "a.yaml", fill(bytes, "- &a [*a]\n")),
        slow("many anchors", "a.yaml", numbered(bytes, |n| format!("- &a{n} x\n- *a{n}\n"))),
        slow("anchors around anchors", "a.yaml", numbered(bytes.min(900), |n| format!("&a{n} ["))),
        slow("large anchored lists", "a.yaml", {
            let list = fill(20_000, "1,");
            format!("a: &a [{list}1]\nb: &b [*a, *a, *a]\nc: [*b, *b]\n")
        }),
        slow("merge keys", "a.yaml", fill(bytes, "a: &a {<<: *a}\n")),
        slow("tags", "a.yaml", fill(bytes, "!a ")),
        slow("tagged values", "a.yaml", fill(bytes, "- !!str 1\n")),
        slow("comments", "a.yaml", fill(bytes, "# x\n")),
        slow("carriage returns", "a.yaml", fill(bytes, "a: 1\r")),
        slow("empty lines", "a.yaml", fill(bytes, "\n")),
        slow("questions", "a.yaml", fill(bytes, "? a\n: b\n")),
        slow("colons", "a.yaml", fill(bytes, "a: b: ")),
        slow("flow keys", "a.yaml", format!("{{{}", fill(bytes, "a, "))),
    ]
}

/// Large single values.
fn scalars(bytes: usize) -> Vec<Slow> {
    vec![
        slow("one quoted scalar", "a.yaml", format!("a: \"{}\"", fill(bytes, "\\n"))),
        slow(
            "one quoted scalar of escapes",
            "a.yaml",
            format!("a: \"{}\"", fill(bytes, "\\u0041")),
        ),
        slow("one single-quoted scalar", "a.yaml", format!("a: '{}'", fill(bytes, "''"))),
        slow("one endless scalar", "a.yaml", fill(bytes, "a ")),
        slow("a scalar over many lines", "a.yaml", format!("a:\n{}", fill(bytes, "  b\n"))),
        slow("a block of blank lines", "a.yaml", format!("a: |\n{}", fill(bytes, "\n"))),
        slow("a folded block", "a.yaml", format!("a: >-\n{}", fill(bytes, "  b c\n\n"))),
        slow("a number without end", "a.yaml", format!("a: {}", fill(bytes, "9"))),
        slow("a JSON number without end", "a.json", format!("{{\"a\": {}}}", fill(bytes, "9"))),
        slow(
            "a number with an exponent without end",
            "a.yaml",
            format!("a: 1e{}", fill(bytes, "9")),
        ),
        slow(
            "many huge numbers",
            "a.yaml",
            format!("- {}\n", "9".repeat(400)).repeat(bytes / 403),
        ),
        slow(
            "huge quantities",
            "a.yaml",
            format!(
                "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {{name: a}}\nspec: {{resources: {{requests: {{storage: {}Gi}}}}}}\n",
                fill(bytes, "9")
            ),
        ),
        slow("a key without end", "a.yaml", format!("{}: 1\n", fill(bytes, "k"))),
        slow("a line without end", "a.txt", fill(bytes, "words ")),
        slow("a line of dots", "a.yaml", fill(bytes, ".")),
        slow("a line of dashes", "a.yaml", fill(bytes, "-")),
        slow("tabs", "a.yaml", fill(bytes, "\t")),
        slow("never closed quotes", "a.yaml", fill(bytes, "\"a ")),
        slow("long hidden lines", "a.txt", fill(bytes, &format!("a{}b\n", " ".repeat(5_000)))),
        slow("blanks", "a.txt", fill(bytes, &format!("a{}b\n", " ".repeat(80)))),
        slow("look-alikes", "a.txt", fill(bytes, "a\u{430} ")),
        slow("look-alike lines", "a.txt", fill(bytes, "a\u{430}\n")),
        slow("prose of look-alikes", "a.txt", fill(bytes, "\u{430}\u{441}\u{435}, \u{44F} ")),
        slow(
            "lines of look-alike prose",
            "a.txt",
            fill(bytes, "\u{430}\u{441}\u{435}\n\u{44F}\n"),
        ),
        slow("a list of look-alikes", "a.yaml", fill(bytes, "{\u{430}\u{441}\u{44F}, ")),
        slow("reordered text", "a.yaml", fill(bytes, "- a\u{202e}b\n")),
        slow("marks upon marks", "a.txt", format!("a{}", fill(bytes, "\u{301}"))),
    ]
}

/// What the patterns of secrets begin with, again and again.
fn words(bytes: usize) -> Vec<Slow> {
    let every = "password token secret api_key bearer akia ghp_ glpat- xoxb- AIza sk_live_ -----BEGIN eyJ basic https:// hvs. age-secret-key-1 curl twilio mailgun azure ";
    vec![
        slow("keywords", "a.yaml", fill(bytes, "password token secret ")),
        slow("nothing but keywords", "a.txt", fill(bytes, every)),
        slow("a keyword on each line", "a.txt", fill(bytes, &every.replace(' ', "\n"))),
        slow(
            "keywords of every kind with values",
            "a.txt",
            fill(bytes, &every.replace(' ', " = \"x1y2z3w4v5u6t7s8\"\n")),
        ),
        slow("assignments", "a.txt", fill(bytes, "password=")),
        slow("assignments of blanks", "a.txt", fill(bytes, "password = ")),
        slow("secret-like keys", "a.yaml", fill(bytes, "password: x1y2z3\n")),
        slow(
            "secret-like keys that differ",
            "a.yaml",
            numbered(bytes.min(600_000), |n| format!("password{n}: x1y2z3\n")),
        ),
        slow(
            "secret-like settings",
            "a.env",
            numbered(bytes, |n| format!("PASSWORD_{n}=x{n}y2z3\n")),
        ),
        slow(
            "candidate secrets",
            "a.txt",
            numbered(bytes.max(2), |n| format!("token: {:016x}\n", n.wrapping_mul(0x9e37_79b9_7f4a_7c15))),
        ),
        slow("short candidates", "a.txt", fill(bytes, "key=a1\n")),
        slow("candidates that are no secrets", "a.txt", fill(bytes, "token: aaaaaaaaaaaa1\n")),
        slow(
            "candidates that an allowlist clears",
            "a.txt",
            fill(bytes, "secret_1 harmless example\n"),
        ),
        slow(
            "candidates that an allowlist clears, on one line",
            "a.txt",
            fill(bytes, "secret_1 harmless example "),
        ),
        slow(
            "tokens of one forge",
            "a.txt",
            numbered(bytes, |n| format!("ghp_{:036x}\n", n.wrapping_mul(0x9e37_79b9_7f4a_7c15))),
        ),
        slow("addresses", "a.txt", fill(bytes, "https://a:")),
        slow("addresses with users", "a.txt", fill(bytes, "https://a:b1c2d3@h/ ")),
        slow("keys that begin", "a.txt", fill(bytes, "-----BEGIN PRIVATE KEY-----")),
        slow(
            "keys that begin on lines",
            "a.txt",
            fill(bytes, "-----BEGIN PRIVATE KEY-----\nMIIE\n"),
        ),
        slow("tokens", "a.txt", fill(bytes, "eyJabcdefghijk.")),
        slow(
            "tokens in parts",
            "a.txt",
            fill(bytes, "eyJabcdefghijklmnopqr.eyJabcdefghijklmnopqr.a "),
        ),
        slow("base64", "a.txt", fill(bytes, "QUJD")),
        slow("base64 lines", "a.yaml", fill(bytes, &format!("{}\n", "QUJD".repeat(16)))),
        slow("base64 of base64", "a.yaml", fill(bytes, "- UVVKRFFVSkRRVUpEUVVKRFFVSkQ=\n")),
        slow("base64 of keywords", "a.yaml", fill(bytes, "- cGFzc3dvcmQ6IGh1bnRlcjIxMjM0\n")),
        slow("base64 that is not quite", "a.txt", fill(bytes, "QUJDQUJDQUJDQUJDQUJDQUJD= ")),
        slow("escaped keywords", "a.yaml", fill(bytes, "- \"\\x70assword: x1y2z3w4v5\"\n")),
        slow("a pattern that backtracks", "a.txt", fill(bytes, "a")),
        slow("a pattern that nests", "a.txt", fill(bytes, "z")),
        slow("a pattern that tries each place", "a.txt", fill(bytes, "q")),
        slow(
            "options of a command",
            "a.yaml",
            format!("args: [{}x]\n", fill(bytes, "--password=x1y2z3, ")),
        ),
        slow(
            "options in one text",
            "a.yaml",
            format!("args: [\"{}\"]\n", fill(bytes, "--password=x1y2z3 ")),
        ),
        slow(
            "variables of a container",
            "a.yaml",
            format!("env:\n{}", fill(bytes.min(330_000), "- {name: PASSWORD, value: x1y2z3}\n")),
        ),
        slow(
            "literal Secrets",
            "a.yaml",
            fill(bytes, "---\napiVersion: v1\nkind: Secret\ndata: {a: eDF5Mg==}\n"),
        ),
    ]
}

/// Files of other languages, and what only becomes YAML.
fn others(bytes: usize) -> Vec<Slow> {
    vec![
        slow("template: actions only", "charts/x/templates/a.yaml", fill(bytes, "{{a}}")),
        slow(
            "template: manifests with actions",
            "charts/x/templates/a.yaml",
            fill(
                bytes,
                "{{- if .x }}\n---\napiVersion: v1\nkind: Secret\nmetadata: {name: {{ .a }}}\nstringData: {a: {{ .b }}}\n{{- end }}\n",
            ),
        ),
        slow(
            "template: collections that never end",
            "charts/x/templates/a.yaml",
            format!("{{{{ .x }}}}\n{}", fill(bytes, "a: [b, {c: d\n")),
        ),
        slow(
            "template: collections on every line of no YAML",
            "charts/x/templates/a.yaml",
            format!(
                "{{{{ .x }}}}\n] :\n{}",
                fill(bytes, "env: [{name: DB_PASSWORD, value: {{ .x }}}]\n")
            ),
        ),
        slow(
            "template: quotes that never end",
            "charts/x/templates/a.yaml",
            fill(bytes, "a: {{ \" }}\nb: {{ ` }}\n"),
        ),
        slow("words of another script", "a.yaml", fill(bytes, "a: \u{430}\u{441}, \u{438}\n")),
        slow("templates", "charts/x/templates/a.yaml", fill(bytes, "a: {{ {{ {{\n")),
        slow(
            "templates with passwords",
            "charts/x/templates/a.yaml",
            fill(bytes, "password: {{ .Values.x | default \"y1z2\" }}\n"),
        ),
        slow(
            "one line of a template",
            "charts/x/templates/a.yaml",
            fill(bytes, "{{ .x }} password: "),
        ),
        slow("Terraform", "a.tf", fill(bytes, "password = \"x1y2\"\n")),
        slow("Terraform blocks", "a.tf", fill(bytes, "resource \"a\" \"b\" {\n")),
        slow("Terraform on one line", "a.tf", fill(bytes, "a = { password = \"x1y2\" } ")),
        slow(
            "Terraform resources that differ",
            "a.tf",
            numbered(bytes, |n| format!("resource \"a\" \"b{n}\" {{\n  c = {n}\n}}\n")),
        ),
        slow("here-documents", "a.tf", fill(bytes, "a = <<EOF\n")),
        slow("interpolations", "a.tf", fill(bytes, "${${")),
        slow("quotes of Terraform", "a.tf", fill(bytes, "\"")),
        slow("variables of Terraform", "a.tfvars", fill(bytes, "api_key = \"x1y2z3w4\"\n")),
        slow("settings", "a.properties", fill(bytes, "a.b.c.password=x1y2z3\n")),
        slow("a kustomization", "kustomization.yaml", {
            format!("patches:\n{}", numbered(bytes.min(500_000), |n| format!("- path: p{n}.yaml\n")))
        }),
        slow("images of a kustomization", "kustomization.yaml", {
            format!(
                "images:\n{}",
                numbered(bytes.min(500_000), |n| format!("- {{name: a{n}, newTag: \"{n}\"}}\n"))
            )
        }),
        slow("Helm values", "values.yaml", {
            let head = "image:\n  repository: a\n  tag: b\n";
            format!("{head}{}", numbered(bytes.min(350_000), |n| format!("k{n}: {{a: b}}\n")))
        }),
        slow(
            "state of Terraform",
            "a.json",
            format!(
                "{{\"terraform_version\":\"1\",\"serial\":1,\"resources\":[{}1]}}",
                fill(bytes, "{\"password\":\"x1y2z3\"},")
            ),
        ),
    ]
}
