//! `countersign totp enroll|list|revoke`: generators of codes, the second factor of approvers on marked paths. Works beside a running service.
//!
//! What an app needs is shown once and kept nowhere: the seed is made of a random salt in the database and the service's key outside of it.

use chrono::Utc;
use clap::{Args, Subcommand};
use domain::code::{DIGITS, Generator, STEP_SECONDS};
use domain::{PersonRef, Timestamp};
use serde_json::json;
use store::{Actor, Audit, Store, StoreError};

use super::{open, open_or_create};
use crate::cli::{Failure, WithConfig};
use crate::out::{complain, say};
use crate::settings::{PolicySettings, Settings};

/// Whom an app shows as the issuer of a code.
const ISSUER: &str = "Countersign";

/// The subcommands of `totp`.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Give somebody of the policy a generator, and print what their authenticator app needs, once
    Enroll(Named),
    /// List generators as JSON lines, without anything secret
    List(WithConfig),
    /// Take somebody's generator away at once
    Revoke(Named),
}

/// A person.
#[derive(Debug, Args)]
pub(crate) struct Named {
    /// The display name
    person: String,
    #[command(flatten)]
    with: WithConfig,
}

pub(crate) async fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Enroll(named) => {
            let settings = named.with.settings()?;
            let person = known(&settings, &named.person)?;
            let store = open_or_create(&settings.database).await?;
            let done = enroll(&store, &settings, person).await;
            store.close().await;
            done
        }
        Command::List(with) => {
            let store = open(&with.settings()?.database).await?;
            let generators = store.read().generators().await;
            store.close().await;
            generators?.iter().for_each(|one| say!("{}", described(one, Utc::now())));
            Ok(())
        }
        Command::Revoke(named) => {
            let store = open(&named.with.settings()?.database).await?;
            let done = revoke(&store, &named.person).await;
            store.close().await;
            done
        }
    }
}

fn known(settings: &Settings, name: &str) -> Result<PersonRef, Failure> {
    let book = settings.book()?;
    let found = book.policy.people().find(|person| person.name == name);
    found
        .map(|person| PersonRef {
            id: person.id,
            name: person.name.clone(),
        })
        .ok_or_else(|| {
            let names = book.policy.people().map(|person| person.name.as_str());
            Failure::Usage(
                format!("{name:?} is not among the people of the policy"),
                super::one_of(names, "the policy names nobody: add [people]"),
            )
        })
}

async fn enroll(store: &Store, settings: &Settings, person: PersonRef) -> Result<(), Failure> {
    let Some(secret) = &settings.policy.code_key else {
        return Err(Failure::Failed(
            "there is no key behind codes".to_owned(),
            "write a file with `openssl rand -hex 32`, name it as policy.code_key_file, and restart the service".to_owned(),
        ));
    };
    let key = PolicySettings::code_key(secret).map_err(|why| Failure::Failed(why, format!("correct {}", secret.key())))?;
    let mut salt = [0; 20];
    getrandom::fill(&mut salt).map_err(|error| {
        Failure::Failed(
            format!("the operating system gives no random bytes: {error}"),
            "try again".to_owned(),
        )
    })?;
    let generator = Generator::new(person, &key, salt, Utc::now());
    let kept = generator.clone();
    let new = store
        .write(move |tx| {
            Box::pin(async move {
                if tx.generator(kept.person.id).await?.is_some() {
                    return Ok::<_, StoreError>(false);
                }
                tx.put_generator(&kept).await?;
                tx.audit(row(
                    "totp_enrolled",
                    "got a generator of codes",
                    &kept.person.name,
                    kept.enrolled_at,
                ))
                .await?;
                Ok(true)
            })
        })
        .await?;
    let name = &generator.person.name;
    if !new {
        return Err(Failure::Failed(
            format!("{name} has a generator already"),
            format!("`countersign totp revoke {name}` takes it away; then enrol again"),
        ));
    }
    let base32 = base32(generator.seed(&key).bytes());
    complain!("generator of {name}: give them this address (as a QR code) or the secret in it; it is shown only now:");
    say!("{}", address(name, &base32));
    say!("{base32}");
    Ok(())
}

async fn revoke(store: &Store, name: &str) -> Result<(), Failure> {
    let wanted = name.to_owned();
    let gone = store
        .write(move |tx| {
            Box::pin(async move {
                // Also of somebody who has left the policy.
                let found = tx.generators().await?.into_iter().find(|one| one.person.name == wanted);
                let Some(generator) = found else {
                    return Ok::<_, StoreError>(false);
                };
                tx.remove_generator(generator.person.id).await?;
                tx.audit(row("totp_revoked", "lost their generator of codes", &wanted, Utc::now()))
                    .await?;
                Ok(true)
            })
        })
        .await?;
    if !gone {
        return Err(Failure::Failed(
            format!("{name} has no generator"),
            "`countersign totp list` shows all".to_owned(),
        ));
    }
    say!("{}", json!({ "name": name, "state": "revoked" }));
    Ok(())
}

fn row(event: &str, what: &str, name: &str, at: Timestamp) -> Audit {
    Audit {
        proposal: None,
        actor: Actor::Service,
        event: event.to_owned(),
        summary: format!("{name} {what} on the command line"),
        details: json!({ "person": name }),
        at,
    }
}

fn described(generator: &Generator, now: Timestamp) -> serde_json::Value {
    let locked = generator.locked(now);
    json!({
        "name": generator.person.name, "state": if locked.is_some() { "locked" } else { "active" }, "locked_until": locked,
        "enrolled_at": generator.enrolled_at, "last_used_at": generator.last_used_at,
    })
}

/// What authenticator apps read from a QR code.
fn address(name: &str, base32: &str) -> String {
    let mut url = String::from("otpauth://totp/");
    let escaped = |text: &str| -> String { text.bytes().map(escape).collect() };
    url.push_str(&format!("{}:{}", escaped(ISSUER), escaped(name)));
    url + &format!(
        "?secret={base32}&issuer={}&algorithm=SHA1&digits={DIGITS}&period={STEP_SECONDS}",
        escaped(ISSUER)
    )
}

fn escape(byte: u8) -> String {
    match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        other => format!("%{other:02X}"),
    }
}

/// RFC 4648, of twenty bytes: no padding comes up.
fn base32(bytes: &[u8; 20]) -> String {
    const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let five = |group: &[u8]| {
        let bits = group.iter().fold(0_u64, |bits, byte| bits << 8 | u64::from(*byte));
        (0..8).map(move |digit| char::from(ALPHABET[(bits >> (35 - 5 * digit) & 31) as usize]))
    };
    bytes.chunks(5).flat_map(five).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_app_reads() {
        assert_eq!(base32(b"12345678901234567890"), "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ");
        assert_eq!(
            address("alice b/ä", "GEZDGNBV"),
            "otpauth://totp/Countersign:alice%20b%2F%C3%A4?secret=GEZDGNBV&issuer=Countersign&algorithm=SHA1&digits=6&period=30"
        );
    }
}
