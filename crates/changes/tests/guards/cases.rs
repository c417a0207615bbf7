//! The table: one file each. Values that look like real secrets are put together here, so that no scanner takes this file for a leak.

/// One change of one file.
pub struct Case {
    pub name: &'static str,
    pub at: &'static str,
    pub old: Option<String>,
    pub new: Option<String>,
    /// `rule:line:effect`, in the report's order; line 0 for the whole file.
    pub expect: Vec<&'static str>,
    /// What must not be shown.
    pub secret: Option<String>,
}

pub fn case(name: &'static str, at: &'static str, new: impl Into<String>, expect: &[&'static str]) -> Case {
    Case {
        name,
        at,
        old: None,
        new: Some(new.into()),
        expect: expect.to_vec(),
        secret: None,
    }
}

impl Case {
    pub fn hides(mut self, secret: impl Into<String>) -> Self {
        self.secret = Some(secret.into());
        self
    }

    pub fn over(mut self, old: impl Into<String>) -> Self {
        self.old = Some(old.into());
        self
    }

    pub fn removed(mut self) -> Self {
        self.old = self.new.take();
        self
    }
}

/// Letters and digits that look random and are the same in every run.
pub fn random(length: usize) -> String {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let mut state: u64 = 0x2545_F491_4F6C_DD1D;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        char::from(LETTERS[usize::try_from(state % 62).expect("small")])
    };
    (0..length).map(|_| next()).collect()
}

fn hex(length: usize) -> String {
    random(length)
        .bytes()
        .map(|byte| char::from(b"0123456789abcdef"[usize::from(byte % 16)]))
        .collect()
}

fn upper(length: usize) -> String {
    random(length).to_uppercase().replace(['0', '1', '8', '9'], "Q")
}

pub fn base64(text: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(text)
}

pub const HEAD: &str = "apiVersion: v1\nkind: Secret\nmetadata:\n  name: web\n  namespace: shop\n";
const DEPLOYMENT: &str = "apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
        - name: web
          image: registry.example.com/web:1.2.3
";

/// All cases.
pub fn cases() -> Vec<Case> {
    let mut all = patterns();
    all.extend(structures());
    all.extend(references());
    all.extend(files());
    all.extend(kinds());
    all.extend(texts());
    all.extend(manifests());
    all.extend(crate::forms::forms());
    all.extend(crate::templates::templates());
    all
}

