//! Puts the routes, the layers and Socket.IO together. Owns the order of the layers; knows no handler's inside.

use axum::{Router, middleware};

use super::{access, api, connections, counting, docs, guard, pages, path, socket::Sockets};
use crate::session::Handle;

/// The whole HTTP side of the server, ready to be served.
pub struct App {
    /// Answers every request; cheap to clone.
    pub router: Router,
    /// The Socket.IO side, whose tasks `serve` runs.
    pub(super) sockets: Sockets,
}

/// Builds the routes over a session handle.
pub fn app(handle: Handle) -> App {
    let access = access::Access::new(&handle.config().server);
    let metrics = handle.metrics().clone();
    let timeout = guard::request_timeout(handle.config());
    let known = connections::Connections::default();
    let (socket_layer, sockets) = Sockets::new(handle.clone(), access.clone(), known.clone());
    let (api_routes, document) = api::routes().split_for_parts();
    let routes = api_routes
        .merge(docs::routes(document))
        .fallback_service(pages::service(&handle.config().server))
        .layer(middleware::from_fn(counting::keep_route))
        .with_state(handle)
        .layer(socket_layer);
    // Layers of a router run after it has chosen a route, so the real router is the fallback of an outer one. From the
    // outside in: request id and errors, CORS (answers preflights itself), path, who may ask.
    let router = Router::new()
        .fallback_service(routes)
        .layer(middleware::from_fn_with_state(known, connections::note))
        .layer(middleware::from_fn_with_state(access.clone(), guard::admit))
        .layer(middleware::map_request(path::normalise))
        .layer(access.cors())
        .layer(middleware::from_fn_with_state(timeout, guard::finish))
        .layer(middleware::from_fn_with_state(metrics, counting::count));
    App { router, sockets }
}
