// The values of camera options as people read them. Pure.

/** Whether an option is a plain switch. @param {any} option */
export function isSwitch(option) {
  return option.min_value === 0 && option.max_value === 1 && (option.step ?? 1) === 1 && !option.value_descriptions;
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
