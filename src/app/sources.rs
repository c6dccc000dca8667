//! Starts the backends that a configuration asks for: the SDK's cameras and recordings, simulated ones. Decides when the
//! simulator stands in, and whether what cannot be had ends the start; knows nothing of what a backend does.

use std::{collections::BTreeSet, path::PathBuf, sync::Arc};

use tracing::{error, info, warn};

use crate::{
    camera::{
        Backend,
        realsense::{RealsenseBackend, SdkRecorderFactory, Settings},
        recorder::RecorderFactory,
        sim::SimBackend,
    },
    config::{Config, SimCameras},
    error::{Error, Result},
    librealsense::{LoadError, Sdk},
};

/// What pictures come from.
#[derive(Default)]
pub(crate) struct Sources {
    pub(crate) backends: Vec<Arc<dyn Backend>>,
    /// What writes recordings, where the SDK is there.
    pub(crate) recorder: Option<Arc<dyn RecorderFactory>>,
    /// Why something that was asked for is not there.
    pub(crate) trouble: Option<String>,
    /// Cameras that are connected but cannot be read yet.
    unreadable: usize,
}

/// Starts them. Blocks for as long as the SDK takes to look at the cameras.
///
/// # Errors
/// What was asked for by a flag, or named by a file's path, cannot be had: the message says what to do.
pub(crate) fn start(config: &Config) -> Result<Sources> {
    check_presets(config)?;
    let mut sources = Sources::default();
    let asked = config.realsense.software_device || !config.realsense.recordings.is_empty();
    if config.realsense.enabled || asked {
        sources.start_realsense(config)?;
    }
    let present = sources.backends.iter().map(|backend| backend.devices().len()).sum::<usize>();
    let simulated = match config.camera.sim_cameras {
        SimCameras::Count(count) => count,
        // Whoever asked for something that is not there must not get something else.
        SimCameras::Auto if present > 0 || asked || sources.trouble.is_some() || sources.unreadable > 0 => 0,
        SimCameras::Auto => {
            warn!("NO CAMERA WAS FOUND: a SIMULATED D435I delivers the pictures. Without it: --sim-cameras 0");
            1
        }
    };
    if simulated > 0 {
        info!(count = simulated, "SIMULATED cameras: their pictures come from no camera");
        sources.backends.push(Arc::new(SimBackend::new(simulated)));
    } else if present == 0 && sources.trouble.is_none() && !sources.backends.is_empty() {
        warn!(
            "no camera was found. The server takes one when it is plugged in (scripts/install_udev_rules.sh gives users the \
             right to use it). To try it without a camera: --sim-cameras 1"
        );
    }
    sources.tell_of_the_absent(config);
    Ok(sources)
}

/// Preset files are read whenever their camera is opened, which may be at night.
pub(crate) fn check_presets(config: &Config) -> Result<()> {
    for (serial, file) in &config.realsense.presets {
        let read = std::fs::read_to_string(file).map_err(|error| error.to_string());
        let read = read.and_then(|text| {
            serde_json::from_str::<serde_json::Value>(&text).map_err(|error| format!("it is no JSON: {error}"))
        });
        if let Err(why) = read {
            return Err(Error::invalid(format!(
                "In the configuration, realsense.presets: the preset of camera {serial}, {}, cannot be read: {why}. Correct \
                 the path, which begins where the server is started unless it begins with '/', or take the line out.",
                file.display()
            )));
        }
    }
    Ok(())
}

impl Sources {
    fn start_realsense(&mut self, config: &Config) -> Result<()> {
        let settings = &config.realsense;
        let library = Some(&settings.library).filter(|library| !library.is_empty()).map(PathBuf::from);
        let sdk = match Sdk::load(library.as_deref()) {
            Ok(sdk) => sdk,
            Err(problem) if library.is_some() => {
                return Err(Error::unavailable(format!(
                    "In the configuration, realsense.library: {problem}. Name the file librealsense2.so or the folder in which \
                     it lies; scripts/get_librealsense.sh fetches it and prints its path. Simulated cameras need none."
                )));
            }
            Err(missing @ LoadError::NotFound) if settings.recordings.is_empty() && !settings.software_device => {
                info!("{missing}");
                return Ok(());
            }
            Err(problem) => return self.without(config, problem.to_string()),
        };
        info!(version = %sdk.version(), records = sdk.recording_extension(), "librealsense loaded");
        let settings = Settings {
            live: settings.enabled,
            recordings: settings.recordings.clone(),
            repeat: settings.repeat,
            presets: settings.presets.clone(),
            software_device: settings.software_device,
        };
        let backend = match RealsenseBackend::start(sdk, settings) {
            Ok(backend) => backend,
            Err(problem) => return self.without(config, problem.for_log().to_owned()),
        };
        if let [first, ..] = backend.failed_recordings().as_slice() {
            if config.asked.recordings {
                return Err(Error::invalid(format!("--recording: {first}")));
            }
            // Told by health while there is nothing else to see.
            self.trouble = Some(first.trim_end_matches('.').to_owned());
        }
        self.unreadable = backend.unreadable();
        if self.unreadable > 0 && self.trouble.is_none() {
            self.trouble = Some("a camera is connected but cannot be read; see the log".into());
        }
        self.backends.push(Arc::new(backend));
        self.recorder = Some(Arc::new(SdkRecorderFactory::new(sdk)));
        Ok(())
    }

    /// The SDK does not work, and so nothing that needs it.
    fn without(&mut self, config: &Config, problem: String) -> Result<()> {
        let flag = [("--recording", config.asked.recordings), ("--software-device", config.asked.software_device)];
        if let Some((flag, _)) = flag.into_iter().find(|(_, asked)| *asked) {
            return Err(Error::unavailable(format!("{flag} needs librealsense: {problem}.")));
        }
        error!("no real cameras and no recordings: {problem}");
        self.trouble = Some(problem);
        Ok(())
    }

    /// What the configuration says of single cameras has no effect while they are not there; a wrong digit looks like that.
    fn tell_of_the_absent(&self, config: &Config) {
        let present: BTreeSet<String> =
            self.backends.iter().flat_map(|backend| backend.devices()).map(|info| info.device_id.to_string()).collect();
        let there = || match present.is_empty() {
            true => "no camera is there".to_owned(),
            false => format!("there are {}", present.iter().cloned().collect::<Vec<_>>().join(", ")),
        };
        let keys = [
            ("realsense.presets", config.realsense.presets.keys().collect::<Vec<_>>()),
            ("pipelines.devices", config.pipelines.devices.keys().collect()),
        ];
        for (key, devices) in keys {
            for device in devices.into_iter().filter(|device| !present.contains(*device)) {
                warn!(
                    "{key} names camera {device}, which is not there now ({}); it counts once that camera comes",
                    there()
                );
            }
        }
    }
}
