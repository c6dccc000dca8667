// One WebRTC session with the server, from the offer to its end. Owns one RTCPeerConnection; never retries and never
// touches the page. The server offers, the browser answers.

import { ApiError } from './api.js';
import { after } from './patience.js';

/** Milliseconds from the answer to a connection, after which the attempt counts as failed. */
const CONNECT_TIMEOUT_MS = 15000;

/**
 * The codecs this browser can receive, H.264 first because the server has it encoded already for most viewers.
 * @returns {string[]|undefined} mime types such as "video/H264", without duplicates; undefined where the browser does not tell
 */
export function receivableCodecs() {
  const all = RTCRtpReceiver.getCapabilities?.('video')?.codecs;
  if (!all) return undefined;
  const kinds = [...new Set(all.map((codec) => codec.mimeType))];
  const repair = /\/(rtx|red|ulpfec|flexfec-03)$/i;
  const media = kinds.filter((kind) => !repair.test(kind));
  return media.sort((a, b) => Number(/h264/i.test(b)) - Number(/h264/i.test(a)));
}

/**
 * How a connection is, for browsers without `connectionState` (Firefox before 113) as well.
 * @param {RTCPeerConnection} pc @returns {string} as RTCPeerConnectionState
 */
export function stateOf(pc) {
  if (pc.connectionState) return pc.connectionState;
  // Encryption comes up right after the path; that it failed is told by its own state.
  return pc.iceConnectionState === 'completed' ? 'connected' : pc.iceConnectionState === 'checking' ? 'connecting' : pc.iceConnectionState;
}

/**
 * Whether a connection is over. The server's good-bye closes the encryption at once; the state of the whole connection tells of it
 * up to 20 s later only. All streams share one transport.
 * @param {RTCPeerConnection} pc @returns {string} "closed" or "failed"; "" while it is not over
 */
export function endOf(pc) {
  const states = [stateOf(pc), pc.getReceivers()[0]?.transport?.state ?? ''];
  return states.find((state) => state === 'closed' || state === 'failed') ?? '';
}

/** Calls back whenever a connection's state may be another; call when its receivers exist. @param {RTCPeerConnection} pc @param {() => void} look */
function onChange(pc, look) {
  pc.addEventListener('connectionstatechange', look);
  pc.addEventListener('iceconnectionstatechange', look);
  pc.getReceivers()[0]?.transport?.addEventListener('statechange', look);
}

/** @typedef {{stream: string, track: MediaStreamTrack, receiver: RTCRtpReceiver, mid: string|null}} Track a stream's, as it came */

/** A session: `open()` once, `close()` once. Events: `track` {stream, track, receiver}, `down` {reason}. */
export class Peer extends EventTarget {
  /** @type {RTCPeerConnection|null} */
  pc = null;
  /** @type {string|null} */
  sessionId = null;
  /** Stream types in m-line order. @type {string[]} */
  streams = [];
  /** What the server said about each stream (profile, note); empty for servers that say nothing. @type {import('realsense-webrtc/api').OfferedStream[]} */
  offered = [];
  #api;
  #closed = false;
  #isDown = false;
  #isChanging = false;

  /** @param {import('./api.js').Api} api */
  constructor(api) {
    super();
    this.#api = api;
  }

