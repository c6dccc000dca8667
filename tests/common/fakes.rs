//! A recorder and a backend that the test scripts: a disk that is slow, full or broken, a recording that is played back,
//! a camera with presets, at a slow port, or busy.

use std::{
    fs::File,
    io::Write,
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, mpsc::Receiver},
    time::Duration,
};

use realsense_webrtc::{
    camera::{
        Attached, Backend, BackendEvents, Camera, Frame, FrameSink, PlaybackCommand, SimFault, StreamConfig,
        recorder::{RecordedDevice, Recorder, RecorderFactory},
        sim::SimBackend,
    },
    error::{Error, Result},
    model::{DeviceId, Extrinsics, Intrinsics, OptionInfo, PlaybackStatus, SensorInfo, StreamType},
};

/// Makes files of a line for each frame, between a first and a last line.
#[derive(Default)]
pub struct FakeFactory {
    script: Arc<Script>,
}

#[derive(Default)]
struct Script {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    stuck: bool,
    /// Bytes that each frame takes in the file besides its line.
    padding: usize,
    create_error: Option<String>,
    write_error: Option<String>,
    finish_error: Option<String>,
    devices: Vec<RecordedDevice>,
}

impl FakeFactory {
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// While this is set a write does not return.
    pub fn stick(&self, stuck: bool) {
        self.script.state.lock().unwrap().stuck = stuck;
        self.script.changed.notify_all();
    }

    /// Makes every frame take so many bytes more.
    pub fn pad(&self, bytes: usize) {
        self.script.state.lock().unwrap().padding = bytes;
    }

    pub fn fail_create(&self, text: Option<&str>) {
        self.script.state.lock().unwrap().create_error = text.map(str::to_owned);
    }

    pub fn fail_write(&self, text: Option<&str>) {
        self.script.state.lock().unwrap().write_error = text.map(str::to_owned);
    }

    pub fn fail_finish(&self, text: Option<&str>) {
        self.script.state.lock().unwrap().finish_error = text.map(str::to_owned);
    }

    /// What the recordings were told of their devices.
    pub fn devices(&self) -> Vec<RecordedDevice> {
        self.script.state.lock().unwrap().devices.clone()
    }
}

impl Drop for FakeFactory {
    fn drop(&mut self) {
        self.stick(false);
    }
}

fn fail(text: Option<&String>) -> Result<()> {
    text.map_or(Ok(()), |text| Err(Error::unavailable(text.clone())))
}

impl RecorderFactory for FakeFactory {
    fn extension(&self) -> &'static str {
        "bag"
    }

    fn create(&self, file: &Path, device: &RecordedDevice) -> Result<Box<dyn Recorder>> {
        let mut state = self.script.state.lock().unwrap();
        fail(state.create_error.as_ref())?;
        state.devices.push(device.clone());
        let mut file = File::create_new(file).map_err(|error| Error::unavailable(error.to_string()))?;
        writeln!(file, "begin").unwrap();
        Ok(Box::new(FakeRecorder { file, script: self.script.clone() }))
    }
}

struct FakeRecorder {
    file: File,
    script: Arc<Script>,
}

impl Recorder for FakeRecorder {
    fn write(&mut self, frame: &Frame) -> Result<()> {
        let state = self.script.state.lock().unwrap();
        let state = self.script.changed.wait_while(state, |state| state.stuck).unwrap();
        fail(state.write_error.as_ref())?;
        let padding = "#".repeat(state.padding);
        writeln!(self.file, "{padding}{} {}", frame.stream, frame.number)
            .map_err(|error| Error::unavailable(error.to_string()))
    }

    fn finish(mut self: Box<Self>) -> Result<()> {
        fail(self.script.state.lock().unwrap().finish_error.as_ref())?;
        writeln!(self.file, "end").map_err(|error| Error::unavailable(error.to_string()))
    }
}

/// The frames of a finished file of the fake recorder: stream and number, in the order written.
pub fn frames_of(path: &PathBuf) -> Vec<(String, u64)> {
    let text = std::fs::read_to_string(path).unwrap();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!((lines.first(), lines.last()), (Some(&"begin"), Some(&"end")), "the file is whole");
    let frames = lines[1..lines.len() - 1].iter().map(|line| {
        let (stream, number) = line.trim_start_matches('#').split_once(' ').unwrap();
        (stream.to_owned(), number.parse().unwrap())
    });
    frames.collect()
}

/// A simulated camera that is something else: a recording, a camera at a slow port, one with presets, a busy one.
pub struct OddBackend {
    inner: SimBackend,
    traits: Arc<Mutex<Traits>>,
}

/// What it is. Changes of what a camera does count at once, changes of what it is with the next opening.
#[derive(Clone, Default)]
pub struct Traits {
    pub playback: Option<PlaybackStatus>,
    pub presets: bool,
    pub preset: String,
    pub usb_type: Option<String>,
    pub start_error: Option<Error>,
    /// Sensors begin only once the sender of this is dropped.
    pub start_gate: Option<Arc<Mutex<Receiver<()>>>>,
    pub open_error: Option<Error>,
    /// Frames that come while playback is paused are kept back.
    pub commands: Vec<PlaybackCommand>,
}

