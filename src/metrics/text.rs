//! The metrics as text: every name, its help and its labels. Owns the names; docs/reference/metrics.md lists them, and a test
//! keeps both the same.

use std::{
    fmt::{self, Write},
    sync::Arc,
    time::Instant,
};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeLabelSet, NoLabelSet, text},
    metrics::{MetricType, exemplar::Exemplar},
    registry::Registry,
};

use super::{DeviceMetrics, EncoderMetrics, Metrics, Observed, StreamMetrics, values::Histogram};
use crate::model::{Codec, SessionState, StreamType};

/// How the text is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// OpenMetrics 1.0, which Prometheus asks for.
    OpenMetrics,
    /// Prometheus' own, 0.0.4, for everything else: browsers, curl, older agents.
    Prometheus,
}

impl Format {
    /// What a client understands, by its `Accept`.
    pub fn accepted(accept: Option<&str>) -> Self {
        let open = accept.is_some_and(|accept| accept.to_ascii_lowercase().contains("application/openmetrics-text"));
        if open { Self::OpenMetrics } else { Self::Prometheus }
    }

    /// The answer's `Content-Type`.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

impl Metrics {
    /// Everything as text.
    pub fn render(self: &Arc<Self>, observed: Observed, format: Format) -> String {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Collected { metrics: self.clone(), observed }));
        let mut written = String::with_capacity(16 * 1024);
        // Writing to a string does not fail.
        let _ = text::encode(&mut written, &registry);
        match format {
            Format::OpenMetrics => written,
            Format::Prometheus => to_0_0_4(&written),
        }
    }
}

/// The two formats differ in what they call a counter in `HELP` and `TYPE`, and in the last line.
fn to_0_0_4(open_metrics: &str) -> String {
    let mut written = String::with_capacity(open_metrics.len());
    let mut help = None;
    for line in open_metrics.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            help = Some(rest);
            continue;
        }
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let suffix = if rest.ends_with(" counter") { "_total" } else { "" };
            let (name, kind) = rest.split_once(' ').unwrap_or((rest, "untyped"));
            if let Some((_, help)) = help.take().and_then(|help| help.split_once(' ')) {
                let _ = writeln!(written, "# HELP {name}{suffix} {help}");
            }
            let _ = writeln!(written, "# TYPE {name}{suffix} {kind}");
        } else if line != "# EOF" {
            written.push_str(line);
            written.push('\n');
        }
    }
    written
}

#[derive(Debug)]
struct Collected {
    metrics: Arc<Metrics>,
    observed: Observed,
}

type Labels<'a> = Vec<(&'static str, &'a str)>;
const NO_EXEMPLAR: Option<&Exemplar<NoLabelSet, u64>> = None;

/// Writes one family after the other.
struct Out<'a>(DescriptorEncoder<'a>);

impl Out<'_> {
    fn counters<L: EncodeLabelSet>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (L, u64)>,
    ) -> fmt::Result {
        let mut encoder = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (labels, value) in samples {
            encoder.encode_family(&labels)?.encode_counter(&value, NO_EXEMPLAR)?;
        }
        Ok(())
    }

    fn gauges<L: EncodeLabelSet>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (L, f64)>,
    ) -> fmt::Result {
        let mut encoder = self.0.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (labels, value) in samples {
            encoder.encode_family(&labels)?.encode_gauge(&value)?;
        }
        Ok(())
    }

    fn histograms<'h, L: EncodeLabelSet>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (L, &'h Histogram)>,
    ) -> fmt::Result {
        let mut encoder = self.0.encode_descriptor(name, help, None, MetricType::Histogram)?;
        for (labels, histogram) in samples {
            let (sum, count, buckets) = histogram.read();
            encoder.encode_family(&labels)?.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)?;
        }
        Ok(())
    }

    /// A counter without labels.
    fn counter(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        let mut encoder = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        encoder.encode_counter(&value, NO_EXEMPLAR)
    }

    /// A histogram without labels.
    fn histogram(&mut self, name: &str, help: &str, histogram: &Histogram) -> fmt::Result {
        let mut encoder = self.0.encode_descriptor(name, help, None, MetricType::Histogram)?;
        let (sum, count, buckets) = histogram.read();
        encoder.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
    }

    /// A gauge without labels.
    fn gauge(&mut self, name: &str, help: &str, value: f64) -> fmt::Result {
        self.0.encode_descriptor(name, help, None, MetricType::Gauge)?.encode_gauge(&value)
    }
}

