//! Depth processing and alignment of a simulated camera, switched live over REST and seen in the frames that come of it.

use std::sync::Arc;

use realsense_webrtc::{
    camera::Frame,
    model::{DeviceId, StreamType},
};
use serde_json::{Value, json};

use super::{
    common::{CAMERA, TestServer, eventually},
    depth_start,
};

const OFF: [&str; 6] =
    ["decimation_filter", "threshold_filter", "spatial_filter", "temporal_filter", "hole_filling_filter", "align_to"];

fn option_path(option: &str) -> String {
    format!("/api/devices/{CAMERA}/sensors/{CAMERA}-sensor-0/options/{option}")
}

async fn set(server: &TestServer, option: &str, value: f64) {
    let answer = server.put(&option_path(option), &json!({"value": value})).await;
    assert_eq!((answer.status, &answer.json()["success"]), (200, &json!(true)), "{option}");
}

async fn value(server: &TestServer, option: &str) -> f64 {
    server.get(&option_path(option)).await.json()["current_value"].as_f64().unwrap()
}

async fn start_depth(server: &TestServer, more: Value) {
    let mut body = depth_start(640, 480, 30);
    for (key, value) in more.as_object().unwrap() {
        body[key] = value.clone();
    }
    let answer = server.post(&format!("/api/devices/{CAMERA}/stream/start"), &body).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
}

fn latest(server: &TestServer, stream: StreamType) -> Option<Arc<Frame>> {
    server.handle.latest_frame(&DeviceId::new(CAMERA), stream)
}

/// A depth frame that satisfies `wanted`.
async fn depth(server: &TestServer, what: &str, wanted: impl Fn(&Frame) -> bool) -> Arc<Frame> {
    eventually(what, async || latest(server, StreamType::Depth).filter(|frame| wanted(frame))).await
}

async fn depth_at(server: &TestServer, x: u32, y: u32) -> Option<f64> {
    let path = format!("/api/devices/{CAMERA}/stream/depth-at-pixel?x={x}&y={y}");
    let answer = server.get(&path).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["depth"].as_f64()
}

/// Whether there is depth anywhere with a hole to the right of it.
fn has_hole_after_depth(frame: &Frame) -> bool {
    let row_has = |row: &[u8]| {
        let mut pixels = row.chunks_exact(2).skip_while(|raw| *raw == [0, 0]);
        pixels.any(|raw| raw == [0, 0])
    };
    frame.bytes().chunks_exact(frame.width as usize * 2).any(row_has)
}

#[tokio::test]
async fn the_options_stand_at_the_depth_sensor_and_are_checked() {
    let server = TestServer::start().await;
    let sensors = server.get(&format!("/api/devices/{CAMERA}/sensors/")).await.json();
    let ours = |sensor: &Value| -> Vec<String> {
        let options = sensor["options"].as_array().unwrap().iter();
        let ours = options.filter(|option| option["category"] == "Post-Processing");
        ours.map(|option| option["option_id"].as_str().unwrap().to_owned()).collect()
    };
    let counts: Vec<usize> = sensors.as_array().unwrap().iter().map(|sensor| ours(sensor).len()).collect();
    assert_eq!(counts, [17, 0, 0]);
    for option in OFF {
        assert_eq!(value(&server, option).await, 0.0, "{option} is off at first");
    }
    let align = server.get(&option_path("align_to")).await.json();
    assert_eq!((&align["name"], &align["value_descriptions"]), (&json!("Align To Color"), &Value::Null));
    for (option, bad) in [("decimation_magnitude", 9.0), ("spatial_smooth_alpha", 0.1), ("align_to", 1.5)] {
        let detail = server.put(&option_path(option), &json!({"value": bad})).await.expect_error(400);
        assert!(detail.contains(option) && detail.contains(" to "), "{detail}");
    }
    // They are options of that sensor alone.
    let elsewhere = option_path("align_to").replace("sensor-0", "sensor-1");
    server.put(&elsewhere, &json!({"value": 1})).await.expect_error(404);
    server.shutdown().await;
}

