//! The REST routes, by subject. Owns the table of routes, which is also the source of the OpenAPI document: a route that
//! is not documented cannot be registered. Handlers parse, call the session handle and shape the answer; no more.

#![allow(unused_qualifications, reason = "the macros of utoipa write paths out in full")]

mod bundle;
mod debug;
mod description;
mod devices;
mod firmware;
mod logs;
mod metrics;
mod pipelines;
mod playback;
mod point_cloud;
mod recordings;
mod responses;
mod sensors;
mod streams;
mod system;
mod webrtc;

use utoipa_axum::{router::OpenApiRouter, routes};

use crate::session::Handle;

/// Every REST route under its canonical path.
pub(super) fn routes() -> OpenApiRouter<Handle> {
    let api = OpenApiRouter::new()
        .routes(routes!(system::index))
        .routes(routes!(system::health))
        .routes(routes!(devices::list))
        .routes(routes!(devices::refresh))
        .routes(routes!(devices::get))
        .routes(routes!(devices::hw_reset))
        .routes(routes!(devices::reset))
        .routes(routes!(firmware::status))
        .routes(routes!(firmware::update))
        .routes(routes!(firmware::hardware_monitor))
        .routes(routes!(firmware::enable_metadata))
        .routes(routes!(devices::sensors))
        .routes(routes!(devices::sensor))
        .routes(routes!(devices::options))
        .routes(routes!(devices::option, devices::set_option))
        .routes(routes!(sensors::start))
        .routes(routes!(sensors::stop))
        .routes(routes!(sensors::status))
        .routes(routes!(streams::start))
        .routes(routes!(streams::stop))
        .routes(routes!(streams::status))
        .routes(routes!(streams::depth_at_pixel))
        .routes(routes!(streams::depth_range, streams::set_depth_range))
        .routes(routes!(playback::calibration))
        .routes(routes!(point_cloud::activate_point_cloud))
        .routes(routes!(point_cloud::deactivate_point_cloud))
        .routes(routes!(point_cloud::point_cloud_status))
        .routes(routes!(point_cloud::point_cloud_data))
        .routes(routes!(webrtc::offer))
        .routes(routes!(webrtc::answer))
        .routes(routes!(webrtc::add_candidate))
        .routes(routes!(webrtc::sessions, webrtc::close_all))
        .routes(routes!(webrtc::session, webrtc::change, webrtc::close))
        .routes(routes!(webrtc::local_candidates))
        .routes(routes!(webrtc::ice_servers))
        .routes(routes!(webrtc::stream_references))
        .routes(routes!(recordings::start))
        .routes(routes!(recordings::stop))
        .routes(routes!(recordings::status))
        .routes(routes!(recordings::list))
        .routes(routes!(recordings::open))
        .routes(routes!(recordings::get, recordings::delete))
        .routes(routes!(playback::status))
        .routes(routes!(playback::pause))
        .routes(routes!(playback::resume))
        .routes(routes!(playback::seek))
        .routes(routes!(playback::speed))
        .routes(routes!(playback::repeat))
        .routes(routes!(playback::close))
        .routes(routes!(playback::preset, playback::load_preset))
        .routes(routes!(pipelines::list))
        .routes(routes!(pipelines::reload))
        .routes(routes!(metrics::metrics))
        .routes(routes!(debug::graph))
        .routes(routes!(debug::element, debug::set_element))
        .routes(routes!(logs::logs))
        .routes(routes!(logs::levels, logs::set_levels))
        .routes(routes!(bundle::bundle))
        .routes(routes!(system::inject_fault));
    OpenApiRouter::with_openapi(description::description()).nest("/api", api)
}
