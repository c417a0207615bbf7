//! The whole application over HTTP, with a real engine behind it.

mod agents;
mod asking;
mod choices;
mod codes;
mod fixture;
mod guards;
mod refusals;
mod second_factors;
mod service;

/// The OpenAPI description as a JSON Schema that validates documents of one of its components.
pub fn validator(component: &str) -> jsonschema::Validator {
    let mut description = serde_json::to_value(crate::openapi()).unwrap();
    description["$ref"] = format!("#/components/schemas/{component}").into();
    jsonschema::draft202012::new(&description).unwrap()
}
