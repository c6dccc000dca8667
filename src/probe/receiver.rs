//! A lean WebRTC receiver: str0m on one UDP socket, driven by one small task. Owns the socket and the counters; decodes
//! nothing, sends no media and never talks HTTP (that is `client`).

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr, UdpSocket},
    sync::{Arc, Once},
    time::{Duration, Instant},
};

use str0m::{
    Candidate, Event, IceConnectionState, Input, Output, Rtc,
    change::SdpOffer,
    format::Codec as RtpCodec,
    media::{KeyframeRequestKind, Mid},
    net::{Protocol, Receive},
    rtp::Ssrc,
};
use tokio::sync::mpsc;

pub use super::{
    assemble::{AccessUnit, ReceivedStats},
    handle::{Handle, Phase, Stats},
};
use super::{
    assemble::{Assembler, Outcome, Packet},
    handle::{Command, Shared},
    rtcp::Rtcp,
    sdp::{MLine, is_media, local_address, m_lines, remote_candidates, with_mdns, with_wrong_fingerprint},
    srtcp::{self, Protector},
};
use crate::{
    error::{Error, Result},
    model::Codec,
};

/// How often RTCP receiver reports go out. Servers take silence for a vanished peer; browsers report about this often.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);

/// Shortest time between two key frame requests of one stream after loss.
const PLI_INTERVAL: Duration = Duration::from_millis(500);

/// Datagrams read in one go before commands and timers get their turn.
const BURST: usize = 64;

/// How long a good-bye may take to drain.
const CLOSE_TIME: Duration = Duration::from_millis(500);

/// How a receiver behaves.
#[derive(Debug, Clone)]
pub struct Options {
    /// Codecs the answer accepts.
    pub codecs: Vec<Codec>,
    /// Where complete frames go, bytes included. A full channel loses the frame, never the receiver's time.
    pub access_units: Option<mpsc::Sender<AccessUnit>>,
    /// Share of incoming media packets to drop, 0 to 1, retransmissions included: simulated loss.
    pub drop_share: f64,
    /// Seed of the simulated loss.
    pub drop_seed: u64,
    /// Address to bind; `None` picks the one from which the server's candidates can be reached.
    pub bind: Option<IpAddr>,
    /// Whether to ask for a key frame when a frame had to be given up, as browsers do.
    pub pli_on_loss: bool,
    /// Whether the answer and its candidates name the address behind an mDNS name as well, as browsers do.
    pub mdns: bool,
    /// Whether the answer names another certificate than the one that is shown.
    pub wrong_fingerprint: bool,
    /// Whether [`Handle::send_rtcp`] works.
    pub rtcp: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            codecs: Codec::ALL.to_vec(),
            access_units: None,
            drop_share: 0.0,
            drop_seed: 1,
            bind: None,
            pli_on_loss: true,
            mdns: false,
            wrong_fingerprint: false,
            rtcp: false,
        }
    }
}

/// A receiver that has made its answer and waits to be spawned.
pub struct Receiver {
    rtc: Rtc,
    socket: UdpSocket,
    local: SocketAddr,
    options: Options,
    shared: Arc<Shared>,
    by_ssrc: HashMap<Ssrc, usize>,
    codecs: HashMap<u8, Codec>,
    last_pli: Vec<Option<Instant>>,
    random: u64,
    /// Our certificate in DER, where RTCP of our own is to be sent.
    certificate: Option<Vec<u8>>,
    protector: Option<Protector>,
    /// SSRC and newest sequence number of the first stream.
    newest: Option<(u32, u16)>,
    /// Where datagrams go.
    peer: Option<SocketAddr>,
}

