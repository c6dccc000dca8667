//! The actor's part about offers: from the request over starting streams to the offer, or to a refusal that changes nothing.

use std::time::Instant;

use tracing::info;

use super::{
    api::{Offer, OfferRequest, OfferedStream},
    command::Reply,
    state::{Actor, Choice, PendingOffer},
};
use crate::{
    camera::StreamConfig,
    core::wishes::{profile, references::Holder, sessions::Opening, trouble::Advice},
    error::{Error, Result},
    media::{LocalOffer, SessionSpec},
    metrics::End,
    model::{Codec, Profile, SensorInfo, SessionEnd, SessionId, StreamKey, StreamType},
};

impl Actor {
    pub(super) fn offer(&mut self, now: Instant, request: OfferRequest, reply: Reply<Offer>) {
        // A start whose requester went away is in nobody's way.
        self.finish_starts();
        let codecs = match self.offered_codecs(request.codecs.as_deref()) {
            Ok(codecs) => codecs,
            Err(error) => return self.refuse(reply, error),
        };
        let mut choices = match self.choose(now, &request) {
            Ok(choices) => choices,
            Err(error) => return self.refuse(reply, error),
        };
        let codecs = match self.working_codecs(now, &request, codecs, &mut choices) {
            Ok(codecs) => codecs,
            Err(error) => return self.refuse(reply, error),
        };
        let sensors = self.usable(&request.device).unwrap_or_default();
        let largest = choices
            .iter()
            .map(|choice| profile::largest(sensors, choice.config.stream).unwrap_or(choice.config.profile))
            .collect();
        let id = SessionId::random();
        for (stream, choice) in request.streams.iter().zip(&choices) {
            let key = Self::key(&request.device, *stream);
            let holder = Holder::Session(id.clone());
            if let Err(error) = self.streams.acquire(now, &key, holder.clone(), choice.sensor, choice.config) {
                self.streams.release(now, &request.device, &holder);
                return self.refuse(reply, error);
            }
        }
        self.metrics.sessions.opened.inc();
        let names: Vec<_> = request.streams.iter().map(ToString::to_string).collect();
        info!(session = id.short(), device = %request.device, streams = names.join("+"), "session created");
        let (spare, data_channel) = (request.spare, request.data_channel);
        let opening = Opening {
            device: request.device.clone(),
            streams: request.streams,
            spare,
            data_channel,
            user_agent: request.user_agent,
            relayed: request.relayed,
        };
        self.sessions.insert(now, id.clone(), opening);
        let streams = choices.into_iter().enumerate().map(|(mline_index, choice)| OfferedStream {
            mline_index,
            stream_type: choice.config.stream,
            profile: choice.config.profile,
            note: choice.note,
        });
        let (device, streams) = (request.device, streams.collect());
        let pending = PendingOffer { reply, device, streams, largest, codecs, asked: false, data_channel, spare };
        self.offers.insert(id.clone(), pending);
        self.advance_offer(&id);
    }

    fn refuse(&self, reply: Reply<Offer>, error: Error) {
        self.metrics.sessions.refused(&error);
        // A requester that went away needs no answer.
        drop(reply.send(Err(error)));
    }

    /// The codecs that the browser can receive and this server offers, in the browser's order.
    fn offered_codecs(&self, receivable: Option<&[Codec]>) -> Result<Vec<Codec>> {
        let ours = &self.config.pipelines.codecs;
        let Some(receivable) = receivable else { return Ok(ours.clone()) };
        let common: Vec<_> = receivable.iter().copied().filter(|codec| ours.contains(codec)).collect();
        if common.is_empty() {
            let ours: Vec<_> = ours.iter().map(|codec| format!("video/{codec}")).collect();
            return Err(Error::invalid(format!(
                "This server offers none of the given codecs. It offers {}; pipelines.codecs in its configuration adds \
                 others.",
                ours.join(" and ")
            )));
        }
        Ok(common)
    }

    /// Those of the codecs whose encoders do not fail right now; a stream that misses one by that is told so.
    fn working_codecs(
        &self,
        now: Instant,
        request: &OfferRequest,
        codecs: Vec<Codec>,
        choices: &mut [Choice],
    ) -> Result<Vec<Codec>> {
        if self.troubles.is_empty() {
            return Ok(codecs);
        }
        let keys: Vec<_> = request.streams.iter().map(|stream| Self::key(&request.device, *stream)).collect();
        match self.troubles.advise(now, &keys, &codecs, |key, codec| self.made(key, codec)) {
            Advice::Offer(working, failing) => {
                for (key, codec, why) in failing {
                    let said = format!("Not offered in {codec}, whose encoder fails right now ({why}).");
                    let choice = choices.iter_mut().find(|choice| choice.config.stream == key.stream);
                    if let Some(Choice { note, .. }) = choice {
                        *note = Some(note.take().map_or(said.clone(), |before| format!("{before} {said}")));
                    }
                }
                Ok(working)
            }
            Advice::Refuse { key, message, retry_in } => Err(Error::unavailable_for(
                format!(
                    "The stream {} cannot be encoded right now: {}. It is tried again in {} s; the server's log and \
                     GET /api/pipelines have more.",
                    key.stream,
                    message.trim_end_matches('.'),
                    retry_in.as_secs_f64().ceil()
                ),
                retry_in,
            )),
        }
    }

