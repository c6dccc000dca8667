//! `realsense-webrtc pipeline`, run as people run it: the program's own output, its commands in a real shell, and what comes
//! out of them decoded.
#![allow(clippy::unwrap_used)]

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::OnceLock,
};

use gst::prelude::*;

/// Frames that a command is told to make, at 30 fps. A busy machine may drop some, as the server would.
const FRAMES: u32 = 30;
/// Of those, how many must come out at least.
const ENOUGH: usize = 15;
const SMALL: [&str; 2] = ["--size", "320x240"];

fn program(args: &[&str]) -> Command {
    let mut command = Command::new("timeout");
    command.args(["--kill-after=5", "90", env!("CARGO_BIN_EXE_realsense-webrtc"), "pipeline"]).args(args);
    // Whatever is plugged into this machine, and wherever it shows windows.
    command.env("REALSENSE_WEBRTC__REALSENSE__ENABLED", "false").env("REALSENSE_WEBRTC__CAMERA__SIM_CAMERAS", "1");
    command.env_remove("DISPLAY").env_remove("WAYLAND_DISPLAY").stdin(Stdio::null());
    command
}

fn run(args: &[&str]) -> Output {
    program(args).output().expect("the program runs")
}

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// What a good run prints.
fn good(args: &[&str]) -> String {
    let output = run(args);
    assert!(output.status.success(), "{args:?}: {}{}", out(&output), err(&output));
    out(&output)
}

/// Runs a printed command in a shell.
fn shell(command: &str) {
    let output = Command::new("timeout").args(["--kill-after=5", "90", "sh", "-c", command]).output().expect("a shell");
    assert!(output.status.success(), "{command}\n{}{}", out(&output), err(&output));
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// Pictures that a pipeline ending in `appsink name=out` gives, and their size.
fn pictures(pipeline: &gst::Pipeline, most: usize) -> (usize, (i32, i32)) {
    let sink = pipeline.by_name("out").unwrap().downcast::<gst_app::AppSink>().unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    let (mut count, mut size) = (0, (0, 0));
    while let Some(sample) = sink.try_pull_sample(gst::ClockTime::from_seconds(30)) {
        let caps = sample.caps().unwrap().structure(0).unwrap().to_owned();
        size = (caps.get("width").unwrap(), caps.get("height").unwrap());
        count += 1;
        if count >= most {
            break;
        }
    }
    let error = pipeline.bus().unwrap().pop_filtered(&[gst::MessageType::Error]);
    pipeline.set_state(gst::State::Null).unwrap();
    assert!(error.is_none(), "{error:?}");
    (count, size)
}

fn launch(text: &str) -> gst::Pipeline {
    gst::init().unwrap();
    gst::parse::launch(text).unwrap().downcast().unwrap()
}

fn decoder(codec: &str) -> &'static str {
    match codec {
        "h264" => "h264parse ! openh264dec",
        "vp8" => "vp8dec",
        _ => "vp9dec",
    }
}

fn decoded(file: &Path, codec: &str) -> (usize, (i32, i32)) {
    let demuxer = if file.extension().unwrap() == "mp4" { "qtdemux" } else { "matroskademux" };
    let decoder = decoder(codec);
    let file = text(file);
    pictures(&launch(&format!("filesrc location={file} ! {demuxer} ! {decoder} ! appsink name=out sync=false")), 1000)
}

