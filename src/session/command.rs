//! What the session actor is told. Decides nothing.

use tokio::sync::oneshot;

use super::api::{
    ChangeRequest, Changed, Offer, OfferRequest, RecordRequest, References, SensorStatus, SessionStatus, StartRequest,
    Started, Stopped, StreamStatus,
};
use crate::{
    camera::recording::RecordingStatus,
    error::Result,
    model::{DeviceId, IceCandidate, SessionId},
};

/// A command to the actor.
pub(crate) enum Command {
    Offer(OfferRequest, Reply<Offer>),
    Answer(SessionId, String, Reply<()>),
    Change(ChangeRequest, Reply<Changed>),
    Candidate(SessionId, IceCandidate, Reply<()>),
    Sessions(oneshot::Sender<Vec<SessionStatus>>),
    Session(SessionId, Reply<SessionStatus>),
    LocalCandidates(SessionId, Reply<Vec<IceCandidate>>),
    Close(SessionId, oneshot::Sender<bool>),
    CloseAll(oneshot::Sender<usize>),
    References(oneshot::Sender<References>),
    Start(StartRequest, Reply<Started>),
    Stop(DeviceId, Reply<Stopped>),
    Status(DeviceId, Reply<StreamStatus>),
    StopSensor(DeviceId, usize, Reply<SensorStatus>),
    SensorStatus(DeviceId, usize, Reply<SensorStatus>),
    PointCloud(DeviceId, bool, Reply<()>),
    DepthRange(DeviceId, (f32, f32), Reply<()>),
    StartRecording(RecordRequest, Reply<RecordingStatus>),
    StopRecording(DeviceId, oneshot::Sender<bool>),
    Shutdown(oneshot::Sender<()>),
}

/// Where a command's answer goes.
pub(crate) type Reply<T> = oneshot::Sender<Result<T>>;
