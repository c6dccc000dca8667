// The bar below a depth picture: which colour means how many metres, and two fields to change it. Owns its elements; the
// server owns the range, which is one for all viewers of a camera.

import { el, showText } from './dom.js';

/** Milliseconds between looks at what others set. */
const LOOK_EVERY_MS = 5000;

/** What a depth tile shows below its picture. */
export class DepthLegend {
  #api;
  #device;
  #say;
  #timer;
  #error = el('p', { class: 'field-error', role: 'alert', hidden: true });
  #near = field('near', 'Nearest depth shown, in metres');
  #far = field('far', 'Farthest depth shown, in metres');

  /** @param {import('./api.js').Api} api @param {string} device @param {import('./log.js').Say} say */
  constructor(api, device, say) {
    this.#api = api;
    this.#device = device;
    this.#say = say;
    this.node = el('div', { class: 'legend', role: 'group', 'aria-label': 'Depth colours' },
      this.#near, el('span', { class: 'legend-bar', role: 'img', 'aria-label': 'From dark blue, near, over green to dark red, far' }), this.#far, el('span', { class: 'note' }, 'm'), this.#error);
    for (const input of [this.#near, this.#far]) {
      input.addEventListener('change', () => this.#set());
      input.addEventListener('blur', () => this.load());
    }
    this.#timer = window.setInterval(() => this.load(), LOOK_EVERY_MS);
    this.load();
  }

  remove() {
    clearInterval(this.#timer);
  }

  /** Shows the range that holds, unless somebody is typing another. */
  async load() {
    if (document.hidden || this.#held()) return;
    const range = await this.#api.depthRange(this.#device).catch(() => null); // said elsewhere: this repeats itself
    if (range && !this.#held() && this.#error.hidden) this.#show(range);
  }

  #held() {
    return this.#near === document.activeElement || this.#far === document.activeElement;
  }

  /** @param {import('realsense-webrtc/api').DepthRange} range */
  #show({ min_depth: near, max_depth: far }) {
    this.#near.value = String(near);
    this.#far.value = String(far);
  }

  async #set() {
    const [near, far] = [this.#near.valueAsNumber, this.#far.valueAsNumber];
    if (!(near >= 0 && near < far)) {
      showText(this.#error, 'The first number must be smaller than the second.');
      return;
    }
    try {
      const range = await this.#api.setDepthRange(this.#device, near, far);
      this.#show(range);
      showText(this.#error, '');
      this.#say('info', `Depth colours now run from ${range.min_depth} m to ${range.max_depth} m, for every viewer.`);
    } catch (error) {
      showText(this.#error, error.message);
    }
  }
}

/** @param {string} name @param {string} label */
function field(name, label) {
  return el('input', {
    type: 'number', name, min: '0', max: '65.5', step: 'any', inputMode: 'decimal', 'aria-label': label, title: label,
  });
}
