// The grid of video tiles of this tab. Owns one tile per stream that is watched, and what is said over each.

import { byId } from './dom.js';
import { DepthProbe } from './probe.js';
import { FROZEN_MS, Tile } from './tile.js';

/** The tiles, in the order of the choice. */
export class Tiles {
  #grid = byId('tiles');
  #empty = byId('stage-empty');
  /** @type {Map<string, Tile>} */
  #tiles = new Map();
  #api;
  #offsetMs;

  /** @param {import('./api.js').Api} api @param {() => number} offsetMs server time to ours */
  constructor(api, offsetMs) {
    this.#api = api;
    this.#offsetMs = offsetMs;
  }

  /** Makes the grid match a choice; tiles that stay keep their last picture. */
  arrange({ device, streams }) {
    for (const [stream, tile] of this.#tiles) {
      if (streams.includes(stream) && tile.node.dataset.device === device) continue;
      tile.remove();
      this.#tiles.delete(stream);
    }
    for (const stream of streams) {
      let tile = this.#tiles.get(stream);
      if (!tile) {
        tile = new Tile(stream, this.#offsetMs);
        tile.node.dataset.device = device;
        this.#tiles.set(stream, tile);
        if (stream === 'depth') new DepthProbe(tile, (x, y) => this.#api.depthAtPixel(device, x, y));
      }
      this.#grid.append(tile.node);
    }
    this.#grid.dataset.count = String(streams.length);
    this.#empty.hidden = streams.length > 0;
  }

  clear() {
    this.arrange({ device: '', streams: [] });
  }

  attach({ stream, track, receiver }) {
    this.#tiles.get(stream)?.attach(track, receiver);
  }

  /** Says the same over every tile. @param {string} text */
  say(text) {
    for (const tile of this.#tiles.values()) tile.say(text);
  }

  /**
   * Refreshes figures and says where no frames come.
   * @param {(stream: string) => string} why what to say of a stream without frames
   */
  async poll(why) {
    const now = performance.now();
    await Promise.all([...this.#tiles.values()].map(async (tile) => {
      await tile.poll();
      if (tile.lastFrameAt > 0 && now - tile.lastFrameAt > FROZEN_MS) tile.say(why(tile.stream));
    }));
  }

  /** performance.now() of the newest frame of any tile. */
  get lastFrameAt() {
    return Math.max(0, ...[...this.#tiles.values()].map((tile) => tile.lastFrameAt));
  }

  scrollIntoView() {
    byId('video').scrollIntoView({ block: 'start', behavior: matchMedia('(prefers-reduced-motion: reduce)').matches ? 'auto' : 'smooth' });
  }
}
