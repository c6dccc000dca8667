// Whether pictures come, why they do not, and when it is time for another session. Owns the times of what may delay them.

import { poll } from './poll.js';

/** Milliseconds without video, camera and server being there, after which a new session is tried. */
const GIVE_UP_FROZEN_MS = 10000;
/** The most that this grows to while new sessions do not help: each costs every other viewer a key frame. */
const GIVE_UP_MOST_MS = 60000;
/** Milliseconds that a camera or a session that is new is given before the log speaks of missing pictures. */
const RESTING_MS = 4000;
/** Milliseconds of frames without a gap, beyond those after which one is missed, that show that a session helped: one picture is sent to whoever joins. */
const HELPED_MS = 2000;
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
  #giveUpMs = GIVE_UP_FROZEN_MS;
  #flowsSince = 0;
  #parts;
  #now;

  /**
   * @param {{tiles: import('./tiles.js').Tiles, viewer: import('./viewer.js').Viewer, devices: import('./devices.js').Devices,
   *   deck: import('./deck.js').Deck, server: import('./server.js').Server, happenings: import('./happenings.js').Happenings,
   *   panels: import('./panels.js').Panels, awake: import('./awake.js').Awake}} parts
   * @param {() => number} [now] milliseconds, as performance.now
   */
  constructor(parts, now = () => performance.now()) {
    super();
    this.#parts = parts;
    this.#now = now;
  }

  /** Begins to look. */
  start() {
    poll(async () => this.look(), LOOK_EVERY_MS);
  }

  /** What pictures have to wait for has just happened. */
  deviceIsBack() {
    this.#deviceBackAt = this.#now();
    this.#giveUpMs = GIVE_UP_FROZEN_MS;
  }

  sessionIsNew() {
    this.#reopenedAt = this.#now();
  }

  deckChanged() {
    this.#deckChangedAt = this.#now();
  }

  /** When pictures were last delayed by something known; while the page does not run or is not seen, they are not looked for. */
  get #delayedAt() {
    return Math.max(this.#deviceBackAt, this.#reopenedAt, this.#deckChangedAt, this.#parts.awake.resumedAt);
  }

  /** Whether nothing known delays pictures any more. */
  get #settled() {
    return this.#now() - this.#delayedAt > RESTING_MS;
  }

  /**
   * Whether it is the camera that delivers no pictures, as far as one can know: they had their time, and since they were missed the
   * server said that it is connected to this page. A page that wakes from a sleep often finds its session gone.
   */
  get #isCamera() {
    const { tiles, panels } = this.#parts;
    return !this.#parts.viewer.changing && this.#settled && (tiles.flowing.length > 0 || panels.confirmedAt > Math.max(tiles.lastFrameAt, this.#delayedAt));
  }

  /** Asks for another session where all is there but pictures; call about once a second. */
  revive() {
    const { tiles, viewer, devices, deck, server } = this.#parts;
    const now = this.#now();
    const frozenMs = now - Math.max(tiles.lastFrameAt, this.#delayedAt);
    if (viewer.state === 'live' && !viewer.changing && server.reachable && devices.device && !deck.paused && frozenMs > this.#giveUpMs) {
      this.#reopenedAt = now;
      this.#giveUpMs = Math.min(GIVE_UP_MOST_MS, this.#giveUpMs * 2);
      viewer.reopen(`no video for ${Math.round(frozenMs / 1000)} s`);
    }
  }

  /** Sees whether frames come, and says what is to be said where they do not; call a few times a second. */
  look() {
    const { tiles, viewer, devices, deck, server, happenings } = this.#parts;
    tiles.check(() => this.#why());
    const flows = tiles.flowing.length > 0;
    const well = viewer.state === 'live' && server.state === 'up' && devices.device && !deck.paused;
    if (well && this.#isCamera) happenings.stalls(tiles.late);
    else happenings.forget();
    if (flows) this.wasLive = true;
    if (flows && this.flows && this.#now() - this.#flowsSince > tiles.staleMs + HELPED_MS) this.#giveUpMs = GIVE_UP_FROZEN_MS;
    if (flows !== this.flows) {
      this.flows = flows;
      this.#flowsSince = this.#now();
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
    if (viewer.state === 'live' && panels.trouble) return `The server cannot encode it: ${panels.trouble}`;
    if (viewer.state === 'live') return this.#isCamera ? 'The camera delivers no new picture.' : 'Waiting for the next picture…';
    return this.wasLive ? 'Reconnecting…' : 'Connecting…';
  }
}
