//! Devices, sensors, options, and what a device's faults look like from outside.

use serde_json::json;

use super::{
    common::{CAMERA, TestServer, config, eventually},
    depth_start, offer,
};

#[tokio::test]
async fn devices_are_listed_refreshed_and_found() {
    let mut config = config();
    config.camera.sim_cameras = realsense_webrtc::config::SimCameras::Count(2);
    let server = TestServer::with(config).await;
    for answer in [
        server.get("/api/devices/").await,
        server.get("/api/devices/?force_refresh=true").await,
        server.get("/api/devices?force_refresh=False").await,
        server.post_nothing("/api/devices/refresh").await,
    ] {
        assert_eq!(answer.status, 200);
        let list = answer.json();
        assert_eq!(list.as_array().unwrap().len(), 2);
        let device = &list[0];
        assert_eq!(device["device_id"], CAMERA);
        assert_eq!(device["serial_number"], CAMERA);
        assert_eq!(device["is_streaming"], false);
        assert_eq!(device["sensors"].as_array().unwrap().len(), 3);
        for field in [
            "firmware_version",
            "recommended_firmware_version",
            "firmware_status",
            "firmware_file_available",
            "physical_port",
            "usb_type",
            "product_id",
        ] {
            assert!(device.get(field).is_some(), "{field} is there, null or not");
        }
    }
    assert_eq!(server.get(&format!("/api/devices/{CAMERA}")).await.json()["device_id"], CAMERA);
    let detail = server.get("/api/devices/000").await.expect_error(404);
    assert!(detail.contains("000"), "{detail}");
    let detail = server.get("/api/devices?force_refresh=perhaps").await.expect_error(422);
    assert!(detail.contains("force_refresh"), "{detail}");
    server.shutdown().await;
}

#[tokio::test]
async fn sensors_and_options_read_and_act() {
    let server = TestServer::start().await;
    let base = format!("/api/devices/{CAMERA}/sensors");
    let sensors = server.get(&base).await.json();
    let names: Vec<_> = sensors.as_array().unwrap().iter().map(|sensor| sensor["name"].as_str().unwrap()).collect();
    assert!(names.contains(&"Stereo Module") && names.contains(&"RGB Camera") && names.contains(&"Motion Module"));
    for (index, sensor) in sensors.as_array().unwrap().iter().enumerate() {
        let id = format!("{CAMERA}-sensor-{index}");
        assert_eq!(sensor["sensor_id"], id.as_str());
        assert!(sensor["type"].is_string());
        assert_eq!(&server.get(&format!("{base}/{id}")).await.json(), sensor);
        assert_eq!(server.get(&format!("{base}/{id}/options/")).await.json(), sensor["options"]);
        for profile in sensor["supported_stream_profiles"].as_array().unwrap() {
            assert!(profile["stream_type"].is_string() && !profile["fps"].as_array().unwrap().is_empty());
            assert!(profile["resolutions"].is_array() && !profile["formats"].as_array().unwrap().is_empty());
        }
    }
    let options = format!("{base}/{CAMERA}-sensor-0/options");
    let exposure = server.get(&format!("{options}/exposure")).await.json();
    assert_eq!(exposure["option_id"], "exposure");
    let (min, max) = (exposure["min_value"].as_f64().unwrap(), exposure["max_value"].as_f64().unwrap());
    let middle = min + ((max - min) / 2.0).floor();
    let answer = server.put(&format!("{options}/exposure"), &json!({"value": middle})).await;
    assert_eq!((answer.status, answer.json()), (200, json!({"success": true})));
    let now = server.get(&format!("/api/v1/devices/{CAMERA}/sensors/{CAMERA}-sensor-0/options/exposure/")).await;
    let step = exposure["step"].as_f64().unwrap_or(1.0);
    assert!((now.json()["current_value"].as_f64().unwrap() - middle).abs() <= step, "{}", now.text());

    // Out of range, unknown, not of this device, not a number.
    server.put(&format!("{options}/exposure"), &json!({"value": max * 10.0})).await.expect_error(400);
    server.put(&format!("{options}/taste"), &json!({"value": 1})).await.expect_error(404);
    server.get(&format!("{options}/taste")).await.expect_error(404);
    for sensor in ["844212070924-sensor-9", "nothing", "000-sensor-0", "844212070924-sensor-", "844212070924-sensor-+1"]
    {
        server.get(&format!("{base}/{sensor}")).await.expect_error(404);
        server.get(&format!("{base}/{sensor}/options")).await.expect_error(404);
        server.get(&format!("{base}/{sensor}/options/exposure")).await.expect_error(404);
        server.put(&format!("{base}/{sensor}/options/exposure"), &json!({"value": 1})).await.expect_error(404);
    }
    server.get("/api/devices/000/sensors").await.expect_error(404);
    let detail = server.put(&format!("{options}/exposure"), &json!({"value": "much"})).await.expect_error(422);
    assert!(detail.contains("value"), "{detail}");
    server.shutdown().await;
}

