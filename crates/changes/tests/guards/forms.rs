//! Forms in which secrets come beside plain manifests: typed lists, encoded files, files under any name, patches, scripts, and what only looks
//! like a reference. Each with ordinary content that passes.

use crate::cases::{Case, HEAD, base64, case, random};

/// All cases of this file.
pub fn forms() -> Vec<Case> {
    let mut all = typed_lists();
    all.extend(encoded());
    all.extend(any_name());
    all.extend(patches());
    all.extend(scripts());
    all.extend(dockerfiles());
    all.extend(references());
    all
}

fn typed_lists() -> Vec<Case> {
    let list = |kind: &str, items: &str| format!("apiVersion: v1\nkind: {kind}\nmetadata: {{}}\nitems:\n{items}");
    let rbac = "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRoleBindingList\nmetadata: {}\nitems:\n- metadata: {name: a}\n  roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: b}\n";
    let item = "- metadata: {name: x}\n  stringData:\n    a: hunter2\n";
    vec![
        case("SecretList", "a.yaml", list("SecretList", item), &["structure.secret:7:refuse"]).hides("hunter2"),
        case("SecretList as JSON", "a.json", "{\"apiVersion\": \"v1\", \"kind\": \"SecretList\", \"metadata\": {}, \"items\": [{\"metadata\": {\"name\": \"x\"},\n\"data\": {\"a\": \"aHVudGVyMg==\"}}]}", &["structure.secret:2:refuse"]).hides("aHVudGVyMg"),
        case("SecretList with an empty kind", "a.yaml", list("SecretList", &item.replace("- metadata", "- kind: \"\"\n  metadata")), &["structure.secret:8:refuse"]).hides("hunter2"),
        case("SecretList in a List", "a.yaml", format!("apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: SecretList\n  metadata: {{}}\n  items:\n  {}", item.replace('\n', "\n  ").trim_end()), &["structure.secret:10:refuse"]).hides("hunter2"),
        case("SecretList without values", "a.yaml", list("SecretList", "- metadata: {name: x}\n  stringData: {a: \"\"}\n"), &[]),
        case("ConfigMapList", "a.yaml", list("ConfigMapList", "- metadata: {name: x}\n  data:\n    DB_PASSWORD: hunter2\n    LEVEL: info\n"), &["structure.configmap:7:refuse"]).hides("hunter2"),
        case("ConfigMapList without secrets", "a.yaml", list("ConfigMapList", "- metadata: {name: x}\n  data: {LEVEL: info}\n"), &[]),
        case("ClusterRoleBindingList", "a.yaml", rbac, &["kind.rbac:5:manual"]),
        case("ClusterRoleBindingList that stays", "a.yaml", format!("{rbac}# a comment\n"), &[]).over(rbac),
        case("ClusterRoleBindingList removed", "a.yaml", rbac, &["kind.rbac:0:manual"]).removed(),
        case("NamespaceList", "a.yaml", list("NamespaceList", "- metadata: {name: shop}\n- metadata: {name: web}\n"), &["kind.namespace:5:manual", "kind.namespace:6:manual"]),
        case("ApplicationList", "a.yaml", "apiVersion: argoproj.io/v1alpha1\nkind: ApplicationList\nitems:\n- metadata: {name: x}\n", &["kind.argocd:4:manual", "manifest.unknown-kind:4:remark"]),
        case("an item keeps its own kind", "a.yaml", list("SecretList", "- apiVersion: v1\n  kind: ConfigMap\n  metadata: {name: x}\n  data: {a: b}\n"), &[]),
        case("a list of settings", "values.yaml", "kind: AllowList\nitems:\n- data: {a: b}\n", &[]),
    ]
}

