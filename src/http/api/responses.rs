//! The error responses that routes have in common, as the OpenAPI document names them. Owns no behaviour: the statuses
//! themselves come from `errors`.

use std::collections::BTreeMap;

use serde_json::json;
use utoipa::{
    IntoResponses,
    openapi::{
        Content, Ref, RefOr, Response, ResponseBuilder, header::HeaderBuilder, schema::ObjectBuilder, schema::Type,
    },
};

fn one(schema: &str, description: &str, example: serde_json::Value) -> RefOr<Response> {
    let mut content = Content::new(Some(RefOr::Ref(Ref::from_schema_name(schema))));
    content.example = Some(example);
    ResponseBuilder::new().description(description).content("application/json", content).build().into()
}

fn error(description: &str, sentence: &str) -> RefOr<Response> {
    one("ErrorBody", description, json!({ "detail": sentence }))
}

fn retry(description: &str, sentence: &str) -> RefOr<Response> {
    let RefOr::T(mut response) = error(description, sentence) else { unreachable!("error() builds a response") };
    let header = HeaderBuilder::new()
        .schema(Some(ObjectBuilder::new().schema_type(Type::Integer)))
        .description(Some("Seconds after which it is worth trying again."))
        .build();
    response.headers.insert("Retry-After".into(), RefOr::T(header));
    RefOr::T(response)
}

fn map<const N: usize>(responses: [(u16, RefOr<Response>); N]) -> BTreeMap<String, RefOr<Response>> {
    responses.into_iter().map(|(status, response)| (status.to_string(), response)).collect()
}

/// What every route may answer.
pub(super) struct AnyRoute;

impl IntoResponses for AnyRoute {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        map([
            (401, error("The token is missing. Only if one is configured.", "This server needs a token.")),
            (
                403,
                error(
                    "The token is wrong, or the page's origin or the name that it uses for the server is not allowed.",
                    "The token is wrong.",
                ),
            ),
            (
                500,
                one(
                    "InternalBody",
                    "A bug in the server. The log has the details under the request id.",
                    json!({"detail": "Internal error; …", "request_id": "1f3870be274f"}),
                ),
            ),
            (503, retry("It cannot be done now. Try again later.", "Device 844212070924 is unplugged.")),
        ])
    }
}

/// What a route with names in its address may answer as well.
pub(super) struct Addressed;

impl IntoResponses for Addressed {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        map([(
            400,
            error(
                "The address cannot be read: a name is not UTF-8, or a parameter is there twice.",
                "The request's address does not parse.",
            ),
        )])
    }
}

/// What a route that names a device, sensor, option or session may answer as well.
pub(super) struct Named;

impl IntoResponses for Named {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let mut responses = Addressed::responses();
        responses.extend(map([(
            404,
            error("The device, sensor, option, session or recording is not known.", "Device 1 is not known."),
        )]));
        responses
    }
}

/// What a route that takes values may answer as well.
pub(super) struct Checked;

impl IntoResponses for Checked {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        map([(
            400,
            error(
                "A value is not possible; the sentence lists those that are.",
                "Invalid stream type 'thermal'. Valid stream types: color, depth, infrared-1, infrared-2.",
            ),
        )])
    }
}

/// What a route that takes a JSON body may answer as well.
pub(super) struct WithBody;

impl IntoResponses for WithBody {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let loc = json!({"detail": [{"loc": ["body", "device_id"], "msg": "Field required", "type": "missing"}]});
        map([
            (408, error("The body did not arrive in time.", "The body did not arrive within 10 s; send it again.")),
            (413, error("The body is over 64 KiB.", "The body is larger than 64 KiB, the most this server takes.")),
            (415, error("The body is not JSON.", "Send the body as JSON.")),
            (422, one("ValidationBody", "JSON of the wrong shape; `loc` names the field.", loc)),
        ])
    }
}

/// What an offer may answer as well.
pub(super) struct Limited;

impl IntoResponses for Limited {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        map([(429, retry("The session limit is reached.", "The limit of 100 sessions is reached."))])
    }
}

/// What a route of the vendor's answers that this server does not do.
pub(super) struct NotDone;

impl IntoResponses for NotDone {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        map([(
            501,
            error("This server does not do it; the sentence says what does.", "This server does not update firmware."),
        )])
    }
}

/// What a request that something else can stand against may answer as well.
pub(super) struct Conflicting;

impl IntoResponses for Conflicting {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        map([(
            409,
            error("It conflicts with what runs; the sentence says why.", "depth runs already at 640x480 at 30 fps."),
        )])
    }
}
