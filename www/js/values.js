// The values of camera options as people read them. Pure.

const UNITS = {
  microseconds: 'µs', milliseconds: 'ms', seconds: 's', milliwatts: 'mW', meters: 'm', millimeters: 'mm', celsius: '°C',
  kelvin: 'K', hertz: 'Hz', percent: '%', degrees: '°',
};

/** @param {string|null|undefined} unit as the server names it @returns {string} " µs", or "" for none */
export function unitText(unit) {
  return unit ? ` ${UNITS[unit.toLowerCase()] ?? unit}` : '';
}

/** Whether an option is a plain switch: 0 or 1, with no names for them but off and on. @param {any} option */
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