impl Collector for Collected {
    fn encode(&self, encoder: DescriptorEncoder) -> fmt::Result {
        let mut out = Out(encoder);
        self.server(&mut out)?;
        self.sessions(&mut out)?;
        self.queues(&mut out)?;
        let devices = self.metrics.devices.shown(Instant::now());
        cameras(&mut out, &devices)?;
        let streams: Vec<(Labels, &StreamMetrics)> = devices
            .iter()
            .flat_map(|(label, device)| device.shown_streams().map(move |found| (label, found)))
            .map(|(device, (stream, metrics))| (labels(device, stream_label(stream)), &**metrics))
            .collect();
        received(&mut out, &streams)?;
        // Motion is received and no more.
        let streams: Vec<_> = streams.into_iter().filter(|(labels, _)| is_video(labels)).collect();
        frames(&mut out, &streams)?;
        let encoders: Vec<(Labels, &EncoderMetrics)> = streams
            .iter()
            .flat_map(|(labels, stream)| stream.shown_encoders().map(move |found| (labels, found)))
            .map(|(labels, (codec, metrics))| {
                let mut labels = labels.clone();
                labels.push(("codec", codec_label(codec)));
                (labels, &**metrics)
            })
            .collect();
        encoding(&mut out, &encoders)?;
        sent(&mut out, &devices, &streams, &encoders)?;
        self.process(&mut out)
    }
}

fn labels<'a>(device: &'a str, stream: &'static str) -> Labels<'a> {
    vec![("device", device), ("stream", stream)]
}

/// [`StreamType`]'s own names, without making a string each time.
fn stream_label(stream: StreamType) -> &'static str {
    match stream {
        StreamType::Color => "color",
        StreamType::Depth => "depth",
        StreamType::Infrared(1) => "infrared-1",
        StreamType::Infrared(_) => "infrared-2",
        StreamType::Gyro => "gyro",
        StreamType::Accel => "accel",
    }
}

fn codec_label(codec: Codec) -> &'static str {
    match codec {
        Codec::H264 => "h264",
        Codec::VP8 => "vp8",
        Codec::VP9 => "vp9",
    }
}

impl Collected {
    fn server(&self, out: &mut Out<'_>) -> fmt::Result {
        let Observed { gstreamer, sdk, .. } = &self.observed;
        let version = env!("CARGO_PKG_VERSION");
        let build = [("version", version), ("gstreamer", gstreamer), ("sdk", sdk)];
        out.gauges("realsense_webrtc_build_info", "Always 1; the versions are its labels", [(build, 1.0)])?;
        let http = &self.metrics.http;
        let requests = http.requests();
        let classes: Vec<_> =
            requests.iter().map(|(route, count)| (route, format!("{}xx", route.class), *count)).collect();
        let requests = classes.iter().map(|(route, class, count)| {
            ([("method", route.method), ("route", &route.route), ("status", class)], *count)
        });
        out.counters(
            "realsense_webrtc_http_requests",
            "HTTP requests by route template and class of status",
            requests,
        )?;
        let connections = count(http.connections.get());
        out.gauge("realsense_webrtc_http_connections", "HTTP connections open, WebSockets included", connections)?;
        out.gauge(
            "realsense_webrtc_socketio_clients",
            "Socket.IO clients connected",
            count(http.socket_clients.get()),
        )?;
        let reloads = [
            ([("result", "ok")], self.metrics.reloads.get()),
            ([("result", "failed")], self.metrics.reload_failures.get()),
        ];
        out.counters("realsense_webrtc_pipeline_reloads", "Pipeline files read again while the server runs", reloads)
    }

