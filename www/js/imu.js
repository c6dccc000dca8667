// The motion readout: gyro and accelerometer as numbers and a short history. Owns its elements; is given samples.

import { byId, el, setText } from './dom.js';

/** Samples kept for the curve. */
const HISTORY = 90;
const KINDS = [
  { type: 'gyro', name: 'Gyro', unit: 'rad/s', range: 0.5 },
  { type: 'accel', name: 'Accelerometer', unit: 'm/s²', range: 12 },
];
const AXES = /** @type {const} */ (['x', 'y', 'z']);

/**
 * @typedef {object} Row
 * @property {typeof KINDS[number]} kind @property {HTMLElement} node @property {HTMLCanvasElement} curve
 * @property {HTMLElement[]} values one for each axis @property {number[][]} history samples of all axes
 */

/** The motion panel. */
export class Imu {
  /** @type {Map<string, Row>} */
  #rows = new Map();
  #empty = el('p', { class: 'note' }, 'No motion data yet: it comes while the camera streams.');
  #lastAt = Number.NEGATIVE_INFINITY;

  constructor() {
    const root = byId('imu');
    root.append(this.#empty);
    for (const kind of KINDS) {
      const curve = el('canvas', { width: 240, height: 56, 'aria-hidden': 'true' });
      const values = AXES.map((axis) => el('span', { class: `axis axis-${axis}` }, el('b', {}, axis), el('output', {}, '–')));
      const node = el('div', { class: 'motion', hidden: true, 'data-motion': kind.type },
        el('div', { class: 'motion-head' }, el('strong', {}, kind.name), el('span', { class: 'note' }, kind.unit)),
        el('div', { class: 'axes' }, ...values), curve);
      root.append(node);
      this.#rows.set(kind.type, { kind, node, curve, values, history: [] });
    }
  }

  /** @param {import('realsense-webrtc/api').MetadataUpdate['metadata_streams']} streams */
  update(streams) {
    for (const [type, data] of Object.entries(streams ?? {})) {
      const row = this.#rows.get(type.toLowerCase());
      // A stream that has no frame yet is null.
      const motion = data?.motion_data;
      if (!row || !motion) continue;
      row.history.push(AXES.map((axis) => motion[axis]));
      if (row.history.length > HISTORY) row.history.shift();
      this.#lastAt = performance.now();
    }
  }

  /** Draws what came since; call a few times a second. */
  render() {
    const stale = performance.now() - this.#lastAt > 3000;
    this.#empty.hidden = !stale;
    for (const row of this.#rows.values()) {
      row.node.hidden = stale || row.history.length === 0;
      if (row.node.hidden) {
        row.history.length = 0;
        continue;
      }
      const newest = row.history[row.history.length - 1];
      newest.forEach((value, i) => setText(row.values[i].lastElementChild ?? row.values[i], twoDigits(value).padStart(6, '\u2007')));
      draw(row);
    }
  }
}

/** @param {number} value @returns {string} without the "-0.00" that noise around zero gives */
function twoDigits(value) {
  return ((Math.round(value * 100) || 0) / 100).toFixed(2);
}

/** @param {Row} row */
function draw({ kind, curve, history, values }) {
  const context = curve.getContext('2d');
  if (!context) return;
  const { width, height } = curve;
  context.clearRect(0, 0, width, height);
  const peak = Math.max(kind.range, ...history.flat().map(Math.abs));
  AXES.forEach((_, axis) => {
    context.strokeStyle = getComputedStyle(values[axis]).color;
    context.lineWidth = 1.5;
    context.beginPath();
    history.forEach((sample, i) => {
      const x = width - ((history.length - 1 - i) * width) / (HISTORY - 1);
      const y = height / 2 - (sample[axis] / peak) * (height / 2 - 2);
      if (i === 0) context.moveTo(x, y);
      else context.lineTo(x, y);
    });
    context.stroke();
  });
}
