// How things read: names, sizes, times, browsers. Pure.

/** @type {Record<string, string|undefined>} */
const NAMES = { color: 'Color', depth: 'Depth', 'infrared-1': 'Infrared left', 'infrared-2': 'Infrared right' };

/** @param {string} type a stream type of the contract @returns {string} */
export function streamName(type) {
  return NAMES[type] ?? type.charAt(0).toUpperCase() + type.slice(1).replace('-', ' ');
}

/** @param {number|null|undefined} bitsPerSecond @returns {string} */
export function bitrate(bitsPerSecond) {
  if (bitsPerSecond === null || bitsPerSecond === undefined || !Number.isFinite(bitsPerSecond)) return '–';
  if (bitsPerSecond >= 1e6) return `${(bitsPerSecond / 1e6).toFixed(1)} Mbit/s`;
  return `${Math.round(bitsPerSecond / 1e3)} kbit/s`;
}

/** @param {number} seconds a duration @returns {string} "12 s", "3 min", "2 h 5 min" */
export function duration(seconds) {
  const s = Math.max(0, Math.floor(seconds));
  if (s < 60) return `${s} s`;
  const minutes = Math.floor(s / 60);
  if (minutes < 60) return `${minutes} min`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** @param {number} seconds a place in a recording, or its length @returns {string} "0:07", "12:34", "1:02:03" */
export function clockTime(seconds) {
  const s = Math.max(0, Math.floor(seconds));
  const two = (/** @type {number} */ n) => String(n).padStart(2, '0');
  const [hours, minutes] = [Math.floor(s / 3600), Math.floor(s / 60) % 60];
  return hours > 0 ? `${hours}:${two(minutes)}:${two(s % 60)}` : `${minutes}:${two(s % 60)}`;
}

/** @param {number} bytes @returns {string} "0.4 MB", "350 MB", "1.25 GB" */
export function megabytes(bytes) {
  if (bytes >= 1e9) return `${(bytes / 1e9).toFixed(2)} GB`;
  return bytes >= 1e7 ? `${Math.round(bytes / 1e6)} MB` : `${(bytes / 1e6).toFixed(1)} MB`;
}

/**
 * Who watches, in a few words.
 * @param {{user_agent?: string|null, via?: string|null}} session @returns {string}
 */
export function viewerName({ user_agent: userAgent, via }) {
  return via === 'relay' ? 'Viewer through the relay' : browserName(userAgent);
}

/**
 * The short name of a browser or program from its User-Agent.
 * @param {string|null|undefined} userAgent @returns {string}
 */
export function browserName(userAgent) {
  if (!userAgent) return 'Unknown client';
  /** @type {[RegExp, string][]} */
  const browsers = [
    [/Edg\/(\d+)/, 'Edge'],
    [/OPR\/(\d+)/, 'Opera'],
    [/Firefox\/(\d+)/, 'Firefox'],
    [/(?:Headless)?Chrom(?:e|ium)\/(\d+)/, 'Chrome'],
    [/Version\/(\d+)[\d.]* (?:Mobile\/\S+ )?Safari/, 'Safari'],
  ];
  /** @type {[RegExp, string][]} */
  const systems = [
    [/Android/, 'Android'],
    [/iPhone|iPad/, 'iOS'],
    [/Windows/, 'Windows'],
    [/Mac OS X/, 'macOS'],
    [/CrOS/, 'ChromeOS'],
    [/Linux/, 'Linux'],
  ];
  for (const [pattern, name] of browsers) {
    const found = userAgent.match(pattern);
    if (found) {
      const system = systems.find(([s]) => s.test(userAgent));
      return `${name} ${found[1]}${system ? ` on ${system[1]}` : ''}`;
    }
  }
  return userAgent.split(/[\s/]/)[0].slice(0, 30);
}

/** @param {Pick<import('realsense-webrtc/api').DeviceInfo, 'playback'|'physical_port'>|null|undefined} device @returns {string} the file that it plays, "" if it is a camera or the name is not told */
export function recordingOf(device) {
  return device?.playback ? /^recording (.+)$/.exec(device.physical_port ?? '')?.[1] ?? '' : '';
}

/** @param {{width: number, height: number, framerate: number}} p @returns {string} */
export function profileText(p) {
  return `${p.width}×${p.height} at ${p.framerate} fps`;
}
