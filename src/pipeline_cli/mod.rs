//! `realsense-webrtc pipeline`: work on pipeline files without a server. Owns the command line of it; what the commands do
//! lies beside. Starts no server, and opens a camera only for `capture`.

mod args;
mod bench;
mod capture;
mod check;
mod display;
mod frames;
mod launch;
mod list;
mod meter;
mod run;
mod shell_command;
mod show;
mod subject;
mod table;
mod terminal;
mod threads;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use self::{args::PlayArgs, bench::BenchArgs, capture::CaptureArgs, subject::StreamArgs, terminal::Stop};
use super::config::Config;

/// List, check, run and measure pipeline files, without a server or a browser.
#[derive(Debug, Clone, Args)]
#[command(after_help = AFTER_HELP)]
pub struct PipelineArgs {
    #[command(subcommand)]
    command: Command,
    /// Configuration file [default: no file is read].
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Folder with the pipeline files [default: pipelines].
    #[arg(long, global = true, value_name = "DIR", value_parser = parse_folder)]
    pub pipelines: Option<PathBuf>,
}

const AFTER_HELP: &str =
    "NAME is a file's name without .gst (color.h264), the path of a file, or a stream type, which means the \
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
    /// List the pipelines: encoder, file, the streams that use it, and whether it can be used on this machine.
    List,
    /// Try pipelines with test pictures, as the server does. A fault is shown with its line, as a compiler shows it.
    Check {
        /// Names or files [default: all].
        #[arg(value_name = "NAME")]
        names: Vec<String>,
        /// Only parse the files, without test pictures.
        #[arg(long)]
        no_frames: bool,
        #[command(flatten)]
        stream: StreamArgs,
    },
    /// Print a pipeline with its placeholders filled in.
    Show {
        /// Name, file or stream type.
        name: String,
        /// Keep the comments.
        #[arg(long)]
        comments: bool,
        #[command(flatten)]
        stream: StreamArgs,
    },
    /// Print a gst-launch-1.0 command that runs the pipeline without a camera or a browser.
    Launch(PlayArgs),
    /// Run the pipeline here, without a camera or a browser. Ctrl-C ends it, and its files are complete.
    Run(PlayArgs),
    /// Measure pipelines in real time: frame rate, CPU, bitrate, latency of each element. Name several to compare them.
    Bench(BenchArgs),
    /// Record raw frames of a camera, as an encoder gets them, for --frames. The camera is the one that a server with this
    /// configuration would have; write --sim-cameras and --recording in front of `pipeline`. Stop the server first if it
    /// uses the camera.
    Capture(CaptureArgs),
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

fn parse_folder(text: &str) -> Result<PathBuf, String> {
    if Path::new(text).is_dir() { Ok(text.into()) } else { Err(format!("there is no folder '{text}'")) }
}
