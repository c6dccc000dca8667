// One WebRTC session with the server, from the offer to its end. Owns one RTCPeerConnection; never retries and never
// touches the page. The server offers, the browser answers.

import { ApiError } from './api.js';

/** Milliseconds from the answer to a connection, after which the attempt counts as failed. */
const CONNECT_TIMEOUT_MS = 15000;

/**
 * The codecs this browser can receive, H.264 first because the server has it encoded already for most viewers.
 * @returns {string[]} mime types such as "video/H264", without duplicates
 */
export function receivableCodecs() {
  const all = RTCRtpReceiver.getCapabilities?.('video')?.codecs ?? [];
  const kinds = [...new Set(all.map((codec) => codec.mimeType))];
  const repair = /\/(rtx|red|ulpfec|flexfec-03)$/i;
  const media = kinds.filter((kind) => !repair.test(kind));
  return media.sort((a, b) => Number(/h264/i.test(b)) - Number(/h264/i.test(a)));
}

/** A session: `open()` once, `close()` once. Events: `track` {stream, track, receiver}, `down` {reason}. */
export class Peer extends EventTarget {
  /** @type {RTCPeerConnection|null} */
  pc = null;
  /** @type {string|null} */
  sessionId = null;
  /** Stream types in m-line order. @type {string[]} */
  streams = [];
  /** What the server said about each stream (profile, note); empty for servers that say nothing. @type {any[]} */
  offered = [];
  #api;
  #closed = false;

  /** @param {import('./api.js').Api} api */
  constructor(api) {
    super();
    this.#api = api;
  }

  /**
   * Asks for an offer, answers it and waits for the connection.
   * @param {{device: string, streams: string[], profiles: Record<string, object>}} choice
   * @throws {ApiError} when the server refuses, or when no connection comes about
   */
  async open(choice) {
    const iceServers = await this.#api.iceServers().catch((error) => {
      if (error.status === 404) return []; // older servers have no such route
      throw error;
    });
    const offer = await this.#api.offer({
      device_id: choice.device,
      stream_types: choice.streams,
      codecs: receivableCodecs(),
      profiles: choice.profiles,
    });
    this.sessionId = offer.session_id;
    if (this.#closed) {
      this.#goodbye();
      return;
    }
    this.offered = offer.streams ?? [];
    this.streams = [...new Set(choice.streams)];
    const pc = new RTCPeerConnection({ iceServers, bundlePolicy: 'max-bundle' });
    this.pc = pc;
    pc.addEventListener('icecandidate', ({ candidate }) => this.#sendCandidate(candidate));
    pc.addEventListener('track', (event) => this.#onTrack(event));
    const connected = this.#waitConnected(pc);
    connected.catch(() => {}); // awaited below; a failure before that must not count as unhandled
    await pc.setRemoteDescription({ type: 'offer', sdp: offer.sdp });
    const answer = await pc.createAnswer();
    await pc.setLocalDescription(answer);
    if (this.#closed) return;
    await this.#api.answer(this.sessionId, answer.sdp ?? '');
    await connected;
    pc.addEventListener('connectionstatechange', () => {
      if (!this.#closed && ['failed', 'closed'].includes(pc.connectionState)) this.#down(`connection ${pc.connectionState}`);
    });
    if (!this.#closed && ['failed', 'closed'].includes(pc.connectionState)) this.#down('connection lost at once');
  }

  /** Ends the session. With `keepalive` the good-bye outlives the page. */
  close({ keepalive = false } = {}) {
    if (this.#closed) return;
    this.#closed = true;
    this.pc?.close();
    this.#goodbye(keepalive);
  }

  #goodbye(keepalive = false) {
    if (this.sessionId) this.#api.closeSession(this.sessionId, { keepalive }).catch(() => {}); // gone already is fine
  }

  #down(reason) {
    this.dispatchEvent(new CustomEvent('down', { detail: { reason } }));
  }

  /** @param {RTCTrackEvent} event */
  #onTrack(event) {
    // The m-lines come in request order; the transceivers of a remote offer are in m-line order.
    const index = this.pc?.getTransceivers().indexOf(event.transceiver) ?? -1;
    const stream = this.offered[index]?.stream_type ?? this.streams[index];
    if (!stream) return;
    // Show frames as they come: this is live, not a film. Browsers without the field keep their own target.
    if ('jitterBufferTarget' in event.receiver) event.receiver.jitterBufferTarget = 0;
    this.dispatchEvent(new CustomEvent('track', {
      detail: { stream, track: event.track, receiver: event.receiver, mid: event.transceiver.mid },
    }));
  }

  #sendCandidate(candidate) {
    if (this.#closed || !this.sessionId) return;
    // A lost candidate is rarely fatal, since the browser connects outwards: the connection's own time limit tells.
    this.#api.candidate(this.sessionId, candidate).catch((error) => {
      if (!this.#closed) this.dispatchEvent(new CustomEvent('candidate-error', { detail: { error } }));
    });
  }

  /** @param {RTCPeerConnection} pc */
  #waitConnected(pc) {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        reject(new ApiError(0, 'The video connection could not be made: no network path to the server was found. '
          + 'A firewall may block UDP; a TURN server in the server\'s configuration helps then.'));
      }, CONNECT_TIMEOUT_MS);
      const look = () => {
        if (pc.connectionState === 'connected') resolve(undefined);
        else if (['failed', 'closed'].includes(pc.connectionState)) {
          reject(new ApiError(0, 'The video connection failed while it was being made.'));
        } else return;
        clearTimeout(timer);
        pc.removeEventListener('connectionstatechange', look);
      };
      pc.addEventListener('connectionstatechange', look);
    });
  }
}
