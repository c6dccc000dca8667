// What was measured and counted, in words. Pure.

import { bitrate } from '../words.js';

/** @param {number|null|undefined} value @returns {string} "30.0/s" */
export function perSecond(value) {
  if (value === null || value === undefined || !Number.isFinite(value)) return '–';
  return `${value >= 100 ? Math.round(value) : value.toFixed(1)}/s`;
}

/** @param {number|null|undefined} ms @returns {string} "0.04 ms", "2.9 ms", "131 ms" */
export function milliseconds(ms) {
  if (ms === null || ms === undefined || !Number.isFinite(ms)) return '–';
  if (ms > 0 && ms < 0.005) return '<0.01 ms';
  if (ms < 0.995) return `${ms.toFixed(2)} ms`;
  return `${ms < 99.5 ? ms.toFixed(1) : Math.round(ms)} ms`;
}

/** @param {number|null|undefined} kbps @returns {string} */
export function kilobits(kbps) {
  return bitrate(kbps === null || kbps === undefined ? null : kbps * 1000);
}

/** @param {number} bytes @returns {string} "460 kB", "1.2 MB" */
export function bytesText(bytes) {
  if (bytes < 1000) return `${bytes} B`;
  return bytes < 1e6 ? `${Math.round(bytes / 1000)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
}

/** @typedef {Pick<import('realsense-webrtc/api').GraphQueue, 'buffers'|'max_buffers'>} Fill */

/** Dropped by an element or its queue. @param {Pick<import('realsense-webrtc/api').GraphElement, 'queue'|'meter'>} element @returns {number} */
export function droppedBy(element) {
  return (element.queue?.dropped ?? 0) + (element.meter?.dropped ?? 0);
}

/** @param {Fill} queue of an element @returns {string} "1 of 2 waiting", "3 waiting" */
export function queueText(queue) {
  return queue.max_buffers > 0 ? `${queue.buffers} of ${queue.max_buffers} waiting` : `${queue.buffers} waiting`;
}

/** @param {Fill} queue @returns {number} 0 to 1 */
export function fill(queue) {
  return queue.max_buffers > 0 ? Math.min(1, queue.buffers / queue.max_buffers) : queue.buffers > 0 ? 1 : 0;
}

/**
 * A property's value in one line.
 * @param {unknown} value @returns {string}
 */
export function valueText(value) {
  if (value === null || value === undefined) return 'none';
  if (value === '') return '""';
  return typeof value === 'object' ? JSON.stringify(value) : String(value);
}

/** What a fault says, with its place. @param {Pick<import('realsense-webrtc/api').Fault, 'file'|'line'|'column'>} fault @returns {string} "pipelines/color.h264.gst:18:5" */
export function placeOf(fault) {
  return [fault.file, fault.line, fault.column].filter((part) => part !== null && part !== undefined && part !== 0).join(':');
}

/** Milliseconds that samples are kept for a rate. */
const WINDOW_MS = 4000;

/** Rates from counters that are read about once a second. */
export class Rates {
  /** @type {Map<string, {at: number, bytes: number, frames: number, packets: number, lost: number}[]>} */
  #samples = new Map();

  /** @param {import('realsense-webrtc/api').WebRtcStatus[]} sessions @param {number} at milliseconds */
  add(sessions, at) {
    const seen = new Set();
    for (const session of sessions) {
      for (const stream of session.stats?.streams ?? []) {
        const key = `${session.session_id}/${stream.stream_type}`;
        seen.add(key);
        const sample = { at, bytes: stream.bytes_sent, frames: stream.frames_sent, packets: stream.packets_sent, lost: stream.packets_lost };
        const list = this.#samples.get(key) ?? [];
        if (list.length > 0 && sample.bytes < list[list.length - 1].bytes) list.length = 0; // a counter that begins anew
        list.push(sample);
        while (list.length > 2 && at - list[0].at > WINDOW_MS) list.shift();
        this.#samples.set(key, list);
      }
    }
    for (const key of this.#samples.keys()) if (!seen.has(key)) this.#samples.delete(key);
  }

  /**
   * @param {string} session @param {string} stream
   * @returns {{bitsPerSecond: number, fps: number, loss: number}|null} loss: share of the packets, 0 to 1; null while unknown
   */
  of(session, stream) {
    const list = this.#samples.get(`${session}/${stream}`) ?? [];
    const [first, last] = [list[0], list[list.length - 1]];
    if (!first || last.at <= first.at) return null;
    const seconds = (last.at - first.at) / 1000;
    const packets = last.packets - first.packets;
    return {
      bitsPerSecond: ((last.bytes - first.bytes) * 8) / seconds,
      fps: (last.frames - first.frames) / seconds,
      loss: packets > 0 ? Math.min(1, Math.max(0, (last.lost - first.lost) / packets)) : 0,
    };
  }
}
