// Keeps one wish ("these streams of this camera") fulfilled: opens a peer, watches it, opens another when it is lost.
// Owns the present Peer and the retry timer; never touches the page.

import { ApiError } from './api.js';
import { waitMs } from './backoff.js';
import { explain } from './explain.js';
import { Peer } from './peer.js';
import { afterLoss, worthRetrying } from './verdict.js';

const CLOSED = 'This session was closed by the server or by another viewer.';

/**
 * @typedef {NonNullable<import('./api.js').Asked<'create_offer'>['profiles']>} Profiles wanted sizes and rates, by stream type
 * @typedef {{device: string, streams: string[], profiles: Profiles, spare?: number}} Choice spare: how many more streams may be wanted later
 */

/**
 * Events: `state` {state, message}, where state is idle | connecting | live | waiting | failed | ended;
 * `track` as of Peer; `log` {level, text}.
 */
export class Viewer extends EventTarget {
  /** @type {'idle'|'connecting'|'live'|'waiting'|'failed'|'ended'} */
  state = 'idle';
  message = '';
  /** When the next attempt is due (performance.now), while waiting. */
  retryAt = 0;
  /** @type {Choice|null} */
  choice = null;
  /** @type {Peer|null} */
  peer = null;
  /** Whether the server is being asked for other streams of the present session. */
  changing = false;
  /** Whether nobody sits before the page to press a button. */
  unattended = false;
  #api;
  #generation = 0;
  #failures = 0;
  #timer = 0;
  #wasLive = false;
  /** Whether the server is being asked how the present session ended. */
  #asking = false;

  /** @param {import('./api.js').Api} api */
  constructor(api) {
    super();
    this.#api = api;
  }

  /** Whether the user wants video now, be it there or not. */
  get wanted() {
    return ['connecting', 'live', 'waiting'].includes(this.state);
  }

  /** Whether the present session can carry this choice, so that the pictures that stay go on. @param {Choice} choice */
  canChangeTo(choice) {
    return this.state === 'live' && !this.changing && choice.device === this.choice?.device && Boolean(this.peer?.hasRoomFor(choice.streams.length));
  }

  /** Watches this choice from now on, in place of any other. @param {Choice} choice */
  watch(choice) {
    if (this.canChangeTo(choice)) this.#change(choice);
    else this.#begin(choice);
  }

  /** Has the present session carry this choice; opens another where the server does not want that. @param {Choice} choice */
  async #change(choice) {
    const generation = this.#generation;
    this.choice = choice;
    this.changing = true;
    try {
      await this.peer?.change(choice);
    } catch (error) {
      if (generation !== this.#generation) return;
      this.#log('info', `Opening another session: ${error.message}`);
      this.#begin(choice);
      return;
    }
    if (generation !== this.#generation) return;
    this.changing = false;
    this.#live();
  }

  /** Opens a session for this choice. @param {Choice} choice */
  #begin(choice) {
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

  /** The server's list lacks the present session. */
  sessionGone() {
    this.#askForEnd();
  }

  /**
   * Asks the server how the present session ended, for that decides what to do.
   * @param {string} [down] what became of the connection, where that is what made one ask
   */
  async #askForEnd(down) {
    const session = this.peer?.sessionId;
    if (this.state !== 'live' || !session || this.#asking) return;
    this.#asking = true;
    const generation = this.#generation;
    /** @type {{why: string|undefined, verdict?: ReturnType<typeof afterLoss>}} */
    let next = { why: down };
    try {
      await this.#api.session(session);
      // The server still has it: then it is only this side that lost the connection, if that.
    } catch (error) {
      if (error.status === 404) next = { why: 'the session ended on the server', verdict: afterLoss({ unattended: this.unattended, reason: error.body?.reason }) };
      // Otherwise nobody knows: a connection that is lost is worth another in any case, and a list is read again.
    }
    if (generation !== this.#generation) return;
    this.#asking = false;
    if (next.verdict === 'ended') {
      this.#drop();
      this.#log('warn', CLOSED);
      this.#set('ended', CLOSED);
    } else if (next.why) {
      this.reopen(next.why);
    }
  }

  /** @param {{keepalive?: boolean}} [options] */
  #drop(options) {
    this.#generation += 1;
    this.changing = false;
    this.#asking = false;
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
      if (mine()) this.#askForEnd(/** @type {CustomEvent} */ (event).detail.reason);
    });
    this.#set('connecting', 'Connecting…');
    try {
      await peer.open(choice);
      if (!mine()) return;
      this.#failures = 0;
      this.#wasLive = true;
      this.#live();
    } catch (error) {
      if (!mine()) return;
      this.#onFailure(error instanceof ApiError ? error : new ApiError(400, `The browser could not use the server's offer: ${error.message}`));
    }
  }

  #live() {
    for (const { note } of this.peer?.offered ?? []) if (note) this.#log('info', note);
    this.#set('live', '');
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

  /** @param {import('./log.js').Level} level @param {string} text */
  #log(level, text) {
    this.dispatchEvent(new CustomEvent('log', { detail: { level, text } }));
  }

  /** @param {Viewer['state']} state @param {string} message */
  #set(state, message) {
    this.state = state;
    this.message = message;
    this.dispatchEvent(new CustomEvent('state', { detail: { state, message } }));
  }
}
