//! What only administrators may do: extractors for the handlers that need `server.admin_token`. Owns no token; who asks is
//! found out by `guard`, which sees every request.

use axum::{
    extract::FromRequestParts,
    http::{StatusCode, request::Parts},
    response::Response,
};

use super::{
    access::{Rights, unauthorised},
    errors,
};

/// Taken by handlers that only administrators may call. Without `server.admin_token` nobody may.
pub(super) struct Admin;

/// Taken by handlers that only administrators may call where there are any; without `server.admin_token`, everybody who may
/// use the API may.
pub(super) struct AdminIfAny;

impl<S: Send + Sync> FromRequestParts<S> for Admin {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Response> {
        admin(parts, false).map(|()| Self)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for AdminIfAny {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Response> {
        admin(parts, true).map(|()| Self)
    }
}

#[expect(clippy::result_large_err, reason = "a response, as axum takes it; once per refused request")]
fn admin(parts: &Parts, without_admins: bool) -> Result<(), Response> {
    match parts.extensions.get::<Rights>() {
        Some(Rights::Admin) => Ok(()),
        Some(Rights::NoAdmins) if without_admins => Ok(()),
        Some(Rights::Nobody) => Err(unauthorised(
            "This needs the admin token. Send server.admin_token of the server's configuration as 'Authorization: \
             Bearer <token>'.",
        )),
        Some(Rights::User) => Err(errors::detail(
            StatusCode::FORBIDDEN,
            "This needs the admin token, and the request has another token. Send server.admin_token of the server's \
             configuration.",
        )),
        // Without the layer that says who asks, nobody is an administrator.
        Some(Rights::NoAdmins) | None => Err(errors::detail(
            StatusCode::FORBIDDEN,
            "This needs an admin token, and this server has none. Set server.admin_token in its configuration.",
        )),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use axum::{Router, body::Body, extract::Request, http::header, middleware, routing::get};
    use tower::ServiceExt;

    use super::{
        super::{access, guard},
        *,
    };
    use crate::config;

    #[tokio::test]
    async fn only_the_administrators_token_makes_an_administrator() {
        let of = async |token: &str, admin_token: &str, given: Option<&str>| {
            let server =
                config::Server { token: token.into(), admin_token: admin_token.into(), ..config::Server::default() };
            let access: Arc<access::Access> = access::Access::new(&server);
            let router = Router::new()
                .route("/api/admin", get(async |_: Admin| "yes"))
                .route("/api/if-any", get(async |_: AdminIfAny| "yes"))
                .layer(middleware::from_fn_with_state(access, guard::admit));
            let mut statuses = Vec::new();
            for path in ["/api/admin", "/api/if-any"] {
                let mut request = Request::get(path);
                if let Some(given) = given {
                    request = request.header(header::AUTHORIZATION, format!("Bearer {given}"));
                }
                let request = request.body(Body::empty()).expect("a request");
                statuses.push(router.clone().oneshot(request).await.expect("infallible").status().as_u16());
            }
            (statuses[0], statuses[1])
        };
        assert_eq!(of("", "", None).await, (403, 200));
        assert_eq!(of("", "", Some("x")).await, (403, 200));
        assert_eq!(of("t", "", Some("t")).await, (403, 200));
        assert_eq!(of("", "a", None).await, (401, 401));
        assert_eq!(of("", "a", Some("x")).await, (403, 403));
        assert_eq!(of("", "a", Some("a")).await, (200, 200));
        assert_eq!(of("t", "a", None).await, (401, 401));
        assert_eq!(of("t", "a", Some("t")).await, (403, 403));
        assert_eq!(of("t", "a", Some("a")).await, (200, 200));
        assert_eq!(of("t", "a", Some("")).await, (403, 403));
    }
}
