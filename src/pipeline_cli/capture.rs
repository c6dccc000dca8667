//! `pipeline capture`: raw frames of a camera into a file for `--frames`. Owns opening the camera as `serve` would, for one
//! stream; never encodes.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, mpsc},
    time::{Duration, Instant},
};

use clap::Args;

use super::{
    subject::parse_size,
    terminal::{Stop, say},
};
use crate::{
    app::sources,
    camera::{
        events::{CameraEvent, DeviceNews},
        hub::FrameHub,
        manager::{self, CameraHandle},
        recording::Recordings,
    },
    config::Config,
    core::wishes::profile,
    media::gst::offline::capture::Capture,
    model::{Attachment, DeviceId, DeviceInfo, Profile, SensorInfo, StreamConfig, StreamKey, StreamType},
};

/// How long the camera may take to close.
const CLOSE: Duration = Duration::from_secs(2);
/// How often the end is looked for.
const LOOK: Duration = Duration::from_millis(20);

/// What is captured.
#[derive(Debug, Clone, Args)]
pub(crate) struct CaptureArgs {
    /// File to write; its name ends with .mkv.
    #[arg(value_parser = parse_matroska)]
    file: PathBuf,
    /// Serial number of the device [default: the first device].
    #[arg(long, value_name = "SERIAL")]
    device: Option<String>,
    /// Stream type: color, depth, infrared-1 or infrared-2.
    #[arg(long, value_name = "TYPE", default_value = "color", value_parser = super::subject::parse_stream)]
    stream: StreamType,
    /// Size in pixels, such as 1280x720 [default: the nearest to the configuration's].
    #[arg(long, value_name = "WxH", value_parser = parse_size)]
    size: Option<(u32, u32)>,
    /// Frames a second [default: the nearest to the configuration's].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=300))]
    fps: Option<u32>,
    /// Seconds to capture, from the first frame on. 640x480 at 30 fps takes 14 MB a second.
    #[arg(long, value_name = "SECONDS", default_value_t = 5.0, value_parser = super::args::parse_seconds)]
    secs: f64,
}

/// Captures.
pub(super) fn run(config: &Config, args: &CaptureArgs, stop: &Stop) -> Result<bool, String> {
    let config = Arc::new(config.clone());
    let hub = Arc::new(FrameHub::default());
    let found = sources::start(&config).map_err(|error| error.for_log().to_owned())?;
    if found.backends.is_empty() {
        let why = found.trouble.unwrap_or_else(|| "none is connected".into());
        return Err(format!(
            "There is no camera: {why}. A simulated one: realsense-webrtc --sim-cameras 1 pipeline capture …"
        ));
    }
    let (sender, events) = mpsc::channel();
    let timing = manager::Timing {
        reply: Duration::from_secs(config.camera.start_timeout_s),
        stall: Duration::from_secs(config.camera.stall_timeout_s),
    };
    // Told to nobody once the capture has ended.
    let tell = Arc::new(move |event| drop(sender.send(event)));
    let recordings = Recordings::new(&config.recording, None);
    let cameras = manager::start(found.backends, hub.clone(), tell, timing, recordings, Arc::default())
        .map_err(|error| error.for_log().to_owned())?;
    let captured = Opened::wait(&config, args, &events, stop)
        .and_then(|opened| opened.capture(&config, hub, args, &cameras, &events, stop));
    cameras.shutdown(CLOSE);
    captured.map(|()| true)
}

/// An open device.
struct Opened {
    attachment: Attachment,
    info: Box<DeviceInfo>,
    sensors: Vec<SensorInfo>,
}

impl Opened {
    /// Waits for the device that is asked for, or the first.
    fn wait(
        config: &Config,
        args: &CaptureArgs,
        events: &mpsc::Receiver<CameraEvent>,
        stop: &Stop,
    ) -> Result<Self, String> {
        let deadline = Instant::now() + Duration::from_secs(config.camera.start_timeout_s);
        let wanted = |device: &DeviceId| args.device.as_deref().is_none_or(|wanted| wanted == device.as_str());
        let (mut seen, mut trouble) = (Vec::new(), None);
        while Instant::now() < deadline && !stop.is_asked() {
            if let Ok(CameraEvent::Device { device, attachment, news }) = events.recv_timeout(LOOK) {
                match news {
                    DeviceNews::Present { info, sensors } if wanted(&device) => {
                        return Ok(Self { attachment, info, sensors });
                    }
                    DeviceNews::Opening => seen.push(device.to_string()),
                    DeviceNews::OpenFailed(error) if wanted(&device) => {
                        trouble = Some(format!("Device {device} cannot be opened: {}", error.public()));
                    }
                    _ => {}
                }
            }
            // All that are there report at once; a request for another one need not wait.
            if !seen.is_empty() && !seen.iter().any(|device| wanted(&DeviceId::new(device))) {
                break;
            }
        }
        seen.sort();
        seen.dedup();
        Err(trouble.unwrap_or_else(|| match &args.device {
            Some(device) => format!("There is no device {device}. There is: {}.", seen.join(", ")),
            None => "No camera opened in time.".into(),
        }))
    }

