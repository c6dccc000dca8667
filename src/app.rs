//! Builds the whole server from a configuration and takes it down in order. Owns every long-lived part; decides nothing.

pub(crate) mod sources;

use std::{
    io::ErrorKind,
    net::{IpAddr, SocketAddr},
    panic::AssertUnwindSafe,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::FutureExt;
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use self::sources::Sources;
use crate::{
    camera::{
        hub::FrameHub,
        manager::{self, CameraHandle},
        recording::Recordings,
    },
    config::Config,
    error::{Error, Result},
    http,
    media::{self, Media},
    model::DeviceId,
    process, relay,
    session::{self, Event, Handle, Machine, Observe, Parts},
};

/// How long the whole shutdown may take.
const SHUTDOWN: Duration = Duration::from_millis(4500);
/// How long recordings and device threads may take to end at least, even when everything else took long.
const CAMERA_SHUTDOWN: Duration = Duration::from_millis(1000);
/// How long open HTTP connections may take to end once everything else is down.
const HTTP_SHUTDOWN: Duration = Duration::from_millis(800);
/// How long the start waits for the cameras that are there to open.
const FIRST_DEVICES: Duration = Duration::from_secs(5);
/// How often freed memory is given back to the system.
const TRIM: Duration = Duration::from_secs(60);

/// A running server.
pub struct App {
    address: SocketAddr,
    handle: Handle,
    cameras: CameraHandle,
    stop_http: CancellationToken,
    http: JoinHandle<Result<()>>,
    actor: JoinHandle<()>,
    trimmer: JoinHandle<()>,
    stop_relay: CancellationToken,
    relay: JoinHandle<()>,
}

/// Checks what a configuration names outside itself, without starting anything.
///
/// # Errors
/// What cannot be had, and what to do.
pub fn check(config: &Config) -> Result<()> {
    sources::check_presets(config)
}

impl App {
    /// Starts everything: media, cameras, the session actor, HTTP.
    ///
    /// # Errors
    /// Unavailable when the address cannot be bound, Internal when a part cannot start.
    pub async fn start(config: Config, observe: Observe) -> Result<Self> {
        let config = Arc::new(config);
        let listen = config.server.listen;
        let listener = TcpListener::bind(listen).await.map_err(|error| cannot_listen(listen, &error))?;
        let address = listener.local_addr().map_err(|error| Error::internal(error.to_string()))?;

        let hub = Arc::new(FrameHub::default());
        let (sender, events) = session::events(observe.metrics.events.clone());
        let to_actor = sender.clone();
        let media_events = Arc::new(move |event| to_actor.send(Event::Media(event)));
        let media: Arc<dyn Media> = {
            let (config, hub, metrics) = (config.clone(), hub.clone(), observe.metrics.clone());
            // Loading GStreamer's plugins takes a moment.
            tokio::task::spawn_blocking(move || media::gst::start(config, hub, metrics, media_events))
                .await
                .map_err(|error| Error::internal(error.to_string()))??
        };

        let Sources { backends, recorder, trouble, .. } = {
            let config = config.clone();
            let started = tokio::task::spawn_blocking(move || sources::start(&config));
            started.await.map_err(|error| Error::internal(error.to_string()))??
        };
        let expected: Vec<DeviceId> =
            backends.iter().flat_map(|backend| backend.devices()).map(|info| info.device_id).collect();
        let timing = manager::Timing {
            reply: Duration::from_secs(config.camera.start_timeout_s),
            stall: Duration::from_secs(config.camera.stall_timeout_s),
        };
        let camera_events = Arc::new(move |event| sender.send(Event::Camera(event)));
        let recordings = Recordings::new(&config.recording, recorder);
        let cameras =
            manager::start(backends, hub.clone(), camera_events, timing, recordings, observe.metrics.clone())?
                .with_trouble(trouble);

        let machine = Machine::this(&config, observe.metrics.clone(), media::gst::session_fds(&config));
        let parts = Parts { config, hub, cameras: cameras.clone(), media, observe, machine, events };
        let (handle, actor) = session::spawn(parts);
        wait_for_devices(&handle, &expected).await;
        let stop_http = CancellationToken::new();
        let http = tokio::spawn(http::serve(listener, handle.clone(), stop_http.clone()));
        let stop_relay = CancellationToken::new();
        let relay = {
            let serve = AssertUnwindSafe(relay::serve(handle.clone(), stop_relay.clone()));
            tokio::spawn(async move {
                if serve.catch_unwind().await.is_err() {
                    error!("The connections to the relay ended by a bug; start the server again to have them back");
                }
            })
        };
        let trimmer = tokio::spawn(trim());
        info!(%address, "ready");
        Ok(Self { address, handle, cameras, stop_http, http, actor, trimmer, stop_relay, relay })
    }

    /// The address that it really listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The door to the session actor.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Resolves when a part that everything needs ended by itself: a bug. The process should end then, with an error, so
    /// that whatever supervises it (systemd, Docker) starts it again.
    pub async fn failed(&mut self) -> &'static str {
        tokio::select! {
            _ = &mut self.actor => "the session actor",
            _ = &mut self.http => "the HTTP server",
        }
    }

    /// Takes everything down: no new requests, sessions told and closed, encoders freed, cameras closed. Under 5 s, because
    /// whatever hangs longer is left to the end of the process.
    pub async fn shutdown(self) {
        if tokio::time::timeout(SHUTDOWN, self.take_down()).await.is_err() {
            warn!("shutdown took longer than {SHUTDOWN:?}; leaving the rest to the end of the process");
        }
    }

    async fn take_down(self) {
        let begun = Instant::now();
        // HTTP first, so that no request starts what is being stopped; its open connections end while the rest goes down.
        self.stop_http.cancel();
        self.stop_relay.cancel();
        self.handle.shutdown().await;
        if !self.actor.is_finished()
            && let Err(error) = self.actor.await
        {
            warn!(%error, "the session actor did not end well");
        }
        // Cameras after the media side, so that no encoder waits for a frame that cannot come.
        let cameras = self.cameras;
        let left = SHUTDOWN.saturating_sub(begun.elapsed() + HTTP_SHUTDOWN).max(CAMERA_SHUTDOWN);
        let closed = tokio::task::spawn_blocking(move || cameras.shutdown(left));
        if let Err(error) = closed.await {
            warn!(%error, "the cameras did not close well");
        }
        self.trimmer.abort();
        // It has had as long as the rest took to say good-bye.
        self.relay.abort();
        // One that ended already may have been awaited by `failed`, and must not be awaited again.
        if !self.http.is_finished() {
            match tokio::time::timeout(HTTP_SHUTDOWN, self.http).await {
                Ok(Ok(Ok(()))) => {}
                Ok(Ok(Err(error))) => warn!(error = error.for_log(), "HTTP did not end well"),
                Ok(Err(error)) => warn!(%error, "HTTP did not end well"),
                Err(_) => warn!("HTTP connections were still open and are cut"),
            }
        }
        info!("stopped");
    }
}