impl OddBackend {
    pub fn new(traits: Traits) -> (Arc<Self>, Arc<Mutex<Traits>>) {
        let traits = Arc::new(Mutex::new(traits));
        (Arc::new(Self { inner: SimBackend::new(1), traits: traits.clone() }), traits)
    }
}

impl Backend for OddBackend {
    fn name(&self) -> &'static str {
        "odd"
    }

    fn sdk_version(&self) -> Option<String> {
        None
    }

    fn set_events(&self, events: BackendEvents) {
        self.inner.set_events(events);
    }

    fn attached(&self) -> Vec<Attached> {
        let traits = self.traits.lock().unwrap();
        let mut devices = self.inner.attached();
        for Attached { info, .. } in &mut devices {
            info.playback = traits.playback.is_some();
            info.presets = traits.presets;
            info.usb_type = traits.usb_type.clone().or(info.usb_type.take());
        }
        devices
    }

    fn open(&self, device: &DeviceId, frames: FrameSink) -> Result<Box<dyn Camera>> {
        if let Some(error) = self.traits.lock().unwrap().open_error.clone() {
            return Err(error);
        }
        let traits = self.traits.clone();
        let gated: FrameSink = Arc::new(move |frame| {
            let paused = traits.lock().unwrap().playback.as_ref().is_some_and(|playback| playback.is_paused);
            if !paused {
                frames(frame);
            }
        });
        Ok(Box::new(OddCamera { inner: self.inner.open(device, gated)?, traits: self.traits.clone() }))
    }

    fn inject_fault(&self, device: &DeviceId, fault: SimFault) -> Result<()> {
        self.inner.inject_fault(device, fault)
    }
}

struct OddCamera {
    inner: Box<dyn Camera>,
    traits: Arc<Mutex<Traits>>,
}

impl Camera for OddCamera {
    fn sensors(&mut self) -> Result<Vec<SensorInfo>> {
        self.inner.sensors()
    }

    fn start(&mut self, sensor: usize, streams: &[StreamConfig]) -> Result<()> {
        let gate = self.traits.lock().unwrap().start_gate.clone();
        if let Some(gate) = gate {
            // Ends, with an error, when the sender is dropped.
            let _ = gate.lock().unwrap().recv();
        }
        let refusal = self.traits.lock().unwrap().start_error.clone();
        refusal.map_or_else(|| self.inner.start(sensor, streams), Err)
    }

    fn stop(&mut self, sensor: usize) {
        self.inner.stop(sensor);
    }

    fn set_option(&mut self, sensor: usize, option: &str, value: f64) -> Result<()> {
        self.inner.set_option(sensor, option, value)
    }

    fn option(&mut self, sensor: usize, option: &str) -> Result<OptionInfo> {
        self.inner.option(sensor, option)
    }

    fn depth_units(&mut self) -> f32 {
        self.inner.depth_units()
    }

    fn intrinsics(&mut self, stream: StreamType, width: u32, height: u32) -> Option<Intrinsics> {
        self.inner.intrinsics(stream, width, height)
    }

    fn extrinsics(&mut self, from: StreamType, to: StreamType) -> Option<Extrinsics> {
        self.inner.extrinsics(from, to)
    }

    fn hw_reset(&mut self) -> Result<()> {
        self.inner.hw_reset()
    }

    fn is_paused(&mut self) -> bool {
        self.traits.lock().unwrap().playback.as_ref().is_some_and(|playback| playback.is_paused)
    }

    fn playback(&mut self, command: Option<PlaybackCommand>) -> Result<PlaybackStatus> {
        let mut traits = self.traits.lock().unwrap();
        traits.commands.extend(command);
        let Some(playback) = &mut traits.playback else {
            return Err(Error::not_found("This is a live camera, not a recording."));
        };
        match command {
            Some(PlaybackCommand::Pause) => playback.is_paused = true,
            Some(PlaybackCommand::Resume) => playback.is_paused = false,
            Some(PlaybackCommand::Seek(to)) if to > Duration::from_secs_f64(playback.duration) => {
                return Err(Error::invalid(format!("The recording lasts {} s only.", playback.duration)));
            }
            Some(PlaybackCommand::Seek(to)) => playback.position = to.as_secs_f64(),
            Some(PlaybackCommand::Speed(speed)) => playback.speed = speed,
            Some(PlaybackCommand::Repeat(repeat)) => playback.repeat = repeat,
            None => {}
        }
        Ok(playback.clone())
    }

    fn load_preset(&mut self, json: &str) -> Result<()> {
        let mut traits = self.traits.lock().unwrap();
        if !json.contains("param-") {
            return Err(Error::invalid("This preset has no setting that the camera knows."));
        }
        json.clone_into(&mut traits.preset);
        Ok(())
    }

    fn preset(&mut self) -> Result<String> {
        Ok(self.traits.lock().unwrap().preset.clone())
    }
}
