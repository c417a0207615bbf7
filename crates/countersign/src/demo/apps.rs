//! What stands in for people's authenticator apps: the demo enrols its two people, and computes from the same secrets what their phones would
//! show. In a real house these secrets are on the phones, and nowhere else.

use std::collections::BTreeMap;

use anyhow::{Result, anyhow};
use domain::code::{CodeKey, Generator, Seed};
use domain::{PersonRef, Timestamp, UserId};

use super::world::{BOB, CAROL};
use crate::settings::Settings;

/// The service's half of the demo's generators. A demonstration keeps nothing that would need a better one.
pub(super) const CODE_KEY: &str = "a demonstration needs no secret of its own";

/// The apps, by person.
pub(super) struct Apps(BTreeMap<i64, Seed>);

impl Apps {
    /// Gives both people of the demo a generator, as `countersign totp enroll` does.
    pub(super) async fn enrolled(settings: &Settings, key: &str) -> Result<Self> {
        let key = CodeKey::new(key)?;
        let store = store::Store::open(&settings.database, store::StoreOptions::default()).await?;
        let mut apps = BTreeMap::new();
        for (id, name) in [(BOB, "bob"), (CAROL, "carol")] {
            let mut salt = [0; 20];
            getrandom::fill(&mut salt).map_err(|error| anyhow!("no random bytes: {error}"))?;
            let person = PersonRef {
                id: UserId(id),
                name: name.to_owned(),
            };
            let generator = Generator::new(person, &key, salt, now());
            apps.insert(id, generator.seed(&key));
            store
                .write(move |tx| Box::pin(async move { tx.put_generator(&generator).await }))
                .await?;
        }
        store.close().await;
        Ok(Self(apps))
    }

    /// Who has one.
    pub(super) fn people(&self) -> impl Iterator<Item = i64> {
        self.0.keys().copied()
    }

    /// What a person's app shows now.
    pub(super) fn code(&self, person: i64) -> Option<String> {
        Some(self.0.get(&person)?.code_at(now()))
    }

    /// Six digits that a person's app shows at no time near this one.
    pub(super) fn wrong_code(&self, person: i64) -> Option<String> {
        let seed = self.0.get(&person)?;
        let near: Vec<String> = (-60..60)
            .map(|step| seed.code_at(now() + chrono::Duration::seconds(step * 30)))
            .collect();
        (0..1000).map(|number| format!("{number:06}")).find(|code| !near.contains(code))
    }
}

fn now() -> Timestamp {
    chrono::Utc::now()
}
