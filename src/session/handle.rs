//! The cloneable handle to the session actor: the only door for HTTP, Socket.IO and tests.
//! Owns no state; every method sends a command and waits for its answer.

use std::sync::Arc;

use tokio::sync::{broadcast, mpsc, oneshot, watch};

use super::{
    api::{
        ChangeRequest, Changed, Notice, Observe, Offer, OfferRequest, References, SensorStatus, SessionStatus,
        Snapshot, StartRequest, Started, Stopped, StreamStatus,
    },
    command::Command,
    turns::Turns,
};

use crate::{
    camera::{SimFault, hub::FrameHub, manager::CameraHandle},
    config::Config,
    error::{Error, Result},
    media::diagnostics::Diagnostics,
    model::{DeviceId, DeviceInfo, Health, IceCandidate, OptionInfo, SensorInfo, SessionId, StreamKey, StreamType},
};

/// The handle. Cheap to clone.
#[derive(Clone)]
pub struct Handle {
    pub(crate) commands: mpsc::Sender<Command>,
    pub(crate) cameras: CameraHandle,
    pub(crate) hub: Arc<FrameHub>,
    pub(crate) snapshot: watch::Receiver<Arc<Snapshot>>,
    pub(crate) notices: broadcast::Sender<Notice>,
    pub(crate) config: Arc<Config>,
    pub(crate) diagnostics: Arc<dyn Diagnostics>,
    pub(crate) observe: Observe,
    /// Who sets options for a start.
    pub(crate) turns: Turns,
}

