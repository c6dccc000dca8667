//! `realsense-webrtc pipeline`: work on pipeline files without a server. Owns the command line of it; what the commands do
//! lies beside. Starts no server, and opens a camera only for `capture`.

mod bench;
mod capture;
mod check;
mod display;
mod frames;
mod launch;
mod list;
mod meter;
mod run;
mod show;
mod subject;
mod table;
mod threads;
mod words;

use std::{
    io::Write,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use clap::{Args, Subcommand};
use gst::prelude::*;
use tokio::signal::unix::{SignalKind, signal};

use self::{bench::BenchArgs, capture::CaptureArgs, launch::Sink, subject::StreamArgs};
use crate::{config::Config, media::gst::files::how_to_get};

/// List, check, tune and play pipeline files, without a server or a browser.
#[derive(Debug, Clone, Args)]
#[command(after_help = AFTER_HELP)]
pub struct PipelineArgs {
    #[command(subcommand)]
    command: Command,
    /// Configuration file.
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Folder with the pipeline files [default: pipelines].
    #[arg(long, global = true, value_name = "DIR", value_parser = parse_folder)]
    pub pipelines: Option<PathBuf>,
}

const AFTER_HELP: &str =
    "NAME is a file's name without .gst (color.h264), a path to a file, or a stream type, which stands for the \
pipeline that the stream uses.

Examples:
  realsense-webrtc pipeline list
  realsense-webrtc pipeline check my/color.h264.gst
  realsense-webrtc pipeline show color.h264 --size 1280x720 --bitrate-kbps 4000
  realsense-webrtc pipeline launch color.h264 --to file=out.mkv | sh
  realsense-webrtc pipeline capture color.mkv
  realsense-webrtc pipeline bench color.h264 low-latency.h264 --frames color.mkv";

#[derive(Debug, Clone, Subcommand)]
enum Command {
    /// Every pipeline: its encoder, where it comes from, which streams use it, whether it can be used here.
    List,
    /// Try pipelines as the server would, with test frames; a fault is shown with its line, as a compiler does.
    Check {
        /// Names or files; all unless given.
        #[arg(value_name = "NAME")]
        names: Vec<String>,
        /// Only parse; put no frames through.
        #[arg(long)]
        no_frames: bool,
        #[command(flatten)]
        stream: StreamArgs,
    },
    /// Print a pipeline with its placeholders filled in.
    Show {
        /// Name or file.
        name: String,
        /// Keep the comments.
        #[arg(long)]
        comments: bool,
        #[command(flatten)]
        stream: StreamArgs,
    },
    /// Print a gst-launch-1.0 command that runs the pipeline without camera and browser.
    Launch(PlayArgs),
    /// Play the pipeline here, without camera and browser; Ctrl-C ends it with complete files.
    Run(PlayArgs),
    /// Measure pipelines in real time: frame rate, CPU, bitrate, latency of each element. Several are compared.
    Bench(BenchArgs),
    /// Record raw frames of a camera, as an encoder gets them, for --frames. The camera is the one that a server with this
    /// configuration would have: --sim-cameras and --recording go in front of `pipeline`.
    Capture(CaptureArgs),
}

/// What plays instead of camera and sessions.
#[derive(Debug, Clone, Args)]
struct PlayArgs {
    /// Name or file.
    name: String,
    #[command(flatten)]
    stream: StreamArgs,
    /// Frames that `pipeline capture` recorded, in place of a test picture; size and rate are theirs.
    #[arg(long, value_name = "FILE")]
    frames: Option<PathBuf>,
    /// What stands for the sessions: window, rate, file=OUT.mkv (or .webm, .mp4), rtp[=HOST:PORT], null [default: window;
    /// without a display launch takes rate and run null].
    #[arg(long, value_name = "WHERE", value_parser = Sink::parse)]
    to: Option<Sink>,
    /// Frames before it ends [default: 300 into a file, else no end; recorded frames end by themselves].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    frames_count: Option<u32>,
}

/// Whether somebody asked for the end.
#[derive(Clone, Default)]
struct Stop(Arc<AtomicBool>);

impl Stop {
    fn is_asked(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Set by Ctrl-C and SIGTERM; a second one ends the process by itself.
    async fn listen(self) {
        let mut terminate = signal(SignalKind::terminate()).ok();
        let terminated = async {
            match &mut terminate {
                Some(terminate) => drop(terminate.recv().await),
                None => std::future::pending().await,
            }
        };
        tokio::select! { _ = tokio::signal::ctrl_c() => {}, () = terminated => {} }
        self.0.store(true, Ordering::Relaxed);
        complain("ending; once more to end at once");
        let _ = tokio::signal::ctrl_c().await;
        crate::process::leave(1);
    }
}

/// Runs a command; `false` when what it looked at has a fault, which has been printed.
///
/// # Errors
/// A message for a person.
pub async fn run(args: PipelineArgs, config: Config) -> Result<bool, String> {
    let stop = Stop::default();
    // Listing and checking end at once, as any program does.
    let plays = matches!(args.command, Command::Run(_) | Command::Bench(_) | Command::Capture(_));
    let listener = plays.then(|| tokio::spawn(stop.clone().listen()));
    // GStreamer's calls block; the runtime's threads are for what waits.
    let work = move || {
        gst::init().map_err(|error| format!("GStreamer does not start: {error}"))?;
        match args.command {
            Command::List => list::run(&config),
            Command::Check { names, no_frames, stream } => check::run(&config, &names, !no_frames, &stream),
            Command::Show { name, comments, stream } => show::run(&config, &name, comments, &stream),
            Command::Launch(play) => show::launch(&config, &play),
            Command::Run(play) => run::run(&config, &play, &stop),
            Command::Bench(bench) => bench::run(&config, &bench, &stop),
            Command::Capture(capture) => capture::run(&config, &capture, &stop),
        }
    };
    let done = tokio::task::spawn_blocking(work).await.map_err(|error| error.to_string())?;
    if let Some(listener) = listener {
        listener.abort();
    }
    done
}

/// Prints a line; a closed standard output (`| head`) is no fault.
fn say(line: impl AsRef<str>) {
    let _ = writeln!(std::io::stdout(), "{}", line.as_ref());
}

/// Prints a line where errors go, so that what is printed can still be piped into a shell or a file.
fn complain(line: impl AsRef<str>) {
    let _ = writeln!(std::io::stderr(), "{}", line.as_ref());
}

/// The next error that a pipeline's elements posted, in their words.
fn error_on_bus(pipeline: &gst::Pipeline) -> Option<String> {
    let message = pipeline.bus()?.pop_filtered(&[gst::MessageType::Error])?;
    let gst::MessageView::Error(error) = message.view() else { return None };
    Some(error_words(error))
}

/// "encoder: Can not initialize x264 encoder. (…)"
fn error_words(error: &gst::message::Error) -> String {
    let element = error.src().map(|source| source.name().to_string()).unwrap_or_default();
    // The element's own explanation follows its source file, line and path.
    let debug = error.debug().unwrap_or_default();
    let why = debug.lines().skip(1).map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ");
    if why.is_empty() {
        format!("{element}: {}", error.error())
    } else {
        format!("{element}: {} ({why})", error.error())
    }
}

fn parse_seconds(text: &str) -> Result<f64, String> {
    let seconds = text.parse().ok().filter(|seconds| (0.1..=3600.0).contains(seconds));
    seconds.ok_or_else(|| format!("'{text}' is no number of seconds from 0.1 to 3600"))
}

fn parse_folder(text: &str) -> Result<PathBuf, String> {
    if Path::new(text).is_dir() { Ok(text.into()) } else { Err(format!("there is no folder '{text}'")) }
}
