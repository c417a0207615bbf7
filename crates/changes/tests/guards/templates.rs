//! Templates: what stands in them is looked at as in any manifest, whatever style it is written in and whatever stands around it.

use crate::cases::{Case, case};

/// Around a document: it may be left out when it is rendered.
fn when(document: &str) -> String {
    format!("{{{{- if .Values.on }}}}\n{document}{{{{- end }}}}\n")
}

/// A container of a Deployment, in a template.
fn container(fields: &str) -> String {
    when(&format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: web}}\nspec:\n  selector: {{matchLabels: {{app: web}}}}\n  template:\n    metadata: {{labels: {{app: web}}}}\n    spec:\n      containers:\n      - name: web\n        {fields}\n"
    ))
}

/// All cases of this file.
pub fn templates() -> Vec<Case> {
    let mut all = in_flow_style();
    all.extend(steered());
    all.extend(unreadable());
    all.extend(kinds());
    all.extend(checks());
    all
}

fn in_flow_style() -> Vec<Case> {
    let secret = |data: &str| when(&format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: x}}\n{data}\n"));
    let here = "chart/templates/a.yaml";
    vec![
        case("stringData in flow style", here, secret("stringData: {pw: hunter2}"), &["structure.secret:5:refuse", "yaml.template:0:remark"]).hides("hunter2"),
        case("data over several lines", here, secret("data: {\n  a: {{ .Values.a | b64enc }},\n  b: aHVudGVyMg==\n}"), &["structure.secret:7:refuse", "yaml.template:0:remark"]).hides("aHVudGVyMg"),
        case("a Secret in flow style", here, when("{apiVersion: v1, kind: Secret, metadata: {name: x}, stringData: {pw: hunter2}}\n"), &["structure.secret:2:refuse", "yaml.template:0:remark"]).hides("hunter2"),
        case("references in flow style", here, secret("stringData: {pw: {{ .Values.pw | quote }}, user: \"{{ .Values.user }}\"}"), &["yaml.template:0:remark"]),
        case("a default in flow style", here, secret("stringData: {pw: {{ .Values.pw | default \"hunter2\" }}}"), &["structure.secret:5:refuse", "yaml.template:0:remark"]).hides("hunter2"),
        case("a default on its own line", here, secret("stringData:\n  pw:\n    {{ .Values.pw | default \"hunter2\" }}"), &["structure.secret:7:refuse", "yaml.template:0:remark"]).hides("hunter2"),
        case("what it falls back on", here, secret("stringData:\n  pw: {{ coalesce .Values.a .Values.b \"hunter2\" }}"), &["structure.secret:6:refuse", "yaml.template:0:remark"]).hides("hunter2"),
        case("environment in flow style", here, container("env: [{name: DB_PASSWORD, value: hunter2}]"), &["structure.env:12:refuse", "yaml.template:0:remark"]).hides("hunter2"),
        case("an item in flow style", here, container("env:\n        - {name: LEVEL, value: {{ .Values.level }}}\n        - {name: DB_PASSWORD, value: hunter2}"), &["structure.env:14:refuse", "yaml.template:0:remark"]).hides("hunter2"),
        case("arguments in flow style", here, container("args: [\"--password=hunter2\", \"--level={{ .Values.level }}\"]"), &["structure.args:12:refuse", "yaml.template:0:remark"]).hides("hunter2"),
        case("arguments in block style", here, container("args:\n        - --db-password=hunter2\n        {{- range .Values.args }}\n        - {{ . }}\n        {{- end }}"), &["structure.args:13:refuse", "yaml.template:0:remark"]).hides("hunter2"),
        case("a value in flow style", here, when("auth: {password: hunter2, user: app}\n"), &["structure.values:2:refuse", "yaml.template:0:remark"]).hides("hunter2"),
        case("ordinary actions", here, container("image: {{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}\n        {{- with .Values.env }}\n        env: {{- toYaml . | nindent 10 }}\n        {{- end }}\n        resources:\n          {{- toYaml .Values.resources | nindent 10 }}"), &["yaml.template:0:remark"]),
        case("a ConfigMap's own template", "a.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\ndata:\n  app.yaml: |\n    {{ if a }}\n    db: {password: hunter2}\n    {{ end }}\n", &["structure.configmap:7:refuse", "yaml.template:0:remark"]).hides("hunter2"),
        case("Jinja", "inventory/a.yaml.j2", "{% if on %}\nusers: [{name: app, password: hunter2}]\n{% endif %}\n", &["structure.values:2:refuse"]).hides("hunter2"),
        case("Jinja in YAML", "inventory/a.yaml", "{% if on %}\ndb: {password: hunter2}\n{% endif %}\n", &["structure.values:2:refuse", "yaml.template:0:remark"]).hides("hunter2"),
        case("helpers", "chart/templates/_secret.tpl", "{{- define \"x.secret\" }}\napiVersion: v1\nkind: Secret\nstringData: {pw: hunter2}\n{{- end }}\n", &["structure.secret:4:refuse"]).hides("hunter2"),
    ]
}

