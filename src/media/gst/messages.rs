//! What the control thread is told, and how what each part has to tell becomes a message to it. Decides nothing.

use std::sync::Arc;
#[cfg(test)]
use std::sync::mpsc;

use tokio::sync::oneshot;

use super::{
    encode::{encoder, starter::Started},
    inspect::snapshot::SnapshotRequest,
    pipelines::folder::FileRead,
    session::signals,
};
use crate::{
    media::{
        NewLine, SessionSpec, SessionStats,
        diagnostics::{Answer, ReloadAnswer},
    },
    model::{DeviceId, IceCandidate, PipelineInfo, Profile, SessionId, StreamKey, StreamType},
};

/// Everything the control thread acts on.
pub(super) enum Msg {
    Open(SessionSpec),
    Answer(SessionId, String),
    Candidate(SessionId, IceCandidate),
    Data(SessionId, Arc<[String]>),
    Grow(SessionId, Vec<NewLine>),
    Switch(SessionId, Vec<Option<(StreamType, Profile)>>),
    Close(SessionId),
    StreamRunning(StreamKey, Profile),
    StreamStopped(StreamKey),
    DepthRange(DeviceId, f32, f32),
    DeviceForgotten(DeviceId),
    Stats(Vec<SessionId>, oneshot::Sender<Vec<(SessionId, SessionStats)>>),
    Shutdown(oneshot::Sender<()>),
    /// From a session's callbacks; late ones find no such session and are dropped.
    Session(signals::Report),
    /// Every pipeline there is.
    Pipelines(Answer<Vec<PipelineInfo>>),
    /// Check a pipeline again and swap it in.
    Reload(String, ReloadAnswer),
    /// A pipeline was read, or why not.
    FileRead(FileRead),
    /// A start or a check is through.
    Started(Started),
    /// A thread that looks inside asks what runs of a device, and of the session that it names.
    Running(SnapshotRequest),
    /// From an encoder.
    Encoder(encoder::Report),
    /// Holds the control thread until the other side goes.
    #[cfg(test)]
    Hang(mpsc::Receiver<()>),
}

/// What a part tells, as a message.
pub(super) trait Told: Sized + Send + 'static {
    /// The message that carries it.
    fn message(self) -> Msg;

    /// What a refused message of this kind carried; `None` of another kind.
    fn of(message: Msg) -> Option<Self>;
}

/// What is told by the variant of its own.
macro_rules! told {
    ($($told:ty => $variant:ident),* $(,)?) => {$(
        impl Told for $told {
            fn message(self) -> Msg {
                Msg::$variant(self)
            }

            fn of(message: Msg) -> Option<Self> {
                if let Msg::$variant(told) = message { Some(told) } else { None }
            }
        }
    )*};
}

told!(
    signals::Report => Session,
    FileRead => FileRead,
    Started => Started,
    SnapshotRequest => Running,
    encoder::Report => Encoder,
);
