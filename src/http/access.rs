//! Who may do what: origins, hosts and tokens, as the configuration has them. Owns the judgement; sees no route.

use std::{sync::Arc, time::Duration};

use axum::{
    extract::Query,
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header},
    response::Response,
};
use serde::Deserialize;
use tower_http::cors::{AllowOrigin, CorsLayer};

use super::{errors, handshakes::Handshakes};
use crate::config;

/// The header with a request's id.
pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Who asks, as far as `server.admin_token` tells; a request's extension.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rights {
    /// There is no such token.
    NoAdmins,
    /// There is one, and the request brings none at all.
    Nobody,
    /// It brings another.
    User,
    /// It brings this one.
    Admin,
}

/// Who may ask.
pub(super) struct Access {
    origins: Vec<String>,
    any_origin: bool,
    /// The names a request's `Host` may have; `None` when any will do.
    hosts: Option<Vec<String>>,
    token: String,
    admin_token: String,
    pub(super) handshakes: Handshakes,
}

/// What a request carries as its token.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Credential {
    /// None is needed, or the right one is there.
    Good,
    /// One is needed and none is there.
    Missing,
    /// One is there and it is wrong.
    Wrong,
}

#[derive(Deserialize)]
struct TokenQuery {
    token: Option<String>,
}

impl Access {
    pub(super) fn new(server: &config::Server) -> Arc<Self> {
        let any_origin = server.allowed_origins.iter().any(|origin| origin.trim() == "*");
        // A page of any site can let its own name lead to 127.0.0.1 and then is of the same origin as the server (DNS
        // rebinding). Only `Host` tells. On other addresses a server cannot know its names.
        let checks_host = server.listen.ip().to_canonical().is_loopback() && !any_origin;
        let hosts = checks_host.then(|| {
            let listed =
                server.allowed_origins.iter().filter_map(|origin| Some(host_name(origin.split_once("://")?.1)));
            ["localhost", "127.0.0.1", "[::1]"].map(str::to_owned).into_iter().chain(listed).collect()
        });
        Arc::new(Self {
            origins: server.allowed_origins.iter().map(|origin| normal_origin(origin)).collect(),
            any_origin,
            hosts,
            token: server.token.clone(),
            admin_token: server.admin_token.clone(),
            handshakes: Handshakes::new(),
        })
    }

    /// CORS: nothing for other origins unless the configuration lists them.
    pub(super) fn cors(self: &Arc<Self>) -> CorsLayer {
        let origin = if self.any_origin {
            AllowOrigin::any()
        } else {
            let access = self.clone();
            AllowOrigin::predicate(move |origin, _| origin.to_str().is_ok_and(|origin| access.is_listed(origin)))
        };
        CorsLayer::new()
            .allow_origin(origin)
            .allow_methods([Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE])
            .allow_headers([header::CONTENT_TYPE, header::AUTHORIZATION])
            .expose_headers([header::RETRY_AFTER, REQUEST_ID])
            .max_age(Duration::from_secs(600))
    }

    fn is_listed(&self, origin: &str) -> bool {
        self.any_origin || self.origins.contains(&normal_origin(origin))
    }

    /// The `Host` of a request that names a server other than this one. Without the header no browser asks.
    pub(super) fn wrong_host(&self, headers: &HeaderMap) -> Option<String> {
        let hosts = self.hosts.as_ref()?;
        let names = headers.get_all(header::HOST).iter();
        let mut names = names.map(|host| host_name(&String::from_utf8_lossy(host.as_bytes())));
        names.find(|name| !hosts.contains(name))
    }

    /// Whether a page of this origin may change something here.
    pub(super) fn may_change(&self, headers: &HeaderMap) -> bool {
        let Some(origin) = headers.get(header::ORIGIN) else {
            // No browser: scripts send none, and browsers always do for what could be forged.
            return true;
        };
        let Ok(origin) = origin.to_str() else { return false };
        let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
        self.is_listed(origin) || host.is_some_and(|host| is_same_host(origin, host))
    }

    /// The token of a request's header or query.
    pub(super) fn credential(&self, headers: &HeaderMap, uri: &Uri) -> Credential {
        if self.token.is_empty() {
            return Credential::Good;
        }
        given_token(headers, uri).map_or(Credential::Missing, |given| self.check_token(&given))
    }

    /// Checks a token; the administrators' is as good as the other.
    pub(super) fn check_token(&self, given: &str) -> Credential {
        if self.token.is_empty() || self.is_token(given) || self.is_admin_token(given) {
            Credential::Good
        } else {
            Credential::Wrong
        }
    }

    fn is_token(&self, given: &str) -> bool {
        !self.token.is_empty() && same_bytes(given.as_bytes(), self.token.as_bytes())
    }

    fn is_admin_token(&self, given: &str) -> bool {
        !self.admin_token.is_empty() && same_bytes(given.as_bytes(), self.admin_token.as_bytes())
    }

    /// Whether a request may change the server itself.
    pub(super) fn rights(&self, headers: &HeaderMap, uri: &Uri) -> Rights {
        if self.admin_token.is_empty() {
            return Rights::NoAdmins;
        }
        match given_token(headers, uri) {
            None => Rights::Nobody,
            Some(given) if self.is_admin_token(&given) => Rights::Admin,
            Some(_) => Rights::User,
        }
    }
}

/// The token of a request's header, or else of its query.
fn given_token(headers: &HeaderMap, uri: &Uri) -> Option<String> {
    let authorization = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let bearer = authorization.and_then(|value| {
        let (scheme, token) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim().to_owned())
    });
    bearer.or_else(|| Query::<TokenQuery>::try_from_uri(uri).ok().and_then(|Query(query)| query.token))
}

/// A 401 that says which header is missing.
pub(super) fn unauthorised(sentence: &str) -> Response {
    let mut response = errors::detail(StatusCode::UNAUTHORIZED, sentence);
    response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    response
}

fn normal_origin(origin: &str) -> String {
    origin.trim().trim_end_matches('/').to_ascii_lowercase()
}

/// The host of `host[:port]`, as it compares.
fn host_name(authority: &str) -> String {
    let authority = authority.trim().trim_end_matches('/').to_ascii_lowercase();
    let name = match authority.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => &authority,
    };
    name.strip_suffix('.').unwrap_or(name).to_owned()
}

/// Whether an `Origin` is the one that `Host` names. The scheme is left out of it: a proxy may have ended TLS.
pub(super) fn is_same_host(origin: &str, host: &str) -> bool {
    let Some((scheme, authority)) = origin.split_once("://") else { return false };
    let default_port = if scheme.eq_ignore_ascii_case("https") { ":443" } else { ":80" };
    let bare = |text: &str| {
        let text = text.to_ascii_lowercase();
        text.strip_suffix(default_port).map_or(text.clone(), str::to_owned)
    };
    bare(authority) == bare(host)
}

/// Compares in a time that depends on the lengths only.
fn same_bytes(a: &[u8], b: &[u8]) -> bool {
    let differing = a.iter().zip(b).fold(0u8, |sum, (x, y)| std::hint::black_box(sum | (x ^ y)));
    a.len() == b.len() && differing == 0
}
