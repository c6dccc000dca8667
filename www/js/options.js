// The options of a camera's sensors as controls that act at once. Owns their elements; the server owns the values.

import { byId, el, icon, isOff, setOff, setText, showText } from './dom.js';
import { isSwitch, optionName, quantity } from './values.js';

/** Milliseconds between two writes while a slider moves. */
const WRITE_EVERY_MS = 120;
/** Milliseconds of rest after which a changed value is written into the log: a slider passes many. */
const SETTLED_MS = 700;

/** @typedef {import('realsense-webrtc/api').OptionInfo} Option */
/** @typedef {HTMLInputElement|HTMLSelectElement} Input */

/** The options panel. */
export class Options {
  #node = byId('options');
  #api;
  #log;
  #device = '';
  /** What shows each option: sensor, then option id. @type {Map<string, Map<string, {update: (value: number) => void}>>} */
  #controls = new Map();
  /** Counts writes' beginnings and ends: values that were read across one may be older than it. */
  #epoch = 0;
  #open = new Set(matchMedia('(max-width: 860px)').matches ? [] : ['0']); // a phone's page is long enough

  /** @param {import('./api.js').Api} api @param {import('./log.js').Say} log */
  constructor(api, log) {
    this.#api = api;
    this.#log = log;
  }

  /** Shows that nothing can be set now, leaving the controls where they are. @param {boolean} away */
  set away(away) {
    this.#node.inert = away;
  }

