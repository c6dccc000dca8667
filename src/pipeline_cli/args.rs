//! Arguments that several commands share.

use std::path::PathBuf;

use clap::Args;

use super::{launch::Sink, subject::StreamArgs};

/// What plays instead of camera and sessions.
#[derive(Debug, Clone, Args)]
pub(super) struct PlayArgs {
    /// Name, file or stream type.
    pub(super) name: String,
    #[command(flatten)]
    pub(super) stream: StreamArgs,
    /// Use frames that `pipeline capture` recorded, with their size and rate, in place of a test picture.
    #[arg(long, value_name = "FILE")]
    pub(super) frames: Option<PathBuf>,
    /// Where to send the encoded video: window, rate, file=OUT.mkv (or .webm, .mp4), rtp[=HOST:PORT], null [default: window;
    /// without a display rate for launch, null for run].
    #[arg(long, value_name = "WHERE", value_parser = Sink::parse)]
    pub(super) to: Option<Sink>,
    /// End after this many frames [default: 300 if a file is written, else no end; recorded frames end by themselves].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) frames_count: Option<u32>,
}

pub(super) fn parse_seconds(text: &str) -> Result<f64, String> {
    let seconds = text.parse().ok().filter(|seconds| (0.1..=3600.0).contains(seconds));
    seconds.ok_or_else(|| format!("'{text}' is no number of seconds from 0.1 to 3600"))
}
