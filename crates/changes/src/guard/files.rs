//! Files that are judged by where they stand and what they are called.

use domain::RepoPath;

use super::sink::Sink;

/// What a path alone says about a file that the change adds or modifies.
pub(super) fn inspect(path: &RepoPath, exists: bool, sink: &mut Sink<'_>) {
    if exists {
        for (rule, what, hint) in never_in_git(path) {
            sink.put(rule, None, what, hint);
        }
    }
    if is_ci(path) {
        sink.put(
            "file.ci",
            None,
            "this file decides what the pipeline runs",
            "a person commits it; keep it out of other changes",
        );
    }
    if path.file_name().eq_ignore_ascii_case("codeowners") {
        sink.put(
            "file.codeowners",
            None,
            "this file decides who must review",
            "a person commits it; keep it out of other changes",
        );
    }
}

fn never_in_git(path: &RepoPath) -> Vec<(&'static str, &'static str, &'static str)> {
    let name = path.file_name().to_lowercase();
    let stem = name.trim_end_matches(".yaml").trim_end_matches(".yml").trim_end_matches(".conf");
    let extension = |one: &str| name.len() > one.len() && name.ends_with(one);
    let folder = |one: &str| {
        path.parent()
            .is_some_and(|folders| folders.split('/').any(|folder| folder.eq_ignore_ascii_case(one)))
    };
    let mut found = Vec::new();
    if stem == "kubeconfig" || extension(".kubeconfig") || extension("-kubeconfig.yaml") || (name == "config" && folder(".kube")) {
        found.push((
            "file.kubeconfig",
            "a kubeconfig opens the cluster to whoever reads it",
            "keep it out of git; give the workload a ServiceAccount",
        ));
    }
    if stem == "talosconfig" || extension(".talosconfig") || (name == "config" && folder(".talos")) {
        found.push((
            "file.talosconfig",
            "a talosconfig opens the nodes to whoever reads it",
            "keep it out of git",
        ));
    }
    if name.contains(".tfstate") || name == "tfstate" || folder(".terraform") || folder("terraform.tfstate.d") {
        found.push((
            "file.terraform-state",
            "Terraform state and caches hold secrets in clear",
            "use a remote backend with access control",
        ));
    }
    if extension(".tfplan") || matches!(name.as_str(), "tfplan" | "plan.out" | "tfplan.json" | "plan.json" | "plan.binary") {
        found.push((
            "file.terraform-plan",
            "a saved plan holds sensitive values in clear",
            "hand the plan's text summary over, not the plan",
        ));
    }
    if folder("generated") {
        found.push((
            "file.generated",
            "what is below `generated/` is made by a tool",
            "change what it is made from",
        ));
    }
    let keys = [".p12", ".pfx", ".jks", ".keystore", ".keytab", ".ppk", ".kdbx", ".ovpn"];
    let key_names = [
        "id_rsa",
        "id_ed25519",
        "id_ecdsa",
        "id_dsa",
        ".netrc",
        ".pgpass",
        ".git-credentials",
        ".vault-token",
        "keys.txt.age",
    ];
    if keys.iter().any(|one| extension(one)) || key_names.contains(&name.as_str()) {
        found.push((
            "file.key-store",
            "by its name this file holds keys or passwords",
            "keep it in Infisical and let git name it",
        ));
    }
    found
}

fn is_ci(path: &RepoPath) -> bool {
    let text = path.as_str().to_lowercase();
    let below = [
        ".github/workflows/",
        ".github/actions/",
        ".gitlab/ci/",
        ".gitlab-ci/",
        ".forgejo/workflows/",
        ".forgejo/actions/",
        ".gitea/workflows/",
        ".circleci/",
        ".buildkite/",
        ".woodpecker/",
        ".tekton/",
        ".azure-pipelines/",
        ".ci/",
    ];
    let name = path.file_name().to_lowercase();
    let names = [
        "jenkinsfile",
        ".travis.yml",
        ".drone.yml",
        ".drone.yaml",
        ".woodpecker.yml",
        ".woodpecker.yaml",
        "azure-pipelines.yml",
        "azure-pipelines.yaml",
        "bitbucket-pipelines.yml",
        "atlantis.yaml",
        ".appveyor.yml",
        "cloudbuild.yaml",
        "renovate.json",
    ];
    below.iter().any(|folder| text.starts_with(folder)) || name.ends_with(".gitlab-ci.yml") || names.contains(&name.as_str())
}
