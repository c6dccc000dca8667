// The depth tile's measuring point: hover, tap, or move by arrow keys, and read metres. Owns the crosshair of one tile.

import { el } from './dom.js';
import { pixelAt } from './geometry.js';

/** Milliseconds between two questions to the server while the point rests or moves. */
const ASK_EVERY_MS = 200;
/** Pixels of the picture that an arrow key moves the point. */
const KEY_STEP = 10;

/** Makes a depth tile tell metres. */
export class DepthProbe {
  #tile;
  #ask;
  #pixel = /** @type {{x: number, y: number}|null} */ (null);
  #pinned = false;
  #busy = false;
  #timer = 0;

  /**
   * @param {import('./tile.js').Tile} tile
   * @param {(x: number, y: number) => Promise<Pick<import('realsense-webrtc/api').DepthAtPixel, 'depth'>>} ask
   */
  constructor(tile, ask) {
    this.#tile = tile;
    this.#ask = ask;
    this.label = el('output', { class: 'probe-label' });
    this.cross = el('div', { class: 'probe', hidden: true }, this.label);
    tile.screen.append(this.cross);
    tile.screen.classList.add('probing');
    tile.screen.tabIndex = 0;
    tile.screen.setAttribute('role', 'application');
    tile.screen.setAttribute('aria-label', 'Depth picture. Arrow keys move the measuring point, Escape removes it.');
    tile.screen.addEventListener('pointermove', (event) => {
      if (!this.#pinned && event.pointerType === 'mouse') this.#moveTo(event);
    });
    tile.screen.addEventListener('pointerleave', () => !this.#pinned && this.clear());
    tile.screen.addEventListener('click', (event) => {
      this.#pinned = !this.#pinned;
      this.#moveTo(event);
    });
    tile.screen.addEventListener('keydown', (event) => this.#onKey(event));
  }

  clear() {
    this.#pixel = null;
    this.#pinned = false;
    this.cross.hidden = true;
    clearInterval(this.#timer);
    this.#timer = 0;
  }

  #picture() {
    return { width: this.#tile.video.videoWidth, height: this.#tile.video.videoHeight };
  }

  /** @param {PointerEvent|MouseEvent} event */
  #moveTo(event) {
    const box = this.#tile.video.getBoundingClientRect();
    const pixel = pixelAt(box, this.#picture(), event.clientX - box.left, event.clientY - box.top);
    if (pixel) this.#show(pixel);
    else this.clear();
  }

  /** @param {KeyboardEvent} event */
  #onKey(event) {
    /** @type {Record<string, [number, number]|undefined>} */
    const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    const move = moves[event.key];
    if (event.key === 'Escape' && this.#pixel) this.clear();
    else if (move) {
      const { width, height } = this.#picture();
      if (width === 0) return;
      event.preventDefault();
      const from = this.#pixel ?? { x: Math.floor(width / 2), y: Math.floor(height / 2) };
      const step = this.#pixel ? KEY_STEP : 0; // the first key puts the point into the middle
      this.#pinned = true;
      this.#show({
        x: Math.min(width - 1, Math.max(0, from.x + move[0] * step)),
        y: Math.min(height - 1, Math.max(0, from.y + move[1] * step)),
      });
    }
  }

  /** @param {{x: number, y: number}} pixel of the picture */
  #show(pixel) {
    this.#pixel = pixel;
    const { width, height } = this.#picture();
    const box = this.#tile.video.getBoundingClientRect();
    const scale = Math.min(box.width / width, box.height / height);
    this.cross.style.left = `${(box.width - width * scale) / 2 + (pixel.x + 0.5) * scale}px`;
    this.cross.style.top = `${(box.height - height * scale) / 2 + (pixel.y + 0.5) * scale}px`;
    this.cross.classList.toggle('flip', pixel.x > width * 0.75);
    this.cross.hidden = false;
    this.cross.classList.toggle('pinned', this.#pinned);
    if (!this.#timer) {
      this.#timer = window.setInterval(() => this.#measure(), ASK_EVERY_MS);
      this.#measure();
    }
  }

  async #measure() {
    const pixel = this.#pixel;
    if (!pixel || this.#busy || document.hidden) return;
    this.#busy = true;
    try {
      const { depth } = await this.#ask(pixel.x, pixel.y);
      this.label.textContent = depth === null || depth === 0 ? 'no depth here' : `${depth.toFixed(3)} m`;
    } catch (error) {
      this.label.textContent = error.message;
    } finally {
      this.#busy = false;
    }
  }
}