impl Receiver {
    /// Takes an offer, binds a socket and makes the answer: the receiver, the answer's SDP, and its candidates as a page
    /// would post them (the answer holds them too).
    ///
    /// # Errors
    /// Invalid when the SDP does not parse or cannot be accepted, Unavailable when no socket can be bound.
    pub fn from_offer(sdp: &str, options: Options) -> Result<(Self, String, Vec<String>)> {
        static CRYPTO: Once = Once::new();
        CRYPTO.call_once(|| str0m::crypto::from_feature_flags().install_process_default());

        let lines = m_lines(sdp);
        let offer = parse(sdp)?;
        let bind = options.bind.unwrap_or_else(|| local_address(&remote_candidates(sdp)));
        let socket = UdpSocket::bind((bind, 0))
            .and_then(|socket| socket.set_nonblocking(true).map(|()| socket))
            .map_err(|error| Error::unavailable(format!("No UDP socket on {bind}: {error}.")))?;
        let local = socket
            .local_addr()
            .map_err(|error| Error::unavailable(format!("The UDP socket has no address: {error}.")))?;

        let now = Instant::now();
        let mut builder = Rtc::builder();
        let mut certificate = None;
        if options.rtcp {
            let provider = srtcp::provider();
            let own = provider.dtls_provider.generate_certificate();
            let own = own.ok_or_else(|| Error::internal("the DTLS library makes no certificate"))?;
            certificate = Some(own.certificate.clone());
            builder = builder.set_crypto_provider(provider).set_dtls_cert(own);
        }
        let mut rtc = builder
            .clear_codecs()
            .enable_h264(options.codecs.contains(&Codec::H264))
            .enable_vp8(options.codecs.contains(&Codec::VP8))
            .enable_vp9(options.codecs.contains(&Codec::VP9))
            .set_rtp_mode(true)
            .set_rtcp_report_interval_video(REPORT_INTERVAL)
            .set_stats_interval(Some(Duration::from_secs(1)))
            .build(now);
        let candidate = Candidate::host(local, "udp")
            .map_err(|error| Error::unavailable(format!("{local} makes no ICE candidate: {error}.")))?;
        let mut candidates = vec![candidate.to_sdp_string()];
        rtc.add_local_candidate(candidate);
        let mut answer = answer(&mut rtc, offer, &lines)?;
        if options.mdns {
            answer = with_mdns(&answer, local.port(), &mut candidates);
        }
        if options.wrong_fingerprint {
            answer = with_wrong_fingerprint(&answer);
        }
        let keep_data = options.access_units.is_some();
        let streams: Vec<_> = lines.iter().map(|line| Assembler::new(line.mid.clone(), keep_data)).collect();
        let receiver = Self {
            local,
            socket,
            by_ssrc: HashMap::new(),
            codecs: payload_types(&rtc),
            rtc,
            last_pli: vec![None; streams.len()],
            // Spread over all bits (the golden ratio's), or small seeds begin with a row of small numbers; odd, because an
            // xorshift never leaves zero.
            random: options.drop_seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            options,
            shared: Arc::new(Shared::new(now, streams)),
            certificate,
            protector: None,
            newest: None,
            peer: None,
        };
        Ok((receiver, answer, candidates))
    }

    /// Takes a later offer of the session, which may have more m-lines.
    fn accept(&mut self, sdp: &str) -> Result<String> {
        let lines = m_lines(sdp);
        let answer = answer(&mut self.rtc, parse(sdp)?, &lines)?;
        self.codecs = payload_types(&self.rtc);
        let keep_data = self.options.access_units.is_some();
        let mut state = self.shared.lock();
        let known = state.streams.len();
        state.streams.extend(lines.iter().skip(known).map(|line| Assembler::new(line.mid.clone(), keep_data)));
        self.last_pli.resize(state.streams.len(), None);
        Ok(answer)
    }