/// A folder with one pipeline file, made from the built-in `color.h264` with changes.
fn changed(name: &str, changes: &[(&str, &str)]) -> (tempfile::TempDir, PathBuf) {
    let mut pipeline = std::fs::read_to_string("pipelines/color.h264.gst").unwrap();
    for (from, to) in changes {
        assert!(pipeline.contains(from), "{from}");
        pipeline = pipeline.replace(from, to);
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(name);
    std::fs::write(&file, pipeline).unwrap();
    (folder, file)
}

#[test]
fn list_tells_encoder_origin_use_and_fault_of_each() {
    let (folder, _) = changed("mine.h264.gst", &[("x264enc name", "x265encc name")]);
    std::fs::copy("pipelines/color.vp8.gst", folder.path().join("other.vp8.gst")).unwrap();
    let config = folder.path().join("my.toml");
    std::fs::write(
        &config,
        "[pipelines.use]\ndepth = \"other.vp8\"\n[pipelines.devices]\n\"7\" = { color = \"mine.h264\" }\n",
    )
    .unwrap();
    let listed = good(&["list", "--config", text(&config), "--pipelines", text(folder.path())]);
    let line = |name: &str| listed.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{listed}"));
    let words = |name: &str| line(name).split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(words("color.h264"), ["color.h264", "H264", "x264enc", "built-in", "color", "parses"]);
    assert_eq!(words("infrared.vp8")[4], "infrared");
    assert_eq!(words("depth.vp8")[4], "-", "{listed}");
    assert_eq!(words("other.vp8")[4], "depth");
    assert_eq!(words("mine.h264")[4], "7/color");
    assert!(line("mine.h264").contains("there is no GStreamer element 'x265encc'"), "{listed}");
    let columns: Vec<_> = listed.lines().map(|line| line.find("H264").or(line.find("VP8"))).collect();
    assert!(columns.iter().flatten().all(|at| Some(*at) == listed.lines().next().unwrap().find("CODEC")), "{listed}");
}

#[test]
fn check_points_at_a_fault_as_a_compiler_does() {
    let all = good(&["check"]);
    assert!(all.contains("pipelines/color.h264.gst: ok: x264enc, color 640x480 at 30 fps"), "{all}");
    let (_folder, file) = changed("bad.h264.gst", &[("x264enc name", "x265encc name")]);
    let output = run(&["check", text(&file), "color.vp8"]);
    assert_eq!(output.status.code(), Some(1));
    let said = out(&output);
    let lines: Vec<_> = said.lines().collect();
    let number =
        std::fs::read_to_string(&file).unwrap().lines().position(|line| line.contains("x265encc")).unwrap() + 1;
    assert!(lines[0].starts_with(&format!("{}:{number}:3: there is no GStreamer element", file.display())), "{said}");
    assert!(lines[1].contains(" | ! x265encc name=encoder"), "{said}");
    let caret = lines[2].find('^').expect("a caret");
    assert_eq!(Some(caret), lines[1].find("x265encc"), "{said}");
    assert!(
        lines[2].ends_with("^^^^^^^^") && said.contains("color.vp8.gst: ok") && said.contains("1 of 2 good"),
        "{said}"
    );
}

#[test]
fn check_finds_what_shows_only_with_frames() {
    let (_folder, file) = changed("late.h264.gst", &[("! identity ", "! identity error-after=1 ")]);
    let parsed = good(&["check", "--no-frames", text(&file)]);
    assert!(parsed.contains("parses"), "{parsed}");
    let output = run(&["check", text(&file)]);
    assert_eq!((output.status.code(), out(&output).contains("identity")), (Some(1), true), "{}", out(&output));
    for (name, words) in [("color.h265", "color.h264"), ("/nonexistent.gst", "no file")] {
        let output = run(&["check", name]);
        assert_eq!(output.status.code(), Some(1));
        assert!(err(&output).contains(words), "{}", err(&output));
    }
}

#[test]
fn show_fills_in_placeholders() {
    let options = ["--stream", "depth", "--size", "848x480", "--fps", "15", "--bitrate-kbps", "900"];
    let shown = good(&[&["show", "color.h264"][..], &options].concat());
    assert!(shown.contains("bitrate=900") && shown.contains("key-int-max=150") && !shown.contains('#'), "{shown}");
    assert!(shown.lines().all(|line| !line.trim().is_empty()));
    let commented = good(&["show", "color.h264", "--comments"]);
    assert!(commented.contains("# zerolatency:") && commented.contains("bitrate=2000"), "{commented}");
    assert!(commented.contains("{bitrate_kbps}"), "comments stay as they are: {commented}");
    let original = std::fs::read_to_string("pipelines/color.h264.gst").unwrap();
    assert_eq!(commented.lines().count(), original.lines().count());
}

#[test]
fn a_printed_command_of_every_stream_type_and_codec_gives_a_decodable_stream() {
    let folder = tempfile::tempdir().unwrap();
    std::thread::scope(|scope| {
        for codec in ["h264", "vp8", "vp9"] {
            let folder = folder.path();
            scope.spawn(move || {
                for stream in ["color", "depth", "infrared-1"] {
                    let family = stream.split('-').next().unwrap();
                    let file = folder.join(format!("{stream}-{codec}.mkv"));
                    let to = format!("file={}", file.display());
                    let name = format!("{family}.{codec}");
                    let frames = FRAMES.to_string();
                    let args = ["launch", &name, "--stream", stream, "--to", &to, "--frames-count", &frames];
                    let command = good(&[&args[..], &SMALL].concat());
                    assert!(command.contains("gst-launch-1.0 -e") && command.contains("videotestsrc"), "{command}");
                    let format = if family == "infrared" { "GRAY8" } else { "I420" };
                    assert!(command.contains(&format!("video/x-raw,format={format},width=320")), "{command}");
                    shell(&command);
                    let (count, size) = decoded(&file, codec);
                    assert!((ENOUGH..=FRAMES as usize).contains(&count), "{name}: {count} pictures");
                    assert_eq!(size, (320, 240), "{name}");
                }
            });
        }
    });
}

#[test]
fn quotes_braces_and_blanks_survive_the_shell() {
    let caps =
        "! video/x-raw, format=(string){ I420, NV12 } ! videoconvert\n! video/x-raw(ANY), format = I420 ; video/x-raw";
    let folder = tempfile::Builder::new().prefix("it's a (folder) ").tempdir().unwrap();
    let beside = folder.path().join("beside; $HOME.mkv");
    let branch = format!(
        "! tee name=fanout allow-not-linked=true fanout. ! queue ! h264parse ! matroskamux ! filesink location=\"{}\"",
        beside.display()
    );
    let (_folder, file) = changed(
        "odd.h264.gst",
        &[("! video/x-raw,format=I420", caps), ("! tee name=fanout allow-not-linked=true", &branch)],
    );
    let main = folder.path().join("a b.mp4");
    let to = format!("file={}", main.display());
    let command = good(&[&["launch", text(&file), "--to", &to, "--frames-count", "30"][..], &SMALL].concat());
    shell(&command);
    for file in [&main, &beside] {
        let copy = tempfile::Builder::new().suffix(if *file == main { ".mp4" } else { ".mkv" }).tempfile().unwrap();
        std::fs::copy(file, copy.path()).expect("both files are there");
        assert!(decoded(copy.path(), "h264").0 >= ENOUGH, "{}", file.display());
    }
}

#[test]
fn a_variant_with_quoted_blanks_runs_as_printed() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("overlay.mkv");
    let to = format!("file={}", file.display());
    let command = good(&[&["launch", "overlay.h264", "--to", &to, "--frames-count", "30"][..], &SMALL].concat());
    assert!(command.contains("'text=\"DEVICE color\"'"), "{command}");
    shell(&command);
    assert!(decoded(&file, "h264").0 >= ENOUGH);
}