fn cannot_listen(address: SocketAddr, error: &std::io::Error) -> Error {
    let advice = match error.kind() {
        ErrorKind::AddrInUse => "Stop what uses it, or choose another port with --listen.",
        ErrorKind::AddrNotAvailable => "This machine does not have that address; 0.0.0.0 stands for all it has.",
        ErrorKind::PermissionDenied => {
            "Ports below 1024 need root or CAP_NET_BIND_SERVICE; choose a higher one with --listen."
        }
        _ => "Choose another address with --listen.",
    };
    Error::unavailable(format!("Cannot listen on {address}: {error}. {advice}"))
}

/// Says who can reach the server, and how to change that.
pub fn describe_reach(address: SocketAddr, token: &str) -> String {
    match address.ip() {
        ip if ip.is_loopback() => {
            let who = if token.is_empty() { " (then anyone there may watch, unless server.token is set)" } else { "" };
            format!(
                "Only this machine can reach it. For others on the network: --listen 0.0.0.0:{}{who}.",
                address.port()
            )
        }
        ip => {
            let who = if token.is_empty() {
                "ANYONE who can reach this machine may watch and control the camera; set server.token to require a token"
            } else {
                "Clients need the token"
            };
            let at = match ip {
                IpAddr::V4(ip) if ip.is_unspecified() => "every address of this machine".to_owned(),
                IpAddr::V6(ip) if ip.is_unspecified() => "every address of this machine".to_owned(),
                ip => ip.to_string(),
            };
            format!("Open to the network on {at}. {who}.")
        }
    }
}

/// Waits until the actor knows the devices that are there, so that the first request does not meet an unknown device.
async fn wait_for_devices(handle: &Handle, expected: &[DeviceId]) {
    let mut snapshot = handle.snapshot();
    let known = snapshot.wait_for(|now| expected.iter().all(|device| now.devices.get(device) == Some(&true)));
    // A device that takes longer to open answers 503 until it is there; the server serves the others meanwhile.
    if tokio::time::timeout(FIRST_DEVICES, known).await.is_err() {
        warn!("not every camera opened within {FIRST_DEVICES:?}; serving those that did");
    }
}

async fn trim() {
    let mut tick = tokio::time::interval(TRIM);
    loop {
        tick.tick().await;
        // It fails only while the runtime shuts down, and then there is no next tick.
        let _ = tokio::task::spawn_blocking(process::trim_memory).await;
    }
}