#[tokio::test]
async fn a_read_only_option_cannot_be_set() {
    let server = TestServer::start().await;
    let sensors = server.get(&format!("/api/devices/{CAMERA}/sensors")).await.json();
    let (sensor, option) = sensors
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|sensor| sensor["options"].as_array().unwrap().iter().map(move |option| (sensor, option)))
        .find(|(_, option)| option["read_only"] == true)
        .map(|(sensor, option)| (sensor["sensor_id"].as_str().unwrap(), option["option_id"].as_str().unwrap()))
        .expect("the D435I has read-only options");
    let path = format!("/api/devices/{CAMERA}/sensors/{sensor}/options/{option}");
    server.put(&path, &json!({"value": 1})).await.expect_error(400);
    server.shutdown().await;
}

#[tokio::test]
async fn a_faulty_camera_is_503_until_it_is_well() {
    let server = TestServer::start().await;
    let fault = |name: &str| json!({"fault": name});
    let path = format!("/api/sim/devices/{CAMERA}/fault");
    assert_eq!(server.post(&path, &fault("fail_start")).await.json(), json!({"success": true}));
    server.post("/api/webrtc/offer", &offer(&["color"])).await.expect_error(503);
    assert_eq!(server.get("/api/webrtc/sessions").await.json(), json!([]));
    assert_eq!(server.post(&path, &fault("clear")).await.status, 200);
    eventually("an offer is possible again", async || {
        (server.post("/api/webrtc/offer", &offer(&["color"])).await.status == 200).then_some(())
    })
    .await;

    assert_eq!(server.post(&path, &fault("unplug")).await.status, 200);
    eventually("the device is gone", async || {
        let answer = server.get(&format!("/api/devices/{CAMERA}")).await;
        (answer.status == 503).then(|| answer.expect_error(503))
    })
    .await;
    server.post("/api/webrtc/offer", &offer(&["color"])).await.expect_error(503);
    server.post(&format!("/api/devices/{CAMERA}/stream/start"), &depth_start(640, 480, 30)).await.expect_error(503);
    assert_eq!(server.post(&path, &fault("replug")).await.status, 200);
    eventually("the device is back", async || {
        (server.post("/api/webrtc/offer", &offer(&["color"])).await.status == 200).then_some(())
    })
    .await;
    let detail = server.post(&path, &fault("explode")).await.expect_error(400);
    assert!(detail.contains("unplug"), "{detail}");
    server.post(&path, &json!({"fault": "drop", "probability": 2})).await.expect_error(400);
    server.post("/api/sim/devices/000/fault", &fault("clear")).await.expect_error(404);
    server.shutdown().await;
}

#[tokio::test]
async fn a_reset_device_comes_back() {
    let server = TestServer::start().await;
    let answer = server.post_nothing(&format!("/api/devices/{CAMERA}/hw_reset")).await;
    assert_eq!((answer.status, answer.json()), (200, json!(true)));
    eventually("the device is back", async || {
        (server.post("/api/webrtc/offer", &offer(&["color"])).await.status == 200).then_some(())
    })
    .await;
    server.post_nothing("/api/devices/000/hw_reset").await.expect_error(404);
    server.shutdown().await;
}