fn encoded() -> Vec<Case> {
    let map = |field: &str, text: &str| {
        format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: x}}\n{field}:\n  f: {}\n",
            base64(text)
        )
    };
    let secret = format!("{HEAD}stringData:\n  user: hunter2\n");
    let kubeconfig = "apiVersion: v1\nkind: Config\nclusters: []\nusers:\n- name: admin\n  user:\n    password: hunter2hunter2\n";
    let folded = {
        let all = base64(&format!(
            "# of the application, kept here\nDB_USER=app\nDB_PASSWORD=hunter2{}\n",
            " ".repeat(40)
        ));
        let (first, rest) = all.split_at(60);
        format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: x}}\nbinaryData:\n  f: |\n    {first}\n    {rest}\n")
    };
    vec![
        case(
            "env file behind base64",
            "a.yaml",
            map("binaryData", "DB_USER=app\nDB_PASSWORD=hunter2\n"),
            &["structure.values:5:refuse"],
        )
        .hides("hunter2"),
        case(
            "one assignment behind base64",
            "a.yaml",
            map("data", "DB_PASSWORD=hunter2"),
            &["structure.values:5:refuse"],
        )
        .hides("hunter2"),
        case("env file behind folded base64", "a.yaml", folded, &["structure.values:6:refuse"]).hides("hunter2"),
        case(
            "Secret behind base64",
            "a.yaml",
            map("binaryData", &secret),
            &["structure.secret:5:refuse"],
        )
        .hides("hunter2"),
        case(
            "kubeconfig behind base64",
            "notes.txt",
            format!("here:\n{}\n", base64(kubeconfig)),
            &["file.kubeconfig:2:refuse"],
        )
        .hides("hunter2"),
        case(
            "values behind base64 that stood there",
            "a.txt",
            format!("new\n{}\n", base64("auth:\n  password: hunter2\n")),
            &["structure.values:2:remark"],
        )
        .over(format!("{}\n", base64("auth:\n  password: hunter2\n"))),
        case(
            "settings behind base64",
            "a.yaml",
            map(
                "binaryData",
                "DB_USER=app\nDB_PASSWORD=$PASSWORD\nDB_PASSWORD_FILE=/run/secrets/x\n",
            ),
            &[],
        ),
        case(
            "Secret without values behind base64",
            "a.yaml",
            map("binaryData", &format!("{HEAD}data: {{}}\n")),
            &[],
        ),
        case(
            "an ordinary text behind base64",
            "a.yaml",
            map("data", "the password: see the wiki, or ask = wait\n"),
            &[],
        ),
        case(
            "two levels are one too many",
            "a.yaml",
            map("data", &base64("DB_PASSWORD=hunter2\n")),
            &[],
        ),
        case("letters that decode to nothing", "a.yaml", map("data", &random(90)), &[]),
    ]
}

