// Whether this page runs and is seen. Owns that knowledge; says nothing about cameras and touches no page.
//
// A sleeping machine, a frozen tab and a debugger stop a page; a hidden tab runs slowly and is not told of frames. What a page
// then failed to notice says nothing about the server or the camera, so whoever judges those by time asks here first.

/** Milliseconds between two looks after which the page was stopped between them: a hidden tab's timers run once a second. */
export const STOPPED_MS = 5000;
/** Milliseconds from being shown, or going on, until frames must have been told of again. */
const SETTLE_MS = 1000;

const BROWSER = { now: () => performance.now(), wall: () => Date.now(), hidden: () => document.hidden };

/** Call `look()` several times a second; both answers look as well. */
export class Awake {
  #clock;
  #now;
  #wall;
  #hidden;
  #resumedAt;

  /** @param {{now: () => number, wall: () => number, hidden: () => boolean}} [clock] both clocks in milliseconds */
  constructor(clock = BROWSER) {
    this.#clock = clock;
    this.#now = this.#resumedAt = clock.now();
    this.#wall = clock.wall();
    this.#hidden = clock.hidden();
  }

  /** Notices that the page was stopped or hidden, and is no more. */
  look() {
    const [now, wall, hidden] = [this.#clock.now(), this.#clock.wall(), this.#clock.hidden()];
    // Not every browser's performance.now() counts the machine's sleep; the time of day does.
    const stopped = Math.max(now - this.#now, wall - this.#wall) > STOPPED_MS;
    if (stopped || (this.#hidden && !hidden)) this.#resumedAt = now;
    [this.#now, this.#wall, this.#hidden] = [now, wall, hidden];
  }

  /** When (performance.now) the page began, was last shown after being hidden, or went on after a stop. */
  get resumedAt() {
    this.look();
    return this.#resumedAt;
  }

  /** Whether the browser tells of every frame: the page is visible, and was long enough for that to have begun. */
  get seen() {
    this.look();
    return !this.#hidden && this.#now - this.#resumedAt >= SETTLE_MS;
  }
}