/// A second of depth from the simulated camera, captured once for all tests.
fn captured() -> &'static Path {
    static FILE: OnceLock<(tempfile::TempDir, PathBuf)> = OnceLock::new();
    let (_, file) = FILE.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("depth.mkv");
        let options = ["--stream", "depth", "--size", "424x240", "--fps", "30", "--secs", "1"];
        let said = good(&[&["capture", text(&file)][..], &options].concat());
        assert!(said.contains("frames of depth") && said.contains("424x240 at 30 fps, I420"), "{said}");
        (folder, file)
    });
    file
}

#[test]
fn captured_frames_are_the_camera_s_and_play_in_a_printed_command() {
    let raw = pictures(
        &launch(&format!(
            "filesrc location={} ! matroskademux ! video/x-raw,format=I420 ! appsink name=out sync=false",
            text(captured())
        )),
        1000,
    );
    assert!((ENOUGH..=33).contains(&raw.0) && raw.1 == (424, 240), "{raw:?}");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("out.mkv");
    let command =
        good(&["launch", "depth.h264", "--frames", text(captured()), "--to", &format!("file={}", file.display())]);
    assert!(command.contains("424x240 at 30 fps") && command.contains("clocksync"), "{command}");
    let begun = std::time::Instant::now();
    shell(&command);
    assert!(begun.elapsed().as_millis() > 500, "in real time");
    let (count, size) = decoded(&file, "h264");
    assert!((ENOUGH..=raw.0).contains(&count) && size == (424, 240), "{count} {size:?}");
    let output = run(&["launch", "depth.h264", "--frames", text(captured()), "--size", "640x480"]);
    assert!(!output.status.success() && err(&output).contains("leave out --size"), "{}", err(&output));
}

/// A process that is ended with the test.
struct Playing(Child);

impl Drop for Playing {
    fn drop(&mut self) {
        if let Ok(None) = self.0.try_wait() {
            let _ = Command::new("kill").args(["-INT", &self.0.id().to_string()]).status();
        }
        let _ = self.0.wait();
    }
}

