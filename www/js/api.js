// The wire contract as functions. Owns addresses, the token, time limits and the wording of failures; keeps no state of
// the camera and touches no DOM.

import { Closings } from './closings.js';
import { after } from './patience.js';

/**
 * @template {keyof import('realsense-webrtc/api').operations} Name
 * @typedef {Promise<import('realsense-webrtc/routes').Answer<Name>>} Answer what a route gives, by its operation in the API's document
 */
/**
 * @template {keyof import('realsense-webrtc/api').operations} Name
 * @typedef {import('realsense-webrtc/routes').Asked<Name>} Asked the body that a route asks for
 */

/** A request that did not succeed, in words for a person. */
export class ApiError extends Error {
  /**
   * @param {number} status HTTP status; 0 when no answer came
   * @param {string} detail one sentence
   * @param {number|null} retryAfterS what the server asks for, in seconds
   * @param {{reason?: string}|null} body the answer's, if it was JSON: some say more than a sentence
   */
  constructor(status, detail, retryAfterS = null, body = null) {
    super(detail);
    this.name = 'ApiError';
    this.status = status;
    this.retryAfterS = retryAfterS;
    this.body = body;
  }
}

/**
 * The sentence in an error body: `detail` is a string, or a list of `{msg, loc}` as validators write it.
 * @param {unknown} body @param {number} status @returns {string}
 */
export function detailOf(body, status) {
  const detail = /** @type {Partial<import('realsense-webrtc/api').ErrorBody|import('realsense-webrtc/api').ValidationBody>|null} */ (body)?.detail;
  if (typeof detail === 'string' && detail !== '') return detail;
  if (Array.isArray(detail) && detail.length > 0) {
    return detail.map((d) => (d?.loc ? `${d.loc.join('.')}: ${d.msg}` : d?.msg ?? String(d))).join('; ');
  }
  return `The server answered with status ${status} and gave no reason.`;
}

/** Milliseconds a request may take. An offer may have to start a camera, which takes up to 15 s. */
const TIMEOUT_MS = 8000;
const OFFER_TIMEOUT_MS = 20000;

/** Finds the device that a path is about. */
const OF_DEVICE = /^devices\/([^/]+)\//;

/** One server's API. */
export class Api {
  #closings = new Closings(() => new ApiError(404, 'The recording was closed.'));

  /**
   * @param {string} pageUrl the page's address: the API is beside it, also behind a proxy's path prefix
   * @param {string} [token] sent as a bearer token when not empty
   */
  constructor(pageUrl, token = '') {
    this.base = new URL('api/', pageUrl);
    this.socketPath = new URL('socket', pageUrl).pathname;
    this.token = token;
  }

  /**
   * @param {string} method @param {string} path below the API's prefix @param {unknown} [body]
   * @param {{timeoutMs?: number, keepalive?: boolean, token?: string, as?: 'json'|'text'|'blob'}} [options] token: another than
   *   the page's; as: what the answer is when all is well
   * @returns {Promise<any>} the parsed body, whose type the route's own function tells; or the text, or the blob
   * @throws {ApiError}
   */
  request(method, path, body, options) {
    const device = OF_DEVICE.exec(path)?.[1];
    const send = () => this.#send(method, path, body, options);
    return device === undefined ? send() : this.#closings.ask(device, send);
  }

