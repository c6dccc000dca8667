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

/// How long a recording may take to show anything after its sensors were started.
const STARTED_WITHIN: Duration = Duration::from_secs(1);

/// Why the SDK plays no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stopped {
    /// All was shown.
    AtTheEnd,
    /// Nothing was. Sensors are started one after the other, and where all frames of the first are over before the second one
    /// has started, the SDK forgets what it was to read for the second (`ros_reader::reset` between `enable_stream` and
    /// `playback_device::start`; 2.56.5 and 2.59.1).
    BeforeTheFirstFrame,
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
    /// Where whoever comes first begins: it was sent there while nobody watched.
    begin_at: Duration,
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
        let wish = Wish { paused: false, ended: false, sought: None, begin_at: Duration::ZERO, speed: 1.0, repeat };
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

    /// Before whoever comes first sees it: it plays, because one that was paused for nobody would stay black. Gives the place
    /// where it begins.
    pub(super) fn first(&self) -> Duration {
        let mut wish = self.wish();
        (wish.paused, wish.sought) = (false, None);
        std::mem::take(&mut wish.begin_at)
    }

    /// Where it is now, to go on from there.
    pub(super) fn place(&self, device: &Device) -> Duration {
        device.playback_position().unwrap_or_default().min(self.duration)
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

    /// Before the sensors are stopped. The SDK reads the file on a thread of its own, which does not expect a sensor to be closed
    /// under it: about one in a thousand sensors that were stopped while it read, and started again, stayed silent, and the
    /// next starts with it (2.56.5). Once they are stopped the SDK has forgotten that it was held.
    pub(super) fn hold(&self, device: &Device) {
        if self.wish().paused || device.playback_state() != Ok(PlaybackState::Playing) {
            return;
        }
        if let Err(error) = pause(device) {
            tracing::debug!(%error, "the recording is not held while it stops");
        }
    }

    /// Whether the SDK plays no more although it should. Right after a start it says so, too.
    pub(super) fn has_stopped(&self, device: &Device) -> bool {
        !self.is_held() && device.playback_state() == Ok(PlaybackState::Stopped)
    }

    /// Why the SDK plays no more, if it should: `count` frames came since the sensors were started, `silence` ago the
    /// newest or else the start was.
    pub(super) fn stopped(&self, device: &Device, count: u64, silence: Duration) -> Option<Stopped> {
        if !self.has_stopped(device) {
            return None;
        }
        match count {
            0 => (silence > STARTED_WITHIN).then_some(Stopped::BeforeTheFirstFrame),
            _ => Some(Stopped::AtTheEnd),
        }
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
                // One that the SDK has stopped would be paused when it is started again, whoever comes then.
                if running && device.playback_state() == Ok(PlaybackState::Playing) {
                    pause(device)?;
                }
                self.wish().paused = true;
            }
            PlaybackCommand::Resume => {
                let Wish { paused, ended, sought, .. } = *self.wish();
                if paused && running {
                    if let Some(sought) = sought {
                        std::thread::sleep(SHOWN_WITHIN.saturating_sub(sought.elapsed()));
                    }
                    device.playback_resume()?;
                }
                let mut wish = self.wish();
                (wish.paused, wish.ended, wish.sought) = (false, false, None);
                return Ok((ended && running).then_some(Duration::ZERO));
            }
            PlaybackCommand::Seek(position) => {
                if position > self.duration {
                    let seconds = self.duration.as_secs_f64();
                    return Err(Problem::Invalid(format!(
                        "This position is after the end: the recording is {seconds:.3} s long."
                    )));
                }
                self.wish().ended = false;
                if !running {
                    // Told to the SDK now, it would read every frame twice once it is started.
                    self.wish().begin_at = position;
                    return Ok(None);
                }
                if position < FIRST_PICTURE {
                    return Ok(Some(Duration::ZERO));
                }
                if device.playback_state() == Ok(PlaybackState::Stopped) {
                    return Ok(Some(position));
                }
                self.jump(device, position)?;
            }
            PlaybackCommand::Speed(speed) => {
                if !SPEEDS.contains(&speed) {
                    let (slow, fast) = (SPEEDS.start(), SPEEDS.end());
                    return Err(Problem::Invalid(format!("'speed' must be from {slow} to {fast}, not {speed}.")));
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
    pub(super) fn jump(&self, device: &Device, position: Duration) -> Result<()> {
        if self.wish().paused {
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

    pub(super) fn status(&self, device: &Device, running: bool) -> Result<PlaybackStatus> {
        let Wish { paused, ended, begin_at, speed, repeat, .. } = *self.wish();
        let position = match running {
            false => begin_at,
            true if ended => self.duration,
            true => device.playback_position()?.min(self.duration),
        };
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
