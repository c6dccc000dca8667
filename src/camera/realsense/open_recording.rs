//! A recording that is open. The SDK plays all of its streams whenever one of them is watched: so a viewer who comes or goes stops
//! nothing, and the SDK always finds a frame to go on with. To resume, it looks for a frame of what was started, behind the one
//! shown last, and where the file has none it looks for ever (2.56.5 and 2.59.1: `playback_device::resume` takes no notice of the
//! end). Of all streams together the last frame is the recording's end, which it knows.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use tracing::debug;

use super::{
    camera::OpenSensor,
    deliver::Shown,
    player::{Player, Problem, Stopped},
};
use crate::{
    camera::{FrameSink, PlaybackCommand},
    librealsense::{Device, Result},
    model::{PlaybackStatus, StreamType},
};

/// How often a recording of which nothing comes is started anew.
const MOST_STARTS: usize = 3;
/// A sensor whose streams change is stopped and started: whoever comes so soon after the last one left is no newcomer, and goes
/// on where that one was.
const SAME_VIEWER: Duration = Duration::from_millis(500);
/// A recording of which frames came so lately plays, whatever of it is watched.
const LATELY: Duration = Duration::from_secs(2);

/// A recording that is open.
pub(super) struct OpenRecording {
    player: Arc<Player>,
    shown: Arc<Shown>,
    device: Arc<Device>,
    /// Where the SDK's frames go.
    sink: FrameSink,
    /// When the last one left, and where it was then.
    left: Option<(Instant, Duration)>,
}

impl OpenRecording {
    pub(super) fn new(player: Arc<Player>, device: Arc<Device>, sink: FrameSink) -> Self {
        let shown = Arc::new(Shown::new(sink));
        Self { player, device, sink: shown.clone().sink(), shown, left: None }
    }

    /// Whether what is watched is silent by intent: the recording is held, or there is nothing of it in the file at this place.
    pub(super) fn is_silent_by_intent(&self) -> bool {
        self.player.is_held() || self.shown.silence() < LATELY
    }

    /// Whether it is held: paused, or at its end.
    pub(super) fn is_held(&self) -> bool {
        self.player.is_held()
    }

    /// After more came to be watched: `sensors` know it.
    ///
    /// # Errors
    /// What the SDK says to a start. Nothing plays then.
    pub(super) fn comes(&mut self, sensors: &[OpenSensor]) -> Result<()> {
        let first = !self.shown.is_wanted();
        self.shown.want(wanted(sensors));
        let before = self.left.take().filter(|(at, _)| at.elapsed() < SAME_VIEWER);
        // One that had ended begins again.
        let ended = self.player.begin_again();
        let place = match before {
            _ if !first => Duration::ZERO,
            Some((_, place)) if !ended => place,
            _ => self.player.first(),
        };
        if first || ended {
            self.rewind(sensors, place).inspect_err(|_| self.stop(sensors))?;
        }
        Ok(())
    }

    /// After less came to be watched: `sensors` know it.
    pub(super) fn left(&mut self, sensors: &[OpenSensor]) {
        self.shown.want(wanted(sensors));
        if !self.shown.is_wanted() {
            self.left = Some((Instant::now(), self.player.place(&self.device)));
            self.stop(sensors);
        }
    }

    fn stop(&self, sensors: &[OpenSensor]) {
        self.player.hold(&self.device);
        sensors.iter().for_each(OpenSensor::stop);
    }

    /// Starts all sensors, again where they run: at a recording's end the SDK has stopped them. Seeking comes last: before the
    /// start it makes the SDK read twice, so that every frame comes double (2.56.5); without it, playing begins at the first
    /// frame of whichever sensor starts first.
    pub(super) fn rewind(&mut self, sensors: &[OpenSensor], position: Duration) -> Result<()> {
        self.stop(sensors);
        self.shown.begin();
        // What is watched comes first: it is the least likely to be over before the next one is started, and must not fail.
        let (watched, others): (Vec<_>, Vec<_>) = sensors.iter().partition(|sensor| !sensor.running.is_empty());
        watched.into_iter().try_for_each(|sensor| sensor.start_all(&self.sink))?;
        for sensor in others {
            if let Err(error) = sensor.start_all(&self.sink) {
                debug!(%error, "a sensor of a recording that nobody watches does not start");
            }
        }
        if position.is_zero() {
            self.device.playback_seek(position)?;
        } else {
            self.player.jump(&self.device, position)?;
        }
        // One that was paused stays so.
        self.player.started(&self.device);
        Ok(())
    }

    /// Several times a second while anything is watched.
    ///
    /// # Errors
    /// What the SDK says when it is to begin again.
    pub(super) fn tick(&mut self, sensors: &[OpenSensor]) -> Result<()> {
        if self.player.is_held() {
            self.shown.again();
            return Ok(());
        }
        match self.player.stopped(&self.device, self.shown.played(), self.shown.silence()) {
            Some(Stopped::AtTheEnd) if self.player.repeats() => self.rewind(sensors, Duration::ZERO)?,
            Some(Stopped::AtTheEnd) => self.player.hold_at_end(),
            Some(Stopped::BeforeTheFirstFrame) => self.begin(sensors)?,
            None => {}
        }
        Ok(())
    }

    /// Carries a command out, and tells what it does.
    pub(super) fn playback(
        &mut self,
        sensors: &[OpenSensor],
        command: Option<PlaybackCommand>,
    ) -> std::result::Result<PlaybackStatus, Problem> {
        if let Some(command) = command
            && let Some(position) = self.player.carry_out(&self.device, command, self.shown.is_wanted())?
        {
            self.rewind(sensors, position)?;
        }
        Ok(self.player.status(&self.device, self.shown.is_wanted())?)
    }

    /// Where nothing came after a start: it is started anew, and is at its end where that does not help.
    fn begin(&mut self, sensors: &[OpenSensor]) -> Result<()> {
        for _ in 0..MOST_STARTS {
            self.rewind(sensors, Duration::ZERO)?;
            // Seeking waited until the SDK had carried out all before it.
            if !self.player.has_stopped(&self.device) {
                return Ok(());
            }
        }
        self.player.hold_at_end();
        Ok(())
    }
}

fn wanted(sensors: &[OpenSensor]) -> BTreeSet<StreamType> {
    sensors.iter().flat_map(|sensor| &sensor.running).map(|profile| profile.what().stream).collect()
}
