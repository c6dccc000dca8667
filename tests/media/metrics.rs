//! What is counted about encoders and sessions: with real pipelines, real receivers and real reports.

use std::{sync::Arc, time::Duration};

use realsense_webrtc::{
    media::{MediaEvent, SessionStats, StreamStats},
    metrics::EncoderMetrics,
    model::{Codec, SessionId, StreamType},
    probe::receiver::{Options, Stats},
};
use tokio::sync::oneshot;

use crate::bench::{Bench, SMALL, SOON, until};

fn encoder(bench: &Bench, codec: Codec) -> Arc<EncoderMetrics> {
    bench.metrics.encoder(&bench.key(StreamType::Color), codec)
}

/// Asks until the answer suits.
async fn stats_when(bench: &Bench, session: &SessionId, suits: impl Fn(&SessionStats) -> bool) -> SessionStats {
    let deadline = tokio::time::Instant::now() + SOON;
    loop {
        let stats = bench.stats(session).await.expect("the session is known");
        if suits(&stats) {
            return stats;
        }
        assert!(tokio::time::Instant::now() < deadline, "{stats:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_encoder_is_timed_and_its_sessions_add_up() {
    let mut bench = Bench::with_color();
    for codec in Codec::ALL {
        let options = || Options { codecs: vec![codec], ..Options::default() };
        let (first, one) = bench.join(&[(StreamType::Color, SMALL)], &Codec::ALL, options()).await;
        let (second, two) = bench.join(&[(StreamType::Color, SMALL)], &Codec::ALL, options()).await;
        for viewer in [&one, &two] {
            viewer.wait(SOON, |stats| stats.streams[0].frames >= 30).await.expect("thirty frames");
        }
        let encoder = encoder(&bench, codec);
        assert_eq!((encoder.sessions.get(), encoder.starts.get(), encoder.failures.get()), (2, 1, 0), "{codec}");
        assert!(encoder.frames.get() >= 30 && encoder.bytes.get() > 0 && encoder.key_frames.get() >= 1, "{codec}");
        assert!(encoder.key_frames_requested.get() >= 2, "{codec}: both joined");
        let [a, b] = [bench.stats(&first).await.unwrap(), bench.stats(&second).await.unwrap()];
        let sum = |of: fn(&StreamStats) -> u64| of(&a.streams[0]) + of(&b.streams[0]);
        // The second answer came a moment later.
        assert!(encoder.frames_sent.get() >= sum(|s| s.frames_sent) - 2, "{codec}");
        assert!(encoder.packets.get() >= 60 && encoder.packet_bytes.get() > encoder.packets.get() * 12, "{codec}");
        let gone = [first, second];
        for session in &gone {
            bench.media.close_session(session.clone());
        }
        until(SOON, || (encoder.sessions.get() == 0).then_some(())).await.expect("nobody is on it");
        assert!(encoder.packets.get() >= sum(|s| s.packets_sent), "{codec}: the last ones were added at the end");
        let text = bench.metrics.render(Default::default(), realsense_webrtc::metrics::Format::OpenMetrics);
        let labels = format!("device=\"{}\",stream=\"color\",codec=\"{}\"", bench.device, codec.name().to_lowercase());
        let count = |sample: String| -> f64 {
            let line = text.lines().find(|line| line.starts_with(&sample)).unwrap_or_else(|| panic!("{sample}"));
            line.rsplit_once(' ').unwrap().1.parse().unwrap()
        };
        let timed = count(format!("realsense_webrtc_encode_seconds_count{{{labels}}}"));
        assert!(timed >= 30.0, "{codec}: {timed}");
        let sum = count(format!("realsense_webrtc_encode_seconds_sum{{{labels}}}"));
        assert!(sum > 0.0 && sum / timed < 0.5, "{codec}: {sum} s for {timed} frames");
        assert!(gone.iter().all(|session| !text.contains(session.as_str())), "never a session's id");
    }
    bench.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_askers_cost_one_look_at_the_peers_reports() {
    let mut bench = Bench::with_color();
    let (session, viewer) = bench.watch_color().await;
    viewer.wait(SOON, |stats| stats.streams[0].frames >= 5).await.expect("pictures");
    let polls = || bench.metrics.sessions.report_polls.get();
    assert_eq!(polls(), 0, "nobody asked yet");
    let ask = || {
        let (reply, answer) = oneshot::channel();
        bench.media.stats(vec![session.clone()], reply);
        answer
    };
    let asked: Vec<_> = (0..10).map(|_| ask()).collect();
    for answer in asked {
        assert_eq!(answer.await.unwrap().len(), 1);
    }
    assert_eq!(polls(), 1, "ten who ask at once");
    // More often than once a second it is not looked, however often it is asked.
    let began = std::time::Instant::now();
    while polls() < 3 {
        assert!(began.elapsed() < SOON);
        ask().await.unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(began.elapsed() >= Duration::from_millis(1700), "two more within {:?}", began.elapsed());
    bench.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lossy_viewer_shows_in_its_session_and_in_the_sums() {
    let mut bench = Bench::with_color();
    let options = Options { drop_share: 0.05, drop_seed: 3, ..Options::default() };
    let (session, viewer) = bench.join(&[(StreamType::Color, SMALL)], &[Codec::H264], options).await;
    let enough = |stats: &Stats| stats.streams[0].repaired >= 5;
    viewer.wait(SOON, enough).await.unwrap_or_else(|stats| panic!("{stats:?}"));
    viewer.request_keyframe(0).await;
    let stats = stats_when(&bench, &session, |stats| {
        let stream = &stats.streams[0];
        stats.packets_retransmitted >= 5
            && stream.nack_count > 0
            && stream.pli_count > 0
            && stream.fraction_lost.is_some()
            && stream.round_trip_time_ms.is_some()
            && stream.encoder_fps.is_some()
    });
    let stats = stats.await;
    let stream = &stats.streams[0];
    assert!(stats.connected_s.unwrap() > 0.0 && stats.last_heard_s.unwrap() < 5.0, "{stats:?}");
    assert!(stream.key_frames_sent >= 1 && stream.key_frames_requested > stream.pli_count, "{stream:?}");
    assert!(stream.last_packet_s.unwrap() < 2.0 && (0.0..=1.0).contains(&stream.fraction_lost.unwrap()), "{stream:?}");
    assert!(stream.encoder_fps.unwrap() > 1.0 && stream.encoder_bitrate_bps.unwrap() > 1000.0, "{stream:?}");
    assert!(stream.frames_dropped_behind <= stream.frames_dropped && stream.queued_frames < 30, "{stream:?}");
    let encoder = encoder(&bench, Codec::H264);
    assert!(encoder.nacks.get() >= stream.nack_count && encoder.plis.get() >= stream.pli_count);
    assert!(bench.metrics.device(&bench.device).retransmitted.get() >= stats.packets_retransmitted);
    let text = bench.metrics.render(Default::default(), realsense_webrtc::metrics::Format::OpenMetrics);
    for histogram in ["round_trip_seconds", "jitter_seconds", "packet_loss_ratio"] {
        let sample = format!("realsense_webrtc_{histogram}_count{{device=\"{}\",stream=\"color\"}} ", bench.device);
        let count = text.lines().find_map(|line| line.strip_prefix(&sample)).expect(histogram);
        assert!(count.parse::<u64>().unwrap() > 0, "{histogram}");
    }
    bench.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unusable_frames_and_a_failed_encoder_are_counted() {
    let mut config = crate::bench::config();
    let folder = tempfile::tempdir().unwrap();
    let broken = "appsrc name=source ! videoconvert ! x264enc name=encoder nosuch=1 ! tee name=fanout";
    std::fs::write(folder.path().join("color.h264.gst"), broken).unwrap();
    config.pipelines.dir = folder.path().to_owned();
    let mut bench = Bench::start(config);
    bench.camera(StreamType::Color, realsense_webrtc::model::PixelFormat::I420, SMALL);
    let (_, _viewer) = bench.watch_color().await;
    let failed = |event: &MediaEvent| matches!(event, MediaEvent::StreamError { .. }).then_some(());
    bench.event(SOON, failed).await.expect("the failure is told");
    let encoder = encoder(&bench, Codec::H264);
    assert!(encoder.failures.get() >= 1);
    assert_eq!(encoder.starts.get(), 0);
    std::fs::remove_file(folder.path().join("color.h264.gst")).unwrap();
    until(SOON, || (encoder.starts.get() == 1).then_some(())).await.expect("the built-in one starts");

    let odd = |number| {
        let mut frame =
            crate::bench::frame(StreamType::Color, realsense_webrtc::model::PixelFormat::I420, SMALL, number);
        frame.data = Arc::new(vec![0u8; 7]);
        frame
    };
    let _odd = bench.frames(30, odd);
    let stream = bench.metrics.stream(&bench.key(StreamType::Color));
    until(SOON, || (stream.unusable.get() >= 3).then_some(())).await.expect("unusable frames");
    bench.shutdown().await;
}