  /** @type {Api['request']} */
  async #send(method, path, body, { timeoutMs = TIMEOUT_MS, keepalive = false, token = this.token, as = 'json' } = {}) {
    /** @type {Record<string, string>} */
    const headers = {};
    if (body !== undefined) headers['Content-Type'] = 'application/json';
    if (token) headers.Authorization = `Bearer ${token}`;
    let response;
    let parsed = null;
    let slow = false;
    const limit = new AbortController(); // AbortSignal.timeout is too new for some browsers, and counts the machine's sleep
    const cancel = after(timeoutMs, () => {
      slow = true;
      limit.abort();
    });
    try {
      response = await fetch(new URL(path, this.base), {
        method,
        headers,
        body: body === undefined ? undefined : JSON.stringify(body),
        cache: 'no-store',
        keepalive,
        signal: keepalive ? undefined : limit.signal,
      });
      if (response.ok && as === 'blob') return await response.blob();
      const text = await response.text();
      if (response.ok && as === 'text') return text;
      try {
        parsed = text === '' ? null : JSON.parse(text);
      } catch {
        parsed = null; // a proxy's error page, say: the status still tells
      }
    } catch {
      throw new ApiError(0, slow ? `The server did not answer within ${timeoutMs / 1000} s.` : 'The server cannot be reached.');
    } finally {
      cancel();
    }
    if (!response.ok) {
      const retry = Number.parseFloat(response.headers.get('Retry-After') ?? '');
      throw new ApiError(response.status, detailOf(parsed, response.status), Number.isFinite(retry) ? retry : null, parsed);
    }
    return parsed;
  }

  /** @returns {Answer<'health'>} */
  health() {
    return this.request('GET', 'health', undefined, { timeoutMs: 4000 });
  }

  /** @param {boolean} [refresh] ask the backends anew @returns {Answer<'list_devices'>} */
  devices(refresh = false) {
    return refresh ? this.request('POST', 'devices/refresh') : this.request('GET', 'devices/');
  }

  /** @param {string} device @returns {Answer<'list_sensors'>} */
  sensors(device) {
    return this.request('GET', `devices/${encodeURIComponent(device)}/sensors/`);
  }

  /** @param {string} device @param {string} sensor @param {string} option @param {number} value @returns {Answer<'set_option'>} */
  setOption(device, sensor, option, value) {
    const path = ['devices', device, 'sensors', sensor, 'options', option].map(encodeURIComponent).join('/');
    return this.request('PUT', path, /** @satisfies {Asked<'set_option'>} */ ({ value }));
  }

  /** @param {string} device @param {string} sensor @param {string} option @returns {Answer<'get_option'>} */
  option(device, sensor, option) {
    return this.request('GET', ['devices', device, 'sensors', sensor, 'options', option].map(encodeURIComponent).join('/'));
  }

  /** @param {string} device @param {string} sensor @returns {Answer<'list_options'>} all options of one sensor */
  options(device, sensor) {
    return this.request('GET', `${['devices', device, 'sensors', sensor, 'options'].map(encodeURIComponent).join('/')}/`);
  }

  /** @param {string} device @param {number} x @param {number} y @returns {Answer<'depth_at_pixel'>} */
  depthAtPixel(device, x, y) {
    return this.request('GET', `devices/${encodeURIComponent(device)}/stream/depth-at-pixel?x=${x}&y=${y}`);
  }

  /** @param {string} device @returns {Answer<'depth_range'>} */
  depthRange(device) {
    return this.request('GET', `devices/${encodeURIComponent(device)}/stream/depth-range`);
  }

  /** @param {string} device @param {number} near metres @param {number} far metres @returns {Answer<'set_depth_range'>} */
  setDepthRange(device, near, far) {
    const range = /** @satisfies {Asked<'set_depth_range'>} */ ({ min_depth: near, max_depth: far });
    return this.request('PUT', `devices/${encodeURIComponent(device)}/stream/depth-range`, range);
  }

  /** @returns {Answer<'ice_servers'>} */
  iceServers() {
    return this.request('GET', 'webrtc/ice-servers');
  }

  /** @param {Asked<'create_offer'>} wish @returns {Answer<'create_offer'>} */
  offer(wish) {
    return this.request('POST', 'webrtc/offer', wish, { timeoutMs: OFFER_TIMEOUT_MS });
  }

  /** @param {string} session @param {string} sdp @returns {Answer<'answer_offer'>} */
  answer(session, sdp) {
    return this.request('POST', 'webrtc/answer', /** @satisfies {Asked<'answer_offer'>} */ ({ session_id: session, sdp, type: 'answer' }));
  }

  /** @param {string} session @param {RTCIceCandidate|null} candidate null ends the candidates @returns {Answer<'add_ice_candidate'>} */
  candidate(session, candidate) {
    return this.request('POST', 'webrtc/ice-candidates', /** @satisfies {Asked<'add_ice_candidate'>} */ ({
      session_id: session,
      candidate: candidate?.candidate ?? '',
      sdpMid: candidate?.sdpMid ?? null,
      sdpMLineIndex: candidate?.sdpMLineIndex ?? 0,
    }));
  }

  /** @returns {Answer<'list_sessions'>} */
  sessions() {
    return this.request('GET', 'webrtc/sessions');
  }

  /** @param {string} session @returns {Answer<'get_session'>} */
  session(session) {
    return this.request('GET', `webrtc/sessions/${encodeURIComponent(session)}`);
  }

  /** @param {string} session @param {Asked<'change_session'>} wish a stream that begins may have to wait for its camera @returns {Answer<'change_session'>} */
  changeSession(session, wish) {
    return this.request('PATCH', `webrtc/sessions/${encodeURIComponent(session)}`, wish, { timeoutMs: OFFER_TIMEOUT_MS });
  }

  /** @param {string} session @param {{keepalive?: boolean}} [options] keepalive outlives the page @returns {Answer<'close_session'>} */
  closeSession(session, options) {
    return this.request('DELETE', `webrtc/sessions/${encodeURIComponent(session)}`, undefined, options);
  }

  /** @returns {Answer<'close_all_sessions'>} */
  closeAll() {
    return this.request('DELETE', 'webrtc/sessions');
  }

  /**
   * What a recording that plays does, after a command if one is given.
   * @param {string} device @param {'pause'|'resume'|'seek'|'speed'|'repeat'} [command]
   * @param {Asked<'seek_playback'>|Asked<'playback_speed'>|Asked<'playback_repeat'>} [body]
   * @returns {Answer<'playback_status'>}
   */
  playback(device, command, body) {
    const path = `devices/${encodeURIComponent(device)}/playback/`;
    return command ? this.request('POST', path + command, body) : this.request('GET', `${path}status`);
  }

  /** @param {string} device @returns {Answer<'recording_status'>} how its recording stands */
  recording(device) {
    return this.request('GET', `devices/${encodeURIComponent(device)}/recording/status`);
  }

  /** @param {string} device @param {'start'|'stop'} command both wait for the disk, and a start for the camera @returns {Answer<'start_recording'>} */
  record(device, command) {
    return this.request('POST', `devices/${encodeURIComponent(device)}/recording/${command}`, undefined, { timeoutMs: OFFER_TIMEOUT_MS });
  }

  /** @param {string} device a recording that plays and is to go @returns {Answer<'close_playback'>} */
  closePlayback(device) {
    const id = encodeURIComponent(device);
    return this.#closings.close(id, () => this.#send('POST', `devices/${id}/playback/close`));
  }

  /** @returns {Answer<'list_recordings'>} */
  recordings() {
    return this.request('GET', 'recordings');
  }

  /** @param {string} name is played from now on; a long recording takes its time to open @returns {Answer<'open_recording'>} */
  openRecording(name) {
    return this.request('POST', `recordings/${encodeURIComponent(name)}/open`, undefined, { timeoutMs: OFFER_TIMEOUT_MS });
  }

  /** @param {string} name @returns {Answer<'delete_recording'>} */
  deleteRecording(name) {
    return this.request('DELETE', `recordings/${encodeURIComponent(name)}`);
  }

  /** @param {string} name @returns {string} where a browser fetches a recording */
  recordingUrl(name) {
    const url = new URL(`recordings/${encodeURIComponent(name)}`, this.base);
    if (this.token) url.searchParams.set('token', this.token);
    return url.href;
  }

  /** @param {string} device @returns {Answer<'get_preset'>} its settings as a preset */
  preset(device) {
    return this.request('GET', `devices/${encodeURIComponent(device)}/preset`);
  }

  /** @param {string} device @param {unknown} preset as it was read from a file: the server says what is wrong with it @returns {Answer<'load_preset'>} */
  loadPreset(device, preset) {
    return this.request('POST', `devices/${encodeURIComponent(device)}/preset`, preset);
  }

  /** @returns {Answer<'stream_references'>} */
  references() {
    return this.request('GET', 'webrtc/stream-references');
  }
}