    fn sessions(&self, out: &mut Out<'_>) -> fmt::Result {
        let sessions = &self.metrics.sessions;
        let states = SessionState::ALL.map(|state| {
            let here = self.observed.sessions.iter().filter(|other| **other == state).count();
            ([("state", state.as_str())], f64::from(u32::try_from(here).unwrap_or(u32::MAX)))
        });
        out.gauges("realsense_webrtc_sessions", "Sessions by state", states)?;
        out.counter("realsense_webrtc_sessions_opened", "Sessions made by an offer", sessions.opened.get())?;
        out.counter("realsense_webrtc_sessions_connected", "Sessions whose DTLS came up", sessions.connected.get())?;
        let ends = sessions.ends().map(|(reason, count)| ([("reason", reason)], count));
        out.counters("realsense_webrtc_sessions_ended", "Sessions that ended, by reason", ends)?;
        let refusals = sessions.refusals().map(|(reason, count)| ([("reason", reason)], count));
        out.counters(
            "realsense_webrtc_offers_refused",
            "Requests for an offer that were refused, by reason",
            refusals,
        )?;
        let help = "Times that a session's peer reports were looked at; at most once a second for each session";
        out.counter("realsense_webrtc_peer_report_polls", help, sessions.report_polls.get())?;
        let help = "From the request for an offer to DTLS being up";
        out.histogram("realsense_webrtc_session_connect_seconds", help, &sessions.connect_seconds)
    }

    fn queues(&self, out: &mut Out<'_>) -> fmt::Result {
        let (control, events) = (&self.metrics.control, &self.metrics.events);
        let help = "Messages that wait for the media control thread";
        out.gauge("realsense_webrtc_media_control_waiting", help, count(control.waiting.get()))?;
        let help = "Messages that the media control thread did not take: too much waited, or it hung";
        out.counter("realsense_webrtc_media_control_refused", help, control.refused.get())?;
        let help = "Seconds since the media control thread last took a turn; from 10 on nobody is served";
        out.gauge("realsense_webrtc_media_control_age_seconds", help, count(control.age_s.get()))?;
        let help = "Events of cameras and media that wait for the session actor";
        out.gauge("realsense_webrtc_session_events_waiting", help, count(events.waiting.get()))?;
        let relay = &self.metrics.relay;
        let help = "Cameras registered at the relay; 0 without one";
        out.gauge("realsense_webrtc_relay_connections", help, count(relay.connections.get()))?;
        out.counter("realsense_webrtc_relay_attempts", "Times that the relay was dialled", relay.attempts.get())
    }

