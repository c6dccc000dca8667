// Arithmetic on WebRTC statistics. Pure: it is given reports and times and asks nobody.

/**
 * @typedef {object} Sample one inbound stream at one time
 * @property {number} at milliseconds
 * @property {number} frames decoded so far
 * @property {number} bytes received so far
 * @property {number} lost packets
 * @property {number} dropped frames
 * @property {number} width pixels @property {number} height pixels
 * @property {number} bufferS seconds that frames spent in the jitter buffer, summed
 * @property {number} buffered number of frames in that sum
 * @property {string} codec "H264", "VP8", or ""
 * @property {number|null} rttS of the connection, seconds
 */

/**
 * Takes one stream's numbers out of a report.
 * @param {Iterable<any>} report the values of an RTCStatsReport
 * @returns {Sample|null} null while nothing was received
 */
export function sampleOf(report) {
  let inbound = null;
  const codecs = new Map();
  let rttS = null;
  for (const entry of report) {
    if (entry.type === 'inbound-rtp' && entry.kind === 'video') inbound = entry;
    else if (entry.type === 'codec') codecs.set(entry.id, entry.mimeType);
    else if (entry.type === 'candidate-pair' && (entry.nominated || entry.selected) && entry.currentRoundTripTime !== undefined) {
      rttS = entry.currentRoundTripTime;
    }
  }
  if (!inbound) return null;
  return {
    at: inbound.timestamp,
    frames: inbound.framesDecoded ?? 0,
    bytes: inbound.bytesReceived ?? 0,
    lost: inbound.packetsLost ?? 0,
    dropped: inbound.framesDropped ?? 0,
    width: inbound.frameWidth ?? 0,
    height: inbound.frameHeight ?? 0,
    bufferS: inbound.jitterBufferDelay ?? 0,
    buffered: inbound.jitterBufferEmittedCount ?? 0,
    codec: (codecs.get(inbound.codecId) ?? '').split('/').pop() ?? '',
    rttS,
  };
}

/**
 * Rates between two samples of the same stream.
 * @param {Sample|null} before @param {Sample} after
 * @returns {{fps: number|null, bitsPerSecond: number|null, estimateMs: number|null}} null where not yet known;
 *   `estimateMs` is the jitter buffer's delay plus half the round trip, which leaves out capture, encoder and screen
 */
export function ratesOf(before, after) {
  // A counter that went back belongs to a new connection.
  if (!before || after.at <= before.at || after.frames < before.frames || after.bytes < before.bytes) {
    return { fps: null, bitsPerSecond: null, estimateMs: null };
  }
  const seconds = (after.at - before.at) / 1000;
  const emitted = after.buffered - before.buffered;
  const buffer = emitted > 0 ? (after.bufferS - before.bufferS) / emitted : null;
  return {
    fps: (after.frames - before.frames) / seconds,
    bitsPerSecond: ((after.bytes - before.bytes) * 8) / seconds,
    estimateMs: buffer === null ? null : (buffer + (after.rttS ?? 0) / 2) * 1000,
  };
}

/** @param {number[]} values @returns {number|null} the middle one */
export function median(values) {
  if (values.length === 0) return null;
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)];
}

/**
 * The distance between the server's clock and ours, learned from the server's time in its messages. The quickest message
 * of the last ones tells best, since delay only ever adds.
 */
export class ClockOffset {
  #differences = /** @type {number[]} */ ([]);

  /** @param {number} serverMs time in the message @param {number} localMs time of its arrival (both Unix, ms) */
  add(serverMs, localMs) {
    this.#differences.push(localMs - serverMs);
    if (this.#differences.length > 300) this.#differences.shift();
  }

  /**
   * What to add to a server time to get ours.
   * @param {number} oneWayMs how long the quickest message is taken to have been under way
   * @returns {number} 0 where nothing is known
   */
  ms(oneWayMs = 0) {
    if (this.#differences.length === 0) return 0;
    return Math.min(...this.#differences) - oneWayMs;
  }
}
