//! Signed commits, as `git verify-commit` sees them.

use std::process::Command;

use gitworker::{BuildError, GitError, PushOutcome, Repository};

use crate::support::*;

/// A key pair of this type in the remote's directory; returns the private key's path.
fn key(remote: &Remote, kind: &str, passphrase: &str) -> std::path::PathBuf {
    let file = remote.dir.path().join(format!("key-{kind}-{}", passphrase.len()));
    let made = Command::new("ssh-keygen")
        .args(["-q", "-t", kind, "-N", passphrase, "-C", "countersign", "-f"])
        .arg(&file)
        .status();
    assert!(made.expect("ssh-keygen is installed").success());
    file
}

#[tokio::test]
async fn signed_commits_verify_and_keep_their_ids() {
    let remote = Remote::with(&[("f", "x\n")]);
    let mut options = remote.options();
    let file = key(&remote, "ed25519", "");
    options.signing_key = Some(file.clone());
    let repository = Repository::open(options).await.expect("a repository");
    let (base, change) = change(&repository, vec![write("f", "y\n")]).await;
    let built = repository
        .build(base, &[spec(&change, "signed\n\nProposal-Id: prp_1")])
        .await
        .expect("a commit");
    assert_eq!(
        repository
            .build(base, &[spec(&change, "signed\n\nProposal-Id: prp_1")])
            .await
            .as_ref(),
        Ok(&built),
        "signing is deterministic"
    );
    assert_eq!(repository.push(&built, base).await, PushOutcome::Confirmed);
    remote.fsck();
    let public = std::fs::read_to_string(file.with_extension("pub")).expect("a public key");
    let allowed = remote.dir.path().join("allowed");
    std::fs::write(&allowed, format!("countersign@example.com {public}")).expect("a file");
    let setting = format!("gpg.ssh.allowedSignersFile={}", allowed.display());
    let verify = |id: String| git_output(&remote.path(), &["-c", "gpg.format=ssh", "-c", &setting, "verify-commit", &id]);
    let verified = verify(built.tip().to_string());
    let said = String::from_utf8_lossy(&verified.stderr).into_owned();
    assert!(
        verified.status.success() && said.contains("Good \"git\" signature for countersign@example.com"),
        "{said}"
    );
    assert!(!verify(base.to_string()).status.success(), "an unsigned commit does not verify");
    assert_eq!(repository.describe_commit(built.tip()).await.expect("facts").trailers.len(), 1);
}

#[tokio::test]
async fn unusable_keys_are_named_at_start() {
    let remote = Remote::with(&[("f", "x\n")]);
    let garbage = remote.dir.path().join("garbage");
    std::fs::write(&garbage, "canary").expect("a file");
    for (file, words) in [
        (remote.dir.path().join("missing"), "cannot be read"),
        (garbage, "cannot be read as an OpenSSH key"),
        (key(&remote, "ed25519", "secret"), "is encrypted"),
        (key(&remote, "ecdsa", ""), "use ed25519"),
    ] {
        let mut options = remote.options();
        options.signing_key = Some(file.clone());
        let error = Repository::open(options).await.expect_err("no usable key");
        assert!(
            matches!(&error, GitError::Config(text) if text.contains(words) && text.contains(file.to_str().unwrap_or_default())),
            "{error}"
        );
        assert!(!error.to_string().contains("canary"));
    }
}

#[tokio::test]
async fn a_key_that_vanished_later_stops_the_build() {
    let remote = Remote::with(&[("f", "x\n")]);
    let mut options = remote.options();
    let file = key(&remote, "ed25519", "");
    options.signing_key = Some(file.clone());
    let repository = Repository::open(options).await.expect("a repository");
    let (base, change) = change(&repository, vec![write("f", "y\n")]).await;
    std::fs::remove_file(file).expect("a key to remove");
    let result = repository.build(base, &[spec(&change, "x")]).await;
    assert!(matches!(result, Err(BuildError::Git(GitError::Config(_)))), "{result:?}");
}