impl Handle {
    pub(super) async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> Result<T> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(command(reply)).await.map_err(|_| Error::stopping())?;
        answer.await.map_err(|_| self.unanswered("by the session actor"))
    }

    /// The cause of an answer that was dropped: the end of the server, which closes the actor's door first, or else a bug.
    pub(super) fn unanswered(&self, what: &str) -> Error {
        if self.commands.is_closed() {
            return Error::stopping();
        }
        Error::internal(format!(
            "a question {what} was dropped without an answer: what was to answer panicked or is gone"
        ))
    }

    /// Makes a session and its offer, starting what it needs.
    ///
    /// # Errors
    /// Invalid, NotFound, Limit or Unavailable; a refused request changes nothing.
    pub async fn offer(&self, request: OfferRequest) -> Result<Offer> {
        self.ask(|reply| Command::Offer(request, reply)).await?
    }

    /// Applies a browser's answer.
    ///
    /// # Errors
    /// NotFound, or Invalid for a bad or a second answer.
    pub async fn answer(&self, session: SessionId, sdp: String) -> Result<()> {
        self.ask(|reply| Command::Answer(session, sdp, reply)).await?
    }

    /// Has a session carry other streams on the m-lines that it has, or streams run otherwise, under everybody who watches them.
    ///
    /// # Errors
    /// NotFound, Invalid, Conflict for a session that is not answered or has too few m-lines, or a stream that is recorded,
    /// Unavailable when a stream cannot start; a refused request changes nothing.
    pub async fn change(&self, request: ChangeRequest) -> Result<Changed> {
        self.ask(|reply| Command::Change(request, reply)).await?
    }

    /// Takes a browser's candidate, before or after the answer.
    ///
    /// # Errors
    /// NotFound, or Invalid for one that does not parse.
    pub async fn add_candidate(&self, session: SessionId, candidate: IceCandidate) -> Result<()> {
        self.ask(|reply| Command::Candidate(session, candidate, reply)).await?
    }

    /// Every session.
    ///
    /// # Errors
    /// Unavailable while shutting down.
    pub async fn sessions(&self) -> Result<Vec<SessionStatus>> {
        self.ask(Command::Sessions).await
    }

    /// One session.
    ///
    /// # Errors
    /// NotFound.
    pub async fn session(&self, session: SessionId) -> Result<SessionStatus> {
        self.ask(|reply| Command::Session(session, reply)).await?
    }

    /// The server's candidates for a session.
    ///
    /// # Errors
    /// NotFound.
    pub async fn local_candidates(&self, session: SessionId) -> Result<Vec<IceCandidate>> {
        self.ask(|reply| Command::LocalCandidates(session, reply)).await?
    }

    /// Ends a session; false if there was none.
    ///
    /// # Errors
    /// Unavailable while shutting down.
    pub async fn close(&self, session: SessionId) -> Result<bool> {
        self.ask(|reply| Command::Close(session, reply)).await
    }

    /// Ends every session and says how many there were.
    ///
    /// # Errors
    /// Unavailable while shutting down.
    pub async fn close_all(&self) -> Result<usize> {
        self.ask(Command::CloseAll).await
    }

    /// Who references what.
    ///
    /// # Errors
    /// Unavailable while shutting down.
    pub async fn references(&self) -> Result<References> {
        self.ask(Command::References).await
    }

    /// Takes the explicit reference of a device or of one sensor on streams, starting them. A sensor that runs otherwise is
    /// restarted; its viewers stay.
    ///
    /// # Errors
    /// NotFound, Invalid, Conflict when something else runs or is recorded, Unavailable when it cannot start.
    pub async fn start(&self, request: StartRequest) -> Result<Started> {
        self.ask(|reply| Command::Start(request, reply)).await?
    }

    /// Gives the explicit references of a device and of its sensors back; viewers keep theirs.
    ///
    /// # Errors
    /// NotFound.
    pub async fn stop(&self, device: DeviceId) -> Result<Stopped> {
        self.ask(|reply| Command::Stop(device, reply)).await?
    }

    /// What a device streams.
    ///
    /// # Errors
    /// NotFound.
    pub async fn status(&self, device: DeviceId) -> Result<StreamStatus> {
        self.ask(|reply| Command::Status(device, reply)).await?
    }

    /// Gives the explicit reference of a sensor back, and its part of its device's; viewers keep theirs.
    ///
    /// # Errors
    /// NotFound.
    pub async fn stop_sensor(&self, device: DeviceId, sensor: usize) -> Result<SensorStatus> {
        self.ask(|reply| Command::StopSensor(device, sensor, reply)).await?
    }

    /// What one sensor of a device streams.
    ///
    /// # Errors
    /// NotFound.
    pub async fn sensor_status(&self, device: DeviceId, sensor: usize) -> Result<SensorStatus> {
        self.ask(|reply| Command::SensorStatus(device, sensor, reply)).await?
    }

    /// Switches a device's point cloud in the metadata on or off.
    ///
    /// # Errors
    /// NotFound.
    pub async fn set_point_cloud(&self, device: DeviceId, active: bool) -> Result<()> {
        self.ask(|reply| Command::PointCloud(device, active, reply)).await?
    }

    /// Changes the metres that a device's depth colour map runs over, live.
    ///
    /// # Errors
    /// NotFound, Invalid unless 0 <= `min_m` < `max_m` <= 65.535.
    pub async fn set_depth_range(&self, device: DeviceId, min_m: f32, max_m: f32) -> Result<()> {
        self.ask(|reply| Command::DepthRange(device, (min_m, max_m), reply)).await?
    }

    /// Near and far end of a device's depth colour map in metres.
    pub fn depth_range(&self, device: &DeviceId) -> (f32, f32) {
        let changed = self.snapshot.borrow().depth_ranges.get(device).copied();
        changed.unwrap_or((self.config.depth.min_m, self.config.depth.max_m))
    }

    /// Ends all sessions and streams; resolves when everything is down.
    pub async fn shutdown(&self) {
        if self.ask(Command::Shutdown).await.is_err() {
            // Somebody else asked before, or the actor ended by itself: it takes its snapshot along when all is down.
            let mut snapshot = self.snapshot.clone();
            while snapshot.changed().await.is_ok() {}
        }
    }

    /// A cheap, always current picture of what runs.
    pub fn snapshot(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.snapshot.clone()
    }

    /// What happens from now on. Who does not keep up misses the oldest.
    pub fn notices(&self) -> broadcast::Receiver<Notice> {
        self.notices.subscribe()
    }

    /// The newest frame of a running stream.
    pub fn latest_frame(&self, device: &DeviceId, stream: StreamType) -> Option<Arc<crate::camera::Frame>> {
        self.hub.latest(&StreamKey::new(device.clone(), stream))
    }

    /// The configuration the server runs with.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The devices that are present, `force_refresh` asking the backends anew.
    ///
    /// # Errors
    /// Unavailable while shutting down.
    pub async fn devices(&self, force_refresh: bool) -> Result<Vec<DeviceInfo>> {
        self.cameras.devices(force_refresh).await
    }

    /// One device.
    ///
    /// # Errors
    /// NotFound for an unknown one, Unavailable for one that is unplugged.
    pub async fn device(&self, device: &DeviceId) -> Result<DeviceInfo> {
        self.cameras.device(device).await
    }

    /// A device's sensors with profiles and options.
    ///
    /// # Errors
    /// NotFound, Unavailable.
    pub async fn sensors(&self, device: &DeviceId) -> Result<Vec<SensorInfo>> {
        self.cameras.sensors(device).await
    }

    /// One option of a sensor.
    ///
    /// # Errors
    /// NotFound, Unavailable.
    pub async fn option(&self, device: &DeviceId, sensor: usize, option: &str) -> Result<OptionInfo> {
        self.cameras.option(device, sensor, option).await
    }

    /// Sets an option of a sensor, to the step that is nearest to the value. Gives the option as it is then.
    ///
    /// # Errors
    /// NotFound, Invalid when out of range or read-only, Unavailable.
    pub async fn set_option(&self, device: &DeviceId, sensor: usize, option: &str, value: f64) -> Result<OptionInfo> {
        self.cameras.set_option(device, sensor, option, value).await
    }

    /// Whether changes of options are told, as [`Notice::Options`].
    pub fn watch_options(&self, watched: bool) {
        self.cameras.watch_options(watched);
    }

    /// Resets a device's hardware.
    ///
    /// # Errors
    /// NotFound, Unavailable.
    pub async fn hw_reset(&self, device: &DeviceId) -> Result<()> {
        self.cameras.hw_reset(device).await
    }

    /// Makes a simulated device misbehave.
    ///
    /// # Errors
    /// NotFound unless it is a simulated device.
    pub async fn inject_fault(&self, device: &DeviceId, fault: SimFault) -> Result<()> {
        self.cameras.inject_fault(device, fault).await
    }

    /// The server's health.
    pub fn health(&self) -> Health {
        let health = self.cameras.health();
        // A media side that hangs serves nobody, whatever the cameras do.
        Health { degraded: self.diagnostics.trouble().or(health.degraded), ..health }
    }
}
