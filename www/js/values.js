// The values of camera options as people read them. Pure.

/** @type {Record<string, string|undefined>} */
const UNITS = {
  microseconds: 'µs', milliseconds: 'ms', seconds: 's', milliwatts: 'mW', meters: 'm', millimeters: 'mm', celsius: '°C',
  kelvin: 'K', hertz: 'Hz', percent: '%', degrees: '°',
};

/** @param {string|null|undefined} unit as the server names it @returns {string} " µs", or "" for none */
export function unitText(unit) {
  return unit ? ` ${UNITS[unit.toLowerCase()] ?? unit}` : '';
}

/**
 * A value with its unit; times are shown in the unit that suits their size, whatever the camera counts in.
 * @param {number} value @param {number|null|undefined} step @param {string|null|undefined} unit as the server names it
 * @returns {string} "8.5 ms", "300 µs", "4600 K"
 */
export function quantity(value, step, unit) {
  const time = /^(\d+)?\s*(microseconds|milliseconds)$/i.exec(unit ?? '');
  if (!time || !Number.isFinite(value)) return `${valueText(value, step)}${unitText(unit)}`;
  const us = value * Number(time[1] ?? 1) * (time[2].toLowerCase() === 'milliseconds' ? 1000 : 1);
  return us >= 1000 ? `${Number((us / 1000).toFixed(us >= 100000 ? 0 : 1))} ms` : `${Number(us.toFixed(0))} µs`;
}

const ACRONYMS = ['ASIC', 'RGB', 'IR', 'HDR', 'USB', 'IMU', 'LED'];

/**
 * An option's name as a label: in sentence case, without the "Enable" that every switch begins with.
 * @param {string} name "Enable Auto Exposure" @returns {string} "Auto exposure"
 */
export function optionName(name) {
  const words = name.replace(/^Enable (?=\S)/, '').split(' ').map((word) => {
    const upper = word.toUpperCase();
    return ACRONYMS.includes(upper) ? upper : word.toLowerCase();
  });
  words[0] = words[0].charAt(0).toUpperCase() + words[0].slice(1);
  return words.join(' ');
}

/** Whether an option is a plain switch: 0 or 1, with no names for them but off and on. @param {Partial<import('realsense-webrtc/api').OptionInfo>} option */
export function isSwitch(option) {
  const names = Object.values(option.value_descriptions ?? {}).map((name) => String(name).toLowerCase());
  const plain = names.length === 0 || (names.length === 2 && names.includes('off') && names.includes('on'));
  return option.min_value === 0 && option.max_value === 1 && (option.step ?? 1) === 1 && plain;
}

/**
 * A value in the option's own grain, without the noise of binary fractions.
 * @param {number} value @param {number|null|undefined} step @returns {string}
 */
export function valueText(value, step) {
  if (!Number.isFinite(value)) return '–';
  const grain = step && step > 0 ? step : 0.001;
  const digits = Math.min(6, Math.max(0, -Math.floor(Math.log10(grain) + 1e-9)));
  return String(Number(value.toFixed(digits)));
}
