// The options of a camera's sensors as controls that act at once. Owns their elements; the server owns the values.

import { byId, el, icon, setText, showText } from './dom.js';
import { isSwitch, unitText, valueText } from './values.js';

/** Milliseconds between two writes while a slider moves. */
const WRITE_EVERY_MS = 120;

/** The options panel. */
export class Options {
  #node = byId('options');
  #api;
  #log;
  #device = '';
  #open = new Set(matchMedia('(max-width: 860px)').matches ? [] : ['0']); // a phone's page is long enough

  /** @param {import('./api.js').Api} api @param {(level: string, text: string) => void} log */
  constructor(api, log) {
    this.#api = api;
    this.#log = log;
  }

  /** @param {string} text instead of options */
  unavailable(text) {
    this.#node.replaceChildren(el('p', { class: 'note' }, text));
  }

  /** @param {string} device @param {any[]} sensors */
  show(device, sensors) {
    this.#device = device;
    const groups = sensors.filter((sensor) => sensor.options?.length > 0).map((sensor, index) => {
      const key = String(index);
      const body = el('div', { class: 'option-list' }, ...sensor.options.map((option) => this.#control(sensor.sensor_id, option)));
      const details = /** @type {HTMLDetailsElement} */ (el('details', { class: 'sensor' },
        el('summary', {}, sensor.name, el('span', { class: 'count' }, String(sensor.options.length))), body));
      details.open = this.#open.has(key);
      details.addEventListener('toggle', () => {
        if (details.open) this.#open.add(key);
        else this.#open.delete(key);
      });
      return details;
    });
    this.#node.replaceChildren(...(groups.length > 0 ? groups : [el('p', { class: 'note' }, 'This camera has no options.')]));
  }

  #control(sensor, option) {
    const id = `option-${sensor}-${option.option_id}`;
    const error = el('p', { class: 'field-error', role: 'alert', hidden: true });
    const shown = el('output', { class: 'option-value' });
    const units = unitText(option.units);
    let value = option.current_value;
    const input = option.read_only ? null : this.#input(id, option);
    const show = (next) => {
      value = next;
      setText(shown, option.value_descriptions?.[String(next)] ?? `${valueText(next, option.step)}${units}`);
      if (input) setInput(input, next);
      reset?.toggleAttribute('disabled', next === option.default_value);
    };
    const write = throttled(async (next) => {
      if (!(await this.#write(sensor, option, next, error))) {
        show(await this.#read(sensor, option, value)); // the control says what holds, not what was tried
      } else {
        option.current_value = next;
      }
    });
    const set = (next) => {
      show(next);
      write(next);
    };
    const reset = option.read_only ? null : el('button', {
      type: 'button', class: 'icon-button tiny', 'aria-label': `Set ${option.name} to its default`,
      title: `Default: ${valueText(option.default_value, option.step)}${units}`, onclick: () => set(option.default_value),
    }, icon('reset'));
    input?.addEventListener('input', () => set(inputValue(input)));
    show(value);
    const hasOutput = option.read_only || input?.type === 'range';
    return el('div', { class: `option${option.read_only ? ' read-only' : ''}`, 'data-option': option.option_id },
      el('label', { htmlFor: id, title: option.description ?? '' }, option.name),
      hasOutput ? shown : null, input, reset,
      option.read_only ? el('span', { class: 'note' }, 'read-only') : null, error);
  }

  #input(id, option) {
    if (isSwitch(option)) return /** @type {HTMLInputElement} */ (el('input', { id, type: 'checkbox', role: 'switch' }));
    if (option.value_descriptions && Object.keys(option.value_descriptions).length > 0) {
      const entries = Object.entries(option.value_descriptions).sort(([a], [b]) => Number(a) - Number(b));
      return /** @type {HTMLSelectElement} */ (el('select', { id }, ...entries.map(([v, text]) => el('option', { value: v }, text))));
    }
    const ranged = option.min_value !== null && option.max_value !== null && option.min_value !== undefined;
    return /** @type {HTMLInputElement} */ (el('input', {
      id, type: ranged ? 'range' : 'number', min: option.min_value ?? undefined, max: option.max_value ?? undefined,
      step: option.step && option.step > 0 ? option.step : 'any',
    }));
  }

  async #write(sensor, option, value, error) {
    try {
      await this.#api.setOption(this.#device, sensor, option.option_id, value);
      showText(error, '');
      return true;
    } catch (failure) {
      showText(error, failure.message);
      this.#log('error', `${option.name}: ${failure.message}`);
      return false;
    }
  }

  async #read(sensor, option, fallback) {
    try {
      return (await this.#api.option(this.#device, sensor, option.option_id)).current_value;
    } catch {
      return option.current_value ?? fallback;
    }
  }
}

function inputValue(input) {
  return input.type === 'checkbox' ? Number(input.checked) : Number(input.value);
}

function setInput(input, value) {
  if (input.type === 'checkbox') input.checked = value >= 0.5;
  else if (Number(input.value) !== value || input.value === '') input.value = String(value);
}

/** Calls `act` with the newest value, one call at a time and not too often; no last value is lost. */
function throttled(act) {
  let pending = null;
  let busy = false;
  return async (value) => {
    pending = { value };
    if (busy) return;
    busy = true;
    while (pending) {
      const next = pending.value;
      pending = null;
      await act(next);
      if (pending) await new Promise((resolve) => setTimeout(resolve, WRITE_EVERY_MS));
    }
    busy = false;
  };
}