    fn process(&self, out: &mut Out<'_>) -> fmt::Result {
        let process = &self.observed.process;
        let mut encoder = out.0.encode_descriptor(
            "process_cpu_seconds",
            "Total user and system CPU time spent in seconds",
            None,
            MetricType::Counter,
        )?;
        encoder.encode_counter(&process.cpu_s, NO_EXEMPLAR)?;
        out.gauge("process_threads", "Number of OS threads", whole(process.threads))?;
        out.gauge("process_open_fds", "Number of open file descriptors", whole(process.fds))?;
        out.gauge("process_max_fds", "Maximum number of open file descriptors", whole(process.max_fds))?;
        out.gauge("process_resident_memory_bytes", "Resident memory size in bytes", whole(process.resident_bytes))?;
        out.gauge("process_virtual_memory_bytes", "Virtual memory size in bytes", whole(process.virtual_bytes))?;
        let help = "Start time of the process since unix epoch in seconds";
        out.gauge("process_start_time_seconds", help, process.started_unix_s)
    }
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
fn whole(value: u64) -> f64 {
    value as f64
}

/// A count that other threads change one by one may be read between a leave and a join.
fn count(value: i64) -> f64 {
    whole(u64::try_from(value).unwrap_or(0))
}

fn cameras(out: &mut Out<'_>, devices: &[(String, Arc<DeviceMetrics>)]) -> fmt::Result {
    let known =
        || devices.iter().filter(|(_, device)| device.is_known()).map(|(label, device)| (label.as_str(), device));
    let of = |label| [("device", label)];
    let up = known().map(|(label, device)| (of(label), count(device.up.get())));
    out.gauges("realsense_webrtc_device_up", "1 while the camera can be used, 0 while it cannot", up)?;
    let unplugs = known().map(|(label, device)| (of(label), device.unplugs.get()));
    out.counters("realsense_webrtc_device_unplugs", "Times that the camera went away", unplugs)?;
    let starts = known().flat_map(|(label, device)| {
        [("ok", &device.sensor_starts), ("failed", &device.sensor_start_failures)]
            .map(|(result, counter)| ([("device", label), ("result", result)], counter.get()))
    });
    out.counters("realsense_webrtc_sensor_starts", "Sensors started, and sensors that refused", starts)?;
    let seconds = known().map(|(label, device)| (of(label), &device.sensor_start_seconds));
    out.histograms("realsense_webrtc_sensor_start_seconds", "How long a sensor took to start", seconds)?;
    let restarts = known().flat_map(|(label, device)| {
        [("stalled", &device.restarts_stalled), ("reconfigured", &device.restarts_reconfigured)]
            .map(|(reason, counter)| ([("device", label), ("reason", reason)], counter.get()))
    });
    let help = "Sensors restarted while they ran: a stream of theirs stalled, or others were wanted";
    out.counters("realsense_webrtc_sensor_restarts", help, restarts)?;
    let active = known().map(|(label, device)| (of(label), count(device.recordings.get())));
    out.gauges("realsense_webrtc_recordings_active", "Recordings being made", active)?;
    let bytes = known().map(|(label, device)| (of(label), device.recording_bytes.get()));
    out.counters("realsense_webrtc_recording_bytes", "Bytes written to recordings", bytes)
}

fn is_video(labels: &Labels<'_>) -> bool {
    labels.iter().all(|(_, value)| !matches!(*value, "gyro" | "accel"))
}

fn received(out: &mut Out<'_>, streams: &[(Labels<'_>, &StreamMetrics)]) -> fmt::Result {
    let received = streams.iter().map(|(labels, stream)| (labels.clone(), stream.received.get()));
    out.counters("realsense_webrtc_frames_received", "Frames and motion samples from the camera", received)?;
    let stalls = streams.iter().map(|(labels, stream)| (labels.clone(), stream.stalls.get()));
    out.counters("realsense_webrtc_stream_stalls", "Times that a running stream stopped delivering frames", stalls)
}

fn frames(out: &mut Out<'_>, streams: &[(Labels<'_>, &StreamMetrics)]) -> fmt::Result {
    let unusable = streams.iter().map(|(labels, stream)| (labels.clone(), stream.unusable.get()));
    out.counters("realsense_webrtc_frames_unusable", "Frames of a wrong size or format", unusable)?;
    let dropped = streams.iter().flat_map(|(labels, stream)| {
        [("feed_behind", &stream.dropped_feed), ("encoder_behind", &stream.dropped_encoder)]
            .map(|(reason, counter)| (with(labels, "reason", reason), counter.get()))
    });
    out.counters(
        "realsense_webrtc_frames_dropped",
        "Frames that a newer one replaced before an encoder took them",
        dropped,
    )
}

