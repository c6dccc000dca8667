//! The layer that turns events into kept lines. Formats them as standard error shows them, and finds out which session,
//! device and stream they are about: fields `session`, `device` and `stream` (`DEVICE/STREAM` or the stream's type alone) of
//! the event or of the spans around it.

use std::{
    fmt::{Debug, Write},
    sync::Arc,
};

use tracing::{
    Event, Id, Subscriber,
    field::{Field, Visit},
    span::Attributes,
};
use tracing_subscriber::{Layer, layer::Context, registry::LookupSpan};

use super::{
    levels::TARGET,
    ring::{Line, Rings, Source},
};

/// Characters of a session's id that tell sessions apart, as `SessionId::short` has them.
pub(super) const SHORT_ID: usize = 8;

pub(super) struct KeepLayer {
    pub(super) rings: Arc<Rings>,
}

/// What an event or a span is about.
#[derive(Debug, Clone, Default)]
struct Subject {
    session: Option<Box<str>>,
    device: Option<Box<str>>,
    stream: Option<Box<str>>,
}

impl Subject {
    fn note(&mut self, name: &str, value: &str) {
        match name {
            "session" => self.session = Some(value.get(..SHORT_ID).unwrap_or(value).into()),
            "device" => self.device = Some(value.into()),
            "stream" => match value.split_once('/') {
                Some((device, stream)) => (self.device, self.stream) = (Some(device.into()), Some(stream.into())),
                None => self.stream = Some(value.into()),
            },
            _ => {}
        }
    }

    fn fill_from(&mut self, outer: &Self) {
        for (own, outer) in
            [(&mut self.session, &outer.session), (&mut self.device, &outer.device), (&mut self.stream, &outer.stream)]
        {
            if own.is_none() {
                own.clone_from(outer);
            }
        }
    }
}

/// Reads an event's or a span's fields.
#[derive(Default)]
struct Fields {
    message: String,
    rest: String,
    subject: Subject,
}

impl Fields {
    fn take(&mut self, field: &Field, value: &str, shown: std::fmt::Arguments<'_>) {
        let name = field.name();
        // Writing to a String does not fail.
        let _ = match name {
            "message" => self.message.write_fmt(shown),
            // Fields of the `log` crate's bridge.
            name if name.starts_with("log.") => Ok(()),
            name => write!(self.rest, " {name}={shown}"),
        };
        self.subject.note(name, value);
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            self.take(field, value, format_args!("{value}"));
        } else {
            self.take(field, value, format_args!("{value:?}"));
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if matches!(field.name(), "session" | "device" | "stream") {
            let text = format!("{value:?}");
            self.take(field, &text, format_args!("{text}"));
        } else {
            self.take(field, "", format_args!("{value:?}"));
        }
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for KeepLayer {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(fields.subject);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let Fields { mut message, rest, mut subject } = fields;
        for span in context.event_scope(event).into_iter().flatten() {
            if let Some(outer) = span.extensions().get::<Subject>() {
                subject.fill_from(outer);
            }
        }
        message.push_str(&rest);
        let metadata = event.metadata();
        let source = if metadata.target() == TARGET { Source::GStreamer } else { Source::Server };
        let mut line = Line::new(*metadata.level(), source, message.trim_start());
        Subject { session: line.session, device: line.device, stream: line.stream } = subject;
        self.rings.push(line);
    }
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt;

    use super::{super::ring::Query, *};
    use crate::logging::Logs;

    fn kept(log: impl FnOnce()) -> Vec<Arc<Line>> {
        let logs = Logs::default();
        tracing::subscriber::with_default(tracing_subscriber::registry().with(logs.layer()), log);
        logs.select(&Query { lines: 100, ..Query::default() })
    }

    #[test]
    fn an_event_becomes_a_line_with_its_subject() {
        let lines = kept(|| {
            tracing::info!(session = "5f0c1f3a-33a2-4fd1", codecs = "H264", count = 3, "answer applied");
            tracing::warn!(stream = %"8442/infrared-1", "stream interrupted");
            tracing::debug!(device = %"8442", stream = %"color", error = %"no frames", "restarting");
            tracing::info!(target: "gstreamer", parent: None, stream = Some(tracing::field::display("1/depth")), "hello");
        });
        let about: Vec<_> = lines
            .iter()
            .map(|line| {
                [&line.session, &line.device, &line.stream].map(|name| name.as_deref().unwrap_or("-")).join(" ")
            })
            .collect();
        assert_eq!(about, ["5f0c1f3a - -", "- 8442 infrared-1", "- 8442 color", "- 1 depth"]);
        assert_eq!(lines[0].text.as_ref(), "answer applied session=\"5f0c1f3a-33a2-4fd1\" codecs=\"H264\" count=3");
        assert_eq!(lines[2].text.as_ref(), "restarting device=8442 stream=color error=no frames");
        assert_eq!((lines[0].source, lines[3].source), (Source::Server, Source::GStreamer));
    }

    #[test]
    fn a_span_says_what_its_events_are_about() {
        let lines = kept(|| {
            let _outer = tracing::info_span!("session", session = "abcdefgh").entered();
            let _inner = tracing::info_span!("stream", stream = %"1/color").entered();
            tracing::info!("inside");
            tracing::info!(session = "other", "own");
        });
        assert_eq!(lines[0].session.as_deref(), Some("abcdefgh"));
        assert_eq!((lines[0].device.as_deref(), lines[0].stream.as_deref()), (Some("1"), Some("color")));
        assert_eq!(lines[1].session.as_deref(), Some("other"));
    }
}
