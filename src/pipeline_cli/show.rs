//! `pipeline show` and `pipeline launch`: a pipeline's text, filled in, as it is or as a command.

use std::path::Path;

use super::{
    args::PlayArgs,
    display,
    frames::{self, Described},
    launch::{self, Payloader, Sink, Source},
    shell_command::Part,
    subject::{StreamArgs, Subject, show_fault},
    terminal::{complain, say},
};
use crate::{
    config::Config,
    core::text::template::{Template, strip_comment},
    media::gst::offline::pipelines,
    model::Codec,
};

/// Frames into a file where nobody says how many: ten seconds at 30 fps.
const FILE_FRAMES: u32 = 300;

/// Prints a pipeline with its placeholders filled in.
pub(super) fn run(config: &Config, name: &str, comments: bool, stream: &StreamArgs) -> Result<bool, String> {
    let subject = Subject::find(config, name, stream)?;
    let Some(template) = parsed(&subject) else { return Ok(false) };
    let rendered = template.render(&subject.values);
    if !comments {
        let lines: Vec<_> = rendered.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
        say(lines.join("\n"));
        return Ok(true);
    }
    // Comments as they are: a placeholder in one explains itself.
    for (line, original) in rendered.lines().zip(subject.text.text.lines()) {
        let comment = original.get(strip_comment(original).len()..).unwrap_or_default();
        say(format!("{line}{comment}").trim_end());
    }
    Ok(true)
}

/// Prints a gst-launch-1.0 command.
pub(super) fn launch(config: &Config, play: &PlayArgs) -> Result<bool, String> {
    let display = display::find();
    let sink = play.to.clone().unwrap_or(if display.is_ok() { Sink::Window } else { Sink::Rate });
    let Some(plan) = Plan::make(config, play, sink)? else { return Ok(false) };
    if let Err(why) = &display {
        match &play.to {
            None => complain(format!(
                "There is no display here ({why}), so the command prints the frame rate instead of opening a window; \
                 --to window asks for one all the same, --to file=OUT.mkv for a file."
            )),
            Some(Sink::Window) => complain(format!("There is no display here ({why}); the command needs one.")),
            Some(_) => {}
        }
    }
    say(format!("# {} as the server runs it: {}", plan.subject.text.file, plan.subject.describe()));
    if let Some(watch) = plan.watch_with(display.is_ok()) {
        say(format!("# Watch it with: {watch}"));
    }
    say(launch::command(&plan.parts, &plan.sink));
    let paths = std::env::var_os("PATH").unwrap_or_default();
    if !std::env::split_paths(&paths).any(|folder| folder.join("gst-launch-1.0").is_file()) {
        complain(
            "gst-launch-1.0 is not installed here: apt install gstreamer1.0-tools; or take `pipeline run` for `launch`.",
        );
    }
    Ok(true)
}

/// A pipeline made ready to play without camera and sessions.
pub(super) struct Plan {
    pub(super) subject: Subject,
    pub(super) codec: Codec,
    pub(super) payload: u8,
    pub(super) sink: Sink,
    pub(super) parts: Vec<Part>,
}

impl Plan {
    /// Makes it; `None` when the file has a fault, which has been printed.
    ///
    /// # Errors
    /// What does not go together, in words for a person.
    pub(super) fn make(config: &Config, play: &PlayArgs, sink: Sink) -> Result<Option<Self>, String> {
        let stream = for_frames(&play.stream, play.frames.as_deref())?;
        let subject = Subject::find(config, &play.name, &stream)?;
        let codec = subject.needs_codec()?;
        let Some(template) = parsed(&subject) else { return Ok(None) };
        if let Err(fault) = pipelines::build(&subject.text, &subject.values) {
            complain(show_fault(&fault, &subject.text.text));
            return Ok(None);
        }
        let count = play.frames_count;
        let source = match &play.frames {
            Some(file) => Source::Recorded { file: file.to_string_lossy().into_owned(), frames: count },
            None => Source::Test {
                caps: subject.caps(),
                frames: count.or(matches!(sink, Sink::File(_)).then_some(FILE_FRAMES)),
            },
        };
        let (words, payload) = pipelines::payloader(config, codec);
        let payloader = Payloader { words, payload };
        let rendered = template.render(&subject.values);
        let parts = launch::pipeline(&rendered, codec, &payloader, &source, &sink)?;
        Ok(Some(Self { subject, codec, payload, sink, parts }))
    }

    /// The command that shows what it sends over RTP; `display` is whether there is one here.
    pub(super) fn watch_with(&self, display: bool) -> Option<String> {
        let Sink::Rtp { host, port } = &self.sink else { return None };
        // What goes to another machine is watched there, and what that one has is not known here.
        let elsewhere = !["127.0.0.1", "localhost", "::1"].contains(&host.as_str());
        Some(launch::receiver(self.codec, self.payload, *port, display || elsewhere))
    }
}

/// What is asked for, with the size, rate and format of recorded frames.
///
/// # Errors
/// The file cannot be read, or both say a size.
pub(super) fn for_frames(stream: &StreamArgs, frames: Option<&Path>) -> Result<StreamArgs, String> {
    let Some(file) = frames else { return Ok(stream.clone()) };
    if stream.size.is_some() || stream.fps.is_some() || stream.format.is_some() {
        return Err("--frames brings its own size, rate and format: leave out --size, --fps and --format.".into());
    }
    let Described { width, height, framerate, format } = frames::describe(file)?;
    Ok(StreamArgs { size: Some((width, height)), fps: Some(framerate), format: Some(format), ..stream.clone() })
}

/// The file read as a template; its fault is printed.
fn parsed(subject: &Subject) -> Option<Template> {
    let read = match &subject.text.unreadable {
        Some(why) => {
            complain(format!("{}: the file cannot be read: {why}", subject.text.file));
            return None;
        }
        None => Template::parse(&subject.text.file, &subject.text.text),
    };
    read.map_err(|fault| complain(show_fault(&fault, &subject.text.text))).ok()
}