  /** Reads the values of the groups that are open again: other viewers, and the camera itself, change them too. */
  async refresh() {
    const device = this.#device;
    if (this.#node.inert) return;
    const open = [...this.#node.querySelectorAll('details[open]')].map((node) => /** @type {HTMLElement} */ (node).dataset.sensor ?? '');
    await Promise.all(open.map(async (sensor) => {
      const epoch = this.#epoch;
      const list = await this.#api.options(device, sensor).catch(() => []); // the health poll says what is wrong
      if (epoch !== this.#epoch || device !== this.#device) return;
      for (const option of list) this.#controls.get(sensor)?.get(option.option_id)?.update(option.current_value);
    }));
  }

  /** @param {string} text instead of options */
  unavailable(text) {
    this.#controls.clear();
    this.away = false;
    this.#node.replaceChildren(el('p', { class: 'note' }, text));
  }

  /** @param {string} device @param {import('realsense-webrtc/api').SensorBody[]} sensors */
  show(device, sensors) {
    this.#device = device;
    this.#controls.clear();
    this.away = false;
    const groups = sensors.filter((sensor) => sensor.options.length > 0).map((sensor, index) => {
      const key = String(index);
      const body = el('div', { class: 'option-list' }, ...sensor.options.map((option) => this.#control(sensor.sensor_id, option)));
      const details = el('details', { class: 'sensor', 'data-sensor': sensor.sensor_id },
        el('summary', {}, sensor.name, el('span', { class: 'count' }, String(sensor.options.length))), body);
      details.open = this.#open.has(key);
      details.addEventListener('toggle', () => {
        if (details.open) {
          this.#open.add(key);
          this.refresh();
        } else {
          this.#open.delete(key);
        }
      });
      return details;
    });
    this.#node.replaceChildren(...(groups.length > 0 ? groups : [el('p', { class: 'note' }, 'This camera has no options.')]));
  }

  /** @param {string} sensor its id @param {Option} option */
  #control(sensor, option) {
    const id = `option-${sensor}-${option.option_id}`;
    const error = el('p', { class: 'field-error', role: 'alert', hidden: true });
    const shown = el('output', { class: 'option-value' });
    const name = optionName(option.name);
    const words = (/** @type {number} */ value) => option.value_descriptions?.[String(value)] ?? quantity(value, option.step, option.units);
    const input = option.read_only ? null : this.#input(id, option);
    const show = (/** @type {number} */ value) => {
      setText(shown, words(value));
      if (input) setInput(input, value);
      if (reset) setOff(reset, value === option.default_value);
    };
    let logging = 0;
    let writing = 0;
    const write = throttled(async (/** @type {number} */ value) => {
      this.#epoch += 1;
      const done = await this.#write(sensor, option, value, error);
      this.#epoch += 1;
      if (done) {
        clearTimeout(logging);
        logging = window.setTimeout(() => this.#log('info', `${name} set to ${words(value)}.`), SETTLED_MS);
      } else {
        show(await this.#read(sensor, option)); // the control says what holds, not what was tried
      }
    });
    const set = async (/** @type {number} */ value) => {
      show(value);
      writing += 1;
      await write(value);
      writing -= 1;
      if (writing === 0) this.refresh(); // one option may change others, as an exposure ends the automatic one
    };
    /** @type {HTMLButtonElement|null} */
    const reset = option.read_only ? null : el('button', {
      type: 'button', class: 'icon-button tiny', 'aria-label': `Set ${name} to its default`,
      title: `Default: ${words(option.default_value)}`, onclick: () => reset && !isOff(reset) && set(option.default_value),
    }, icon('reset'));
    // Never under somebody's hands: what is focused is read when it is left. A switch has no half-way state to lose.
    const held = () => writing > 0 || (input !== null && input.type !== 'checkbox' && input === document.activeElement);
    const update = (/** @type {number} */ value) => {
      if (!held()) show(value);
    };
    if (!this.#controls.has(sensor)) this.#controls.set(sensor, new Map());
    this.#controls.get(sensor)?.set(option.option_id, { update });
    input?.addEventListener('blur', () => this.refresh());
    input?.addEventListener('input', () => set(inputValue(input)));
    show(option.current_value);
    const hasOutput = option.read_only || input?.type === 'range';
    return el('div', { class: `option${option.read_only ? ' read-only' : ''}`, 'data-option': option.option_id },
      el('label', { htmlFor: id, title: option.description ?? '' }, name),
      hasOutput ? shown : null, input, reset,
      option.read_only ? el('span', { class: 'note' }, 'read-only') : null, error);
  }

  /** @param {string} id @param {Option} option @returns {Input} */
  #input(id, option) {
    if (isSwitch(option)) return el('input', { id, type: 'checkbox', role: 'switch' });
    if (option.value_descriptions && Object.keys(option.value_descriptions).length > 0) {
      const entries = Object.entries(option.value_descriptions).sort(([a], [b]) => Number(a) - Number(b));
      return el('select', { id }, ...entries.map(([v, text]) => el('option', { value: v }, text)));
    }
    const ranged = option.min_value !== null && option.max_value !== null && option.min_value !== undefined;
    return el('input', {
      id, type: ranged ? 'range' : 'number', min: option.min_value ?? undefined, max: option.max_value ?? undefined,
      step: option.step && option.step > 0 ? option.step : 'any',
    });
  }

  /** @param {string} sensor @param {Option} option @param {number} value @param {HTMLElement} error where a refusal is written */
  async #write(sensor, option, value, error) {
    try {
      await this.#api.setOption(this.#device, sensor, option.option_id, value);
      showText(error, '');
      return true;
    } catch (failure) {
      showText(error, failure.message);
      this.#log('error', `${optionName(option.name)}: ${failure.message}`);
      return false;
    }
  }

  /** @param {string} sensor @param {Option} option */
  async #read(sensor, option) {
    try {
      return (await this.#api.option(this.#device, sensor, option.option_id)).current_value;
    } catch {
      return option.current_value;
    }
  }
}

/** @param {Input} input @returns {input is HTMLInputElement} */
function isCheckbox(input) {
  return input.type === 'checkbox';
}

/** @param {Input} input */
function inputValue(input) {
  return isCheckbox(input) ? Number(input.checked) : Number(input.value);
}

/** @param {Input} input @param {number} value */
function setInput(input, value) {
  if (isCheckbox(input)) input.checked = value >= 0.5;
  else if (Number(input.value) !== value || input.value === '') input.value = String(value);
}

/** Calls `act` with the newest value, one call at a time and not too often; no last value is lost. @param {(value: number) => Promise<void>} act */
function throttled(act) {
  /** @type {{value: number}|null} */
  let pending = null;
  let busy = false;
  return async (/** @type {number} */ value) => {
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