fn any_name() -> Vec<Case> {
    let secret = format!("{HEAD}stringData:\n  user: hunter2\n");
    let kubeconfig = "apiVersion: v1\nkind: Config\nclusters: []\nusers:\n- name: admin\n  user:\n    password: hunter2hunter2\n";
    let talosconfig = "context: x\ncontexts:\n  x:\n    ca: a\n    crt: b\n    key: hunter2hunter2\n";
    let state = "{\"version\": 4, \"terraform_version\": \"1.9.0\", \"serial\": 3, \"lineage\": \"x\"}";
    let infisical = "apiVersion: secrets.infisical.com/v1beta1\nkind: InfisicalStaticSecret\nmetadata: {name: web}\nspec: {sources: [{secretPath: /web}]}\n";
    let one = |at, text: &str, expect| case("under any name", at, text, &[expect]).hides("hunter2");
    vec![
        one("docs/foo.txt", &secret, "structure.secret:7:refuse"),
        one("apps/s.yaml.bak", &secret, "structure.secret:7:refuse"),
        one("apps/secret", &secret, "structure.secret:7:refuse"),
        one("apps/old.conf", &secret, "structure.secret:7:refuse"),
        one("broken.txt", &format!("{secret}other: [\n"), "structure.secret:7:refuse"),
        one("misc/admin.conf", kubeconfig, "file.kubeconfig:7:refuse"),
        one("misc/kc", kubeconfig, "file.kubeconfig:7:refuse"),
        one("misc/t.txt", talosconfig, "file.talosconfig:6:refuse"),
        one("misc/worker", "machine:\n  token: hunter2hunter2\n", "structure.talos:2:refuse"),
        one("misc/copy.txt", state, "file.terraform-state:1:refuse"),
        one(
            "misc/p.txt",
            "{\"format_version\": \"1.2\", \"planned_values\": {}}",
            "file.terraform-plan:1:refuse",
        ),
        case(
            "an example in a document",
            "docs/secrets.md",
            format!("# Secrets\n\nNever write:\n\n```yaml\n{secret}```\n"),
            &[],
        ),
        case(
            "an example behind a preamble",
            "docs/secrets.md",
            format!("---\ntitle: Secrets\n---\nNote: never write\n\n```yaml\n{secret}```\n"),
            &[],
        ),
        case("a manifest without a secret", "docs/d.txt", infisical, &[]),
        case(
            "a program",
            "tools/make.py",
            "body = {\"apiVersion\": \"v1\", \"kind\": \"Secret\",\n  \"stringData\": {\"a\": read()}}\n",
            &[],
        ),
        case(
            "a program in another language",
            "tools/main.go",
            "obj := map[string]any{\n\t\"apiVersion\": \"v1\",\n\t\"kind\": \"Secret\",\n}\n",
            &[],
        ),
        case(
            "prose",
            "docs/a.txt",
            "apiVersion is the first line.\nkind is the second: Secret, say.\n",
            &[],
        ),
    ]
}

fn patches() -> Vec<Case> {
    let kustomization = |list: &str, kind: &str, patch: &str| {
        format!(
            "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n{list}:\n- target: {{kind: {kind}, name: x}}\n  patch: |-\n    {}\n",
            patch.replace('\n', "\n    ")
        )
    };
    let add = |path: &str, value: &str| format!("- op: add\n  path: {path}\n  value: {value}");
    let one = |name, text: String, expect| case(name, "base/kustomization.yaml", text, &[expect]).hides("hunter2");
    vec![
        case(
            "a patch of stringData",
            "base/p.yaml",
            add("/stringData/user", "hunter2"),
            &["structure.secret:3:refuse"],
        )
        .hides("hunter2"),
        case(
            "a patch of all stringData",
            "base/p.yaml",
            add("/stringData", "{user: hunter2}"),
            &["structure.secret:3:refuse"],
        )
        .hides("hunter2"),
        case(
            "a patch as JSON",
            "base/p.json",
            "[{\"op\": \"replace\", \"path\": \"/stringData/a~1b\",\n\"value\": \"hunter2\"}]",
            &["structure.secret:2:refuse"],
        )
        .hides("hunter2"),
        one(
            "a patch of a Secret's data",
            kustomization("patches", "Secret", &add("/data/user", "aHVudGVyMg==")),
            "structure.secret:8:refuse",
        ),
        one(
            "a JSON patch of a Secret",
            kustomization(
                "patches",
                "Secret",
                "[{\"op\": \"add\", \"path\": \"/data/user\", \"value\": \"hunter2\"}]",
            ),
            "structure.secret:6:refuse",
        ),
        one(
            "a patch of many kinds",
            kustomization("patchesJson6902", "ConfigMap|Secret", &add("/data/user", "hunter2")),
            "structure.secret:8:refuse",
        ),
        one(
            "a patch of a variable",
            kustomization(
                "patches",
                "Deployment",
                &add("/spec/template/spec/containers/0/env/-", "{name: DB_PASSWORD, value: hunter2}"),
            ),
            "structure.env:8:refuse",
        ),
        one(
            "a patch of an argument",
            kustomization(
                "patches",
                "Deployment",
                &add("/spec/template/spec/containers/0/args/-", "--db-password=hunter2"),
            ),
            "structure.args:8:refuse",
        ),
        one(
            "a patch of a setting",
            kustomization("patches", "ConfigMap", &add("/data/DB_PASSWORD", "hunter2")),
            "structure.values:8:refuse",
        ),
        one(
            "a generator of a kustomization that does not say so",
            "secretGenerator:\n- name: x\n  literals: [user=hunter2]\n".to_owned(),
            "structure.generator:3:refuse",
        ),
        case(
            "a patch of a ConfigMap's data",
            "base/kustomization.yaml",
            kustomization("patches", "ConfigMap", &add("/data/level", "info")),
            &[],
        ),
        case("a patch of data, of whatever", "base/p.yaml", add("/data/level", "info"), &[]),
        case(
            "a patch that refers",
            "base/kustomization.yaml",
            kustomization("patches", "Secret", &add("/stringData/user", "${USER_NAME}")),
            &[],
        ),
        case(
            "a patch that removes",
            "base/kustomization.yaml",
            kustomization("patches", "Secret", "- op: remove\n  path: /data/user"),
            &[],
        ),
        case(
            "an ordinary patch",
            "base/kustomization.yaml",
            kustomization("patches", "Deployment", &add("/spec/replicas", "3")),
            &[],
        ),
    ]
}

