//! Starts the backends that a configuration asks for: the SDK's cameras and recordings, simulated ones. Decides when the
//! simulator stands in; knows nothing of what a backend does.

use std::{path::PathBuf, sync::Arc};

use tracing::{error, info, warn};

use crate::{
    camera::{
        Backend,
        realsense::{RealsenseBackend, SdkRecorderFactory, Settings},
        recorder::RecorderFactory,
        sim::SimBackend,
    },
    config::{Config, SimCameras},
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
pub(crate) fn start(config: &Config) -> Sources {
    let mut sources = Sources::default();
    let asked = config.realsense.software_device || !config.realsense.recordings.is_empty();
    if config.realsense.enabled || asked {
        sources.start_realsense(config, asked || !config.realsense.library.is_empty());
    }
    let present: usize = sources.backends.iter().map(|backend| backend.devices().len()).sum();
    let unreadable = sources.unreadable;
    let simulated = match config.camera.sim_cameras {
        SimCameras::Count(count) => count,
        // Whoever asked for something that is not there must not get something else.
        SimCameras::Auto if present > 0 || asked || sources.trouble.is_some() || unreadable > 0 => 0,
        SimCameras::Auto => {
            warn!("NO CAMERA WAS FOUND: a simulated D435I delivers the pictures. Without it: --sim-cameras 0");
            1
        }
    };
    if simulated > 0 {
        info!(count = simulated, "simulated cameras");
        sources.backends.push(Arc::new(SimBackend::new(simulated)));
    }
    sources
}

impl Sources {
    fn start_realsense(&mut self, config: &Config, asked: bool) {
        let settings = &config.realsense;
        let library = Some(&settings.library).filter(|library| !library.is_empty()).map(PathBuf::from);
        let sdk = match Sdk::load(library.as_deref()) {
            Ok(sdk) => sdk,
            Err(missing @ LoadError::NotFound) if !asked => return info!("{missing}"),
            Err(problem) => return self.give_up(problem.to_string()),
        };
        info!(version = %sdk.version(), records = sdk.recording_extension(), "librealsense loaded");
        let settings = Settings {
            live: settings.enabled,
            recordings: settings.recordings.clone(),
            repeat: settings.repeat,
            presets: settings.presets.clone(),
            software_device: settings.software_device,
        };
        match RealsenseBackend::start(sdk, settings) {
            Ok(backend) => {
                self.unreadable = backend.unreadable();
                if self.unreadable > 0 {
                    self.trouble = Some("a camera is connected but cannot be read; see the log".into());
                }
                // Told by health while there is nothing else to see.
                if let [first, ..] = backend.failed_recordings().as_slice() {
                    self.trouble = Some(first.trim_end_matches('.').to_owned());
                }
                self.backends.push(Arc::new(backend));
                self.recorder = Some(Arc::new(SdkRecorderFactory::new(sdk)));
            }
            Err(problem) => self.give_up(problem.for_log().to_owned()),
        }
    }

    fn give_up(&mut self, problem: String) {
        error!("no real cameras and no recordings: {problem}");
        self.trouble = Some(problem);
    }
}
