// The choice of streams: a check box with size and rate for each video stream the camera offers. Owns the choice.

import { byId, el, reconcile, setText } from './dom.js';
import { nearest, videoStreams } from './profiles.js';
import { profileText, streamName } from './words.js';

/** The most m-lines for later streams that the server lets a session ask for. */
const MOST_SPARE = 4;
const USUAL = { width: 640, height: 480, framerate: 30 };

/** Event `change`: the user changed the choice. */
export class Streams extends EventTarget {
  #node = byId('stream-list');
  #note = byId('streams-note');
  /** @type {ReturnType<typeof videoStreams>} */
  #offers = [];
  #wanted;
  /** Whether some stream of the camera runs, for whomever. */
  anyRuns = false;

  /** @param {string[]} wanted stream types to tick at first */
  constructor(wanted) {
    super();
    this.#wanted = new Set(wanted.length > 0 ? wanted : ['color']);
  }

  /** Shows what these sensors offer. @param {import('realsense-webrtc/api').SensorBody[]} sensors */
  show(sensors) {
    this.#offers = videoStreams(sensors);
    reconcile(this.#node, this.#offers, (offer) => JSON.stringify(offer), (offer) => this.#create(offer), () => {});
    this.away = false;
    this.hint(this.#offers.length === 0 ? 'This camera offers no video stream.' : '');
  }

  /** The stream types that the camera offers. */
  get types() {
    return this.#offers.map((offer) => offer.type);
  }

  /** Says something below the list, whose place is kept when there is nothing to say. @param {string} text */
  hint(text) {
    setText(this.#note, text);
  }

  /** Shows that nothing can be chosen now, leaving the ticks where they are. @param {boolean} away */
  set away(away) {
    this.#node.inert = away;
  }

  /** Shows why there is nothing to choose. @param {string} text */
  unavailable(text) {
    this.#offers = [];
    this.#node.replaceChildren();
    this.hint(text);
  }

  /** Fixes the selects of streams that run already, since later viewers get what runs. @param {import('realsense-webrtc/api').RunningConfig[]} configs */
  running(configs) {
    let some = false;
    for (const offer of this.#offers) {
      const row = this.#row(offer.type);
      const config = configs.find((c) => c.stream_type === offer.type);
      row.title = config ? `${streamName(offer.type)} runs at ${profileText({ ...config.resolution, framerate: config.framerate })}.` : '';
      for (const select of row.querySelectorAll('select')) select.disabled = Boolean(config);
      if (!config) continue;
      some = true;
      const { resolution, framerate } = config;
      this.#select(row, 'size').value = `${resolution.width}x${resolution.height}`;
      this.#select(row, 'rate').value = String(framerate);
    }
    this.anyRuns = some;
  }

  /** @returns {{streams: string[], profiles: import('./viewer.js').Profiles, spare: number}} spare: how many are not ticked */
  choice() {
    /** @type {string[]} */
    const streams = [];
    /** @type {import('./viewer.js').Profiles} */
    const profiles = {};
    for (const { type } of this.#offers) {
      const row = this.#row(type);
      if (!(/** @type {HTMLInputElement} */ (row.querySelector('input')).checked)) continue;
      const [width, height] = this.#select(row, 'size').value.split('x').map(Number);
      streams.push(type);
      profiles[type] = { width, height, framerate: Number(this.#select(row, 'rate').value) };
    }
    return { streams, profiles, spare: Math.min(MOST_SPARE, this.#offers.length - streams.length) };
  }

  /** Ticks the first stream if none is ticked: a recording need not have those of the camera before it. */
  tickOne() {
    const boxes = [...this.#node.querySelectorAll('input')];
    if (boxes.length > 0 && !boxes.some((box) => box.checked)) boxes[0].click();
  }

  /** @param {string} type @returns {HTMLElement} */
  #row(type) {
    return /** @type {HTMLElement} */ (this.#node.querySelector(`input[value="${CSS.escape(type)}"]`)?.closest('.stream'));
  }

  /** @param {HTMLElement} row @param {string} name */
  #select(row, name) {
    return /** @type {HTMLSelectElement} */ (row.querySelector(`select[name="${name}"]`));
  }

  /** @param {import('./profiles.js').Offer} offer */
  #create(offer) {
    const changed = () => {
      const { streams } = this.choice();
      this.#wanted = new Set(streams);
      this.dispatchEvent(new Event('change'));
    };
    const name = streamName(offer.type);
    const size = nearest(offer.resolutions, ([w, h]) => Math.abs(w - USUAL.width) + Math.abs(h - USUAL.height));
    const rate = nearest(offer.rates, (fps) => Math.abs(fps - USUAL.framerate));
    const select = (/** @type {string} */ title, /** @type {string} */ what, /** @type {string[][]} */ values, /** @type {string|undefined} */ chosen) => {
      const node = el('select', { name: what, 'aria-label': `${name}: ${title}`, onchange: changed },
        ...values.map(([value, text]) => el('option', { value }, text)));
      if (chosen !== undefined) node.value = chosen;
      return node;
    };
    const box = el('input', { type: 'checkbox', name: 'stream', value: offer.type, onchange: changed });
    box.checked = this.#wanted.has(offer.type);
    const label = el('label', { class: 'stream-name' }, box, name);
    return el('div', { class: 'stream' }, label,
      el('span', { class: 'stream-selects' },
        select('resolution', 'size', offer.resolutions.map(([w, h]) => [`${w}x${h}`, `${w}×${h}`]), size && `${size[0]}x${size[1]}`),
        select('frames per second', 'rate', offer.rates.map((fps) => [String(fps), `${fps} fps`]), rate === undefined ? undefined : String(rate))));
  }
}
