// What the process costs, from Prometheus' text. Pure.

/**
 * The values without labels.
 * @param {string} text @returns {Map<string, number>}
 */
export function plainValues(text) {
  const values = new Map();
  for (const line of text.split('\n')) {
    const found = /^([a-zA-Z_:][\w:]*) (\S+)/.exec(line);
    if (found) values.set(found[1], Number(found[2]));
  }
  return values;
}

/** @param {Map<string, number>} values @param {number} at milliseconds */
export function sampleOf(values, at) {
  return { at, cpuS: values.get('process_cpu_seconds_total') ?? Number.NaN };
}

/**
 * @param {string} text of /metrics @param {{at: number, cpuS: number}|null} before what this gave the last time
 * @param {number} at milliseconds
 * @returns {{text: string, sample: {at: number, cpuS: number}}} "34 % of a core · 88 MB · 61 threads · 120 files"
 */
export function processText(text, before, at) {
  const values = plainValues(text);
  const sample = sampleOf(values, at);
  const words = [];
  const share = before && at > before.at ? ((sample.cpuS - before.cpuS) * 100000) / (at - before.at) : Number.NaN;
  if (share >= 0) words.push(`${Math.round(share)} % of a core`);
  const bytes = values.get('process_resident_memory_bytes');
  if (bytes) words.push(`${Math.round(bytes / 1e6)} MB`);
  const threads = values.get('process_threads');
  if (threads) words.push(`${threads} threads`);
  const files = values.get('process_open_fds');
  if (files) words.push(`${files} files`);
  return { text: words.join(' · '), sample };
}
