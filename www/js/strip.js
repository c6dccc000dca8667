// Reads the simulated camera's frame strip (docs/reference/frame-strip.md) from pixels. Pure: takes RGBA, gives numbers.

const COLUMNS = 40;
const ROWS = 2;
const BITS = COLUMNS * ROWS;
const SYNC = 0xb2;
const SYNC_ONES = [0, 2, 3, 6];
const SYNC_ZEROS = [1, 4, 5, 7];
/** Least luma distance between a one and a zero; less is no strip. */
const LEAST_CONTRAST = 16;
/** @type {Record<number, string|undefined>} */
const STREAMS = { 1: 'color', 2: 'depth', 3: 'infrared-1', 4: 'infrared-2' };

/**
 * Where the strip lies in a picture of this width.
 * @param {number} width of the encoded picture, pixels
 * @returns {{cell: number, width: number, height: number}} pixels
 */
export function stripSize(width) {
  const cell = width >= 640 ? 16 : 8;
  return { cell, width: cell * COLUMNS, height: cell * ROWS };
}

/** CRC-16/CCITT-FALSE. @param {Uint8Array|number[]} bytes @returns {number} */
export function crc16(bytes) {
  let crc = 0xffff;
  for (const byte of bytes) {
    crc ^= byte << 8;
    for (let bit = 0; bit < 8; bit += 1) crc = crc & 0x8000 ? ((crc << 1) ^ 0x1021) & 0xffff : (crc << 1) & 0xffff;
  }
  return crc;
}

/**
 * @typedef {object} Strip
 * @property {number} frame low 16 bits of the frame number
 * @property {number} timeMs low 32 bits of the capture time, Unix milliseconds
 * @property {string} stream stream type @property {number} camera
 */

/**
 * Decodes the strip from the top left corner of a picture.
 * @param {Uint8ClampedArray|Uint8Array} rgba at least the strip's rows @param {number} stride pixels per row of `rgba`
 * @param {number} cell pixels per cell
 * @returns {Strip|null} null where there is no strip, or a damaged one
 */
export function decodeStrip(rgba, stride, cell) {
  if (rgba.length < stride * cell * ROWS * 4 || stride < cell * COLUMNS) return null;
  const luma = new Float64Array(BITS);
  for (let bit = 0; bit < BITS; bit += 1) luma[bit] = cellLuma(rgba, stride, cell, bit % COLUMNS, Math.floor(bit / COLUMNS));
  const mean = (/** @type {number[]} */ cells) => cells.reduce((sum, i) => sum + luma[i], 0) / cells.length;
  const one = mean(SYNC_ONES);
  const zero = mean(SYNC_ZEROS);
  if (one - zero < LEAST_CONTRAST) return null;
  const threshold = (one + zero) / 2;
  const bytes = new Uint8Array(BITS / 8);
  for (let bit = 0; bit < BITS; bit += 1) if (luma[bit] > threshold) bytes[bit >> 3] |= 0x80 >> (bit & 7);
  if (bytes[0] !== SYNC || crc16(bytes.subarray(0, 8)) !== ((bytes[8] << 8) | bytes[9])) return null;
  return {
    frame: (bytes[1] << 8) | bytes[2],
    timeMs: new DataView(bytes.buffer).getUint32(3),
    stream: STREAMS[bytes[7] >> 4] ?? `stream-${bytes[7] >> 4}`,
    camera: bytes[7] & 15,
  };
}

/** @param {Uint8ClampedArray|Uint8Array} rgba @param {number} stride @param {number} cell @param {number} column @param {number} row */
function cellLuma(rgba, stride, cell, column, row) {
  const from = cell / 4;
  const to = (cell * 3) / 4;
  let sum = 0;
  for (let y = row * cell + from; y < row * cell + to; y += 1) {
    for (let x = column * cell + from; x < column * cell + to; x += 1) {
      const i = (y * stride + x) * 4;
      sum += 0.299 * rgba[i] + 0.587 * rgba[i + 1] + 0.114 * rgba[i + 2];
    }
  }
  return sum / (to - from) ** 2;
}

/**
 * Milliseconds from a capture time to now, from the low 32 bits of both.
 * @param {number} timeMs from the strip @param {number} nowMs Unix milliseconds
 * @returns {number} negative where the clocks differ that way
 */
export function ageMs(timeMs, nowMs) {
  return (Math.round(nowMs) - timeMs) | 0; // 32-bit wrap-around with sign
}

/** How many frames lie between two strip counters. @param {number} before @param {number} after @returns {number} 0…65535 */
export function framesBetween(before, after) {
  return (after - before) & 0xffff;
}
