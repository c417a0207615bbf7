//! `countersign totp`, and what `check` says of codes that nobody can give.

use crate::world::World;

const MARKED: &str = "\n[[floors]]\npaths = [\"kubernetes/applications/**\"]\nsecond_factor = \"totp\"\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_that_asks_for_codes_needs_a_key_and_people_with_generators() {
    let world = World::start().await;
    let policy = std::fs::read_to_string(world.path("policy.toml")).unwrap();
    world.write("policy.toml", &format!("{policy}{MARKED}"));
    let said = world.run(&["check"]).await;
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(
        said.err
            .contains("problem: the policy says second_factor = \"totp\", and there is no key behind codes")
            && said
                .err
                .contains("remedy: write a file with `openssl rand -hex 32`, and name it as policy.code_key_file"),
        "{said:?}"
    );
    let said = world.run(&["totp", "enroll", "alice"]).await;
    assert!(
        said.code == Some(1) && said.err.contains("error: there is no key behind codes"),
        "{said:?}"
    );

    world.configure("runbooks", "runbooks = \"runbooks\"\ncode_key_file = \"code-key\"");
    world.write("code-key", "too short");
    for arguments in [&["check"][..], &["totp", "enroll", "alice"]] {
        let said = world.run(arguments).await;
        assert!(
            said.code == Some(1) && said.err.contains("policy.code_key_file: it is shorter than 32 characters"),
            "{said:?}"
        );
        assert!(!said.err.contains("too short"), "the secret is quoted: {said:?}");
    }
    world.write("code-key", "0123456789abcdef0123456789abcdef\n");
    let said = world.run(&["totp", "enroll", "mallory"]).await;
    assert!(
        said.code == Some(2)
            && said
                .err
                .contains("\"mallory\" is not among the people of the policy\n  remedy: use one of: alice"),
        "{said:?}"
    );
    assert_eq!(world.run(&["agent", "add", "ops-agent"]).await.code, Some(0));
    let said = world.run(&["check"]).await;
    assert!(
        said.code == Some(0) && said.out.contains("a class or floor takes codes, and nobody has a generator"),
        "{said:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_generator_is_shown_once_listed_without_its_secret_and_taken_away() {
    let world = World::start().await;
    world.configure("runbooks", "runbooks = \"runbooks\"\ncode_key_file = \"code-key\"");
    world.write("code-key", "0123456789abcdef0123456789abcdef\n");
    let said = world.run(&["totp", "enroll", "alice"]).await;
    let lines: Vec<&str> = said.out.lines().collect();
    let [address, secret] = lines.as_slice() else { panic!("{said:?}") };
    let expected = format!("otpauth://totp/Countersign:alice?secret={secret}&issuer=Countersign&algorithm=SHA1&digits=6&period=30");
    assert_eq!((said.code, *address, secret.len()), (Some(0), expected.as_str(), 32));
    let again = world.run(&["totp", "enroll", "alice"]).await;
    assert!(
        again.code == Some(1)
            && again
                .err
                .contains("alice has a generator already\n  remedy: `countersign totp revoke alice`"),
        "{again:?}"
    );
    let listed = world.run(&["totp", "list"]).await;
    assert!(
        listed.out.contains("\"name\":\"alice\"") && listed.out.contains("\"state\":\"active\"") && !listed.out.contains(secret),
        "{listed:?}"
    );
    assert_eq!(world.run(&["totp", "revoke", "alice"]).await.code, Some(0));
    let gone = world.run(&["totp", "revoke", "alice"]).await;
    assert!(gone.code == Some(1) && gone.err.contains("alice has no generator"), "{gone:?}");
    let anew = world.run(&["totp", "enroll", "alice"]).await;
    assert!(anew.code == Some(0) && !anew.out.contains(secret), "the same seed again: {anew:?}");
    let audit = world.run(&["audit", "show"]).await;
    assert!(
        audit.out.contains("totp_enrolled") && audit.out.contains("totp_revoked") && !audit.out.contains(secret),
        "{audit:?}"
    );
}
