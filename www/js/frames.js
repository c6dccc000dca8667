// Whether one track's frames come. Pure: is told of frames and of the time.
//
// Three witnesses tell of frames: the browser's call for each one shown, which stops while nobody sees the page; the count of
// decoded ones in the statistics, which goes on but is read seldom; and, while nobody sees the page, the bytes that came, as some
// browsers do not even decode then.

/** Milliseconds without a new frame after which none come, where the browser tells of each. */
export const STALE_TOLD_MS = 1000;
/** The same where only the statistics tell, which are read once a second. */
export const STALE_READ_MS = 3000;
/** The same while nobody sees the page: the statistics are then read every 2 s, or as seldom as a busy browser lets them. */
export const STALE_UNSEEN_MS = 10000;
/** Milliseconds from a new track to its first frame before it is missed. */
const FIRST_FRAME_MS = 3000;

/** All times are those of performance.now, in milliseconds. */
export class Frames {
  /** When a frame was last known to have come, by any of them; 0 before the first track. */
  lastAt = 0;
  /** When a frame was last shown, or would have been. */
  #shownAt = 0;
  #came = false;
  #decoded = 0;
  #bytes = 0;

  /** A new track. @param {number} now */
  begin(now) {
    this.lastAt = this.#shownAt = now;
    this.#came = false;
    this.#decoded = this.#bytes = 0;
  }

  /** The browser showed a frame. @param {number} now */
  shown(now) {
    this.lastAt = this.#shownAt = now;
    this.#came = true;
  }

  /**
   * The statistics were read.
   * @param {number} now @param {{frames: number, bytes: number}} sample frames decoded and bytes received so far
   * @param {boolean} told whether the browser tells of shown frames @param {boolean} seen whether somebody sees the page
   * @returns {boolean} whether this was news of a frame that is to be taken as shown
   */
  read(now, { frames, bytes }, told, seen) {
    const more = frames > this.#decoded || (!seen && bytes > this.#bytes);
    this.#decoded = frames;
    this.#bytes = bytes;
    if (!more) return false;
    this.lastAt = now;
    if (!told) this.shown(now);
    return !told;
  }

  /** Whether frames come now. @param {number} now @param {number} staleMs as above @returns {boolean} */
  flowing(now, staleMs) {
    return this.#came && now - this.#shownAt < staleMs;
  }

  /** Whether frames ought to have come by now. @param {number} now @param {number} staleMs as above @returns {boolean} */
  late(now, staleMs) {
    return !this.flowing(now, staleMs) && (this.#came || now - this.#shownAt > Math.max(FIRST_FRAME_MS, staleMs));
  }
}