fn encoding(out: &mut Out<'_>, encoders: &[(Labels<'_>, &EncoderMetrics)]) -> fmt::Result {
    let mut counters = |name: &str, help: &str, of: fn(&EncoderMetrics) -> u64| {
        out.counters(name, help, encoders.iter().map(|(labels, encoder)| (labels.clone(), of(encoder))))
    };
    counters("realsense_webrtc_frames_encoded", "Frames out of the encoder", |encoder| encoder.frames.get())?;
    counters("realsense_webrtc_encoded_bytes", "Bytes out of the encoder", |encoder| encoder.bytes.get())?;
    counters("realsense_webrtc_key_frames_encoded", "Key frames out of the encoder", |e| e.key_frames.get())?;
    let help = "Key frames that viewers asked for, by joining or by PLI";
    counters("realsense_webrtc_key_frames_requested", help, |e| e.key_frames_requested.get())?;
    let help = "Requests for a key frame that were sent on to the encoder";
    counters("realsense_webrtc_key_frames_forced", help, |e| e.key_frames_forced.get())?;
    let help = "Requests for a key frame that were refused because their viewer asks too often";
    counters("realsense_webrtc_key_frames_refused", help, |e| e.key_frames_refused.get())?;
    counters("realsense_webrtc_encoder_starts", "Encoder pipelines started", |e| e.starts.get())?;
    let help = "Encoder pipelines that failed or did not start";
    counters("realsense_webrtc_encoder_failures", help, |e| e.failures.get())?;
    let seconds = encoders.iter().map(|(labels, encoder)| (labels.clone(), &encoder.encode_seconds));
    out.histograms("realsense_webrtc_encode_seconds", "From a frame's way into the encoder to its way out", seconds)?;
    let sessions = encoders.iter().map(|(labels, encoder)| (labels.clone(), count(encoder.sessions.get())));
    out.gauges("realsense_webrtc_encoder_sessions", "Sessions on the encoder", sessions)
}