fn patterns() -> Vec<Case> {
    let note = |value: &str| format!("# Notes\n\nuse {value} here\n");
    let github = format!("ghp_{}", random(36));
    let telegram = format!("123456789:{}", random(35));
    let pem = format!(
        "-----BEGIN RSA {} KEY-----\n{}\n-----END RSA {} KEY-----\n",
        "PRIVATE",
        random(64),
        "PRIVATE"
    );
    let jwt = format!("eyJ{}.eyJ{}.{}", random(20), random(40), random(43));
    let password = random(14);
    let one = |name, value: String, rule: &'static str| case(name, "docs/notes.md", note(&value), &[rule]).hides(value);
    vec![
        one("GitHub token", github.clone(), "secret.github-token:3:refuse"),
        one(
            "fine-grained",
            format!("github_pat_{}_{}", random(22), random(59)),
            "secret.github-fine-grained:3:refuse",
        ),
        one("GitLab token", format!("glpat-{}", random(20)), "secret.gitlab-token:3:refuse"),
        one("AWS key id", format!("AKIA{}", upper(16)), "secret.aws-access-key-id:3:refuse"),
        one(
            "Slack token",
            format!("xoxb-{}-{}", "1234567890", random(24)),
            "secret.slack-token:3:refuse",
        ),
        one("Telegram token", telegram, "secret.telegram-bot-token:3:refuse"),
        one("JWT", jwt, "secret.jwt:3:refuse"),
        one("npm token", format!("npm_{}", random(36)), "secret.npm-token:3:refuse"),
        one("Vault token", format!("hvs.{}", random(24)), "secret.vault-token:3:refuse"),
        one("age key", format!("AGE-SECRET-KEY-1{}", upper(58)), "secret.age-key:3:refuse"),
        one("Google key", format!("AIza{}", random(35)), "secret.gcp-api-key:3:refuse"),
        one("Stripe key", format!("sk_{}_{}", "live", random(24)), "secret.stripe-key:3:refuse"),
        one(
            "Anthropic key",
            format!("sk-ant-{}-{}", "api03", random(95)),
            "secret.anthropic-key:3:refuse",
        ),
        one(
            "Hetzner token",
            format!("hcloud_token={}", random(64)),
            "secret.hetzner-token:3:refuse",
        ),
        one(
            "Proxmox token",
            format!("root@pam!ci={}-{}-{}-{}-{}", hex(8), hex(4), hex(4), hex(4), hex(12)),
            "secret.proxmox-token:3:refuse",
        ),
        one("DigitalOcean", format!("dop_v1_{}", hex(64)), "secret.digitalocean-token:3:refuse"),
        case(
            "address with password",
            "docs/notes.md",
            note(&format!("postgres://app:{password}@db.example.com/app")),
            &["secret.url-credentials:3:refuse"],
        )
        .hides(&password),
        case(
            "address with a variable",
            "docs/notes.md",
            note("postgres://app:$DB_PASSWORD@db/app and https://user:${PASS}@host"),
            &[],
        ),
        case("PEM", "certs/key.txt", &pem, &["secret.private-key:2:refuse"]).hides(random(64)),
        case(
            "PEM header alone",
            "docs/notes.md",
            "the file begins with -----BEGIN PRIVATE KEY-----\n",
            &[],
        ),
        case(
            "PEM behind base64",
            "docs/notes.md",
            format!("x\ndata: {}\n", base64(&pem)),
            &["secret.private-key:2:refuse"],
        )
        .hides(random(64)),
        case(
            "token behind base64",
            "a.txt",
            format!("x {}", base64(&github)),
            &["secret.github-token:1:refuse"],
        )
        .hides(&github),
        case(
            "token in escapes",
            "a.yaml",
            format!("note: \"\\x67{}\"\n", &github[1..]),
            &["secret.github-token:1:refuse"],
        )
        .hides(&github),
        case(
            "random assignment",
            "app.py",
            format!("api_key = \"{}\"\n", random(32)),
            &["secret.generic-assignment:1:refuse"],
        )
        .hides(random(32)),
        case(
            "an XML element",
            "a.yaml",
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata:\n  config.xml: |\n    <Config><Port>8989</Port>\n    <ApiKey>f81d4fae7dec11d0a76500a0c91e6bf6</ApiKey></Config>\n",
            &["secret.xml-element:7:refuse"],
        )
        .hides("f81d4fae7dec11d0a76500a0c91e6bf6"),
        case(
            "XML elements that hold none",
            "a.xml",
            "<a><password>${env.PASSWORD}</password><token>{{ .Values.token }}</token><secret>/run/secrets/a</secret><Password>********</Password></a>\n",
            &[],
        ),
        case(
            "a password in SQL",
            "init.sql",
            "CREATE USER app WITH PASSWORD 'hunter2';\nALTER USER 'app'@'%' IDENTIFIED BY 'hunter3';\n",
            &["secret.sql-password:1:refuse", "secret.sql-password:2:refuse"],
        )
        .hides("hunter2"),
        case(
            "SQL without a literal",
            "init.sql",
            "CREATE USER app WITH PASSWORD '${APP_PASSWORD}';\nALTER ROLE app WITH PASSWORD :'password';\n-- with password 'what you like'\n",
            &[],
        ),
        case(
            "stands in the base",
            "a.txt",
            format!("{github}\nnew line\n"),
            &["secret.github-token:1:remark"],
        )
        .over(format!("{github}\n"))
        .hides(&github),
        case(
            "added to a base",
            "a.txt",
            format!("old\n{github}\n"),
            &["secret.github-token:2:refuse"],
        )
        .over("old\n"),
        case("removed", "a.txt", &*github, &[]).removed(),
        case("documentation's example", "docs/aws.md", concat!("AKIA", "IOSFODNN7EXAMPLE\n"), &[]),
    ]
}