#[tokio::test]
async fn decimation_makes_the_picture_smaller_and_off_makes_it_whole_again() {
    let server = TestServer::start().await;
    start_depth(&server, json!({})).await;
    let full = depth(&server, "depth as it comes", |frame| frame.width == 640).await;
    set(&server, "decimation_filter", 1.0).await;
    let small = depth(&server, "smaller frames", |frame| frame.width == 320).await;
    assert_eq!((small.height, small.size_fits(), small.depth_units), (240, true, full.depth_units));
    let (seen, whole) = (small.intrinsics.unwrap(), full.intrinsics.unwrap());
    assert_eq!((seen.width, seen.height, seen.fx, seen.ppx), (320, 240, whole.fx / 2.0, whole.ppx / 2.0));
    assert!(small.number > full.number && !small.metadata.is_empty());
    // The depth of a pixel is that of the processed picture.
    let path = format!("/api/devices/{CAMERA}/stream/depth-at-pixel?x=320&y=0");
    let outside = server.get(&path).await;
    assert_eq!((outside.status, &outside.json()["depth"]), (200, &Value::Null));
    assert!(outside.json()["detail"].as_str().unwrap().contains("320x240"), "{}", outside.text());

    set(&server, "decimation_magnitude", 8.0).await;
    depth(&server, "frames smaller still", |frame| (frame.width, frame.height) == (80, 60)).await;
    set(&server, "decimation_filter", 0.0).await;
    depth(&server, "whole frames again", |frame| (frame.width, frame.height) == (640, 480)).await;
    assert_eq!(value(&server, "decimation_magnitude").await, 8.0);
    server.shutdown().await;
}

#[tokio::test]
async fn the_threshold_takes_far_pixels_out() {
    let server = TestServer::start().await;
    start_depth(&server, json!({})).await;
    // The back wall stands more than four metres away.
    let far = async || {
        let depth = depth_at(&server, 320, 130).await?;
        (depth > 4.0).then_some(depth)
    };
    depth(&server, "depth", |_| true).await;
    eventually("the back wall", far).await;
    set(&server, "threshold_filter", 1.0).await;
    eventually("nothing farther than the default of four metres", async || {
        depth_at(&server, 320, 130).await.is_none().then_some(())
    })
    .await;
    set(&server, "threshold_max", 6.0).await;
    eventually("the back wall again", far).await;
    set(&server, "threshold_filter", 0.0).await;
    server.shutdown().await;
}

#[tokio::test]
async fn smoothing_calms_the_picture_and_filling_closes_its_holes() {
    let server = TestServer::start().await;
    start_depth(&server, json!({"apply_filters": true})).await;
    assert_eq!((value(&server, "spatial_filter").await, value(&server, "temporal_filter").await), (1.0, 1.0));
    // The sum of differences from pixel to pixel on a wall: noise.
    let noise = |frame: &Frame| -> u64 {
        let at = |x: usize, y: usize| {
            let at = (y * 640 + x) * 2;
            u16::from_le_bytes([frame.bytes()[at], frame.bytes()[at + 1]])
        };
        let steps = (120..150).flat_map(|y| (200..300).map(move |x| at(x, y).abs_diff(at(x + 1, y))));
        steps.filter(|step| *step < 1000).map(u64::from).sum()
    };
    let calm = depth(&server, "smooth depth", |_| true).await;
    set(&server, "spatial_filter", 0.0).await;
    set(&server, "temporal_filter", 0.0).await;
    let rough = depth(&server, "depth as it comes", |frame| frame.number > calm.number + 2).await;
    assert!(noise(&calm) * 2 < noise(&rough), "{} {}", noise(&calm), noise(&rough));
    assert!(has_hole_after_depth(&rough));
    set(&server, "hole_filling_filter", 1.0).await;
    set(&server, "hole_filling_mode", 0.0).await;
    depth(&server, "no holes but at the left edge", |frame| !has_hole_after_depth(frame)).await;
    server.shutdown().await;
}

