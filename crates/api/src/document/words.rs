//! The closed sets and the shapes of hashes as OpenAPI schemas, taken from the domain so that they cannot drift.

use domain::{ChangeKind, Decision, Delivery, Landed, Outcome, ReviewVerdict, RevisionAuthor, Tier};
use serde::Serialize;
use serde_json::Value;
use utoipa::openapi::schema::{KnownFormat, Object, ObjectBuilder, SchemaFormat, SchemaType, Type};
use utoipa::openapi::{RefOr, Schema};

fn closed<T: Serialize>(members: &[T], or_null: bool) -> RefOr<Schema> {
    let mut words: Vec<Value> = members.iter().filter_map(|member| serde_json::to_value(member).ok()).collect();
    if or_null {
        words.push(Value::Null);
    }
    let builder = ObjectBuilder::new().schema_type(kind(or_null)).enum_values(Some(words));
    RefOr::T(Schema::Object(builder.build()))
}

fn kind(or_null: bool) -> SchemaType {
    if or_null {
        SchemaType::from_iter([Type::String, Type::Null])
    } else {
        SchemaType::Type(Type::String)
    }
}

fn hex(digits: usize, or_null: bool) -> RefOr<Schema> {
    let object: Object = ObjectBuilder::new()
        .schema_type(kind(or_null))
        .pattern(Some(format!("^[0-9a-f]{{{digits}}}$")))
        .build();
    RefOr::T(Schema::Object(object))
}

fn date_time(or_null: bool) -> RefOr<Schema> {
    let format = SchemaFormat::KnownFormat(KnownFormat::DateTime);
    RefOr::T(Schema::Object(
        ObjectBuilder::new().schema_type(kind(or_null)).format(Some(format)).build(),
    ))
}

macro_rules! schemas {
    ($($(#[$doc:meta])* $name:ident = $schema:expr;)+) => {
        $($(#[$doc])* pub fn $name() -> RefOr<Schema> { $schema })+
    };
}

schemas! {
    /// A tier.
    tier = closed(Tier::ALL, false);
    /// A tier, or null.
    tier_or_null = closed(Tier::ALL, true);
    /// A decision.
    decision = closed(Decision::ALL, false);
    /// A delivery.
    delivery = closed(Delivery::ALL, false);
    /// An outcome.
    outcome = closed(Outcome::ALL, false);
    /// An outcome, or null while there is none.
    outcome_or_null = closed(Outcome::ALL, true);
    /// How a manual change arrived, or null.
    landed_or_null = closed(Landed::ALL, true);
    /// Approve or reject.
    verdict = closed(&[ReviewVerdict::Approve, ReviewVerdict::Reject], false);
    /// Who wrote a revision.
    revision_author = closed(&[RevisionAuthor::Agent, RevisionAuthor::Countersign], false);
    /// What happens to a path.
    change_kind = closed(&[ChangeKind::Added, ChangeKind::Modified, ChangeKind::Deleted], false);
    /// A git object id.
    object_id = hex(40, false);
    /// A git object id, or null.
    object_id_or_null = hex(40, true);
    /// A moment in UTC (RFC 3339).
    moment = date_time(false);
    /// A moment in UTC (RFC 3339), or null.
    moment_or_null = date_time(true);
    /// A SHA-256 value.
    sha256 = hex(64, false);
}