fn scripts() -> Vec<Case> {
    let found = |line: &str| {
        case(
            "a script",
            "bin/run.sh",
            format!("#!/bin/sh\n{line}\n"),
            &["structure.env:2:refuse"],
        )
        .hides("hunter2")
    };
    let passes = |line: &'static str| case(line, "bin/run.sh", format!("#!/bin/sh\n{line}\n"), &[]);
    let mut all = vec![
        case(
            "a script by its first line",
            "bin/run",
            "#!/usr/bin/env bash\nDB_PASSWORD=hunter2\n",
            &["structure.env:2:refuse"],
        )
        .hides("hunter2"),
        case(
            "an env file by its name",
            "prod.env",
            "DB_PASSWORD=hunter2\n",
            &["structure.env:1:refuse"],
        )
        .hides("hunter2"),
        case(
            "an env file of direnv",
            ".envrc",
            "export DB_PASSWORD=hunter2\n",
            &["structure.env:1:refuse"],
        )
        .hides("hunter2"),
        case(
            "an env file that refers",
            "prod.env",
            "DB_PASSWORD=$PASSWORD\nA_TOKEN=${B:-}\nB_TOKEN=$(pass x)\nC_TOKEN=\nC_PASSWORD_FILE=/run/secrets/x\n",
            &[],
        ),
        case("a program is no script", "a.py", "#!/usr/bin/env python3\npassword=read()\n", &[]),
        case(
            "stood there",
            "bin/run.sh",
            "A=1\nDB_PASSWORD=hunter2\n",
            &["structure.env:2:remark"],
        )
        .over("DB_PASSWORD=hunter2\n"),
        case(
            "on a line that goes on",
            "bin/run.sh",
            "docker run \\\n  -e DB_PASSWORD=hunter2 \\\n  image\n",
            &["structure.env:2:refuse"],
        )
        .hides("hunter2"),
        case(
            "an argument on a line that goes on",
            "bin/run.sh",
            "curl x \\\n  password=hunter2\n",
            &[],
        ),
    ];
    all.extend(
        [
            "export DB_PASSWORD=hunter2",
            "DB_PASSWORD=\"hunter2\"",
            "DB_PASSWORD='hunter2' ./run",
            "declare -x API_TOKEN=hunter2",
            "A=1 SMTP_PASS=hunter2 ./run # all of it",
            "if true; then DB_PASSWORD=hunter2; fi",
            "test -n x && export DB_PASSWORD=hunter2",
            "DB_PASSWORD=${DB_PASSWORD:-hunter2}",
            "docker run -e DB_PASSWORD=hunter2 image",
            "docker run --env=DB_PASSWORD=hunter2 image",
            "kubectl create secret generic x --from-literal=password=hunter2",
        ]
        .map(found),
    );
    all.extend(
        [
            "export DB_PASSWORD=$PASSWORD",
            "DB_PASSWORD=\"${PASSWORD}\"",
            "DB_PASSWORD=$(cat /run/secrets/x)",
            "DB_PASSWORD=\"$(pass show \"the one\")\"",
            "DB_PASSWORD=`pass show x`",
            "DB_PASSWORD=",
            "DB_PASSWORD=\"\"",
            "DB_PASSWORD=${1:?the password}",
            "DB_PASSWORD=${DB_PASSWORD:-}",
            "export DB_PASSWORD",
            "TOKEN=\"Bearer $TOKEN\"",
            "DB_PASSWORD_FILE=/run/secrets/x",
            "PASSWORD_CMD=\"pass show x\"",
            "SECRET_NAME=web TOKEN_TTL=3600",
            "PASS=0; FAIL=0; PASS=$((PASS + 1))",
            "OLD_PWD=/srv/app",
            "echo \"password=%s\" | sed s/password=.*/x/",
            "# DB_PASSWORD=old",
            "[ \"$password\" = \"$other\" ] && use_token=true",
            "read -rs password",
            "while getopts p: o; do case $o in p) password=$OPTARG ;; esac; done",
        ]
        .map(passes),
    );
    all
}

