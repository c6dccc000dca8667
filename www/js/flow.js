// Whether pictures come, why they do not, and when it is time for another session. Owns the times of what may delay them.

import { poll } from './poll.js';

/** Milliseconds without video, camera and server being there, after which a new session is tried. */
const GIVE_UP_FROZEN_MS = 10000;
/** Milliseconds that a camera or a session that is new is given before the log speaks of missing pictures. */
const RESTING_MS = 4000;
const LOOK_EVERY_MS = 250;

/** Events: `change`, frames begin or cease to come; `look`, one look is done. */
export class Flow extends EventTarget {
  /** Whether frames come. */
  flows = false;
  /** Whether this choice gave video before. */
  wasLive = false;
  #deviceBackAt = 0;
  #reopenedAt = 0;
  #deckChangedAt = 0;
  #parts;

  /**
   * @param {{tiles: import('./tiles.js').Tiles, viewer: import('./viewer.js').Viewer, devices: import('./devices.js').Devices,
   *   deck: import('./deck.js').Deck, server: import('./server.js').Server, happenings: import('./happenings.js').Happenings,
   *   panels: import('./panels.js').Panels}} parts
   */
  constructor(parts) {
    super();
    this.#parts = parts;
  }

  /** Begins to look. */
  start() {
    poll(async () => this.#look(), LOOK_EVERY_MS);
  }

  /** What pictures have to wait for has just happened. */
  deviceIsBack() {
    this.#deviceBackAt = performance.now();
  }

  sessionIsNew() {
    this.#reopenedAt = performance.now();
  }

  deckChanged() {
    this.#deckChangedAt = performance.now();
  }

  get #delayedAt() {
    return Math.max(this.#deviceBackAt, this.#reopenedAt, this.#deckChangedAt);
  }

  /** Asks for another session where all is there but pictures. */
  revive() {
    const { tiles, viewer, devices, deck, server } = this.#parts;
    const now = performance.now();
    const frozenMs = now - Math.max(tiles.lastFrameAt, this.#delayedAt);
    if (viewer.state === 'live' && server.reachable && devices.device && !deck.paused && frozenMs > GIVE_UP_FROZEN_MS) {
      this.#reopenedAt = now;
      viewer.reopen(`no video for ${Math.round(frozenMs / 1000)} s`);
    }
  }

  /** Whether frames come, and what is to be said where they do not. */
  #look() {
    const { tiles, viewer, devices, deck, server, happenings } = this.#parts;
    viewer.lastFrameAt = tiles.lastFrameAt;
    tiles.check(() => this.#why());
    const flows = tiles.flowing.length > 0;
    const settled = performance.now() - this.#delayedAt > RESTING_MS;
    if (viewer.state === 'live' && server.state === 'up' && devices.device && !deck.paused && settled) happenings.stalls(tiles.late);
    else happenings.forget();
    if (flows) this.wasLive = true;
    if (flows !== this.flows) {
      this.flows = flows;
      this.dispatchEvent(new Event('change'));
    }
    this.dispatchEvent(new Event('look'));
  }

  #why() {
    const { viewer, devices, deck, server, panels } = this.#parts;
    if (!viewer.wanted) return viewer.message || 'Stopped.';
    if (server.state === 'down') return 'No server';
    if (!devices.device) return devices.isRecording ? 'Closed' : devices.seen ? 'Unplugged' : 'Not connected';
    if (deck.paused) return 'Paused.';
    if (viewer.state === 'live' && panels?.trouble) return `The server cannot encode it: ${panels.trouble}`;
    if (viewer.state === 'live') return 'The camera delivers no new picture.';
    return this.wasLive ? 'Reconnecting…' : 'Connecting…';
  }
}
