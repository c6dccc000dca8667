//! How a recording is played: what was asked of it, and whether it is at its end. The SDK keeps neither the speed nor the
//! wish to repeat, and stops its sensors at the end.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use crate::{
    camera::PlaybackCommand,
    librealsense::{Device, PlaybackState, Result, SdkError},
    model::PlaybackStatus,
    sync::{Mutex, MutexGuard, lock},
};

/// Slowest and fastest playback. Faster than this no disk delivers, and slower is a pause.
const SPEEDS: std::ops::RangeInclusive<f64> = 0.1..=10.0;

/// How long the picture of another place may take to be shown while the recording is paused. The SDK goes on from the picture
/// that was shown last, shows on a thread of its own, and does not tell when: with six players on two cores, one jump in seven was
/// lost where the recording was resumed at once, and none of 48 after this time (2.59.1).
const SHOWN_WITHIN: Duration = Duration::from_millis(300);

/// How far from the place that was asked for a jump may end; the SDK reads a few pictures ahead.
const NEAR: Duration = Duration::from_millis(500);
/// How often a jump is tried.
const MOST_JUMPS: usize = 3;

/// A place before this counts as the beginning, which is reached by starting anew: where no picture comes before the place, the
/// SDK has none to go on from, and goes on from where it was.
const FIRST_PICTURE: Duration = Duration::from_millis(100);

/// A recording that was held is not resumed this close to its end, and not where nothing came for so long of what is still wanted
/// of it. To resume, the SDK looks for a frame behind the one that was shown last, and where the file has none of the streams that
/// still run, it looks for ever, on the thread that carries out everything else, too (2.56.5 and 2.59.1: `playback_device::resume` takes
/// no notice of the end). Streams do not end together, but within the time of a frame, of which the slowest profile of a D400
/// has six in a second.
const TAIL: Duration = Duration::from_millis(250);
/// See [`TAIL`]; in real time.
const SILENCE: Duration = Duration::from_millis(500);

/// What is left of a recording to those sensors that still run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Left {
    /// It goes on, or is held.
    Something,
    /// It has to end.
    Nothing,
}

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
    /// When it was last sent elsewhere while it was paused.
    sought: Option<Instant>,
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
        let wish = Wish { paused: false, ended: false, sought: None, speed: 1.0, repeat };
        Ok(Self { file: file.to_owned(), duration, wish: Mutex::new(wish) })
    }

    fn wish(&self) -> MutexGuard<'_, Wish> {
        lock(&self.wish)
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
        let mut wish = self.wish();
        (wish.paused, wish.sought) = (false, None);
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
        if let Err(error) = pause(device) {
            tracing::debug!(%error, "the recording is not held while a sensor stops");
        }
    }

    /// After a sensor was stopped: the others go on, unless nothing is left to them. `silence` is how long ago the newest frame
    /// came of any of them; nothing when there are none. Returns once the SDK has carried the stop out.
    pub(super) fn go_on(&self, device: &Device, silence: Option<Duration>) -> Left {
        let wish = *self.wish();
        if wish.paused || wish.ended {
            return Left::Something;
        }
        if let Some(silence) = silence
            && device.playback_state() == Ok(PlaybackState::Paused)
            && is_over(device.playback_position().unwrap_or(self.duration), self.duration, silence, wish.speed)
        {
            return Left::Nothing;
        }
        if let Err(error) = device.playback_resume() {
            tracing::warn!(%error, "the recording does not go on after a sensor was stopped");
        }
        Left::Something
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
                    pause(device)?;
                }
                self.wish().paused = true;
            }
            PlaybackCommand::Resume => {
                let Wish { paused, ended, sought, .. } = *self.wish();
                // Where it was held while it played, a sensor may have been stopped since.
                let over = paused
                    && running
                    && sought.is_none()
                    && is_over(device.playback_position()?, self.duration, Duration::ZERO, 1.0);
                if paused && running && !over {
                    if let Some(sought) = sought {
                        std::thread::sleep(SHOWN_WITHIN.saturating_sub(sought.elapsed()));
                    }
                    device.playback_resume()?;
                }
                let mut wish = self.wish();
                (wish.paused, wish.ended, wish.sought) = (false, false, None);
                return Ok((over || ended && running).then_some(Duration::ZERO));
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
                if running && position < FIRST_PICTURE {
                    return Ok(Some(Duration::ZERO));
                }
                self.jump(device, position, running)?;
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

    /// Goes on from elsewhere. While it plays, the SDK loses a jump now and then, or reads on without a pause between frames
    /// (2.56.5, 2.59.1): so it is held for the jump, and the picture of the place is shown meanwhile. On a machine that is very
    /// busy even that is lost at times, so it is looked at, and done again.
    pub(super) fn jump(&self, device: &Device, position: Duration, running: bool) -> Result<()> {
        if !running || self.wish().paused {
            device.playback_seek(position)?;
            self.wish().sought = Some(Instant::now());
            return Ok(());
        }
        for _ in 0..MOST_JUMPS {
            pause(device)?;
            let sought = device.playback_seek(position);
            std::thread::sleep(SHOWN_WITHIN);
            device.playback_resume()?;
            sought?;
            if device.playback_position()?.abs_diff(position) < NEAR {
                break;
            }
        }
        Ok(())
    }

    pub(super) fn status(&self, device: &Device) -> Result<PlaybackStatus> {
        let Wish { paused, ended, speed, repeat, .. } = *self.wish();
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

/// Pauses so that nothing is being read any more: the first ends the reading; the second waits for what was being read when the
/// first came.
fn pause(device: &Device) -> Result<()> {
    device.playback_pause()?;
    device.playback_pause()
}

/// Whether a recording that is held at this position must not be resumed; see [`TAIL`].
fn is_over(position: Duration, duration: Duration, silence: Duration, speed: f64) -> bool {
    position + TAIL >= duration || silence.mul_f64(speed) > SILENCE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_over_near_its_end_or_where_a_stream_ended_before_the_others() {
        let ms = Duration::from_millis;
        let over = |position, silence, speed| is_over(ms(position), ms(10_000), ms(silence), speed);
        assert!(!over(9000, 30, 1.0));
        assert!(over(9800, 30, 1.0), "the slowest stream's last frame may have come");
        assert!(over(9000, 600, 1.0), "nothing came for long");
        assert!(!over(9000, 600, 0.5), "played slowly");
        assert!(over(9000, 300, 2.0), "played fast");
        assert!(is_over(ms(100), ms(200), ms(0), 1.0), "shorter than the tail");
    }
}