    /// Starts the receiver's task on the current runtime.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn spawn(self) -> Handle {
        let (commands, queue) = mpsc::channel(16);
        let shared = self.shared.clone();
        let changed = shared.changed.subscribe();
        let local = self.local;
        let task = tokio::spawn(self.run(queue));
        Handle { commands, shared, changed, task, local }
    }

    async fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        let outcome = self.drive(&mut commands).await;
        if let Err(error) = outcome {
            tracing::debug!(%error, local = %self.local, "receiver ended");
        }
        let mut state = self.shared.lock();
        state.phase = Phase::Closed;
        state.closed_at.get_or_insert_with(Instant::now);
        drop(state);
        self.shared.notify();
    }

    async fn drive(&mut self, commands: &mut mpsc::Receiver<Command>) -> anyhow::Result<()> {
        let socket = tokio::net::UdpSocket::from_std(self.socket.try_clone()?)?;
        let mut buffer = vec![0; 2048];
        let sleep = tokio::time::sleep(Duration::ZERO);
        tokio::pin!(sleep);
        loop {
            let deadline = self.drain(&socket)?;
            if !self.rtc.is_alive() {
                return Ok(());
            }
            sleep.as_mut().reset(deadline.into());
            tokio::select! {
                command = commands.recv() => match command {
                    Some(Command::Keyframe(index)) => self.ask_keyframe(index),
                    // Who asked may have given up.
                    Some(Command::Offer(sdp, reply)) => drop(reply.send(self.accept(&sdp))),
                    Some(Command::Rtcp(rtcp)) => self.send_rtcp(&socket, rtcp)?,
                    Some(Command::Close) => return self.say_goodbye(&socket).await,
                    Some(Command::FallSilent) => {
                        // The port stays open and unread, as if a cable had been pulled.
                        while !matches!(commands.recv().await, None | Some(Command::Vanish)) {}
                        return Ok(());
                    }
                    Some(Command::Vanish) | None => return Ok(()),
                },
                ready = socket.readable() => {
                    ready?;
                    for _ in 0..BURST {
                        // An error here is the echo of a refused datagram (ICMP): the server's port is gone, which ICE
                        // notices by itself.
                        let Ok((len, source)) = socket.try_recv_from(&mut buffer) else { break };
                        if self.take_datagram(source, &buffer[..len]) {
                            self.drain(&socket)?;
                        }
                    }
                }
                () = &mut sleep => {
                    let now = Instant::now();
                    self.rtc.handle_input(Input::Timeout(now))?;
                    self.tick(now);
                }
            }
        }
    }

    /// Sends what str0m wants sent, takes its events, and says when it wants to be called again.
    fn drain(&mut self, socket: &tokio::net::UdpSocket) -> anyhow::Result<Instant> {
        loop {
            match self.rtc.poll_output()? {
                Output::Timeout(deadline) => return Ok(deadline),
                Output::Transmit(transmit) => {
                    // A datagram that cannot be sent is a lost datagram; ICE and DTLS repeat what matters.
                    let _ = socket.try_send_to(&transmit.contents, transmit.destination);
                    self.peer = Some(transmit.destination);
                }
                Output::Event(event) => self.event(event),
            }
        }
    }

    /// Feeds a datagram to str0m; false when nothing came of it.
    fn take_datagram(&mut self, source: SocketAddr, datagram: &[u8]) -> bool {
        if self.options.drop_share > 0.0 && is_media(datagram) && self.draw() < self.options.drop_share {
            self.shared.lock().dropped += 1;
            return false;
        }
        let Ok(contents) = datagram.try_into() else { return false };
        let receive = Receive { proto: Protocol::Udp, source, destination: self.local, contents };
        self.rtc.handle_input(Input::Receive(Instant::now(), receive)).is_ok()
    }

    fn event(&mut self, event: Event) {
        let now = Instant::now();
        match event {
            Event::Connected => {
                // Payload types are only settled now.
                self.codecs = payload_types(&self.rtc);
                let mut state = self.shared.lock();
                state.phase = Phase::Connected;
                state.connected_at.get_or_insert(now);
            }
            Event::IceConnectionStateChange(ice) => {
                let mut state = self.shared.lock();
                if ice == IceConnectionState::Disconnected {
                    state.phase = Phase::Disconnected;
                } else if state.phase == Phase::Disconnected {
                    state.phase = Phase::Connected;
                }
            }
            Event::Closed => {
                let mut state = self.shared.lock();
                state.phase = Phase::Closed;
                state.closed_at.get_or_insert(now);
                state.closed_by_server = true;
            }
            Event::RtpPacket(packet) => {
                let Some(index) = self.stream_of(packet.header.ssrc) else { return };
                if index == 0 {
                    self.newest = Some((*packet.header.ssrc, packet.header.sequence_number));
                }
                let Some(&codec) = self.codecs.get(&*packet.header.payload_type) else { return };
                let packet = Packet {
                    seq: *packet.seq_no,
                    rtp_time: packet.time.numer(),
                    marker: packet.header.marker,
                    header_len: packet.header.header_len,
                    payload: packet.payload,
                };
                let outcome = self.shared.lock().streams[index].packet(now, codec, packet);
                self.deliver(now, index, outcome);
                return;
            }
            Event::MediaIngressStats(ingress) => {
                let mid = ingress.mid.to_string();
                let mut state = self.shared.lock();
                if let Some(stream) = state.streams.iter_mut().find(|stream| stream.stats().mid == mid) {
                    stream.stats_mut().nacks = ingress.nacks;
                    stream.stats_mut().plis = ingress.plis;
                }
            }
            _ => return,
        }
        self.shared.notify();
    }

    fn stream_of(&mut self, ssrc: Ssrc) -> Option<usize> {
        if let Some(&index) = self.by_ssrc.get(&ssrc) {
            return Some(index);
        }
        let mid = self.rtc.direct_api().stream_rx(&ssrc)?.mid().to_string();
        let index = self.shared.lock().streams.iter().position(|stream| stream.stats().mid == mid)?;
        self.by_ssrc.insert(ssrc, index);
        Some(index)
    }

    fn deliver(&mut self, now: Instant, index: usize, outcome: Outcome) {
        let news = !outcome.frames.is_empty() || outcome.broke;
        for unit in outcome.frames {
            if let Some(sink) = &self.options.access_units {
                let _ = sink.try_send(unit);
            }
        }
        let asked_lately = self.last_pli[index].is_some_and(|last| now.duration_since(last) < PLI_INTERVAL);
        if outcome.broke && self.options.pli_on_loss && !asked_lately {
            self.last_pli[index] = Some(now);
            self.ask_keyframe(index);
        }
        if news {
            self.shared.notify();
        }
    }

    fn tick(&mut self, now: Instant) {
        for index in 0..self.last_pli.len() {
            let outcome = self.shared.lock().streams[index].tick(now);
            self.deliver(now, index, outcome);
        }
    }

    fn ask_keyframe(&mut self, index: usize) {
        let Some(mid) = self.shared.lock().streams.get(index).map(|stream| stream.stats().mid.clone()) else { return };
        if let Some(stream) = self.rtc.direct_api().stream_rx_by_mid(Mid::from(mid.as_str()), None) {
            stream.request_keyframe(KeyframeRequestKind::Pli);
        }
    }

    /// Sends a packet that str0m would not; nothing before the first media packet.
    fn send_rtcp(&mut self, socket: &tokio::net::UdpSocket, rtcp: Rtcp) -> anyhow::Result<()> {
        if self.protector.is_none()
            && let Some(certificate) = &self.certificate
        {
            self.protector = Protector::of(certificate)?;
        }
        if let (Some(protector), Some((media, newest)), Some(peer)) = (&mut self.protector, self.newest, self.peer)
            && let Some(mut datagram) = protector.protect(&rtcp.packet(media, newest))?
        {
            // The authentication tag ends the packet.
            if let (Rtcp::Forged(_), Some(last)) = (rtcp, datagram.last_mut()) {
                *last ^= 1;
            }
            // A full socket loses it, as any datagram.
            let _ = socket.try_send_to(&datagram, peer);
        }
        Ok(())
    }

    async fn say_goodbye(&mut self, socket: &tokio::net::UdpSocket) -> anyhow::Result<()> {
        let end = Instant::now() + CLOSE_TIME;
        self.rtc.close()?;
        loop {
            let deadline = self.drain(socket)?.min(end);
            if !self.rtc.is_alive() || Instant::now() >= end {
                return Ok(());
            }
            tokio::time::sleep_until(deadline.into()).await;
            self.rtc.handle_input(Input::Timeout(Instant::now()))?;
        }
    }

    /// The next number of an xorshift, 0 to 1: loss that a seed repeats exactly.
    fn draw(&mut self) -> f64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 11) as f64 / (1u64 << 53) as f64
    }
}

