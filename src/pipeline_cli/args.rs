//! Arguments that several commands share.

use std::path::PathBuf;

use clap::Args;

use super::{launch::Sink, subject::StreamArgs};

/// What plays instead of camera and sessions.
#[derive(Debug, Clone, Args)]
pub(super) struct PlayArgs {
    /// Name or file.
    pub(super) name: String,
    #[command(flatten)]
    pub(super) stream: StreamArgs,
    /// Frames that `pipeline capture` recorded, in place of a test picture; size and rate are theirs.
    #[arg(long, value_name = "FILE")]
    pub(super) frames: Option<PathBuf>,
    /// What stands for the sessions: window, rate, file=OUT.mkv (or .webm, .mp4), rtp[=HOST:PORT], null [default: window;
    /// without a display launch takes rate and run null].
    #[arg(long, value_name = "WHERE", value_parser = Sink::parse)]
    pub(super) to: Option<Sink>,
    /// Frames before it ends [default: 300 into a file, else no end; recorded frames end by themselves].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) frames_count: Option<u32>,
}

pub(super) fn parse_seconds(text: &str) -> Result<f64, String> {
    let seconds = text.parse().ok().filter(|seconds| (0.1..=3600.0).contains(seconds));
    seconds.ok_or_else(|| format!("'{text}' is no number of seconds from 0.1 to 3600"))
}
