//! The probe's receiver against a WebRTC sender that lives in the same test: what it counts is what was sent.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    net::UdpSocket,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use realsense_webrtc::{
    model::Codec,
    probe::receiver::{AccessUnit, Handle, Options, Phase, Receiver},
};
use str0m::{
    Candidate, Event, Input, Output, Rtc,
    change::SdpAnswer,
    media::{Direction, MediaKind, Mid},
    net::{Protocol, Receive},
    rtp::{RtpWrite, SeqNo},
};

/// Longest a step may take on a busy machine.
const LIMIT: Duration = Duration::from_secs(20);
/// Time between frames; faster than a camera, to keep the tests short.
const INTERVAL: Duration = Duration::from_millis(10);
/// Packets of each frame.
const PACKETS: u64 = 4;

/// A peer that offers H.264 streams and sends frames as soon as DTLS is up, beginning with a key frame.
struct Sender {
    offer: String,
    answers: mpsc::Sender<Option<String>>,
    counts: Arc<Counts>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Counts {
    frames: AtomicU64,
    plis: AtomicU64,
    closed: AtomicU64,
    last_received: Mutex<Option<Instant>>,
}

impl Sender {
    fn start(streams: usize) -> Self {
        let _ = std::panic::catch_unwind(|| str0m::crypto::from_feature_flags().install_process_default());
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut rtc = Rtc::builder().clear_codecs().enable_h264(true).set_rtp_mode(true).build(Instant::now());
        rtc.add_local_candidate(Candidate::host(socket.local_addr().unwrap(), "udp").unwrap());
        let mut api = rtc.sdp_api();
        let mids: Vec<Mid> =
            (0..streams).map(|_| api.add_media(MediaKind::Video, Direction::SendOnly, None, None, None)).collect();
        let (offer, pending) = api.apply().unwrap();
        let offer = offer.to_sdp_string();
        let (answers, queue) = mpsc::channel::<Option<String>>();
        let counts = Arc::new(Counts::default());
        let shared = counts.clone();
        let thread = std::thread::Builder::new()
            .name("test-sender".into())
            .spawn(move || {
                let Ok(Some(answer)) = queue.recv() else { return };
                let answer = SdpAnswer::from_sdp_string(&answer).unwrap();
                rtc.sdp_api().accept_answer(pending, answer).unwrap();
                send(rtc, &socket, &mids, &queue, &shared);
            })
            .unwrap();
        Self { offer, answers, counts, thread: Some(thread) }
    }