#[test]
fn packets_of_a_printed_command_can_be_received_and_decoded() {
    gst::init().unwrap();
    for (name, codec, depayloader) in [("color.h264", "h264", "rtph264depay"), ("infrared.vp8", "vp8", "rtpvp8depay")] {
        let encoding = codec.to_uppercase();
        let payload = if codec == "h264" { 96 } else { 97 };
        let receiver = launch(&format!(
            "udpsrc name=in address=127.0.0.1 port=0 caps=application/x-rtp,media=video,clock-rate=90000,\
             encoding-name={encoding},payload={payload} ! rtpjitterbuffer ! {depayloader} ! {} ! appsink name=out sync=false",
            decoder(codec)
        ));
        // From READY on it has its port.
        receiver.set_state(gst::State::Ready).unwrap();
        let port: i32 = receiver.by_name("in").unwrap().property("port");
        assert!(port > 0);
        let to = format!("rtp=127.0.0.1:{port}");
        let command = good(&[&["launch", name, "--to", &to][..], &SMALL].concat());
        assert!(
            command.contains("mtu=1200") && command.contains("# Watch it with: gst-launch-1.0 -v udpsrc"),
            "{command}"
        );
        receiver.set_state(gst::State::Playing).unwrap();
        let exec = command.replace("gst-launch-1.0 -e", "exec timeout 60 gst-launch-1.0 -e");
        let child = Command::new("sh").args(["-c", &exec]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let _sender = Playing(child);
        assert_eq!(pictures(&receiver, ENOUGH), (ENOUGH, (320, 240)), "{name}");
    }
}

#[test]
fn run_tells_its_rate_and_ends_on_ctrl_c_with_a_complete_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("run.mp4");
    let args = ["run", "color.h264", "--frames-count", "3000", "--to", &format!("file={}", file.display())];
    let mut command = Command::new(env!("CARGO_BIN_EXE_realsense-webrtc"));
    command.arg("pipeline").args(args).args(SMALL).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = Playing(command.spawn().unwrap());
    let mut lines = BufReader::new(child.0.stdout.take().unwrap()).lines().map_while(Result::ok);
    let rate = lines.find(|line| line.contains("fps out")).expect("a rate");
    assert!(rate.contains("fps in") && rate.contains("kbit/s"), "{rate}");
    assert!(Command::new("kill").args(["-INT", &child.0.id().to_string()]).status().unwrap().success());
    let last: Vec<_> = lines.collect();
    assert!(child.0.wait().unwrap().success(), "{last:?}");
    assert!(
        last.iter().any(|line| line.contains("key frames")) && last.last().unwrap().contains("run.mp4:"),
        "{last:?}"
    );
    // An MP4 file without its end cannot be read at all.
    assert!(decoded(&file, "h264").0 >= ENOUGH);
}

/// What a printed command prints, which must end by itself.
fn printed(command: &str) -> String {
    let mut shell = Command::new("timeout");
    shell.args(["--kill-after=5", "90", "sh", "-c", command]).env_remove("DISPLAY").env_remove("WAYLAND_DISPLAY");
    let output = shell.output().expect("a shell");
    assert!(output.status.success(), "{command}\n{}{}", out(&output), err(&output));
    out(&output)
}

#[test]
fn a_printed_command_runs_on_a_machine_without_a_display() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("wayland-0");
    let args = [&["launch", "color.h264", "--frames-count", "30"][..], &SMALL].concat();
    let rate = |output: Output, why: &str| {
        assert!(output.status.success(), "{}", err(&output));
        assert!(err(&output).contains("no display") && err(&output).contains(why), "{}", err(&output));
        let command = out(&output);
        let said = printed(&command);
        let counted = said.lines().filter_map(|line| line.split("last-message = rendered: ").nth(1));
        let most = counted.filter_map(|rest| rest.split(',').next()?.parse().ok()).max();
        assert!(most.is_some_and(|most: usize| most >= 5), "{said}");
        assert!(!command.contains("autovideosink"), "{command}");
    };
    rate(run(&args), "neither DISPLAY nor WAYLAND_DISPLAY is set");
    // Set, and nobody there any more.
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    assert!(socket.exists());
    rate(program(&args).env("WAYLAND_DISPLAY", &socket).output().unwrap(), text(&socket));
    std::fs::remove_file(&socket).unwrap();
    rate(program(&args).env("DISPLAY", text(&socket)).output().unwrap(), text(&socket));
    // Somebody there, and a sink that was given by hand.
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let there = program(&args).env("WAYLAND_DISPLAY", &socket).output().unwrap();
    assert!(out(&there).trim_end().ends_with("! autovideosink sync=false"), "{}", out(&there));
    assert!(err(&there).is_empty(), "{}", err(&there));
    let by_hand = run(&[&args[..], &["--to", "window"]].concat());
    assert!(out(&by_hand).trim_end().ends_with("! autovideosink sync=false"), "{}", out(&by_hand));
    assert!(err(&by_hand).contains("no display"), "{}", err(&by_hand));
    let by_hand = program(&[&args[..], &["--to", "rate"]].concat()).env("WAYLAND_DISPLAY", &socket).output().unwrap();
    assert!(out(&by_hand).contains("fpsdisplaysink") && err(&by_hand).is_empty(), "{}", out(&by_hand));
}