  /**
   * Asks for an offer, answers it and waits for the connection. What fails leaves nothing open, here or at the server.
   * @param {import('./viewer.js').Choice} choice
   * @throws {ApiError} when the server refuses, or when no connection comes about
   */
  async open(choice) {
    try {
      await this.#open(choice);
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** @param {import('./viewer.js').Choice} choice */
  async #open(choice) {
    const iceServers = await this.#api.iceServers().catch((error) => {
      if (error.status === 404) return []; // older servers have no such route
      throw error;
    });
    const offer = await this.#api.offer({
      device_id: choice.device,
      stream_types: choice.streams,
      codecs: receivableCodecs(),
      profiles: choice.profiles,
      spare_streams: choice.spare,
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
    await pc.setRemoteDescription({ type: 'offer', sdp: offer.sdp });
    const answer = await pc.createAnswer();
    await pc.setLocalDescription(answer);
    if (this.#closed) return;
    const connected = this.#waitConnected(pc);
    connected.catch(() => {}); // awaited below; a failure before that must not count as unhandled
    await this.#api.answer(this.sessionId, answer.sdp ?? '');
    await connected;
    if (endOf(pc) !== '') throw new ApiError(0, 'The video connection was lost at once.');
    onChange(pc, () => {
      const end = endOf(pc);
      if (!this.#closed && !this.#isDown && end !== '') this.#down(`connection ${end}`);
    });
  }

  /** Whether the session has an m-line for each of that many streams, and the server is one that says which is whose. @param {number} streams */
  hasRoomFor(streams) {
    return this.offered.length > 0 && this.offered.every((one) => typeof one.mline_index === 'number')
      && (this.pc?.getTransceivers().length ?? 0) >= streams;
  }

  /**
   * Has the session carry other streams on the m-lines it has. Streams that stay are not touched; the others come as `track`.
   * @param {import('./viewer.js').Choice} choice of the same camera
   * @throws {ApiError} when the server refuses; the session is as it was then
   */
  async change(choice) {
    const stay = new Map(this.offered.map((one) => [one.stream_type, one.mline_index]));
    const begin = Object.entries(choice.profiles).filter(([stream]) => !stay.has(stream));
    const { streams, sdp } = await this.#api.changeSession(this.sessionId ?? '', { stream_types: choice.streams, profiles: Object.fromEntries(begin) });
    if (this.#closed) return;
    this.offered = streams;
    if (sdp) await this.#answerAgain(sdp);
    for (const { stream_type: stream, mline_index: index } of streams) {
      const transceiver = this.pc?.getTransceivers()[index];
      if (transceiver && stay.get(stream) !== index) this.#tell(stream, transceiver);
    }
  }

  /** Answers a later offer of the session, which has more m-lines. @param {string} sdp */
  async #answerAgain(sdp) {
    const { pc, sessionId } = this;
    if (!pc || !sessionId) return;
    this.#isChanging = true; // what comes is told with the rest
    try {
      await pc.setRemoteDescription({ type: 'offer', sdp });
      const answer = await pc.createAnswer();
      await pc.setLocalDescription(answer);
      await this.#api.answer(sessionId, answer.sdp ?? '');
    } finally {
      this.#isChanging = false;
    }
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

  /** @param {string} reason */
  #down(reason) {
    this.#isDown = true;
    this.dispatchEvent(new CustomEvent('down', { detail: { reason } }));
  }

  /** @param {RTCTrackEvent} event */
  #onTrack(event) {
    // The m-lines come in request order; the transceivers of a remote offer are in m-line order.
    if (this.#isChanging) return;
    const index = this.pc?.getTransceivers().indexOf(event.transceiver) ?? -1;
    const stream = this.offered[index]?.stream_type ?? this.streams[index];
    if (stream) this.#tell(stream, event.transceiver);
  }

  /** @param {string} stream @param {RTCRtpTransceiver} transceiver that carries it */
  #tell(stream, { receiver, mid }) {
    // Show frames as they come: this is live, not a film. Browsers without the field keep their own target.
    if ('jitterBufferTarget' in receiver) receiver.jitterBufferTarget = 0;
    /** @type {Track} */
    const detail = { stream, track: receiver.track, receiver, mid };
    this.dispatchEvent(new CustomEvent('track', { detail }));
  }

  /** @param {RTCIceCandidate|null} candidate */
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
      const cancel = after(CONNECT_TIMEOUT_MS, () => {
        reject(new ApiError(0, 'The video connection could not be made: no network path to the server was found. '
          + 'A firewall may block UDP; a TURN server in the server\'s configuration helps then.'));
      });
      const look = () => {
        if (endOf(pc) !== '') reject(new ApiError(0, 'The video connection failed while it was being made.'));
        else if (stateOf(pc) === 'connected') resolve(undefined);
        else return;
        cancel();
      };
      onChange(pc, look);
      look();
    });
  }
}