fn structures() -> Vec<Case> {
    let kubeconfig = format!(
        "apiVersion: v1\nkind: Config\nclusters: []\nusers:\n- name: admin\n  user:\n    token: {}\n",
        random(20)
    );
    let talos = format!(
        "version: v1alpha1\nmachine:\n  type: worker\n  token: {}\n  ca:\n    crt: abc\n    key: {}\ncluster:\n  secret: {}\n",
        random(23),
        random(60),
        random(44)
    );
    let env = |value: &str| format!("{DEPLOYMENT}          env:\n            - name: DB_PASSWORD\n              value: {value}\n");
    vec![
        case("Secret with stringData", "apps/web/secret.yaml", format!("{HEAD}stringData:\n  password: hunter2\n"), &["structure.secret:7:refuse"]).hides("hunter2"),
        case("Secret with data", "apps/web/secret.yaml", format!("{HEAD}data:\n  key: aHVudGVyMg==\n"), &["structure.secret:7:refuse"]).hides("aHVudGVyMg"),
        case("Secret in a list", "a.yaml", "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Secret\n  metadata: {name: x}\n  stringData: {a: hunter2}\n", &["structure.secret:7:refuse"]).hides("hunter2"),
        case("Secret behind an alias", "a.yaml", format!("{HEAD}stringData: &d\n  password: hunter2\n---\n{HEAD}data: {{}}\n"), &["structure.secret:7:refuse"]),
        case("Secret in a ConfigMap", "a.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\ndata:\n  s.yaml: |\n    apiVersion: v1\n    kind: Secret\n    stringData:\n      a: hunter2\n", &["structure.secret:9:refuse"]).hides("hunter2"),
        case("Secret that stood there", "a.yaml", format!("{HEAD}type: Opaque\nstringData:\n  password: hunter2\n"), &["structure.secret:8:remark"]).over(format!("{HEAD}stringData:\n  password: hunter2\n")).hides("hunter2"),
        case("env literal", "apps/web/d.yaml", env("hunter2"), &["structure.env:15:refuse"]).hides("hunter2"),
        case("env number", "apps/web/d.yaml", env("\"123456\""), &["structure.env:15:refuse"]).hides("123456"),
        case("arguments", "apps/web/d.yaml", format!("{DEPLOYMENT}          args: [\"--db-password=hunter2\", \"--token\", \"hunter3\"]\n"), &["structure.args:13:refuse"]).hides("hunter2"),
        case("ConfigMap key", "a.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\ndata:\n  ADMIN_PASSWORD: hunter2\n", &["structure.configmap:5:refuse"]).hides("hunter2"),
        case("ConfigMap properties", "a.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\ndata:\n  app.properties: |\n    db.user=app\n    db.password=hunter2\n", &["structure.configmap:7:refuse"]).hides("hunter2"),
        case("Helm values", "apps/web/values.yaml", "image:\n  tag: 1.2.3\nauth:\n  adminPassword: hunter2\n", &["structure.values:4:refuse"]).hides("hunter2"),
        case("Helm parameter", "a.yaml", "apiVersion: argoproj.io/v1alpha1\nkind: Application\nmetadata: {name: x}\nspec:\n  source:\n    helm:\n      parameters:\n      - name: auth.password\n        value: hunter2\n", &["structure.env:9:refuse", "kind.argocd:1:manual", "manifest.unknown-kind:1:remark"]).hides("hunter2"),
        case("values within an Application", "a.yaml", "apiVersion: argoproj.io/v1alpha1\nkind: Application\nmetadata: {name: x}\nspec:\n  source:\n    helm:\n      values: |\n        auth:\n          password: hunter2\n", &["structure.values:9:refuse", "kind.argocd:1:manual", "manifest.unknown-kind:1:remark"]).hides("hunter2"),
        case("secretGenerator", "base/kustomization.yaml", "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nsecretGenerator:\n- name: x\n  literals:\n  - user=hunter2\n", &["structure.generator:6:refuse"]).hides("hunter2"),
        case("Secret in a template", "chart/templates/secret.yaml", "{{- if .Values.on }}\napiVersion: v1\nkind: Secret\nstringData:\n  user: {{ .Values.user | quote }}\n  password: hunter2\n{{- end }}\n", &["structure.secret:6:refuse", "yaml.template:0:remark"]).hides("hunter2"),
        case("default in a template", "chart/templates/secret.yaml", "kind: Secret\ndata:\n  password: {{ .Values.password | default \"hunter2\" | b64enc }}\n", &["structure.secret:3:refuse", "yaml.template:0:remark"]).hides("hunter2"),
        case("broken YAML hides nothing", "a.yaml", "kind: Secret\nstringData:\n  password: hunter2\nother: [\n", &["structure.secret:3:refuse", "yaml.invalid:5:refuse"]).hides("hunter2"),
        case("kubeconfig by content", "misc/admin.yaml", kubeconfig, &["file.kubeconfig:7:refuse"]).hides(random(20)),
        case("talosconfig by content", "misc/t.yaml", format!("context: x\ncontexts:\n  x:\n    ca: a\n    crt: b\n    key: {}\n", random(40)), &["file.talosconfig:6:refuse"]).hides(random(40)),
        case("Talos machine configuration", "talos/worker.yaml", talos, &["structure.talos:4:refuse", "structure.talos:7:refuse", "structure.talos:9:refuse"]).hides(random(23)),
        case("Talos secrets bundle", "talos/s.yaml", "cluster: {id: a, secret: bbbb}\nsecrets: {bootstraptoken: cccc}\ntrustdinfo: {token: dddd}\ncerts: {}\n", &["structure.talos:1:refuse", "structure.talos:2:refuse", "structure.talos:3:refuse"]).hides("cccc"),
        case("state by content", "misc/s.json", "{\"version\": 4, \"terraform_version\": \"1.9.0\", \"serial\": 3, \"lineage\": \"x\"}", &["file.terraform-state:1:refuse"]),
        case("plan by content", "misc/p.json", "{\"format_version\": \"1.2\", \"planned_values\": {}}", &["file.terraform-plan:1:refuse"]),
        case("provider", "infra/main.tf", "provider \"proxmox\" {\n  endpoint = \"https://pve\"\n  password = \"hunter2\"\n}\n", &["structure.terraform:3:refuse"]).hides("hunter2"),
        case("variable default", "infra/v.tf", "variable \"db_password\" {\n  type    = string\n  default = \"hunter2\"\n}\n", &["structure.terraform:3:refuse"]).hides("hunter2"),
        case("tfvars", "infra/prod.tfvars", "region = \"eu\"\napi_token = \"hunter22\"\n", &["structure.terraform:2:refuse"]).hides("hunter22"),
        case("env file", "apps/web/.env", "USER=app\nexport SMTP_PASSWORD=hunter2\n", &["structure.env:2:refuse"]).hides("hunter2"),
    ]
}