fn dockerfiles() -> Vec<Case> {
    let found = |line: &str, at| case("an image", at, format!("FROM a\n{line}\n"), &["structure.env:2:refuse"]).hides("hunter2");
    let passes = |line: &'static str| case(line, "Dockerfile", format!("FROM a\n{line}\n"), &[]);
    let mut all = vec![
        found("ENV X_PASSWORD=hunter2", "Dockerfile"),
        found("ENV X_PASSWORD hunter2", "web/Dockerfile.prod"),
        found("env A=1 X_PASSWORD=\"hunter2\"", "web.dockerfile"),
        found("ARG NPM_TOKEN=hunter2", "Containerfile"),
        found("RUN X_PASSWORD=hunter2 make", "Dockerfile"),
        case(
            "an image on lines that go on",
            "Dockerfile",
            "FROM a\nENV A=1 \\\n    X_PASSWORD=hunter2\n",
            &["structure.env:3:refuse"],
        )
        .hides("hunter2"),
    ];
    all.extend(
        [
            "ENV X_PASSWORD=$PASSWORD",
            "ENV X_PASSWORD=${PASSWORD} PATH=/bin:$PATH",
            "ENV X_PASSWORD=",
            "ARG NPM_TOKEN",
            "ENV X_PASSWORD_FILE=/run/secrets/x",
            "ENV LANG C.UTF-8",
            "RUN --mount=type=secret,id=npm NPM_TOKEN=$(cat /run/secrets/npm) make",
            "LABEL password=none",
        ]
        .map(passes),
    );
    all
}