/// The lines of control actions, which are no entries of what they stand in.
fn steered() -> Vec<Case> {
    let here = "chart/templates/a.yaml";
    let secret = |lines: &str| when(&format!("apiVersion: v1\nkind: Secret\nmetadata:\n  name: x\ndata:\n{lines}"));
    let remarked: &[&str] = &["yaml.template:0:remark"];
    vec![
        case(
            "a range in a Secret",
            here,
            secret("  a: {{ .Values.a | b64enc }}\n  {{- range $k, $v := .Values.more }}\n  {{ $k }}: {{ $v | b64enc }}\n  {{- end }}\n"),
            remarked,
        ),
        case(
            "a variable in a Secret",
            here,
            secret("  {{- $all := merge .Values.a .Values.b }}\n  a: {{ $all.a | b64enc }}\n"),
            remarked,
        ),
        case(
            "a lookup in a Secret",
            here,
            secret(
                "  {{- $old := lookup \"v1\" \"Secret\" .Release.Namespace \"x\" }}\n  {{- if $old }}\n  a: {{ index $old.data \"a\" }}\n  {{- end }}\n",
            ),
            remarked,
        ),
        case(
            "a literal behind a condition",
            here,
            secret("  {{- if .Values.on }}a: aHVudGVyMg=={{ end }}\n"),
            &["structure.secret:7:refuse", "yaml.template:0:remark"],
        )
        .hides("aHVudGVyMg"),
        case(
            "a variable that is a password",
            here,
            secret("  {{- $password := \"hunter2\" }}\n  a: {{ $password | b64enc }}\n"),
            &["structure.values:7:refuse", "yaml.template:0:remark"],
        )
        .hides("hunter2"),
        case(
            "a variable of Jinja that is a password",
            "inventory/a.yaml.j2",
            "{% set db_password = 'hunter2' %}\ndb: {{ db_password }}\n",
            &["structure.values:1:refuse"],
        )
        .hides("hunter2"),
        case(
            "a variable that is none",
            here,
            secret("  {{- $password := .Values.password }}\n  {{- $name := \"web\" }}\n  a: {{ $password | b64enc }}\n"),
            remarked,
        ),
    ]
}

