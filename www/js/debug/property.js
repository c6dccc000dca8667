// One property of an element: its value, what it is otherwise, and a control where it may be set. Owns its list item.

import { el, setText } from '../dom.js';
import { valueText } from './figures.js';

/** @typedef {Partial<import('realsense-webrtc/api').PropertyInfo>} Info what is known of a property: the graph tells its value only */

/** @param {Info} info @returns {boolean} whether it differs from its default */
const changed = (info) => info.default !== undefined && JSON.stringify(info.value) !== JSON.stringify(info.default);

const rank = (/** @type {Info} */ info) => (info.settable ? 0 : changed(info) ? 1 : 2);

/** Those that may be set first, then those that were, then the rest by name. @param {[string, Info]} a @param {[string, Info]} b */
export function orderOf([a, first], [b, second]) {
  return rank(first) - rank(second) || a.localeCompare(b);
}

/** A property as a list item. */
export class Property {
  #name;
  #info;
  #value = el('span', { class: 'prop-value' });
  #default = el('span', { class: 'note' });
  /** @type {HTMLInputElement|HTMLSelectElement|null} */
  #input = null;
  #state = el('span', { class: 'note', role: 'status' });

  /** @param {string} name @param {Info} info @param {(value: unknown) => Promise<boolean>} set */
  constructor(name, info, set) {
    this.#name = name;
    this.#info = info;
    const control = info.settable ? this.#control(set) : this.#value;
    const about = [info.description, rangeOf(info), info.mutable_playing === false ? 'Cannot be changed while it plays.' : ''].filter(Boolean).join(' · ');
    this.node = el('li', { class: 'prop', 'data-property': name },
      el('code', { class: 'prop-name' }, name), control, this.#default, info.settable ? this.#state : null,
      about ? el('p', { class: 'note prop-about' }, about) : null);
    this.update(info);
  }

  /** Whether it is worth showing at once. */
  get notable() {
    if (this.#name === 'name') return false; // it is the panel's title
    return this.#info.default === undefined || this.#info.settable || changed(this.#info);
  }

  /** @param {string} text in lower case */
  matches(text) {
    return `${this.#name} ${valueText(this.#info.value)} ${this.#info.description ?? ''}`.toLowerCase().includes(text);
  }

  /** @param {Info} info */
  update(info) {
    this.#info = info;
    setText(this.#value, valueText(info.value));
    setText(this.#default, changed(info) ? `default ${valueText(info.default)}` : '');
    this.node.dataset.changed = String(changed(info));
    if (!this.#input || this.#input === document.activeElement) return; // never under somebody's hands
    if (this.#input.type === 'checkbox') /** @type {HTMLInputElement} */ (this.#input).checked = info.value === true;
    else this.#input.value = String(info.value ?? '');
  }

  /** @param {(value: unknown) => Promise<boolean>} set */
  #control(set) {
    const info = this.#info;
    const label = `Value of ${this.#name}`;
    const write = async (/** @type {unknown} */ value) => {
      setText(this.#state, 'setting…');
      setText(this.#state, (await set(value)) ? 'set' : 'not set');
    };
    if (typeof info.value === 'boolean') {
      const box = el('input', { type: 'checkbox', role: 'switch', 'aria-label': label });
      box.addEventListener('change', () => write(box.checked));
      this.#input = box;
      return box;
    }
    if (info.values && info.values.length > 0) {
      const select = el('select', { 'aria-label': label }, ...info.values.map((nick) => el('option', { value: nick }, nick)));
      select.addEventListener('change', () => write(select.value));
      this.#input = select;
      return select;
    }
    const number = typeof info.value === 'number';
    const input = el('input', {
      type: number ? 'number' : 'text', min: info.min ?? undefined, max: info.max ?? undefined, step: number ? 'any' : undefined,
      'aria-label': label, required: true,
    });
    this.#input = input;
    const form = el('form', { class: 'prop-form' }, input, el('button', { type: 'submit', class: 'small' }, 'Set'));
    form.addEventListener('submit', (event) => {
      event.preventDefault();
      write(number ? Number(input.value) : input.value);
    });
    return form;
  }
}

/** @param {Info} info */
function rangeOf({ min, max, values, type }) {
  if (values && values.length > 0) return values.join(', ');
  if (typeof min === 'number' && typeof max === 'number') return `${min} to ${max}`;
  return type === 'gboolean' ? '' : type ?? '';
}
