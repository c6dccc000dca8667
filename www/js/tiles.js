// The grid of video tiles of this tab. Owns one tile per stream that is watched, and what is said over each.

import { byId, showText } from './dom.js';
import { DepthLegend } from './legend.js';
import { DepthProbe } from './probe.js';
import { Tile } from './tile.js';

/** The tiles, in the order of the choice. */
export class Tiles {
  #grid = byId('tiles');
  #empty = byId('stage-empty');
  /** @type {Map<string, Tile>} */
  #tiles = new Map();
  #api;
  #offsetMs;
  #log;
  #awake;
  /** @type {Map<string, DepthLegend>} */
  #legends = new Map();

  /**
   * @param {import('./api.js').Api} api @param {() => number} offsetMs server time to ours
   * @param {import('./log.js').Say} log @param {import('./awake.js').Awake} awake
   */
  constructor(api, offsetMs, log, awake) {
    this.#awake = awake;
    this.#api = api;
    this.#offsetMs = offsetMs;
    this.#log = log;
  }

  /** Makes the grid match a choice; tiles that stay keep their last picture. @param {{device: string, streams: string[]}} choice */
  arrange({ device, streams }) {
    for (const [stream, tile] of this.#tiles) {
      if (streams.includes(stream) && tile.node.dataset.device === device) continue;
      tile.remove();
      this.#tiles.delete(stream);
      this.#legends.get(stream)?.remove();
      this.#legends.delete(stream);
    }
    for (const [index, stream] of streams.entries()) {
      let tile = this.#tiles.get(stream);
      if (!tile) {
        tile = new Tile(stream, this.#offsetMs, this.#awake);
        tile.node.dataset.device = device;
        this.#tiles.set(stream, tile);
        if (stream === 'depth') {
          new DepthProbe(tile, (x, y) => this.#api.depthAtPixel(device, x, y));
          const legend = new DepthLegend(this.#api, device, this.#log);
          this.#legends.set(stream, legend);
          tile.caption.after(legend.node);
        }
      }
      // A picture that stays where it is need not be moved.
      if (this.#grid.children[index] !== tile.node) this.#grid.insertBefore(tile.node, this.#grid.children[index] ?? null);
    }
    this.#grid.dataset.count = String(streams.length);
    this.#empty.hidden = streams.length > 0;
  }

  clear() {
    this.arrange({ device: '', streams: [] });
  }

  /** @param {import('./peer.js').Track} detail */
  attach({ stream, track, receiver }) {
    this.#tiles.get(stream)?.attach(track, receiver);
  }

  /** Says the same over every tile. @param {string} text */
  say(text) {
    for (const tile of this.#tiles.values()) tile.say(text);
  }

  /** What the server said about each stream, such as that it runs at another size. @param {import('realsense-webrtc/api').OfferedStream[]} offered */
  notes(offered) {
    for (const [stream, tile] of this.#tiles) showText(tile.note, offered.find((o) => o.stream_type === stream)?.note ?? '');
  }

  /** Refreshes the figures; call about once a second. */
  async poll() {
    await Promise.all([...this.#tiles.values()].map((tile) => tile.poll()));
  }

  /**
   * Takes back the figures of tiles without frames, and says why there are none; call a few times a second.
   * @param {(stream: string) => string} why
   */
  check(why) {
    for (const tile of this.#tiles.values()) {
      if (tile.flowing) continue;
      tile.blank();
      if (tile.late) tile.say(why(tile.stream));
    }
  }

  /** Streams whose frames come now. @returns {string[]} */
  get flowing() {
    return [...this.#tiles.values()].filter((tile) => tile.flowing).map((tile) => tile.stream);
  }

  /** Streams whose frames are missed. @returns {string[]} */
  get late() {
    return [...this.#tiles.values()].filter((tile) => tile.late).map((tile) => tile.stream);
  }

  /** Milliseconds without a new frame after which none come. */
  get staleMs() {
    return Math.max(0, ...[...this.#tiles.values()].map((tile) => tile.staleMs));
  }

  /** performance.now() of the newest frame of any tile. */
  get lastFrameAt() {
    return Math.max(0, ...[...this.#tiles.values()].map((tile) => tile.lastFrameAt));
  }

  scrollIntoView() {
    byId('video').scrollIntoView({ block: 'start', behavior: matchMedia('(prefers-reduced-motion: reduce)').matches ? 'auto' : 'smooth' });
  }
}
