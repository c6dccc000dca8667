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
            assert!(!profile["resolutions"].as_array().unwrap().is_empty());
            assert!(!profile["formats"].as_array().unwrap().is_empty());
        }
    }
    let options = format!("{base}/{CAMERA}-sensor-0/options");
    let exposure = server.get(&format!("{options}/exposure")).await.json();
    assert_eq!(exposure["option_id"], "exposure");
    let (min, max) = (exposure["min_value"].as_f64().unwrap(), exposure["max_value"].as_f64().unwrap());
    let middle = min + ((max - min) / 2.0).floor();
    let answer = server.put(&format!("{options}/exposure"), &json!({"value": middle})).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let mut applied = answer.json();
    assert_eq!(applied.as_object_mut().unwrap().remove("success"), Some(json!(true)));
    assert_eq!(
        server.get(&format!("{options}/exposure")).await.json(),
        applied,
        "the answer is the option as it is now"
    );
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

#[tokio::test]
async fn firmware_is_told_and_not_changed() {
    let server = TestServer::start().await;
    let base = format!("/api/devices/{CAMERA}");
    let status = server.get(&format!("{base}/status/")).await;
    assert_eq!(
        (status.status, status.json()),
        (
            200,
            json!({"device_id": CAMERA, "current": "5.16.0.1", "recommended": null, "status": "unknown",
            "file_available": false})
        )
    );
    assert_eq!(server.get(&base).await.json()["firmware_status"], "unknown");
    // As a browser sends a file: no JSON, and more than any other body may be.
    let form = [("content-type", "multipart/form-data; boundary=x")];
    let image =
        format!("--x\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\n{}\r\n--x--\r\n", "f".repeat(2_000_000));
    let answer = server.send(http::Method::POST, &format!("{base}/firmware/update_from_file/"), &form, &image).await;
    assert!(answer.expect_error(501).contains("rs-fw-update"));
    let answer = server.post(&format!("{base}/hwm"), &json!({"opcode": 1})).await;
    assert!(answer.expect_error(501).contains("rs-terminal"));
    for path in ["status", "firmware/update_from_file", "hwm"] {
        let method = if path == "status" { http::Method::GET } else { http::Method::POST };
        server.send(method, &format!("/api/devices/000/{path}"), &[], "").await.expect_error(404);
    }
    assert_eq!(server.post_nothing("/api/system/enable-metadata/").await.json(), json!({"status": "noop"}));
    let reset = server.post_nothing(&format!("{base}/reset")).await;
    assert_eq!((reset.status, reset.json()), (200, json!(true)));
    server.shutdown().await;
}

#[tokio::test]
async fn options_read_and_take_what_clients_of_every_family_write() {
    let server = TestServer::start().await;
    let base = format!("/api/devices/{CAMERA}/sensors");
    for sensor in server.get(&base).await.json().as_array().unwrap() {
        for option in sensor["options"].as_array().unwrap() {
            let id = option["option_id"].as_str().unwrap();
            assert!(id.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_'), "{id}");
            let is_switch = (&option["min_value"], &option["max_value"], &option["step"])
                == (&json!(0.0), &json!(1.0), &json!(1.0));
            assert!(!is_switch || option["value_descriptions"].is_null(), "{id}");
            assert!(option.get("filter_name").is_some(), "{id}");
        }
        let motion = sensor["name"] == "Motion Module";
        for profile in sensor["supported_stream_profiles"].as_array().unwrap().iter().filter(|_| motion) {
            assert_eq!(profile["resolutions"], json!([[320, 120]]));
            assert_eq!(profile["formats"], json!(["combined_motion", "motion_xyz32f"]));
        }
    }
    let options = format!("{base}/{CAMERA}-sensor-0/options");
    let filter = server.get(&format!("{options}/PP_Decimation_Filter_Filter_Magnitude")).await.json();
    assert_eq!(
        (&filter["option_id"], &filter["category"]),
        (&json!("decimation_magnitude"), &json!("Post-Processing"))
    );
    assert_eq!(filter["filter_name"], "Decimation Filter");
    for (id, value, applied) in [
        ("laser_power", json!(61), json!(60.0)),
        ("laser-power", json!("120"), json!(120.0)),
        ("Laser%20Power", json!(" 1.5e2 "), json!(150.0)),
        ("enable_auto_exposure", json!(false), json!(0.0)),
        ("ENABLE-AUTO-EXPOSURE", json!("1"), json!(1.0)),
        ("PP_Spatial_Filter_Enabled", json!(true), json!(1.0)),
        ("pp_spatial_filter_holes_fill", json!(1.6), json!(2.0)),
    ] {
        let answer = server.put(&format!("{options}/{id}/"), &json!({"value": value})).await;
        assert_eq!((answer.status, &answer.json()["current_value"]), (200, &applied), "{id} {value}");
    }
    assert_eq!(server.get(&format!("{options}/spatial_holes_fill")).await.json()["current_value"], 2.0);
    for bad in [json!(""), json!("one"), json!("nan"), json!("1e999"), json!(null), json!([1])] {
        server.put(&format!("{options}/laser_power"), &json!({"value": bad})).await.expect_error(422);
    }
    for (id, value, word) in
        [("laser_power", json!("361"), "0 to 360"), ("pp_spatial_filter_enabled", json!(2), "0 to 1")]
    {
        let detail = server.put(&format!("{options}/{id}"), &json!({"value": value})).await.expect_error(400);
        assert!(detail.contains(word), "{detail}");
    }
    server.put(&format!("{options}/PP_HDR_Merge_Enabled"), &json!({"value": 1})).await.expect_error(404);
    server.shutdown().await;
}
