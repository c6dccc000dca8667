//! From a pipeline file to one `gst-launch-1.0` command that needs neither camera nor browser. Owns what stands in for the
//! camera and for the sessions; pure: it runs nothing and looks at no file.

use std::fmt;

use super::shell_command::{self, Part};
use crate::model::Codec;

/// What stands in for the camera.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    /// A moving ball, live, with these caps.
    Test {
        /// The caps that the server gives its appsrc.
        caps: String,
        /// Frames before it ends; endless without.
        frames: Option<u32>,
    },
    /// Frames that `pipeline capture` recorded, in real time.
    Recorded {
        /// The Matroska file.
        file: String,
        /// Frames before it ends; the whole file without.
        frames: Option<u32>,
    },
}

/// What stands in for the sessions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Sink {
    /// Decoded, in a window.
    Window,
    /// Decoded and dropped; how many pictures a second that gives is printed.
    Rate,
    /// A file: .mkv, .webm or .mp4.
    File(String),
    /// Sent over RTP as a session would, without WebRTC's encryption.
    Rtp {
        /// Host name or address.
        host: String,
        /// UDP port.
        port: u16,
    },
    /// Made into packets as for a session, and dropped.
    Null,
}

/// Where RTP goes unless said otherwise.
const RTP_HOST: &str = "127.0.0.1";
const RTP_PORT: u16 = 5004;

/// A window.
const WINDOW: [&str; 2] = ["autovideosink", "sync=false"];
/// No window: with `-v` gst-launch-1.0 prints what it counts, twice a second.
const RATE: [&str; 4] = ["fpsdisplaysink", "video-sink=fakevideosink", "text-overlay=false", "sync=false"];

impl Sink {
    /// Reads `window`, `rate`, `file=OUT.mkv`, `rtp`, `rtp=HOST:PORT` or `null`.
    ///
    /// # Errors
    /// What it may be.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let (kind, rest) = text.split_once('=').map_or((text, None), |(kind, rest)| (kind, Some(rest)));
        match (kind, rest) {
            ("window", None) => Ok(Self::Window),
            ("rate", None) => Ok(Self::Rate),
            ("null", None) => Ok(Self::Null),
            ("file", Some(file)) if !file.is_empty() => Ok(Self::File(file.into())),
            ("rtp", None) => Ok(Self::Rtp { host: RTP_HOST.into(), port: RTP_PORT }),
            ("rtp", Some(address)) => {
                let (host, port) = address.rsplit_once(':').unwrap_or((address, ""));
                let host = host.trim_start_matches('[').trim_end_matches(']');
                match port.parse() {
                    Ok(port) if port > 0 && !host.is_empty() => Ok(Self::Rtp { host: host.into(), port }),
                    _ => Err(format!("'{address}' is no address: write rtp=HOST:PORT, for example rtp=127.0.0.1:5004")),
                }
            }
            _ => Err("write window, rate, file=OUT.mkv, rtp, rtp=HOST:PORT or null".into()),
        }
    }
}

impl fmt::Display for Sink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Window => f.write_str("window"),
            Self::Rate => f.write_str("rate"),
            Self::File(file) => write!(f, "file={file}"),
            Self::Rtp { host, port } => write!(f, "rtp={host}:{port}"),
            Self::Null => f.write_str("null"),
        }
    }
}

/// A payloader as a session has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Payloader {
    /// Factory and settings.
    pub(crate) words: Vec<String>,
    /// RTP payload type.
    pub(crate) payload: u8,
}

/// Makes the whole pipeline: the file's, with the camera and the sessions replaced.
///
/// # Errors
/// What does not go together, in words for a person.
pub(crate) fn pipeline(
    rendered: &str,
    codec: Codec,
    payloader: &Payloader,
    source: &Source,
    sink: &Sink,
) -> Result<Vec<Part>, String> {
    let parts = shell_command::parts(rendered);
    let refers = parts.iter().any(|part| matches!(part, Part::Pad(pad) if pad.starts_with("source.")));
    let mut out = Vec::with_capacity(parts.len() + 16);
    let mut replaced = false;
    for part in parts {
        if part.name() == Some("source") {
            replaced = true;
            let waiting = part.words().iter().find_map(|word| word.strip_prefix("max-buffers=")).unwrap_or("2");
            out.extend(camera(source, waiting));
            if refers {
                out.extend([Part::link(), Part::element(["identity", "name=source"])]);
            }
        } else {
            out.push(part);
        }
    }
    if !replaced {
        return Err("The file has no element with name=source.".into());
    }
    out.push(Part::Pad("fanout.".into()));
    out.extend(sessions(codec, payloader, sink)?);
    Ok(out)
}