fn references() -> Vec<Case> {
    let external = "apiVersion: external-secrets.io/v1\nkind: ExternalSecret\nmetadata: {name: x}\nspec:\n  data:\n  - secretKey: password\n    remoteRef: {key: /app, property: password}\n";
    let infisical = "apiVersion: secrets.infisical.com/v1beta1\nkind: InfisicalStaticSecret\nmetadata: {name: web, namespace: shop}\nspec:\n  sources: [{projectId: x, environmentSlug: prod, secretPath: /web}]\n  targets: [{name: web-secrets, namespace: shop, kind: Secret, creationPolicy: Owner}]\n";
    let unknown = &["manifest.unknown-kind:1:remark"];
    vec![
        case("SealedSecret", "a.yaml", format!("apiVersion: bitnami.com/v1alpha1\nkind: SealedSecret\nmetadata: {{name: x}}\nspec:\n  encryptedData:\n    password: {}\n", random(60)), unknown),
        case("ExternalSecret", "a.yaml", external, unknown),
        case("InfisicalStaticSecret", "a.yaml", infisical, unknown),
        case("InfisicalSecret", "a.yaml", "apiVersion: secrets.infisical.com/v1alpha1\nkind: InfisicalSecret\nmetadata: {name: x}\nspec:\n  managedKubeSecretReferences: [{secretName: x, secretNamespace: y}]\n", unknown),
        case("SOPS", "a.yaml", format!("{HEAD}stringData:\n  password: ENC[AES256_GCM,data:abcd,iv:e,tag:f,type:str]\nsops:\n  mac: ENC[AES256_GCM,data:x,type:str]\n"), &[]),
        case("empty Secret", "a.yaml", format!("{HEAD}data: {{}}\nstringData:\n  later: \"\"\n"), &[]),
        case("valueFrom", "a.yaml", format!("{DEPLOYMENT}          env:\n            - name: DB_PASSWORD\n              valueFrom: {{secretKeyRef: {{name: web, key: DB_PASSWORD}}}}\n            - name: DSN\n              value: $(DB_PASSWORD)\n"), &[]),
        case("values that refer", "values.yaml", "auth:\n  existingSecret: web-secrets\n  secretName: web\n  passwordSecretKey: password\n  tokenTTL: 3600\n  password: \"\"\n  adminPasswordFile: /run/secrets/x\n  secret: web-tls\n  automountServiceAccountToken: true\n", &[]),
        case("template that refers", "chart/templates/secret.yaml", "kind: Secret\ndata:\n  password: {{ .Values.password | b64enc | quote }}\n", &["yaml.template:0:remark"]),
        case("Terraform variables", "infra/main.tf", "provider \"x\" {\n  token = var.token\n  secret = \"${var.secret}\"\n}\n", &[]),
        case("Vault plugin", "a.yaml", format!("{HEAD}stringData:\n  password: <path:secret/data/web#password>\n"), &[]),
        case("a schema's field", "crd.yaml", "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: xs.example.com}\nspec:\n  group: example.com\n  scope: Namespaced\n  names: {kind: X, plural: xs}\n  versions:\n  - name: v1\n    served: true\n    storage: true\n    schema: {openAPIV3Schema: {type: object, properties: {password: {type: string}}}}\n", &["kind.crd:1:manual"]),
        case("template in an external secret", "a.yaml", "apiVersion: external-secrets.io/v1\nkind: ExternalSecret\nmetadata: {name: x}\nspec:\n  target:\n    template:\n      data:\n        password: hunter2\n", &["structure.values:8:refuse", "manifest.unknown-kind:1:remark"]).hides("hunter2"),
    ]
}

