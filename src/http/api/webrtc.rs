//! WebRTC sessions: the server offers, the browser answers.

use axum::{
    Json,
    extract::{Path, State},
    http::{HeaderMap, header},
};

use super::{
    super::{
        errors::ApiResult,
        extract::JsonBody,
        requests::{AnswerBody, CandidateBody, ChangeBody, OfferRequestBody},
        types::{self, ChangedBody, ClosedSessions, IceServer, OfferBody, StreamReferences, Success, WebRtcStatus},
    },
    responses::{Addressed, AnyRoute, Checked, Conflicting, Limited, Named, WithBody},
};
use crate::{
    model::{IceCandidate, SessionId},
    session::Handle,
};

/// Ask for an offer
///
/// Makes a session and starts the streams that it needs. The SDP already holds the server's candidates. Answer it within
/// `sessions.answer_timeout_s`. A request that is refused changes nothing.
#[utoipa::path(post, path = "/webrtc/offer", tag = "webrtc", operation_id = "create_offer",
    request_body = OfferRequestBody,
    responses((status = 200, description = "The offer.", body = OfferBody),
        AnyRoute, Named, Checked, Limited, WithBody))]
pub(in super::super) async fn offer(
    State(handle): State<Handle>,
    headers: HeaderMap,
    JsonBody(body): JsonBody<OfferRequestBody>,
) -> ApiResult<Json<OfferBody>> {
    let user_agent = headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok());
    let request = body.parse(user_agent)?;
    Ok(Json(handle.offer(request).await?.into()))
}

/// Answer an offer
#[utoipa::path(post, path = "/webrtc/answer", tag = "webrtc", operation_id = "answer_offer",
    request_body = AnswerBody,
    responses((status = 200, description = "The answer is applied.", body = Success),
        AnyRoute, Named, Checked, WithBody))]
pub(in super::super) async fn answer(
    State(handle): State<Handle>,
    JsonBody(body): JsonBody<AnswerBody>,
) -> ApiResult<Json<Success>> {
    body.check()?;
    handle.answer(SessionId::new(body.session_id), body.sdp).await?;
    Ok(Json(Success { success: true }))
}

/// Add a candidate of the browser
///
/// It may come before the answer: the server keeps it and uses it afterwards. An empty one means that no more follow.
#[utoipa::path(post, path = "/webrtc/ice-candidates", tag = "webrtc", operation_id = "add_ice_candidate",
    request_body = CandidateBody,
    responses((status = 200, description = "The candidate is taken.", body = Success),
        AnyRoute, Named, Checked, WithBody))]
pub(in super::super) async fn add_candidate(
    State(handle): State<Handle>,
    JsonBody(body): JsonBody<CandidateBody>,
) -> ApiResult<Json<Success>> {
    let session = SessionId::new(&body.session_id);
    handle.add_candidate(session, body.into()).await?;
    Ok(Json(Success { success: true }))
}

/// List the sessions
#[utoipa::path(get, path = "/webrtc/sessions", tag = "webrtc", operation_id = "list_sessions",
    responses((status = 200, description = "Sessions.", body = Vec<WebRtcStatus>), AnyRoute))]
pub(in super::super) async fn sessions(State(handle): State<Handle>) -> ApiResult<Json<Vec<WebRtcStatus>>> {
    Ok(Json(handle.sessions().await?.into_iter().map(WebRtcStatus::from).collect()))
}

/// One session
#[utoipa::path(get, path = "/webrtc/sessions/{session_id}", tag = "webrtc", operation_id = "get_session",
    params(("session_id" = String, Path, description = "Session")),
    responses((status = 200, description = "The session.", body = WebRtcStatus), AnyRoute, Named))]
pub(in super::super) async fn session(
    State(handle): State<Handle>,
    Path(session): Path<String>,
) -> ApiResult<Json<WebRtcStatus>> {
    Ok(Json(handle.session(SessionId::new(session)).await?.into()))
}