/// Whatever is done to a file so that it is no YAML any more, its lines are looked at.
fn unreadable() -> Vec<Case> {
    let here = "chart/templates/a.yaml";
    let broken = |text: &str| format!("{text}{{{{- if .Values.on }}}}\n] : [\n{{{{- end }}}}\n");
    vec![
        case(
            "flow style in a broken Secret",
            here,
            broken("kind: Secret\nstringData: {pw: hunter2}\n"),
            &["structure.secret:2:refuse", "yaml.template:0:remark"],
        )
        .hides("hunter2"),
        case(
            "flow style over lines in a broken Secret",
            here,
            broken("kind: Secret\nstringData: {\n  a: {{ .Values.a }},\n  pw: hunter2\n}\n"),
            &["structure.secret:4:refuse", "yaml.template:0:remark"],
        )
        .hides("hunter2"),
        case(
            "environment in a broken template",
            here,
            broken("env: [{name: DB_PASSWORD, value: hunter2}]\nmore:\n- {name: API_TOKEN, value: hunter3}\n"),
            &["structure.env:1:refuse", "structure.env:3:refuse", "yaml.template:0:remark"],
        )
        .hides("hunter2"),
        case(
            "arguments in a broken template",
            here,
            broken("args: [\"--password=hunter2\"]\n"),
            &["structure.args:1:refuse", "yaml.template:0:remark"],
        )
        .hides("hunter2"),
        case(
            "references in a broken template",
            here,
            broken("env: [{name: DB_PASSWORD, value: {{ .Values.pw }}}]\n"),
            &["yaml.template:0:remark"],
        ),
        case(
            "flow style in a broken manifest",
            "a.yaml",
            "kind: Secret\nstringData: {pw: hunter2}\n] : [\n",
            &["structure.secret:2:refuse", "yaml.invalid:3:refuse"],
        )
        .hides("hunter2"),
        case(
            "a broken template of a Role",
            here,
            broken("apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\n"),
            &["kind.rbac:2:manual", "yaml.template:0:remark"],
        ),
        case(
            "a broken template that binds no Role",
            here,
            broken("roleRef:\n  kind: ClusterRole\n"),
            &["yaml.template:0:remark"],
        ),
    ]
}

fn kinds() -> Vec<Case> {
    let here = "chart/templates/a.yaml";
    let role = "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata:\n  name: {{ .Release.Name }}-read\nrules: []\n";
    let namespaces = "{{- range .Values.spaces }}\n---\napiVersion: v1\nkind: Namespace\nmetadata:\n  name: {{ . }}\n{{- end }}\n";
    vec![
        case(
            "a role that may be left out",
            here,
            when(role),
            &["kind.rbac:2:manual", "yaml.template:0:remark"],
        ),
        case(
            "a role that stays",
            here,
            format!("{}# a comment\n", when(role)),
            &["yaml.template:0:remark"],
        )
        .over(when(role)),
        case("a role that goes", here, when(role), &["kind.rbac:0:manual"]).removed(),
        case(
            "namespaces in a loop",
            here,
            namespaces,
            &["kind.namespace:3:manual", "yaml.template:0:remark"],
        ),
        case(
            "an application in a template",
            here,
            when("apiVersion: argoproj.io/v1alpha1\nkind: Application\nmetadata: {name: {{ .Release.Name }}}\n"),
            &["kind.argocd:2:manual", "yaml.template:0:remark"],
        ),
    ]
}

/// A document without an action is held against schemas wherever it stands.
fn checks() -> Vec<Case> {
    let wrong = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec:\n  replicas: many\n  selector: {matchLabels: {app: web}}\n  template:\n    metadata: {labels: {app: web}}\n    spec: {containers: [{name: web, image: web:1}]}\n";
    let here = "chart/templates/a.yaml";
    vec![
        case(
            "a comment makes no template",
            here,
            format!("# {{{{ .Values.a }}}}\n{wrong}"),
            &["manifest.schema:6:refuse"],
        ),
        case(
            "control lines around a manifest",
            here,
            when(wrong),
            &["manifest.schema:6:refuse", "yaml.template:0:remark"],
        ),
        case(
            "an action in another document",
            here,
            format!("{wrong}---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {{{{ .a }}}}}}\n"),
            &["manifest.schema:5:refuse", "yaml.template:0:remark"],
        ),
        case(
            "an action within it",
            here,
            wrong.replace("many", "{{ .Values.replicas }}"),
            &["yaml.template:0:remark"],
        ),
    ]
}