fn parse(offer: &str) -> Result<SdpOffer> {
    SdpOffer::from_sdp_string(offer)
        .map_err(|error| Error::invalid(format!("The offer's SDP does not parse: {error}.")))
}

fn answer(rtc: &mut Rtc, offer: SdpOffer, lines: &[MLine]) -> Result<String> {
    let answer = rtc.sdp_api().accept_offer(offer);
    let answer = answer.map_err(|error| Error::invalid(format!("The offer cannot be accepted: {error}.")))?;
    for line in lines.iter().filter(|line| line.nack) {
        // str0m keeps quiet about loss where the offer names no retransmission stream; a sender that takes NACK
        // without RTX repeats the packet itself.
        if let Some(stream) = rtc.direct_api().stream_rx_by_mid(Mid::from(line.mid.as_str()), None) {
            stream.suppress_nack(false);
        }
    }
    Ok(answer.to_sdp_string())
}

fn payload_types(rtc: &Rtc) -> HashMap<u8, Codec> {
    let codec = |codec| match codec {
        RtpCodec::H264 => Some(Codec::H264),
        RtpCodec::Vp8 => Some(Codec::VP8),
        RtpCodec::Vp9 => Some(Codec::VP9),
        _ => None,
    };
    let params = rtc.codec_config().params().iter();
    params.filter_map(|params| Some((*params.pt(), codec(params.spec().codec)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_offer_is_refused_in_words() {
        let refused = Receiver::from_offer("no sdp", Options::default());
        assert!(refused.is_err_and(|error| error.public().contains("does not parse")));
    }
}
