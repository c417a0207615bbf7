//! The whole application as one router, and its OpenAPI 3.1 description, which the same route table generates.

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use tower_http::catch_panic::CatchPanicLayer;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi};
use utoipa_axum::router::OpenApiRouter;
use utoipa_swagger_ui::{Config, SwaggerUi};

use crate::authenticate::authenticate;
use crate::face::Face;
use crate::leftover::leftover;
use crate::limits::ApiLimits;
use crate::outermost::{outermost, panicked};
use crate::routes;
use engine::Engine;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Countersign",
        version = "1",
        description = "An agent signs a change; a human countersigns it; git carries it; Argo CD proves it.\n\nAgents propose file changes here. No call of this interface can decide anything. Every refusal is `application/problem+json`.",
        license(name = "MIT OR Apache-2.0"),
    ),
    tags(
        (name = "proposals", description = "Ask for changes and follow them"),
        (name = "observations", description = "Report commits that are there already"),
        (name = "about", description = "What the caller may do"),
        (name = "operation", description = "For probes, without a token"),
    ),
    security(("token" = [])),
    modifiers(&Token),
)]
struct Description;

struct Token;

impl Modify for Token {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let scheme = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("The token that `countersign agent add` printed."))
            .build();
        let components = openapi.components.get_or_insert_default();
        components.add_security_scheme("token", SecurityScheme::Http(scheme));
    }
}

/// The application: agents' routes behind their token, probes, Telegram's webhook, the description at `/openapi.json` and `/docs`.
pub fn router(engine: Engine, limits: ApiLimits) -> Router {
    let face = Face::new(engine, limits);
    let agents = routes::agents()
        .layer(from_fn_with_state(face.clone(), leftover))
        .layer(from_fn_with_state(face.clone(), authenticate));
    let (described, openapi) = described(agents).split_for_parts();
    // The validator's badge would send the description to a public service.
    let docs = SwaggerUi::new("/docs")
        .url("/openapi.json", openapi)
        .config(Config::default().validator_url("none"));
    described
        .merge(routes::telegram())
        .merge(docs)
        .layer(CatchPanicLayer::custom(panicked))
        .layer(from_fn(outermost))
        .with_state(face)
}

/// The description alone.
pub fn openapi() -> utoipa::openapi::OpenApi {
    described(routes::agents()).into_openapi()
}

fn described(agents: OpenApiRouter<Face>) -> OpenApiRouter<Face> {
    OpenApiRouter::with_openapi(Description::openapi())
        .merge(agents)
        .merge(routes::open())
}
