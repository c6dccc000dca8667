//! How a recording is played: what was asked of it, and whether it is at its end. The SDK keeps neither the speed nor the
//! wish to repeat, and stops its sensors at the end.

use std::{
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::{
    camera::PlaybackCommand,
    librealsense::{Device, PlaybackState, Result, SdkError},
    model::PlaybackStatus,
};

/// Slowest and fastest playback. Faster than this no disk delivers, and slower is a pause.
const SPEEDS: std::ops::RangeInclusive<f64> = 0.1..=10.0;

/// A recording being played.
pub(super) struct Player {
    file: PathBuf,
    duration: Duration,
    wish: Mutex<Wish>,
}

#[derive(Debug, Clone, Copy)]
struct Wish {
    paused: bool,
    /// The end was reached and it is not to begin again.
    ended: bool,
    speed: f64,
    repeat: bool,
}

/// Why a command was not carried out.
#[derive(Debug, thiserror::Error)]
pub(super) enum Problem {
    /// It cannot be.
    #[error("{0}")]
    Invalid(String),
    /// The SDK's words.
    #[error("{0}")]
    Sdk(#[from] SdkError),
}

impl Player {
    pub(super) fn new(file: &Path, repeat: bool, device: &Device) -> Result<Self> {
        device.playback_real_time(true)?;
        let duration = device.playback_duration()?;
        let wish = Wish { paused: false, ended: false, speed: 1.0, repeat };
        Ok(Self { file: file.to_owned(), duration, wish: Mutex::new(wish) })
    }

    fn wish(&self) -> MutexGuard<'_, Wish> {
        self.wish.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn file(&self) -> &Path {
        &self.file
    }

    /// The file's name without its folder.
    pub(super) fn name(&self) -> String {
        self.file
            .file_name()
            .map_or_else(|| self.file.display().to_string(), |name| name.to_string_lossy().into_owned())
    }

    pub(super) fn repeats(&self) -> bool {
        self.wish().repeat
    }

    /// Whether no frames come because none are wanted.
    pub(super) fn is_held(&self) -> bool {
        let wish = *self.wish();
        wish.paused || wish.ended
    }

    pub(super) fn hold_at_end(&self) {
        self.wish().ended = true;
    }

    /// Before the first sensor is started.
    pub(super) fn unpause(&self) {
        self.wish().paused = false;
    }

    /// Before a sensor is started: whether it had ended, and so is to begin again.
    pub(super) fn begin_again(&self) -> bool {
        std::mem::take(&mut self.wish().ended)
    }

    /// After a sensor was started: the SDK plays then, whatever was wished before.
    pub(super) fn started(&self, device: &Device) {
        if self.wish().paused
            && let Err(error) = device.playback_pause()
        {
            tracing::warn!(%error, "the recording plays although it was paused");
        }
    }

    /// Before a sensor is stopped. The SDK reads the file on a thread of its own, which does not expect a sensor to be closed
    /// under it: about one in a thousand sensors that were stopped while it read, and started again, stayed silent, and the
    /// next starts with it (2.56.5).
    pub(super) fn hold(&self, device: &Device) {
        if self.wish().paused || device.playback_state() != Ok(PlaybackState::Playing) {
            return;
        }
        // The first ends the reading; the second waits for what was being read when the first came.
        for _ in 0..2 {
            if let Err(error) = device.playback_pause() {
                tracing::debug!(%error, "the recording is not held while a sensor stops");
            }
        }
    }

    /// After a sensor was stopped: the others go on. Returns once the SDK has carried the stop out.
    pub(super) fn go_on(&self, device: &Device) {
        if !self.wish().paused
            && let Err(error) = device.playback_resume()
        {
            tracing::warn!(%error, "the recording does not go on after a sensor was stopped");
        }
    }

    /// Whether the SDK stopped at the end. Right after a start it says stopped, too: a frame must have come.
    pub(super) fn is_at_end(&self, device: &Device, delivered: u64) -> bool {
        !self.is_held() && delivered > 0 && device.playback_state() == Ok(PlaybackState::Stopped)
    }

    /// Carries a command out. Gives the position to start the sensors from again, where that is needed.
    pub(super) fn carry_out(
        &self,
        device: &Device,
        command: PlaybackCommand,
        running: bool,
    ) -> std::result::Result<Option<Duration>, Problem> {
        match command {
            PlaybackCommand::Pause => {
                if running {
                    device.playback_pause()?;
                }
                self.wish().paused = true;
            }
            PlaybackCommand::Resume => {
                let Wish { paused, ended, .. } = *self.wish();
                if paused && running {
                    device.playback_resume()?;
                }
                let mut wish = self.wish();
                (wish.paused, wish.ended) = (false, false);
                return Ok((ended && running).then_some(Duration::ZERO));
            }
            PlaybackCommand::Seek(position) => {
                if position > self.duration {
                    let seconds = self.duration.as_secs_f64();
                    return Err(Problem::Invalid(format!("The recording is {seconds:.3} s long.")));
                }
                let ended = std::mem::take(&mut self.wish().ended);
                if ended && running {
                    return Ok(Some(position));
                }
                device.playback_seek(position)?;
            }
            PlaybackCommand::Speed(speed) => {
                if !SPEEDS.contains(&speed) {
                    let (slow, fast) = (SPEEDS.start(), SPEEDS.end());
                    return Err(Problem::Invalid(format!("The speed goes from {slow} to {fast}; got {speed}.")));
                }
                device.playback_speed(speed as f32)?;
                self.wish().speed = speed;
            }
            PlaybackCommand::Repeat(repeat) => self.wish().repeat = repeat,
        }
        Ok(None)
    }

    pub(super) fn status(&self, device: &Device) -> Result<PlaybackStatus> {
        let Wish { paused, ended, speed, repeat } = *self.wish();
        let position = if ended { self.duration } else { device.playback_position()?.min(self.duration) };
        Ok(PlaybackStatus {
            file: self.name(),
            duration: self.duration.as_secs_f64(),
            position: position.as_secs_f64(),
            is_paused: paused || ended,
            speed,
            repeat,
        })
    }
}