    fn profile(&self, config: &Config, args: &CaptureArgs) -> Result<(usize, StreamConfig), String> {
        let configured = config.streams.of(args.stream).profile();
        let (width, height) = args.size.unwrap_or((configured.width, configured.height));
        let wanted = Profile { width, height, framerate: args.fps.unwrap_or(configured.framerate) };
        let chosen = if args.size.is_some() || args.fps.is_some() {
            profile::choose(&self.sensors, args.stream, wanted)
        } else {
            profile::choose_default(&self.sensors, args.stream, wanted)
        };
        chosen.map_err(|error| profile::with_usb_hint(error, self.info.usb_type.as_deref()).public().to_owned())
    }

    fn capture(
        &self,
        config: &Arc<Config>,
        hub: Arc<FrameHub>,
        args: &CaptureArgs,
        cameras: &CameraHandle,
        events: &mpsc::Receiver<CameraEvent>,
        stop: &Stop,
    ) -> Result<(), String> {
        let (sensor, stream) = self.profile(config, args)?;
        let key = StreamKey::new(self.info.device_id.clone(), args.stream);
        let patience = Duration::from_secs(config.camera.start_timeout_s);
        let capture = Capture::start(config.clone(), hub, &key, stream.profile.framerate, &args.file)?;
        cameras
            .apply(&key.device, self.attachment, 1, vec![(sensor, stream)])
            .map_err(|error| error.public().to_owned())?;
        let (asked, mut first) = (Instant::now(), None);
        while !stop.is_asked() && first.is_none_or(|first: Instant| first.elapsed().as_secs_f64() < args.secs) {
            if let Some(why) = capture.failed() {
                return Err(format!("'{}' cannot be written: {why}", args.file.display()));
            }
            if first.is_none() && capture.frames() > 0 {
                first = Some(Instant::now());
            }
            if first.is_none() && asked.elapsed() > patience {
                return Err(format!("No frame of {} came within {} s.", args.stream, patience.as_secs()));
            }
            let Ok(CameraEvent::Device { device, news, .. }) = events.recv_timeout(LOOK) else { continue };
            match news {
                DeviceNews::Applied { applied, .. } => {
                    if let Some((_, error)) = applied.failed.first() {
                        return Err(error.public().to_owned());
                    }
                }
                DeviceNews::Broke { error, .. } => return Err(error.public().to_owned()),
                DeviceNews::OpenFailed(error) if device == key.device => return Err(error.public().to_owned()),
                DeviceNews::Gone if device == key.device => return Err("The camera is gone.".into()),
                _ => {}
            }
        }
        let (frames, seconds) = (capture.frames(), first.map_or(0.0, |first| first.elapsed().as_secs_f64()));
        let caps = capture.finish()?;
        if frames == 0 {
            return Err("Stopped before the first frame.".into());
        }
        let format = caps.as_ref().and_then(|caps| caps.structure(0)?.get::<String>("format").ok()).unwrap_or_default();
        // Of odd sides the last column or row is left out.
        let side =
            |name: &str| caps.as_ref()?.structure(0)?.get::<i32>(name).ok().and_then(|side| side.try_into().ok());
        let Profile { width, height, framerate } = stream.profile;
        let (width, height) = (side("width").unwrap_or(width), side("height").unwrap_or(height));
        let size = std::fs::metadata(&args.file).map_or(0, |file| file.len());
        say(format!(
            "{}: {frames} frames of {} in {seconds:.1} s, {}, {format}, {:.1} MB, from {} ({})",
            args.file.display(),
            args.stream,
            Profile { width, height, framerate },
            size as f64 / 1e6,
            self.info.name,
            self.info.device_id,
        ));
        Ok(())
    }
}

fn parse_matroska(text: &str) -> Result<PathBuf, String> {
    let path = Path::new(text);
    let is_matroska = path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("mkv"));
    if is_matroska { Ok(path.into()) } else { Err("raw frames go into a Matroska file: name it ….mkv".into()) }
}
