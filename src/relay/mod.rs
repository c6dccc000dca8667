//! A signalling relay that the server dials out to, so that a robot behind a firewall is watched with no port open: one connection
//! for each camera, made again when it is lost. Holds the session handle only; every request passes the checks that HTTP has, and
//! what a relay does disturbs nobody else.

mod backoff;
mod connection;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod messages;
mod packet;
mod robot;

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    task::{AbortHandle, JoinSet},
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use self::{
    backoff::Backoff,
    connection::{End, finish},
    robot::Robot,
};
use crate::{
    config::{Place, Relay},
    metrics::RelayMetrics,
    model::{DeviceId, DeviceInfo},
    session::Handle,
};

/// How often the cameras are looked at even when nothing is told of them.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// How often a relay that stays away is written into the log.
const TELL_EVERY: Duration = Duration::from_secs(600);
/// Longest that connections may take to say good-bye.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(1);

/// Keeps every camera known to the relay of the configuration until it is told to stop. Without a relay it ends at once.
pub async fn serve(handle: Handle, stop: CancellationToken) {
    let config = handle.config().relay.clone();
    let place = match config.place() {
        Ok(Some(place)) => place,
        Ok(None) => return,
        // The configuration was checked when it was read.
        Err(rule) => return error!("{rule}"),
    };
    if !place.encrypted && !config.token.is_empty() {
        warn!(relay = place.host, "relay.token goes to the relay unencrypted; a wss:// address encrypts it");
    }
    let mut snapshot = handle.snapshot();
    let mut look = tokio::time::interval(LOOK_EVERY);
    let (mut known, mut tasks) = (BTreeMap::<DeviceId, AbortHandle>::new(), JoinSet::new());
    let mut attached = None;
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            changed = snapshot.changed() => {
                if changed.is_err() {
                    break;
                }
                let now = snapshot.borrow_and_update().attached.clone();
                if attached.replace(now.clone()) == Some(now) {
                    continue;
                }
            }
            Some(ended) = tasks.join_next(), if !tasks.is_empty() => {
                if let Err(error) = ended {
                    error!("A connection to the relay ended by a bug: {error}");
                    // Not at once again.
                    continue;
                }
            }
            _ = look.tick() => {}
        }
        let Ok(devices) = handle.devices(false).await else { continue };
        known.retain(|_, task| !task.is_finished());
        let devices: Vec<_> = devices.into_iter().filter(|device| device.problem.is_none()).collect();
        let live = devices.iter().filter(|device| !device.playback).count();
        for device in &devices {
            if known.contains_key(&device.device_id) {
                continue;
            }
            let only = devices.len() == 1 || (live == 1 && !device.playback);
            let robot = Robot::new(handle.clone(), device.clone(), robot_name(&config, only, device), config.allow);
            let metrics = handle.observe.metrics.relay.clone();
            let task = tasks.spawn(keep(place.clone(), config.token.clone(), robot, stop.clone(), metrics));
            known.insert(device.device_id.clone(), task);
        }
    }
    let left = timeout(LEAVE_TIMEOUT, async { while tasks.join_next().await.is_some() {} }).await;
    if left.is_err() {
        debug!("Connections to the relay did not end in time and are cut");
    }
}

/// What a camera is called at the relay, as long as its connections are kept. The demo's pages read the id, which is the serial
/// number, out of it; a recording's has a suffix.
fn robot_name(config: &Relay, only: bool, device: &DeviceInfo) -> String {
    match config.robot_id.as_str() {
        name if only && !name.is_empty() => name.to_owned(),
        _ => format!("robot-{}", device.device_id),
    }
}

/// Keeps one camera known until it is told to stop or the camera is gone.
async fn keep(place: Place, token: String, mut robot: Robot, stop: CancellationToken, metrics: Arc<RelayMetrics>) {
    let mut backoff = Backoff::default();
    let mut told: Option<(String, Instant)> = None;
    loop {
        // Its viewers may have left while there was no relay.
        let step = robot.settle_unwatched(&robot.handle().snapshot().borrow());
        finish(&mut robot, step).await;
        if !robot.is_needed(&robot.handle().snapshot().borrow()) {
            break;
        }
        metrics.attempts.inc();
        let mut connected = None;
        let name = robot.name().to_owned();
        let admitted = || {
            info!(relay = place.host, robot = name, "This camera is registered at the relay");
            connected = Some(Counted::new(&metrics));
        };
        let end = connection::run(&place, &token, &mut robot, &stop, admitted).await;
        let lasted = connected.as_ref().map_or(Duration::ZERO, |connected| connected.since.elapsed());
        drop(connected);
        let why = match end {
            End::Stopped | End::Gone => break,
            End::Lost(why) => why,
        };
        // What is the same as before is told again only now and then: a relay may be away for months.
        let known = told.as_ref().is_some_and(|(before, at)| *before == why && at.elapsed() < TELL_EVERY);
        let wait = backoff.next(lasted, chance());
        if known && lasted.is_zero() {
            debug!(relay = place.host, robot = robot.name(), "No relay: {why}; next attempt in {wait:.1?}");
        } else {
            let relay = place.host.as_str();
            warn!(relay, robot = robot.name(), "The relay is lost: {why}. It is tried again in {wait:.1?}, and so on");
            told = Some((why, Instant::now()));
        }
        tokio::select! {
            () = stop.cancelled() => break,
            () = tokio::time::sleep(wait) => {}
        }
    }
    // Where the good-bye was said, nothing is left.
    let step = robot.leave();
    finish(&mut robot, step).await;
}

/// A connection that counts as one as long as it lives.
struct Counted<'a> {
    metrics: &'a RelayMetrics,
    since: Instant,
}

impl<'a> Counted<'a> {
    fn new(metrics: &'a RelayMetrics) -> Self {
        metrics.connections.inc();
        Self { metrics, since: Instant::now() }
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.metrics.connections.dec();
    }
}

/// A number from 0 to 1 that differs from robot to robot.
fn chance() -> f64 {
    f64::from(uuid::Uuid::new_v4().as_fields().0) / f64::from(u32::MAX)
}