fn sent(
    out: &mut Out<'_>,
    devices: &[(String, Arc<DeviceMetrics>)],
    streams: &[(Labels<'_>, &StreamMetrics)],
    encoders: &[(Labels<'_>, &EncoderMetrics)],
) -> fmt::Result {
    let mut counters = |name: &str, help: &str, of: fn(&EncoderMetrics) -> u64| {
        out.counters(name, help, encoders.iter().map(|(labels, encoder)| (labels.clone(), of(encoder))))
    };
    let help = "RTP packets sent to all sessions, without retransmissions";
    counters("realsense_webrtc_rtp_packets_sent", help, |e| e.packets.get())?;
    let help = "Bytes of RTP packets sent to all sessions, headers included";
    counters("realsense_webrtc_rtp_sent_bytes", help, |e| e.packet_bytes.get())?;
    counters("realsense_webrtc_frames_sent", "Frames handed to sessions", |e| e.frames_sent.get())?;
    counters("realsense_webrtc_nacks_received", "Generic NACKs of the peers", |e| e.nacks.get())?;
    counters("realsense_webrtc_plis_received", "Picture loss indications of the peers", |e| e.plis.get())?;
    counters("realsense_webrtc_rtp_packets_lost", "RTP packets that the peers report lost", |e| e.lost.get())?;
    let withheld = encoders.iter().flat_map(|(labels, encoder)| {
        [("session_behind", &encoder.withheld_behind), ("awaiting_key_frame", &encoder.withheld_for_key)]
            .map(|(reason, counter)| (with(labels, "reason", reason), counter.get()))
    });
    out.counters("realsense_webrtc_frames_withheld", "Frames kept from sessions, by reason", withheld)?;
    let again = devices.iter().map(|(label, device)| ([("device", label.as_str())], device.retransmitted.get()));
    out.counters("realsense_webrtc_rtp_packets_retransmitted", "RTP packets sent again on request", again)?;
    let refused =
        devices.iter().map(|(label, device)| ([("device", label.as_str())], device.retransmissions_refused.get()));
    out.counters(
        "realsense_webrtc_rtp_retransmissions_refused",
        "RTP packets asked for again and not sent: too soon, or more than a session's share",
        refused,
    )?;
    let mut histograms = |name: &str, help: &str, of: for<'h> fn(&'h StreamMetrics) -> &'h Histogram| {
        out.histograms(name, help, streams.iter().map(|(labels, stream)| (labels.clone(), of(stream))))
    };
    let help = "Round trips as the peers' reports tell, looked at once a second while somebody asks";
    histograms("realsense_webrtc_round_trip_seconds", help, |stream| &stream.round_trip_seconds)?;
    let help = "Interarrival jitter in the peers' reports";
    histograms("realsense_webrtc_jitter_seconds", help, |stream| &stream.jitter_seconds)?;
    let help = "Share of packets lost since the report before, in the peers' reports";
    histograms("realsense_webrtc_packet_loss_ratio", help, |stream| &stream.loss_ratio)
}

fn with<'a>(labels: &Labels<'a>, name: &'static str, value: &'static str) -> Labels<'a> {
    labels.iter().copied().chain([(name, value)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{DeviceId, StreamKey};

    fn counted() -> Arc<Metrics> {
        let metrics = Arc::new(Metrics::default());
        metrics.device_present(&DeviceId::new("8\"4"), false).up.set(1);
        let key = StreamKey::new(DeviceId::new("8\"4"), StreamType::Color);
        metrics.stream(&key).received.add(7);
        metrics.encoder(&key, Codec::H264).encode_seconds.observe(0.004);
        metrics
    }

    #[test]
    fn both_formats_say_the_same_and_name_counters_their_own_way() {
        let open = counted().render(Observed::default(), Format::OpenMetrics);
        assert!(open.ends_with("# EOF\n"));
        assert!(open.contains("# TYPE realsense_webrtc_frames_received counter\n"));
        let sample = "realsense_webrtc_frames_received_total{device=\"8\\\"4\",stream=\"color\"} 7\n";
        assert!(open.contains(sample), "{open}");
        let classic = counted().render(Observed::default(), Format::Prometheus);
        assert!(
            classic.contains("# TYPE realsense_webrtc_frames_received_total counter\n") && !classic.contains("# EOF")
        );
        assert!(classic.contains("# HELP realsense_webrtc_frames_received_total Frames"), "{classic}");
        assert!(classic.contains(sample));
        let samples =
            |text: &str| text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(samples(&open), samples(&classic));
    }

    #[test]
    fn buckets_are_cumulative_and_end_with_infinity() {
        let text = counted().render(Observed::default(), Format::OpenMetrics);
        let buckets: Vec<_> =
            text.lines().filter(|line| line.starts_with("realsense_webrtc_encode_seconds_bucket")).collect();
        assert!(
            buckets.first().is_some_and(|line| line.contains("le=\"0.001\"") && line.ends_with(" 0")),
            "{buckets:?}"
        );
        assert!(buckets.last().is_some_and(|line| line.contains("le=\"+Inf\"") && line.ends_with(" 1")), "{buckets:?}");
    }

    #[test]
    fn every_family_is_described_even_before_anything_happened() {
        let text = Arc::new(Metrics::default()).render(Observed::default(), Format::OpenMetrics);
        for name in ["realsense_webrtc_encode_seconds", "realsense_webrtc_device_up", "process_threads"] {
            assert!(text.contains(&format!("# TYPE {name} ")), "{name}");
        }
    }

    #[test]
    fn the_format_is_the_one_the_client_asks_for() {
        let prometheus = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.1";
        assert_eq!(Format::accepted(Some(prometheus)), Format::OpenMetrics);
        assert_eq!(Format::accepted(Some("text/html,*/*;q=0.8")), Format::Prometheus);
        assert_eq!(Format::accepted(None), Format::Prometheus);
    }
}
