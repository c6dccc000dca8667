//! Counts requests for the metrics, by method, route template and class of status. Owns no counter and changes no answer.

use std::sync::Arc;

use axum::{
    extract::{MatchedPath, Request, State},
    http::Method,
    middleware::Next,
    response::Response,
};

use super::guard::is_socket_path;
use crate::metrics::{Metrics, Route};

/// The template of the route that answered, on its way out to [`count`].
#[derive(Clone)]
struct Template(String);

/// Runs around the routes, where the template is known: notes it in the answer.
pub(super) async fn keep_route(matched: Option<MatchedPath>, request: Request, next: Next) -> Response {
    let template = matched.map(|matched| Template(matched.as_str().to_owned()));
    let mut response = next.run(request).await;
    if let Some(template) = template {
        response.extensions_mut().insert(template);
    }
    response
}

/// Runs around everything, where the final status is known.
pub(super) async fn count(State(metrics): State<Arc<Metrics>>, request: Request, next: Next) -> Response {
    let method = method(request.method());
    let socket = is_socket_path(request.uri().path());
    let mut response = next.run(request).await;
    let route = match response.extensions_mut().remove::<Template>() {
        Some(Template(template)) => template,
        None if socket => super::handshakes::PATH.to_owned(),
        // Pages, what leads nowhere, and what was refused before its route was looked for.
        None => "other".to_owned(),
    };
    metrics.http.answered(Route { method, route, class: response.status().as_u16() / 100 });
    response
}

/// A client may send any word as its method.
fn method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}