/// What stands in for the camera, and the appsrc's bounded queue behind it.
fn camera(source: &Source, waiting: &str) -> Vec<Part> {
    let mut parts = match source {
        Source::Test { caps, frames } => {
            let mut words = vec!["videotestsrc".to_owned(), "is-live=true".into(), "pattern=ball".into()];
            words.extend(frames.map(|frames| format!("num-buffers={frames}")));
            vec![Part::Element(words), Part::link(), Part::Caps(caps.clone())]
        }
        Source::Recorded { file, frames } => {
            let mut parts = vec![
                Part::element(["filesrc".to_owned(), setting("location", file)]),
                Part::link(),
                Part::element(["matroskademux"]),
                Part::link(),
                // In real time, as a camera delivers them.
                Part::element(["clocksync"]),
            ];
            if let Some(frames) = frames {
                parts.extend([Part::link(), Part::element(["identity".to_owned(), format!("eos-after={frames}")])]);
            }
            parts
        }
    };
    // As the server's appsrc does: few frames wait, and the oldest goes first.
    let bound = format!("max-size-buffers={waiting}");
    parts.extend([
        Part::link(),
        Part::element(["queue", &bound, "max-size-bytes=0", "max-size-time=0", "leaky=downstream"]),
    ]);
    parts
}

/// What hangs on the tee in place of the sessions.
fn sessions(codec: Codec, payloader: &Payloader, sink: &Sink) -> Result<Vec<Part>, String> {
    let queue = Part::element(["queue"]);
    let payloader = || Part::Element(payloader.words.clone());
    let chain = match sink {
        Sink::Window => vec![
            queue,
            Part::element(["decodebin"]),
            Part::element(["videoconvert"]),
            // Each picture as soon as it is there: the pipeline's own latency is what is looked at.
            Part::element(WINDOW),
        ],
        Sink::Rate => vec![queue, Part::element(["decodebin"]), Part::element(RATE)],
        Sink::File(file) => {
            let mut chain = vec![queue];
            if codec == Codec::H264 {
                chain.push(Part::element(["h264parse"]));
            }
            chain.push(Part::element([muxer(codec, file)?]));
            chain.push(Part::element(["filesink".to_owned(), setting("location", file)]));
            chain
        }
        Sink::Rtp { host, port } => {
            let address = [setting("host", host), format!("port={port}")];
            let words =
                ["udpsink".to_owned()].into_iter().chain(address).chain(["sync=false".into(), "async=false".into()]);
            vec![queue, payloader(), Part::element(words)]
        }
        Sink::Null => vec![queue, payloader(), Part::element(["fakesink", "sync=false", "async=false"])],
    };
    Ok(chain.into_iter().flat_map(|part| [Part::link(), part]).collect())
}

/// The muxer for a file, by its ending.
fn muxer(codec: Codec, file: &str) -> Result<&'static str, String> {
    let ending = file.rsplit_once('.').map_or("", |(_, ending)| ending).to_ascii_lowercase();
    match (ending.as_str(), codec) {
        ("mkv", _) => Ok("matroskamux"),
        ("webm", Codec::VP8 | Codec::VP9) => Ok("webmmux"),
        ("mp4", Codec::H264) => Ok("mp4mux"),
        ("webm", _) => Err(format!("A .webm file takes VP8 or VP9, not {codec}: write to a .mkv or .mp4 file.")),
        ("mp4", _) => Err(format!("A .mp4 file takes H264, not {codec}: write to a .mkv or .webm file.")),
        _ => Err(format!("'{file}' must end in .mkv, .webm or .mp4, which says what file to write.")),
    }
}

/// `name=value`, with quotes of GStreamer's own where the value needs them.
fn setting(name: &str, value: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "_@%+,./-:".contains(c);
    if value.chars().all(plain) {
        return format!("{name}={value}");
    }
    format!("{name}=\"{}\"", value.replace('\\', r"\\").replace('"', "\\\""))
}

/// The shell command.
pub(super) fn command(parts: &[Part], sink: &Sink) -> String {
    // -e: Ctrl-C ends the stream first, so that files are complete.
    let program = if *sink == Sink::Rate { "gst-launch-1.0 -e -v" } else { "gst-launch-1.0 -e" };
    format!("{program} \\\n  {}", shell_command::shell_lines(parts).join(" \\\n  "))
}

/// The command that shows what `--to rtp` sends: in a window, or as a rate where there is no display.
pub(crate) fn receiver(codec: Codec, payload: u8, port: u16, display: bool) -> String {
    let depayloader = match codec {
        Codec::H264 => "rtph264depay",
        Codec::VP8 => "rtpvp8depay",
        Codec::VP9 => "rtpvp9depay",
    };
    let (program, sink) = if display {
        ("gst-launch-1.0", format!("videoconvert ! {}", WINDOW.join(" ")))
    } else {
        ("gst-launch-1.0 -v", RATE.join(" "))
    };
    format!(
        "{program} udpsrc port={port} caps={} ! rtpjitterbuffer latency=50 ! {depayloader} ! decodebin ! {sink}",
        shell_command::quote(&receiver_caps(codec, payload))
    )
}