fn references() -> Vec<Case> {
    let sops = "ENC[AES256_GCM,data:abcd,iv:e=,tag:f==,type:str]";
    let block = "sops:\n  lastmodified: \"2024-01-01T00:00:00Z\"\n  mac: ENC[AES256_GCM,data:x,iv:y,tag:z,type:str]\n  version: 3.9.0\n";
    let value = |key: &str, value: &str| format!("auth:\n  {key}: \"{value}\"\n");
    let found = |key: &str, text: &str| {
        case(
            "what only looks like a reference",
            "values.yaml",
            value(key, text),
            &["structure.values:2:refuse"],
        )
        .hides("hunter2")
    };
    let passes = |key: &str, text: &str| case("a reference", "values.yaml", value(key, text), &[]);
    let mut all = vec![
        case(
            "encrypted by SOPS",
            "values.yaml",
            format!("{}{block}", value("password", sops)),
            &[],
        ),
        case(
            "a Secret encrypted by SOPS",
            "a.yaml",
            format!("{HEAD}stringData:\n  user: {sops}\n{block}"),
            &[],
        ),
        case(
            "JSON encrypted by SOPS",
            "a.json",
            format!("{{\"password\": \"{sops}\", \"sops\": {{\"mac\": \"{sops}\"}}}}"),
            &[],
        ),
        case(
            "env file encrypted by SOPS",
            "prod.env",
            format!("DB_PASSWORD={sops}\nsops_mac={sops}\nsops_version=3.9.0\n"),
            &[],
        ),
        case(
            "properties encrypted by SOPS",
            "a.ini",
            format!("password = {sops}\n[sops]\nmac = {sops}\n"),
            &[],
        ),
        case(
            "a Talos secret encrypted by SOPS",
            "t.yaml",
            format!("machine: {{type: worker, token: \"{sops}\"}}\n{block}"),
            &[],
        ),
        case(
            "a text in SOPS' brackets",
            "a.yaml",
            format!("{HEAD}stringData:\n  user: ENC[hunter2]\n{block}"),
            &["structure.secret:7:refuse"],
        )
        .hides("hunter2"),
        case(
            "half of SOPS' form",
            "values.yaml",
            format!("{}{block}", value("password", "ENC[AES256_GCM,data:hunter2,type:str]")),
            &["structure.values:2:refuse"],
        )
        .hides("hunter2"),
        case(
            "SOPS' form without its block",
            "values.yaml",
            value("password", sops),
            &["structure.values:2:refuse"],
        ),
        case(
            "SOPS' block in another document",
            "values.yaml",
            format!("{}---\n{block}", value("password", sops)),
            &["structure.values:2:refuse"],
        ),
        case(
            "SOPS' form without its block in an env file",
            "prod.env",
            format!("DB_PASSWORD={sops}\n"),
            &["structure.env:1:refuse"],
        ),
        case(
            "a Secret's file",
            "a.yaml",
            format!("{HEAD}stringData:\n  PASSWORD_FILE: /run/secrets/x\n"),
            &[],
        ),
        case(
            "a Secret's path as a password",
            "a.yaml",
            format!("{HEAD}stringData:\n  PASSWORD: /run/secrets/hunter2\n"),
            &["structure.secret:7:refuse"],
        )
        .hides("hunter2"),
    ];
    for text in [
        "vault:hunter2",
        "vault:hunter2#x",
        "vault:a/hunter2",
        "<path:hunter2#x>",
        "<path:a/hunter2>",
        "ref+hunter2",
        "file:hunter2",
        "/run/secrets/hunter2",
        "/etc/hunter2",
        "${A:-hunter2}",
        "${A:-${B:-hunter2}}",
    ] {
        all.push(found("password", text));
    }
    for text in [
        "vault:secret/data/web#PASSWORD",
        ">>vault:secret/data/web#PASSWORD#1",
        "vault:secret/data/web#${.PASSWORD}",
        "vault://secret/data/web",
        "<path:secret/data/web#password>",
        "<path:secret/data/web#password#3>",
        "<path:secret/data/web#password | base64encode>",
        "<path:arn:aws:secretsmanager:eu-west-1:123456789012:secret:web#password>",
        "<password>",
        "ref+vault://secret/web#/password",
        "file:///run/secrets/password",
        "${A:-}",
        "${A:-$B}",
        "${A:-${B}}",
        "op://vault/web/password",
    ] {
        all.push(passes("password", text));
    }
    for key in [
        "passwordFile",
        "PASSWORD_FILE",
        "tokenPath",
        "privateKey",
        "GOOGLE_APPLICATION_CREDENTIALS",
    ] {
        all.push(passes(key, "/var/run/secrets/web/x"));
    }
    all
}