/// The server's candidates
///
/// The offer already holds them. This route is for clients that ask for them separately.
#[utoipa::path(get, path = "/webrtc/sessions/{session_id}/ice-candidates", tag = "webrtc",
    operation_id = "list_ice_candidates",
    params(("session_id" = String, Path, description = "Session")),
    responses((status = 200, description = "Candidates.", body = Vec<IceCandidate>), AnyRoute, Named))]
pub(in super::super) async fn local_candidates(
    State(handle): State<Handle>,
    Path(session): Path<String>,
) -> ApiResult<Json<Vec<IceCandidate>>> {
    Ok(Json(handle.local_candidates(SessionId::new(session)).await?))
}

/// Change what a session carries
///
/// Other streams on the m-lines that it has, without a new negotiation: what stays goes on, and what is new begins with a key frame.
/// `streams` says which m-line carries which. `profiles` restarts streams that run otherwise, whoever else watches them, and holds
/// nothing by itself. The answer comes once all of them run. Where there are too few m-lines it holds a new offer of the session,
/// `sdp`: answer it as the first one, and the session carries the streams then. An offer with `spare_streams` has room for more
/// without. A request that is refused changes nothing, except where that offer cannot be made: then the session ends.
#[utoipa::path(patch, path = "/webrtc/sessions/{session_id}", tag = "webrtc", operation_id = "change_session",
    params(("session_id" = String, Path, description = "Session")),
    request_body = ChangeBody,
    responses((status = 200, description = "What it carries now.", body = ChangedBody),
        AnyRoute, Named, Checked, Conflicting, WithBody))]
pub(in super::super) async fn change(
    State(handle): State<Handle>,
    Path(session): Path<String>,
    JsonBody(body): JsonBody<ChangeBody>,
) -> ApiResult<Json<ChangedBody>> {
    Ok(Json(handle.change(body.parse(&session)?).await?.into()))
}

/// End a session
///
/// `success` is false if there was no such session.
#[utoipa::path(delete, path = "/webrtc/sessions/{session_id}", tag = "webrtc", operation_id = "close_session",
    params(("session_id" = String, Path, description = "Session")),
    responses((status = 200, description = "There is no such session any more.", body = Success),
        AnyRoute, Addressed))]
pub(in super::super) async fn close(
    State(handle): State<Handle>,
    Path(session): Path<String>,
) -> ApiResult<Json<Success>> {
    Ok(Json(Success { success: handle.close(SessionId::new(session)).await? }))
}

/// End every session
#[utoipa::path(delete, path = "/webrtc/sessions", tag = "webrtc", operation_id = "close_all_sessions",
    responses((status = 200, description = "How many there were.", body = ClosedSessions), AnyRoute))]
pub(in super::super) async fn close_all(State(handle): State<Handle>) -> ApiResult<Json<ClosedSessions>> {
    Ok(Json(ClosedSessions { closed_sessions: handle.close_all().await? }))
}

/// STUN and TURN servers
///
/// In the form of `RTCPeerConnection`'s `iceServers`; empty unless the configuration names some.
#[utoipa::path(get, path = "/webrtc/ice-servers", tag = "webrtc", operation_id = "ice_servers",
    responses((status = 200, description = "Servers.", body = Vec<IceServer>), AnyRoute))]
pub(in super::super) async fn ice_servers(State(handle): State<Handle>) -> Json<Vec<IceServer>> {
    Json(types::ice_servers(&handle.config().webrtc))
}

/// Count the references of each stream
///
/// A reference is a session that watches, a start without a viewer, or a recording.
#[utoipa::path(get, path = "/webrtc/stream-references", tag = "webrtc", operation_id = "stream_references",
    responses((status = 200, description = "References, and what runs.", body = StreamReferences), AnyRoute))]
pub(in super::super) async fn stream_references(State(handle): State<Handle>) -> ApiResult<Json<StreamReferences>> {
    Ok(Json(handle.references().await?.into()))
}
