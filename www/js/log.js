// The log panel: the newest lines first out of sight, never more than a bound. Owns its list element.

import { byId, el } from './dom.js';

/** Most lines kept. */
export const MAX_LINES = 200;
/** @typedef {'info'|'warn'|'error'} Level */
/** @typedef {(level: Level, text: string) => void} Say writes a line into the log */

const LABELS = { info: 'info', warn: 'warn', error: 'error' };

/** A bounded list of messages with levels. */
export class Log {
  #list = byId('log');

  constructor() {
    const level = /** @type {HTMLSelectElement} */ (byId('log-level'));
    level.addEventListener('change', () => {
      this.#list.dataset.level = level.value;
    });
    byId('log-clear').addEventListener('click', () => this.#list.replaceChildren());
  }

  /** @param {Level} level @param {string} text */
  add(level, text) {
    const list = this.#list;
    const last = /** @type {HTMLElement|null} */ (list.lastElementChild);
    if (last?.dataset.text === text) {
      // The same again: count it rather than push everything else out.
      const times = Number(last.dataset.times ?? '1') + 1;
      last.dataset.times = String(times);
      const count = last.querySelector('.times') ?? last.appendChild(el('span', { class: 'times' }));
      count.textContent = `×${times}`;
      return;
    }
    const atEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 30;
    const now = new Date();
    list.append(el('li', { 'data-level': level, 'data-text': text },
      el('time', { dateTime: now.toISOString() }, now.toLocaleTimeString([], { hour12: false })),
      el('span', { class: 'level' }, LABELS[level]),
      el('span', { class: 'text' }, text)));
    while (list.childElementCount > MAX_LINES) list.firstElementChild?.remove();
    if (atEnd) list.scrollTop = list.scrollHeight;
  }
}
