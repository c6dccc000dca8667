// What a camera offers, out of its sensors' profiles. Pure.

const MOTION = ['gyro', 'accel', 'pose'];

/** @typedef {{type: string, resolutions: number[][], rates: number[]}} Offer a stream type with its sizes ([width, height]) and rates */

/**
 * The video streams that a device's sensors offer, with their sizes and rates.
 * @param {Pick<import('realsense-webrtc/api').SensorBody, 'supported_stream_profiles'>[]} sensors as the API lists them
 * @returns {Offer[]}
 */
export function videoStreams(sensors) {
  /** @type {Map<string, Offer>} */
  const found = new Map();
  for (const sensor of sensors) {
    for (const profile of sensor.supported_stream_profiles ?? []) {
      const type = String(profile.stream_type).toLowerCase();
      if (MOTION.includes(type) || !profile.resolutions?.some(([w]) => w > 0)) continue;
      const entry = found.get(type) ?? { type, resolutions: [], rates: [] };
      entry.resolutions.push(...profile.resolutions);
      entry.rates.push(...profile.fps);
      found.set(type, entry);
    }
  }
  const order = ['color', 'depth', 'infrared-1', 'infrared-2'];
  const rank = (/** @type {string} */ type) => (order.indexOf(type) + order.length + 1) % (order.length + 1);
  return [...found.values()].map((entry) => ({
    type: entry.type,
    resolutions: [...new Map(entry.resolutions.map((r) => [r.join('x'), r])).values()].sort((a, b) => a[0] * a[1] - b[0] * b[1]),
    rates: [...new Set(entry.rates)].sort((a, b) => a - b),
  })).sort((a, b) => rank(a.type) - rank(b.type) || a.type.localeCompare(b.type));
}

/**
 * The best entry of a list for a wish: the wish itself, or else the nearest.
 * @template T @param {T[]} list @param {(entry: T) => number} distance @returns {T|undefined}
 */
export function nearest(list, distance) {
  return list.reduce((best, entry) => (best === undefined || distance(entry) < distance(best) ? entry : best), /** @type {T|undefined} */ (undefined));
}