/// The caps of what `--to rtp` sends.
pub(crate) fn receiver_caps(codec: Codec, payload: u8) -> String {
    format!("application/x-rtp,media=video,clock-rate=90000,encoding-name={codec},payload={payload}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "appsrc name=source is-live=true max-buffers=3\n! videoconvert\n! video/x-raw, format={I420, NV12}\n\
                        ! x264enc name=encoder\n! tee name=fanout\nfanout. ! queue ! fakesink";

    fn payloader() -> Payloader {
        Payloader { words: vec!["rtph264pay".into(), "mtu=1200".into(), "pt=96".into()], payload: 96 }
    }

    fn ball(frames: Option<u32>) -> Source {
        Source::Test { caps: "video/x-raw,format=I420,framerate=30/1".into(), frames }
    }

    fn text(text: &str, codec: Codec, source: &Source, sink: &Sink) -> Result<String, String> {
        pipeline(text, codec, &payloader(), source, sink).map(|parts| command(&parts, sink))
    }

    #[test]
    fn a_command_reads_line_by_line() {
        let made = text(TEXT, Codec::H264, &ball(Some(60)), &Sink::File("my out.mkv".into())).expect("a command");
        let expected = r#"gst-launch-1.0 -e \
  videotestsrc is-live=true pattern=ball num-buffers=60 \
  ! video/x-raw,format=I420,framerate=30/1 \
  ! queue max-size-buffers=3 max-size-bytes=0 max-size-time=0 leaky=downstream \
  ! videoconvert \
  ! 'video/x-raw,format={I420,NV12}' \
  ! x264enc name=encoder \
  ! tee name=fanout \
  fanout. \
  ! queue \
  ! fakesink \
  fanout. \
  ! queue \
  ! h264parse \
  ! matroskamux \
  ! filesink 'location="my out.mkv"'"#;
        assert_eq!(made, expected);
    }

    #[test]
    fn recorded_frames_and_rtp() {
        let source = Source::Recorded { file: "walk.mkv".into(), frames: Some(30) };
        let sink = Sink::parse("rtp").expect("rtp");
        let made = text(TEXT, Codec::H264, &source, &sink).expect("a command");
        let start = "filesrc location=walk.mkv \\\n  ! matroskademux \\\n  ! clocksync \\\n  ! identity eos-after=30 \\\n  ! queue";
        assert!(made.contains(start), "{made}");
        assert!(
            made.ends_with(
                "! rtph264pay mtu=1200 pt=96 \\\n  ! udpsink host=127.0.0.1 port=5004 sync=false async=false"
            )
        );
    }

    #[test]
    fn without_a_display_the_rate_is_printed() {
        let made = text(TEXT, Codec::VP8, &ball(None), &Sink::Rate).expect("a command");
        let rate = "fpsdisplaysink video-sink=fakevideosink text-overlay=false sync=false";
        assert!(made.starts_with("gst-launch-1.0 -e -v \\\n") && made.ends_with(rate), "{made}");
        let made = text(TEXT, Codec::VP8, &ball(None), &Sink::Window).expect("a command");
        assert!(!made.contains(" -v ") && made.ends_with("! videoconvert \\\n  ! autovideosink sync=false"), "{made}");
        let watch = receiver(Codec::VP9, 98, 5004, false);
        assert!(watch.starts_with("gst-launch-1.0 -v udpsrc") && watch.ends_with(rate), "{watch}");
        let watch = receiver(Codec::VP9, 98, 5004, true);
        assert!(watch.starts_with("gst-launch-1.0 udpsrc") && watch.ends_with("autovideosink sync=false"), "{watch}");
    }

    #[test]
    fn a_source_that_is_referred_to_keeps_its_name() {
        let by_pad = "appsrc name=source source. ! x264enc name=encoder ! tee name=fanout";
        let made = text(by_pad, Codec::H264, &ball(None), &Sink::Null).expect("a command");
        assert!(made.contains("! identity name=source \\\n  source. \\\n  ! x264enc"), "{made}");
        assert!(text("videotestsrc ! fakesink", Codec::H264, &ball(None), &Sink::Null).is_err());
    }

    #[test]
    fn files_must_fit_their_codec() {
        let to = |codec, file: &str| text(TEXT, codec, &ball(None), &Sink::File(file.into()));
        assert!(to(Codec::VP8, "a.webm").expect("webm").contains("webmmux"));
        assert!(to(Codec::H264, "a.MP4").expect("mp4").contains("h264parse \\\n  ! mp4mux"));
        assert!(to(Codec::H264, "a.webm").expect_err("no").contains(".mkv or .mp4"));
        assert!(to(Codec::VP9, "a.mp4").expect_err("no").contains(".mkv or .webm"));
        assert!(to(Codec::H264, "a").expect_err("no").contains("must end in"));
    }

    #[test]
    fn sinks_are_read_and_refused_in_words() {
        assert_eq!(Sink::parse("rtp=[::1]:6000"), Ok(Sink::Rtp { host: "::1".into(), port: 6000 }));
        assert_eq!(Sink::parse("file=a=b.mkv"), Ok(Sink::File("a=b.mkv".into())));
        for wrong in ["", "file", "file=", "rtp=", "rtp=host", "rtp=host:0", "screen", "null=1"] {
            assert!(Sink::parse(wrong).is_err(), "{wrong}");
        }
        for sink in ["window", "rate", "null", "rtp=10.0.0.1:5000", "file=x.mkv"] {
            assert_eq!(Sink::parse(sink).expect("reads").to_string(), sink);
        }
    }
}