fn files() -> Vec<Case> {
    vec![
        case("kubeconfig", "clusters/kubeconfig", "x", &["file.kubeconfig:0:refuse"]),
        case("talosconfig", "talos/talosconfig", "x: 1", &["file.talosconfig:0:refuse"]),
        case("state", "infra/terraform.tfstate.backup", "{}", &["file.terraform-state:0:refuse"]),
        case("plan", "infra/prod.tfplan", "x", &["file.terraform-plan:0:refuse"]),
        case("generated", "apps/generated/x.txt", "x", &["file.generated:0:refuse"]),
        case("key store", "certs/web.p12", "x", &["file.key-store:0:refuse"]),
        case("removing one is welcome", "clusters/kubeconfig", "x", &[]).removed(),
        case("GitHub workflow", ".github/workflows/ci.yaml", "on: push\n", &["file.ci:0:manual"]),
        case("GitLab CI", "sub/.gitlab-ci.yml", "stages: [test]\n", &["file.ci:0:manual"]),
        case("CODEOWNERS", ".github/CODEOWNERS", "* @team\n", &["file.codeowners:0:manual"]),
        case(
            "removing a workflow",
            ".github/workflows/ci.yaml",
            "on: push\n",
            &["file.ci:0:manual"],
        )
        .removed(),
        case("an ordinary file", "docs/readme.md", "# Hello\n", &[]),
    ]
}

fn kinds() -> Vec<Case> {
    let namespace = "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n";
    let infisical = |policy: &str| {
        format!(
            "apiVersion: secrets.infisical.com/v1beta1\nkind: InfisicalStaticSecret\nmetadata: {{name: x}}\nspec: {{targets: [{{creationPolicy: {policy}}}]}}\n"
        )
    };
    vec![
        case("Namespace", "a.yaml", namespace, &["kind.namespace:1:manual"]),
        case("Namespace removed", "a.yaml", namespace, &["kind.namespace:0:manual"]).removed(),
        case(
            "Namespace untouched beside a change",
            "a.yaml",
            format!("{namespace}---\n{DEPLOYMENT}"),
            &[],
        )
        .over(format!("{namespace}---\n{}", DEPLOYMENT.replace("1.2.3", "1.2.2"))),
        case(
            "AppProject",
            "a.yaml",
            "apiVersion: argoproj.io/v1alpha1\nkind: AppProject\nmetadata: {name: x}\n",
            &["kind.argocd:1:manual", "manifest.unknown-kind:1:remark"],
        ),
        case(
            "ClusterRole",
            "a.yaml",
            "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: x}\nrules: []\n",
            &["kind.rbac:1:manual"],
        ),
        case(
            "admission webhook",
            "a.yaml",
            "apiVersion: admissionregistration.k8s.io/v1\nkind: ValidatingWebhookConfiguration\nmetadata: {name: x}\nwebhooks: []\n",
            &["kind.admission:1:manual"],
        ),
        case("Infisical removed", "a.yaml", infisical("Orphan"), &["infisical.removed:0:manual"]).removed(),
        case(
            "Infisical becomes owner",
            "a.yaml",
            infisical("Owner"),
            &["infisical.owner:1:manual", "manifest.unknown-kind:1:remark"],
        )
        .over(infisical("Orphan")),
    ]
}