#[tokio::test]
async fn aligned_depth_lies_on_the_colour_picture() {
    let server = TestServer::start().await;
    start_depth(&server, json!({"align_to": "color"})).await;
    assert_eq!(value(&server, "align_to").await, 1.0);
    let color = json!({"configs": [{"sensor_id": format!("{CAMERA}-sensor-1"), "stream_type": "color", "format": "rgb8",
        "resolution": {"width": 848, "height": 480}, "framerate": 30}]});
    let answer = server.post(&format!("/api/devices/{CAMERA}/stream/start"), &color).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let aligned = depth(&server, "colour's size", |frame| (frame.width, frame.height) == (848, 480)).await;
    let picture = eventually("colour", async || latest(&server, StreamType::Color)).await;
    assert_eq!(aligned.intrinsics, picture.intrinsics);

    // The red ball on the floor: the middle of it is 3.299 m ahead of the stereo imagers, 0.3 m to the right and 0.281 m
    // down, its radius is 0.2 m, and colour stands 15 mm to the left of them.
    let seen = picture.intrinsics.unwrap();
    let x = (seen.ppx + seen.fx * 0.315 / 3.299).round() as u32;
    let y = (seen.ppy + seen.fy * 0.281 / 3.299).round() as u32;
    eventually("the ball, at its distance, where colour shows it red", async || {
        let picture = latest(&server, StreamType::Color)?;
        let at = (y * picture.width + x) as usize * 3;
        let [red, green, blue] = [picture.bytes()[at], picture.bytes()[at + 1], picture.bytes()[at + 2]];
        let is_red = red > 90 && green < red / 2 && blue < red / 2;
        let depth = depth_at(&server, x, y).await?;
        (is_red && (depth - 3.1).abs() < 0.06).then_some(())
    })
    .await;

    set(&server, "align_to", 0.0).await;
    let own = depth(&server, "depth's own size", |frame| (frame.width, frame.height) == (640, 480)).await;
    assert_ne!(own.intrinsics, picture.intrinsics);
    server.shutdown().await;
}

#[tokio::test]
async fn a_start_names_what_it_can_align_to_and_a_stop_leaves_it() {
    let server = TestServer::start().await;
    let path = format!("/api/devices/{CAMERA}/stream/start");
    let mut body = depth_start(640, 480, 30);
    body["align_to"] = json!("infrared-7");
    let detail = server.post(&path, &body).await.expect_error(400);
    assert!(detail.contains("infrared-7") && detail.contains("color, depth, none"), "{detail}");
    body["align_to"] = json!(7);
    server.post(&path, &body).await.expect_error(422);
    // A start that is refused for something else switches nothing on.
    let mut refused = depth_start(641, 480, 30);
    refused["align_to"] = json!("color");
    refused["apply_filters"] = json!(true);
    server.post(&path, &refused).await.expect_error(400);
    for option in OFF {
        assert_eq!(value(&server, option).await, 0.0, "{option}");
    }
    start_depth(&server, json!({"align_to": "Color", "apply_filters": true})).await;
    server.post_nothing(&format!("/api/devices/{CAMERA}/stream/stop")).await;
    start_depth(&server, json!({"align_to": "none", "apply_filters": false})).await;
    for option in ["align_to", "spatial_filter", "temporal_filter"] {
        assert_eq!(value(&server, option).await, 1.0, "{option}");
    }
    server.shutdown().await;
}

#[tokio::test]
async fn settings_survive_a_replug() {
    let server = TestServer::start().await;
    start_depth(&server, json!({})).await;
    set(&server, "decimation_filter", 1.0).await;
    depth(&server, "smaller frames", |frame| frame.width == 320).await;
    let fault = format!("/api/sim/devices/{CAMERA}/fault");
    server.post(&fault, &json!({"fault": "unplug"})).await;
    eventually("the device is gone", async || latest(&server, StreamType::Depth).is_none().then_some(())).await;
    server.post(&fault, &json!({"fault": "replug"})).await;
    let frame = depth(&server, "depth again", |_| true).await;
    assert_eq!((frame.width, frame.height), (320, 240), "from the very first frame");
    assert_eq!(value(&server, "decimation_filter").await, 1.0);
    server.shutdown().await;
}