    /// Everything that can be refused is refused here, before anything changes.
    fn choose(&self, now: Instant, request: &OfferRequest) -> Result<Vec<Choice>> {
        let sensors = self.usable(&request.device)?;
        self.sessions.check_limit(now)?;
        self.check_media()?;
        self.check_room(&request.device, &request.streams)?;
        let mut choices: Vec<Choice> = Vec::with_capacity(request.streams.len());
        for stream in &request.streams {
            let key = Self::key(&request.device, *stream);
            let wish = request.profiles.get(stream).copied();
            let choice = self.choose_stream(&key, sensors, wish, &choices)?;
            self.streams.check(&key)?;
            choices.push(choice);
        }
        Ok(choices)
    }

    pub(super) fn choose_stream(
        &self,
        key: &StreamKey,
        sensors: &[SensorInfo],
        wish: Option<Profile>,
        earlier: &[Choice],
    ) -> Result<Choice> {
        let default = self.config.streams.of(key.stream).profile();
        let chosen = match wish {
            Some(wish) => profile::choose(sensors, key.stream, wish),
            None => profile::choose_default(sensors, key.stream, default),
        };
        let (sensor, chosen) = chosen.map_err(|error| self.with_usb_hint(&key.device, error))?;
        if let Some(running) = self.streams.held_config(key) {
            let note = differs(wish, running.profile, "the stream runs already");
            return Ok(Choice { sensor, config: running, note });
        }
        // Depth and both infrareds come from one sensor, which runs all of them at one size and rate.
        let earlier = earlier.iter().find(|choice| choice.sensor == sensor).map(|choice| choice.config);
        let bound = self.streams.held_sensor_config(&key.device, sensor).or(earlier);
        // What only lingers is taken as it runs by who has no wish, such as a page that is loaded again, and yields to one.
        let fits = |config: &StreamConfig| bound.is_none_or(|bound| bound.profile == config.profile);
        let lingers = |config: &StreamConfig| wish.is_none_or(|wish| wish == config.profile) && fits(config);
        if let Some(running) = self.streams.config(key).filter(lingers) {
            return Ok(Choice { sensor, config: running, note: None });
        }
        let lingering = self.streams.sensor_config(&key.device, sensor).filter(|_| wish.is_none());
        if let Some(sibling) = bound.or(lingering)
            && let Ok((sensor, config)) = profile::choose(sensors, key.stream, sibling.profile)
        {
            let why = format!("its sensor delivers {} at this profile already", sibling.stream);
            return Ok(Choice { sensor, config, note: differs(wish, config.profile, &why) });
        }
        Ok(Choice { sensor, config: chosen, note: None })
    }

    /// Asks the media side for the offer once every stream of it runs.
    fn advance_offer(&mut self, id: &SessionId) {
        let Some(offer) = self.offers.get_mut(id).filter(|offer| !offer.asked) else { return };
        let device = offer.device.clone();
        let streams: Vec<(StreamType, Profile)> =
            offer.streams.iter().map(|stream| (stream.stream_type, stream.profile)).collect();
        if streams.iter().all(|(stream, _)| self.streams.is_running(&Self::key(&device, *stream))) {
            offer.asked = true;
            let (largest, codecs, data_channel) = (offer.largest.clone(), offer.codecs.clone(), offer.data_channel);
            let (session, spare) = (id.clone(), offer.spare);
            self.media.open_session(SessionSpec { session, device, streams, largest, codecs, spare, data_channel });
        }
    }

    pub(super) fn advance_offers(&mut self) {
        for id in self.offers.keys().cloned().collect::<Vec<_>>() {
            self.advance_offer(&id);
        }
    }

    pub(super) fn offer_made(&mut self, now: Instant, id: &SessionId, result: Result<LocalOffer>) {
        let local = match result {
            Ok(local) => local,
            Err(error) if self.offers.contains_key(id) => return self.fail_offer(now, id, &error),
            // A later offer; the media side has closed the session.
            Err(error) => {
                let failed = SessionEnd::PipelineError(error.for_log().to_owned());
                let _ = self.close(now, id, End::from(&failed), error.for_log());
                return;
            }
        };
        let Some(pending) = self.offers.remove(id) else {
            self.reoffered(now, id, local.sdp);
            return;
        };
        self.sessions.offered(now, id, local.candidates);
        let offer = Offer { session: id.clone(), sdp: local.sdp, streams: pending.streams };
        if pending.reply.send(Ok(offer)).is_err() {
            self.close(now, id, End::RequesterGone, "the requester went away before the offer was ready");
        }
    }

    /// Refuses an offer that was under way: the session is gone as if it had never been.
    pub(super) fn fail_offer(&mut self, now: Instant, id: &SessionId, error: &Error) {
        let pending = self.offers.remove(id);
        self.close(now, id, End::NotStarted, error.for_log());
        if let Some(pending) = pending {
            self.refuse(pending.reply, error.clone());
        }
    }
}

fn differs(wish: Option<Profile>, actual: Profile, why: &str) -> Option<String> {
    let wish = wish.filter(|wish| *wish != actual)?;
    Some(format!("You asked for {wish} and get {actual}: {why}."))
}