fn texts() -> Vec<Case> {
    vec![
        case(
            "Cyrillic in a word",
            "a.txt",
            "one\nimage: regi\u{455}try.example.com\n",
            &["text.mixed-script:2:manual"],
        ),
        case("Greek in a word", "a.txt", "l\u{3BF}gin\n", &["text.mixed-script:1:manual"]),
        case(
            "a Russian comment",
            "a.txt",
            "# \u{43F}\u{440}\u{438}\u{432}\u{435}\u{442} admin\n",
            &[],
        ),
        case("micro sign", "a.txt", "5 \u{B5}s\n", &[]),
        case(
            "hidden tail",
            "a.txt",
            format!("x: 1{}y: 2\n", " ".repeat(200)),
            &["text.hidden-tail:1:manual"],
        ),
        case(
            "a word of twins",
            "a.yaml",
            "image: \u{430}\u{441}\u{435}\n",
            &["text.look-alike:1:manual"],
        ),
        case(
            "twins beside a comment in their language",
            "a.yaml",
            "image: \u{430}\u{441}\u{435} # \u{43F}\u{440}\u{438}\u{432}\u{435}\u{442}\n",
            &["text.look-alike:1:manual"],
        ),
        case(
            "twins as a key",
            "a.yaml",
            "{a: \u{43F}\u{440}\u{438}\u{432}\u{435}\u{442}, \u{435}\u{445}\u{440}: 1}\n",
            &["text.look-alike:1:manual"],
        ),
        case(
            "a folder of twins",
            "apps/\u{430}\u{440}\u{440}/a.txt",
            "x\n",
            &["text.look-alike:0:manual"],
        ),
        case(
            "full width",
            "a.yaml",
            "image: \u{FF57}\u{FF45}\u{FF42}\n",
            &["text.look-alike:1:manual"],
        ),
        case(
            "a wrong company",
            "a.yaml",
            "image: \u{430}\u{441}\u{435} \u{F6}\n",
            &["text.look-alike:1:manual"],
        ),
        case(
            "two scripts in a word",
            "a.yaml",
            "text: \u{43F}\u{438} \u{430}\u{3BF}\n",
            &["text.look-alike:1:manual"],
        ),
        case(
            "a letter in a name",
            "a.yaml",
            "host: node-\u{430}.example.com\n",
            &["text.look-alike:1:manual"],
        ),
        case(
            "a letter as a file's name",
            "apps/\u{430}.txt",
            "x\n",
            &["text.look-alike:0:manual"],
        ),
        case("a letter as a folder", "apps/\u{430}/a.txt", "x\n", &["text.look-alike:0:manual"]),
        case(
            "mathematical digits",
            "a.yaml",
            "tag: \u{1D7F7}\u{1D7F8}\n",
            &["text.look-alike:1:manual"],
        ),
        case(
            "Roman numerals",
            "a.yaml",
            "zone: \u{2179}\u{217C}\n",
            &["text.look-alike:1:manual"],
        ),
        case("Lisu", "a.yaml", "env: \u{A4D1}\u{A4E0}\n", &["text.look-alike:1:manual"]),
        case("a key", "a.yaml", "\u{43A}\u{435}\u{443}: 1\n", &["text.look-alike:1:manual"]),
        case(
            "an item between items",
            "a.yaml",
            "a: [\u{43F}\u{438}, \u{430}\u{441}\u{435}]\nb: \u{43F}\u{438},\u{430}\u{441}\u{435}\n",
            &["text.look-alike:1:manual", "text.look-alike:2:manual"],
        ),
        case(
            "a quoted sign of a comment",
            "a.yaml",
            "a: \"x #\u{430}\u{441}\u{435}\"\n",
            &["text.look-alike:1:manual"],
        ),
        case(
            "between lines of another script",
            "a.yaml",
            "- \u{3B4}\n- \u{430}\u{441}\u{435}\n- \u{3B4}\n",
            &["text.look-alike:2:manual"],
        ),
        case(
            "between a comment and a key",
            "a.txt",
            "# \u{43F}\u{438}\n- \u{430}\u{441}\u{435}\na: \u{43F}\u{438}\n",
            &["text.look-alike:2:manual"],
        ),
        case(
            "a comment of twins",
            "a.yaml",
            "# \u{441}\u{430}\u{445}\u{430}\u{440}\nreplicas: 2 # \u{441}\u{430}\u{445}\u{430}\u{440}\n",
            &[],
        ),
        case(
            "prose over lines",
            "a.yaml",
            "text: >-\n  \u{434}\u{43B}\u{44F}\n  \u{441}\u{43E}\u{443}\u{441}\n",
            &[],
        ),
        case(
            "commas and brackets of prose",
            "a.yaml",
            "text: \u{434}\u{43B}\u{44F} (\u{441}\u{43E}\u{443}\u{441}), \u{440}\u{430}\u{441}\u{430}\n",
            &[],
        ),
        case(
            "prose in JSON",
            "a.json",
            "{\"text\": \"\u{434}\u{43B}\u{44F}, \u{440}\u{430}\u{441}\u{430}\"}\n",
            &[],
        ),
        case("Turkish", "a.md", "de\u{11F}i\u{15F}tirin, s\u{131}n\u{131}r\n", &[]),
        case(
            "a dotless i alone",
            "a.yaml",
            "user: adm\u{131}n\n",
            &["text.mixed-script:1:manual"],
        ),
        case(
            "Greek words",
            "a.yaml",
            "text: \u{3BD}\u{3B1}\u{3B9} \u{3BC}\u{3B5}\nname: \u{3B1}-helix\n",
            &[],
        ),
        case(
            "Russian words, some of twins only",
            "a.yaml",
            "# \u{43D}\u{435}\u{442}\ntext: \u{440}\u{430}\u{441}\u{430} \u{438} \u{43E}\u{441}\u{430}\nreason: \u{441} \u{43E}\n",
            &[],
        ),
        case(
            "Japanese with full width letters",
            "a.yaml",
            "text: \u{65B0}\u{3057}\u{3044}\u{FF30}\u{FF23}\n",
            &[],
        ),
        case(
            "a tail behind tabs",
            "a.txt",
            format!("x: 1{}y: 2\n", "\t".repeat(60)),
            &["text.hidden-tail:1:manual"],
        ),
        case(
            "a line behind tabs",
            "a.txt",
            format!("{}x\n", "\t".repeat(60)),
            &["text.hidden-tail:1:manual"],
        ),
        case("indented by tabs", "a.txt", format!("{}x\n", "\t".repeat(15)), &[]),
        case("deep indentation", "a.txt", format!("{}x\n", " ".repeat(60)), &[]),
    ]
}

