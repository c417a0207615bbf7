//! Generators of codes. What a typed code is, is judged by the domain; its answer is stored in the transaction that asked.

use domain::code::Generator;
use domain::{PersonRef, UserId};
use sqlx::SqliteConnection;

use crate::{StoreError, Tx, sql};

const PUT: &str =
    "insert into generators (person, name, salt, key_check, enrolled_at, last_step, last_used_at, wrong, wrong_since, locked_until)
    values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
    on conflict (person) do update set name = excluded.name, salt = excluded.salt, key_check = excluded.key_check,
        enrolled_at = excluded.enrolled_at, last_step = excluded.last_step, last_used_at = excluded.last_used_at, wrong = excluded.wrong,
        wrong_since = excluded.wrong_since, locked_until = excluded.locked_until";

type Columns = (i64, String, Vec<u8>, Vec<u8>, i64, i64, Option<i64>, u32, Option<i64>, Option<i64>);

impl Tx {
    /// Keeps a person's generator, in place of the one they had.
    pub async fn put_generator(&mut self, generator: &Generator) -> Result<(), StoreError> {
        self.execute(
            sqlx::query(PUT)
                .bind(generator.person.id.0)
                .bind(generator.person.name.clone())
                .bind(generator.salt.to_vec())
                .bind(generator.key_check.to_vec())
                .bind(sql::micros(generator.enrolled_at))
                .bind(sql::big(generator.last_step))
                .bind(generator.last_used_at.map(sql::micros))
                .bind(generator.wrong)
                .bind(generator.wrong_since.map(sql::micros))
                .bind(generator.locked_until.map(sql::micros)),
        )
        .await?;
        Ok(())
    }

    /// Forgets a person's generator; answers whether there was one.
    pub async fn remove_generator(&mut self, person: UserId) -> Result<bool, StoreError> {
        let rows = self
            .execute(sqlx::query("delete from generators where person = ?").bind(person.0))
            .await?;
        Ok(rows > 0)
    }
}

pub(crate) const GENERATOR: &str =
    "select person, name, salt, key_check, enrolled_at, last_step, last_used_at, wrong, wrong_since, locked_until
     from generators where person = ?";
pub(crate) const GENERATORS: &str =
    "select person, name, salt, key_check, enrolled_at, last_step, last_used_at, wrong, wrong_since, locked_until
     from generators order by person";

pub(crate) async fn generator(connection: &mut SqliteConnection, person: UserId) -> Result<Option<Generator>, StoreError> {
    let row: Option<Columns> = sqlx::query_as(GENERATOR)
        .bind(person.0)
        .fetch_optional(connection)
        .await
        .map_err(sql::failed)?;
    row.map(read).transpose()
}

pub(crate) async fn generators(connection: &mut SqliteConnection) -> Result<Vec<Generator>, StoreError> {
    let rows: Vec<Columns> = sqlx::query_as(GENERATORS).fetch_all(connection).await.map_err(sql::failed)?;
    rows.into_iter().map(read).collect()
}

fn read((person, name, salt, check, enrolled, step, used, wrong, since, locked): Columns) -> Result<Generator, StoreError> {
    Ok(Generator {
        salt: bytes("salt", person, &salt)?,
        key_check: bytes("key check", person, &check)?,
        person: PersonRef { id: UserId(person), name },
        enrolled_at: sql::time(enrolled)?,
        last_step: sql::count(step),
        last_used_at: used.map(sql::time).transpose()?,
        wrong,
        wrong_since: since.map(sql::time).transpose()?,
        locked_until: locked.map(sql::time).transpose()?,
    })
}

fn bytes<const N: usize>(what: &'static str, person: i64, stored: &[u8]) -> Result<[u8; N], StoreError> {
    stored.try_into().map_err(|_| {
        sql::undecodable(
            what,
            &format!("generator of {person}"),
            format!("{} bytes instead of {N}", stored.len()),
        )
    })
}