#[test]
fn what_watches_packets_fits_the_machine_that_watches() {
    for (to, sink) in [("rtp", "fakevideosink"), ("rtp=192.0.2.1:5004", "autovideosink")] {
        let command = good(&["launch", "color.vp8", "--to", to]);
        let watch = command.lines().find(|line| line.starts_with("# Watch it with: ")).expect("a line");
        assert!(watch.contains(sink), "{watch}");
    }
}

#[test]
fn run_goes_on_without_a_display() {
    let args = [&["run", "color.h264", "--frames-count", "30"][..], &SMALL].concat();
    let output = run(&args);
    assert!(output.status.success(), "{}", err(&output));
    assert!(
        err(&output).contains("no display") && out(&output).contains("to null"),
        "{}{}",
        out(&output),
        err(&output)
    );
    assert!(out(&output).contains(" frames in "), "{}", out(&output));
}

#[test]
fn run_says_what_is_wrong() {
    let output = run(&["run", "color.h264", "--to", "window"]);
    assert!(!output.status.success() && err(&output).contains("--to file=OUT.mkv"), "{}", err(&output));
    let output = run(&["run", "color.vp8", "--to", "file=a.mp4"]);
    assert!(!output.status.success() && err(&output).contains(".mkv or .webm"), "{}", err(&output));
    let (_folder, file) = changed("late.h264.gst", &[("! identity ", "! identity error-after=5 ")]);
    let output = run(&["run", text(&file), "--to", "null"]);
    assert!(!output.status.success() && err(&output).contains("identity"), "{}", err(&output));
    let output = run(&["run", "color.h264", "--to", "screen"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(err(&output).contains("window, rate, file=OUT.mkv"), "{}", err(&output));
}

#[test]
fn bench_measures_in_real_time_and_compares() {
    let measured = good(&[&["bench", "color.h264", "--secs", "2", "--json"][..], &SMALL].concat());
    let measured: serde_json::Value = serde_json::from_str(&measured).unwrap();
    let one = &measured[0];
    let number = |key: &str| one[key].as_f64().unwrap_or_else(|| panic!("{key}: {one}"));
    assert!((25.0..=31.0).contains(&number("fps_in")), "{one}");
    // Where others took the CPU, frames are dropped, as in the server.
    let least = if number("waited_percent") > 5.0 { 10.0 } else { 27.0 };
    assert!((least..=31.0).contains(&number("fps_out")), "{one}");
    assert!(number("bitrate_kbps") > 50.0 && number("key_frames") >= 1.0, "{one}");
    assert!(number("pipeline_cpu_percent") > 0.0 && number("cpu_percent") >= number("pipeline_cpu_percent"), "{one}");
    assert!(number("frame_bytes_max") >= number("frame_bytes_mean"), "{one}");
    let elements: Vec<_> = one["elements"].as_array().unwrap().iter().map(|e| e["factory"].as_str().unwrap()).collect();
    let at =
        |factory: &str| elements.iter().position(|known| *known == factory).unwrap_or_else(|| panic!("{elements:?}"));
    assert!(at("appsrc") < at("videoconvert") && at("videoconvert") < at("x264enc"), "{elements:?}");
    let encoder = &one["elements"][at("x264enc")]["latency_ms"];
    assert!(
        encoder["mean"].as_f64().unwrap() > 0.0 && encoder["max"].as_f64() <= one["latency_ms"]["max"].as_f64(),
        "{one}"
    );
    let compared = good(&["bench", "color.h264", "color.vp8", "--secs", "1", "--frames", text(captured())]);
    assert!(compared.contains("recorded frames") && compared.contains("424x240"), "{compared}");
    let table: Vec<_> = compared.lines().rev().take(3).collect();
    assert!(table[2].starts_with("NAME") && table[1].contains("x264enc") && table[0].contains("vp8enc"), "{compared}");
}
