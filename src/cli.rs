//! The command line: what can be said, and how it becomes a configuration. Owns no behaviour beyond that.

use std::{
    net::{SocketAddr, ToSocketAddrs},
    path::{Path, PathBuf},
};

use clap::{Parser, Subcommand};
use toml::Value;

use crate::{config::Config, pipeline_cli::PipelineArgs, probe::ProbeArgs};

/// Gets an Intel RealSense depth camera into many browsers at once: every stream is encoded once and fanned out over
/// WebRTC. Without a subcommand it serves; open the printed address in a browser.
#[derive(Debug, Parser)]
#[command(name = "realsense-webrtc", disable_version_flag = true, after_help = AFTER_HELP)]
pub struct Cli {
    /// What to do instead of serving.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Configuration file; realsense-webrtc.toml in the repository documents every key.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Address and port to listen on [default: 127.0.0.1:8000]. 0.0.0.0:8000 opens it to the network; port 0 takes a free one.
    #[arg(long, value_name = "ADDR", value_parser = parse_address)]
    listen: Option<SocketAddr>,
    /// Number of simulated D435I cameras [default: one when there is no camera].
    #[arg(long, value_name = "N")]
    sim_cameras: Option<u16>,
    /// Play a recording (.bag, .db3) as a camera; may be given several times.
    #[arg(long, value_name = "FILE", value_parser = parse_file)]
    recording: Vec<PathBuf>,
    /// Add the SDK's software device, fed by the simulator: everything goes through librealsense, without a camera.
    #[arg(long)]
    software_device: bool,
    /// Folder with the pipeline files [default: pipelines].
    #[arg(long, value_name = "DIR", value_parser = parse_folder)]
    pipelines: Option<PathBuf>,
    /// Serve the pages from this folder instead of those built in.
    #[arg(long, value_name = "DIR", value_parser = parse_folder)]
    www: Option<PathBuf>,
    /// What to log: info, debug, warn, or a filter such as info,realsense_webrtc::media=debug.
    #[arg(long, value_name = "FILTER")]
    log: Option<String>,
    /// Print the versions of this program and of GStreamer.
    #[arg(short = 'V', long)]
    pub version: bool,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Check or measure a running server with WebRTC receivers of its own, without a browser.
    Probe(ProbeArgs),
    /// List, check, tune and play pipeline files, without a server or a browser.
    Pipeline(PipelineArgs),
    /// Ask the server of this configuration whether it is well; exit code 0 if so. For a container's health check.
    Healthcheck,
    /// Print the OpenAPI document, from which clients generate their types, without a server.
    Openapi,
}

const AFTER_HELP: &str = "Examples:
  realsense-webrtc                                 serve the cameras that are there on http://127.0.0.1:8000
  realsense-webrtc --sim-cameras 1                 a simulated camera, whatever is there
  realsense-webrtc --recording walk.bag            play a recording as a camera
  realsense-webrtc --listen 0.0.0.0:8000           let others on the network watch
  realsense-webrtc --config my.toml --log debug    with a configuration of your own
  realsense-webrtc probe                           watch one stream of a running server and report
  realsense-webrtc probe load --viewers 10 --secs 20
  realsense-webrtc pipeline list                   the pipeline files, and what uses them

Every key of the configuration can also be set by environment: REALSENSE_WEBRTC__SESSIONS__LIMIT=20.";

impl Cli {
    /// Takes over what a subcommand says about the configuration; said there, it goes before what is said in front of it.
    pub fn take_over(&mut self, config: Option<PathBuf>, pipelines: Option<PathBuf>) {
        self.config = config.or(self.config.take());
        self.pipelines = pipelines.or(self.pipelines.take());
    }

    /// The configuration: file, environment, then the flags.
    ///
    /// # Errors
    /// A message for a person.
    pub fn configuration(self, environment: impl IntoIterator<Item = (String, String)>) -> Result<Config, String> {
        let text = |path: PathBuf| Value::String(path.to_string_lossy().into_owned());
        let recordings = self.recording.into_iter().map(text).collect::<Vec<_>>();
        let recordings = (!recordings.is_empty()).then_some(Value::Array(recordings));
        let flags = [
            ("server.listen", self.listen.map(|address| Value::String(address.to_string()))),
            ("camera.sim_cameras", self.sim_cameras.map(|count| Value::Integer(count.into()))),
            ("realsense.recordings", recordings),
            ("realsense.software_device", self.software_device.then_some(Value::Boolean(true))),
            ("pipelines.dir", self.pipelines.map(text)),
            ("server.www_dir", self.www.map(text)),
            ("log.filter", self.log.map(Value::String)),
        ];
        let flags = flags.into_iter().filter_map(|(key, value)| Some((key, value?))).collect();
        Config::load(self.config.as_deref(), environment, flags)
    }
}

fn parse_address(text: &str) -> Result<SocketAddr, String> {
    let found = text.to_socket_addrs().ok().and_then(|mut found| found.next());
    found.ok_or_else(|| {
        format!("'{text}' is no address: write ADDRESS:PORT, for example 127.0.0.1:8000 or 0.0.0.0:8000")
    })
}

fn parse_folder(text: &str) -> Result<PathBuf, String> {
    if Path::new(text).is_dir() { Ok(text.into()) } else { Err(format!("there is no folder '{text}'")) }
}

fn parse_file(text: &str) -> Result<PathBuf, String> {
    if Path::new(text).is_file() { Ok(text.into()) } else { Err(format!("there is no file '{text}'")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::SimCameras;

    #[test]
    fn flags_become_configuration() {
        let cli = Cli::try_parse_from(["x", "--listen", "localhost:9", "--sim-cameras", "2", "--www", "/"]).unwrap();
        let config = cli.configuration(Vec::new()).unwrap();
        assert_eq!((config.server.listen.port(), config.camera.sim_cameras), (9, SimCameras::Count(2)));
        assert_eq!(config.server.www_dir, "/");
    }

    #[test]
    fn what_cannot_be_is_refused_in_words() {
        for (flags, words) in [
            (["x", "--listen", "8000"], "ADDRESS:PORT"),
            (["x", "--listen", ":8000"], "ADDRESS:PORT"),
            (["x", "--www", "/nonexistent"], "there is no folder"),
            (["x", "--pipelines", "/nonexistent"], "there is no folder"),
            (["x", "--recording", "/nonexistent.bag"], "there is no file"),
        ] {
            let error = Cli::try_parse_from(flags).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }
}