fn manifests() -> Vec<Case> {
    let wrong = DEPLOYMENT.replace("replicas: 2", "replicas: two");
    vec![
        case("valid", "apps/web/d.yaml", DEPLOYMENT, &[]),
        case("wrong type", "apps/web/d.yaml", &*wrong, &["manifest.schema:5:refuse"]),
        case(
            "wrong type stood there",
            "apps/web/d.yaml",
            wrong.replace("1.2.3", "1.2.4"),
            &["manifest.schema:5:remark"],
        )
        .over(&*wrong),
        case(
            "unknown field",
            "apps/web/d.yaml",
            DEPLOYMENT.replace("replicas", "replica"),
            &["manifest.schema:5:refuse"],
        ),
        case(
            "missing field",
            "apps/web/d.yaml",
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: x}\nspec: {replicas: 1}\n",
            &["manifest.schema:4:refuse", "manifest.schema:4:refuse"],
        ),
        case(
            "a patch",
            "apps/overlays/prod/d.yaml",
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: x}\nspec: {replicas: 1}\n",
            &["manifest.incomplete:4:remark", "manifest.incomplete:4:remark"],
        ),
        case(
            "unknown kind",
            "a.yaml",
            "apiVersion: example.com/v1\nkind: Thing\n",
            &["manifest.unknown-kind:1:remark"],
        ),
        case("no YAML", "a.yaml", "a: 1\n b: 2\n", &["yaml.invalid:2:refuse"]),
        case("no YAML before either", "a.yaml", "a: 1\n b: 2\n", &["yaml.invalid:2:remark"]).over("a: 1\n b: 3\n"),
        case("duplicate key", "a.yaml", "a: 1\nb: 2\na: 3\n", &["yaml.duplicate-key:3:manual"]),
        case("JSON that is none", "tsconfig.json", "{ \"a\": [ }", &["yaml.invalid:1:remark"]),
        case(
            "yes is no text",
            "a.yaml",
            format!("{DEPLOYMENT}          env:\n            - name: DEBUG\n              value: yes\n"),
            &["manifest.schema:15:refuse"],
        ),
    ]
}
