//! A WebRTC peer that offers H.264 streams, for receivers under test: str0m on a thread of its own.

use std::{
    net::UdpSocket,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc,
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use str0m::{
    Candidate, Event, Input, Output, Rtc,
    change::SdpAnswer,
    media::{Direction, MediaKind, Mid},
    net::{Protocol, Receive},
    rtp::{RtpWrite, SeqNo},
};

/// Time between frames; faster than a camera, to keep the tests short.
const INTERVAL: Duration = Duration::from_millis(10);
/// Packets of each frame.
pub(crate) const PACKETS: u64 = 4;

/// A peer that offers H.264 streams and sends frames as soon as DTLS is up, beginning with a key frame.
pub(crate) struct Sender {
    pub(crate) offer: String,
    answers: mpsc::Sender<Option<String>>,
    pub(crate) counts: Arc<Counts>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
pub(crate) struct Counts {
    pub(crate) frames: AtomicU64,
    pub(crate) plis: AtomicU64,
    pub(crate) closed: AtomicU64,
    /// Frames are held back while this is set.
    pub(crate) frozen: AtomicBool,
    pub(crate) last_received: Mutex<Option<Instant>>,
}

impl Sender {
    pub(crate) fn start(streams: usize) -> Self {
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

    pub(crate) fn answer(&self, sdp: String) {
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
        if rtc.is_connected() && now >= next_frame && !counts.frozen.load(Ordering::SeqCst) {
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
