//! More m-lines for a session that was answered already: a later offer has them behind those that there are, which go on as they
//! are. webrtcbin takes this (1.22 and 1.26, with Chromium, Firefox and str0m), also with a line of data between them.

use std::{sync::atomic::Ordering::Relaxed, time::Instant};

use super::{
    leg::{Leg, Phase},
    link::Repair,
    media_session::{MediaSession, OFFER_TIMEOUT, ask_for_offer},
    sdp::{self, CheckedAnswer},
};
use crate::{
    core::peer::h264::ProfileLevelId,
    error::{Error, Result},
    media::{NewLine, gst::context::Context},
    model::{Codec, Profile, StreamKey, StreamType},
};

impl MediaSession {
    /// Adds m-lines and asks webrtcbin for a new offer; the rest comes as signals, as with the first one. The lines carry nothing
    /// before they are told to.
    ///
    /// # Errors
    /// Internal: it is not in a state for that, or webrtcbin gives no m-line.
    pub(in crate::media::gst) fn grow(&mut self, ctx: &Context, lines: &[NewLine]) -> Result<()> {
        if !matches!(self.phase, Phase::Answered) {
            return Err(Error::internal("a session is to have more m-lines before its answer"));
        }
        for leg in self.legs.iter_mut().filter(|leg| leg.gate.is_none()) {
            leg.make_dark();
        }
        for line in lines {
            let number = self.legs.len();
            let sent = self.link.sent.get(number).cloned();
            let sent = sent.ok_or_else(|| Error::internal(format!("a session has no room for an m-line {number}")))?;
            let name = line.stream.to_string();
            let known = self.legs.iter().any(|leg| leg.name == name);
            let name = if known { format!("{name}-line-{number}") } else { name };
            let mut leg = Leg::new(&self.webrtc, &self.spec.codecs, name, None, sent)?;
            if self.spec.codecs.contains(&Codec::H264) {
                leg.h264 = Some(self.announced(ctx, line.stream, [line.profile, line.largest]));
            }
            self.legs.push(leg);
        }
        self.grown = true;
        self.described = false;
        self.phase = Phase::Offering(Instant::now() + OFFER_TIMEOUT);
        ask_for_offer(&self.webrtc, &self.signals);
        Ok(())
    }

    /// The offer with the SSRC of retransmissions that each leg's first offer had. webrtcbin names others in each offer, which
    /// Chromium does not take over; and the element that sends packets again stays with the one that it is told for a stream's
    /// first packet, so it is told again then.
    pub(super) fn keep_repairs(&mut self, offer: String) -> String {
        let offer =
            self.legs.iter_mut().fold(offer, |offer, leg| match (leg.repair, sdp::repair_ssrc(&offer, leg.ssrc)) {
                (Some(first), Some(now)) => sdp::with_other_ssrc(&offer, now, first),
                (_, now) => {
                    leg.repair = now;
                    offer
                }
            });
        if self.grown {
            let of = |leg: &Leg| {
                let due = leg.counters.packets.load(Relaxed) == 0;
                Some(Repair { of: leg.ssrc, ssrc: leg.repair?, due })
            };
            self.link.expect_repairs(self.legs.iter().filter_map(of).collect());
        }
        offer
    }

    /// Notes what the first offer says that the H.264 of each leg is.
    pub(super) fn announce_h264(&mut self, ctx: &Context) {
        let largest = self.spec.largest.iter().copied().map(Some).chain(std::iter::repeat(None));
        let ids =
            self.spec.streams.iter().zip(largest).map(|((stream, profile), largest)| {
                self.announced(ctx, *stream, [*profile, largest.unwrap_or(*profile)])
            });
        let ids: Vec<_> = ids.collect();
        // A spare line may get any of them.
        let most = ids.iter().copied().max_by_key(|id| id.level);
        for (leg, id) in self.legs.iter_mut().zip(ids.into_iter().map(Some).chain(std::iter::repeat(most))) {
            leg.h264 = id;
        }
    }

    /// Which m-line of the offer is the leg of that number: one of data stands behind those of the first offer.
    pub(in crate::media::gst) fn mline(&self, leg: usize) -> usize {
        leg + usize::from(self.data_line.is_some_and(|data| leg >= data))
    }

    /// Whether webrtcbin has the newest offer as its own.
    pub(in crate::media::gst) fn is_described(&self) -> bool {
        self.described
    }

    /// Whether the answer that was applied is the session's first.
    pub(in crate::media::gst) fn is_first_answer(&self) -> bool {
        !self.grown
    }

    /// Something of each leg, by m-line; the one of data has something that is of no use.
    pub(super) fn by_mline<T: Clone>(&self, of: impl Fn(&Leg) -> T) -> Vec<T> {
        let mut all: Vec<_> = self.legs.iter().map(of).collect();
        if let Some(data) = self.data_line.filter(|data| *data < all.len()) {
            let filler = all[data].clone();
            all.insert(data, filler);
        }
        all
    }

    /// Whether a later answer leaves alone what an earlier one settled: what is sent on each m-line, and who the peer is.
    ///
    /// # Errors
    /// Invalid, with what it must say.
    pub(super) fn check_kept(&self, answer: &CheckedAnswer) -> Result<()> {
        for (number, leg) in self.legs.iter().enumerate() {
            let mline = self.mline(number);
            let chosen = answer.chosen.get(mline).copied().flatten();
            if leg.dark && chosen.is_some() {
                return Err(Error::invalid(format!(
                    "The answer's SDP cannot be used: m-line {mline} was refused before and is inactive in the offer, so it \
                     must be inactive in the answer, too."
                )));
            }
            let (Some(payload), Some(codec)) = (leg.payload, leg.codec) else { continue };
            if chosen != Some((payload, codec)) {
                return Err(Error::invalid(format!(
                    "The answer's SDP cannot be used: m-line {mline} was taken as {codec} with payload type {payload} \
                     before, and must be again."
                )));
            }
        }
        if self.connected && !self.peer_shows(&answer.fingerprints) {
            return Err(Error::invalid(
                "The answer's SDP cannot be used: its fingerprint is not that of the certificate of this connection.",
            ));
        }
        Ok(())
    }

    fn announced(&self, ctx: &Context, stream: StreamType, profiles: [Profile; 2]) -> ProfileLevelId {
        ctx.announced.of(&ctx.config, &StreamKey::new(self.spec.device.clone(), stream), profiles)
    }
}
