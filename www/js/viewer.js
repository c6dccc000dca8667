// Keeps one wish ("these streams of this camera") fulfilled: opens a peer, watches it, opens another when it is lost.
// Owns the present Peer and the retry timer; never touches the page.

import { ApiError } from './api.js';
import { waitMs } from './backoff.js';
import { explain } from './explain.js';
import { Peer } from './peer.js';
import { afterLoss, worthRetrying } from './verdict.js';

/**
 * Events: `state` {state, message}, where state is idle | connecting | live | waiting | failed | ended;
 * `track` as of Peer; `log` {level, text}.
 */
export class Viewer extends EventTarget {
  state = 'idle';
  message = '';
  /** When the next attempt is due (performance.now), while waiting. */
  retryAt = 0;
  /** @type {{device: string, streams: string[], profiles: object}|null} */
  choice = null;
  /** @type {Peer|null} */
  peer = null;
  /** Set by the page: performance.now() of the newest frame of any stream. */
  lastFrameAt = 0;
  /** Whether nobody sits before the page to press a button. */
  unattended = false;
  /** Set by the page when the health poll fails; cleared when a session is up. */
  serverWasDown = false;
  #api;
  #generation = 0;
  #failures = 0;
  #timer = 0;
  #wasLive = false;
  #liveSince = 0;

  /** @param {import('./api.js').Api} api */
  constructor(api) {
    super();
    this.#api = api;
  }

  /** Whether the user wants video now, be it there or not. */
  get wanted() {
    return ['connecting', 'live', 'waiting'].includes(this.state);
  }

  /** Watches this choice from now on, in place of any other. */
  watch(choice) {
    this.#drop();
    this.choice = choice;
    this.#failures = 0;
    this.#wasLive = false;
    this.#attempt();
  }

  /** Stops watching. @param {{keepalive?: boolean}} [options] */
  stop(options) {
    this.#drop(options);
    this.#set('idle', '');
  }

  /** Tries now instead of after the rest of the wait. */
  nudge() {
    if (this.state === 'waiting') this.#attempt();
  }

  /** Gives up the present session and opens another at once, for a reason worth logging. @param {string} reason */
  reopen(reason) {
    if (!this.choice) return;
    this.#log('warn', `Reconnecting: ${reason}.`);
    this.#drop();
    this.#attempt();
  }

  /** The server says that the present session does not exist (any more). */
  sessionGone() {
    if (this.state !== 'live' && this.state !== 'ended') return;
    const now = performance.now();
    const next = afterLoss({
      unattended: this.unattended,
      serverWasDown: this.serverWasDown,
      ageMs: now - this.#liveSince,
      sinceFrameMs: now - this.lastFrameAt,
    });
    if (next === 'reopen') {
      this.reopen('the session ended on the server');
    } else if (this.state === 'live') {
      this.#drop();
      this.#log('warn', 'This session was closed by the server or by another viewer.');
      this.#set('ended', 'This session was closed by the server or by another viewer.');
    }
  }

  #drop(options) {
    this.#generation += 1;
    clearTimeout(this.#timer);
    this.peer?.close(options);
    this.peer = null;
  }

  async #attempt() {
    clearTimeout(this.#timer);
    this.#generation += 1;
    const generation = this.#generation;
    const mine = () => generation === this.#generation;
    const choice = this.choice;
    if (!choice) return;
    const peer = new Peer(this.#api);
    this.peer = peer;
    peer.addEventListener('track', (event) => {
      if (mine()) this.dispatchEvent(new CustomEvent('track', { detail: /** @type {CustomEvent} */ (event).detail }));
    });
    peer.addEventListener('candidate-error', (event) => {
      if (mine()) this.#log('info', `A network candidate was not taken: ${/** @type {CustomEvent} */ (event).detail.error.message}`);
    });
    peer.addEventListener('down', (event) => {
      if (mine()) this.#onDown(/** @type {CustomEvent} */ (event).detail.reason);
    });
    this.#set('connecting', 'Connecting…');
    try {
      await peer.open(choice);
      if (!mine()) return;
      this.#failures = 0;
      this.#wasLive = true;
      this.serverWasDown = false;
      this.#liveSince = this.lastFrameAt = performance.now();
      for (const offered of peer.offered) if (offered.note) this.#log('info', offered.note);
      this.#set('live', '');
    } catch (error) {
      if (!mine()) return;
      peer.close();
      this.#onFailure(error instanceof ApiError ? error : new ApiError(400, `The browser could not use the server's offer: ${error.message}`));
    }
  }

  /** @param {ApiError} error */
  #onFailure(error) {
    this.peer = null;
    const message = explain(error, this.choice?.device ?? '');
    if (!worthRetrying(error.status, this.#wasLive || this.unattended)) {
      this.#log('error', message);
      this.#set('failed', message);
      return;
    }
    this.#failures += 1;
    if (this.#failures === 1 || message !== this.message) this.#log('warn', message);
    const wait = waitMs(this.#failures, error.retryAfterS);
    this.retryAt = performance.now() + wait;
    this.#timer = setTimeout(() => this.#attempt(), wait);
    this.#set('waiting', message);
  }

  /** The peer connection died: ask the server whether the session is gone too, for that decides what to do. */
  async #onDown(reason) {
    const generation = this.#generation;
    const session = this.peer?.sessionId;
    let known = false;
    try {
      if (session) known = Boolean(await this.#api.session(session));
    } catch (error) {
      if (error.status !== 404) this.serverWasDown = true;
    }
    if (generation !== this.#generation) return;
    if (known || this.serverWasDown) this.reopen(reason);
    else this.sessionGone();
  }

  #log(level, text) {
    this.dispatchEvent(new CustomEvent('log', { detail: { level, text } }));
  }

  #set(state, message) {
    this.state = state;
    this.message = message;
    this.dispatchEvent(new CustomEvent('state', { detail: { state, message } }));
  }
}