    fn answer(&self, sdp: String) {
        self.answers.send(Some(sdp)).unwrap();
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        let _ = self.answers.send(None);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn send(mut rtc: Rtc, socket: &UdpSocket, mids: &[Mid], stop: &mpsc::Receiver<Option<String>>, counts: &Counts) {
    let mut buffer = vec![0; 2000];
    let mut seq = 1000;
    let mut frame = 0u64;
    let mut key = true;
    let mut next_frame = Instant::now();
    while stop.try_recv() == Err(mpsc::TryRecvError::Empty) && rtc.is_alive() {
        let deadline = loop {
            match rtc.poll_output().unwrap() {
                Output::Timeout(at) => break at,
                Output::Transmit(out) => drop(socket.send_to(&out.contents, out.destination)),
                Output::Event(Event::KeyframeRequest(_)) => {
                    counts.plis.fetch_add(1, Ordering::SeqCst);
                    key = true;
                }
                Output::Event(Event::Closed) => drop(counts.closed.fetch_add(1, Ordering::SeqCst)),
                Output::Event(_) => {}
            }
        };
        let now = Instant::now();
        if rtc.is_connected() && now >= next_frame {
            next_frame = now + INTERVAL;
            for mid in mids {
                write_frame(&mut rtc, *mid, seq, frame, key, now);
            }
            seq += PACKETS;
            frame += 1;
            key = false;
            counts.frames.store(frame, Ordering::SeqCst);
            continue;
        }
        let wait = deadline.min(next_frame.max(now + Duration::from_millis(1))).saturating_duration_since(now);
        socket.set_read_timeout(Some(wait.max(Duration::from_millis(1)))).unwrap();
        match socket.recv_from(&mut buffer) {
            Ok((len, source)) => {
                *counts.last_received.lock().unwrap() = Some(Instant::now());
                let destination = socket.local_addr().unwrap();
                let contents = buffer[..len].try_into().unwrap();
                let receive = Receive { proto: Protocol::Udp, source, destination, contents };
                rtc.handle_input(Input::Receive(Instant::now(), receive)).unwrap();
            }
            Err(_) => rtc.handle_input(Input::Timeout(Instant::now())).unwrap(),
        }
    }
}

/// A key frame is SPS, PPS and a first IDR fragment; every frame ends with the marker.
fn write_frame(rtc: &mut Rtc, mid: Mid, seq: u64, frame: u64, key: bool, now: Instant) {
    let pt = rtc.media(mid).unwrap().remote_pts()[0];
    let mut api = rtc.direct_api();
    let stream = api.stream_tx_by_mid(mid, None).unwrap();
    let nal: u8 = if key { 5 } else { 1 };
    for index in 0..PACKETS {
        let payload = match index {
            0 if key => vec![0x78, 0, 2, 0x67, 0x42, 0, 1, 0x68],
            0 => vec![0x06, 0],
            1 => vec![0x7c, 0x80 | nal, frame as u8],
            _ => vec![0x7c, nal, index as u8],
        };
        let write = RtpWrite::new(pt, SeqNo::from(seq + index), (frame * 900) as u32, now, payload)
            .marker(index == PACKETS - 1)
            .nackable(true);
        stream.write_rtp(write);
    }
}

fn connect(streams: usize, options: Options) -> (Sender, Handle) {
    let sender = Sender::start(streams);
    let (receiver, answer, candidates) = Receiver::from_offer(&sender.offer, options).unwrap();
    assert!(candidates[0].starts_with("candidate:"), "{candidates:?}");
    let handle = receiver.spawn();
    sender.answer(answer);
    (sender, handle)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn counts_the_frames_of_every_stream() {
    let (frames, mut units) = tokio::sync::mpsc::channel::<AccessUnit>(1000);
    let (_sender, handle) = connect(2, Options { access_units: Some(frames), ..Options::default() });
    let stats = handle
        .wait(LIMIT, |stats| stats.streams.iter().all(|stream| stream.frames >= 100))
        .await
        .expect("100 frames of both streams");
    assert_eq!(stats.phase, Phase::Connected);
    for stream in &stats.streams {
        assert_eq!(stream.codec, Some(Codec::H264));
        assert!(stream.started_with_keyframe);
        assert_eq!((stream.keyframes, stream.lost, stream.broken, stream.missed), (1, 0, 0, 0));
        assert!(stream.packets >= stream.frames * PACKETS);
        assert!(stream.first_packet_at <= stream.first_frame_at && stats.connected_at <= stream.first_packet_at);
    }
    let first = units.recv().await.expect("an access unit");
    assert!(first.keyframe);
    assert_eq!(first.data, [0, 0, 0, 1, 0x67, 0x42, 0, 0, 0, 1, 0x68, 0, 0, 0, 1, 0x65, 0, 2, 3]);
    assert_ne!(stats.streams[0].mid, stats.streams[1].mid);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn loss_is_repaired_by_nack() {
    let (_sender, handle) = connect(1, Options { drop_share: 0.1, drop_seed: 7, ..Options::default() });
    let done = |stats: &realsense_webrtc::probe::receiver::Stats| {
        stats.dropped >= 40 && stats.streams[0].repaired >= 40 && stats.streams[0].nacks > 0
    };
    let stats = handle.wait(LIMIT, done).await.expect("40 packets dropped and repaired");
    let stream = &stats.streams[0];
    // A packet whose retransmissions are dropped too, time after time, may stay lost: one in thousands.
    assert!(stream.lost * 20 <= stats.dropped, "{stats:?}");
    assert!(stream.frames > 50 && stream.broken <= stream.frames / 50, "{stats:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_frame_comes_on_request() {
    let (sender, handle) = connect(1, Options::default());
    handle.wait(LIMIT, |stats| stats.streams[0].frames >= 10).await.expect("frames");
    handle.request_keyframe(0).await;
    handle.wait(LIMIT, |stats| stats.streams[0].keyframes == 2).await.expect("the key frame asked for");
    assert_eq!(sender.counts.plis.load(Ordering::SeqCst), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn close_says_goodbye_and_vanish_does_not() {
    let (sender, handle) = connect(1, Options::default());
    handle.wait(LIMIT, |stats| stats.streams[0].frames >= 10).await.expect("frames");
    assert_eq!(handle.close().await.phase, Phase::Closed);
    let end = Instant::now() + LIMIT;
    while sender.counts.closed.load(Ordering::SeqCst) == 0 {
        assert!(Instant::now() < end, "the sender never heard the good-bye");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }

    let (sender, handle) = connect(1, Options::default());
    handle.wait(LIMIT, |stats| stats.streams[0].frames >= 10).await.expect("frames");
    let stats = handle.vanish().await;
    let gone = Instant::now();
    assert!(stats.streams[0].frames >= 10 && !stats.closed_by_server);
    let sent = sender.counts.frames.load(Ordering::SeqCst);
    while sender.counts.frames.load(Ordering::SeqCst) < sent + 100 {
        assert!(gone.elapsed() < LIMIT, "the sender stopped");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(sender.counts.closed.load(Ordering::SeqCst), 0);
    assert!(sender.counts.last_received.lock().unwrap().is_some_and(|last| last <= gone));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_sender_is_a_growing_gap() {
    let (sender, handle) = connect(1, Options::default());
    handle.wait(LIMIT, |stats| stats.streams[0].frames >= 10).await.expect("frames");
    handle.take_longest_gap();
    drop(sender);
    let end = Instant::now() + LIMIT;
    loop {
        let gap = handle.take_longest_gap();
        if gap > Duration::from_millis(300) {
            break;
        }
        assert!(Instant::now() < end, "no gap seen: {gap:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
