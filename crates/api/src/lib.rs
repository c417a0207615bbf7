//! HTTP /v1 for agents, with its OpenAPI description.
