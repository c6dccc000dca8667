// The admin token: asked for when the server refuses a change without it, kept in memory as long as the page. Owns its dialog.

import { byId, setText } from '../dom.js';

/** Remembers the admin token. */
export class Admin {
  #token = '';
  #dialog = /** @type {HTMLDialogElement} */ (byId('admin'));
  #input = /** @type {HTMLInputElement} */ (byId('admin-token'));

  constructor() {
    byId('admin-cancel').addEventListener('click', () => this.#dialog.close(''));
  }

  /**
   * Does something that may need the token; asks for one as long as it is refused and somebody gives one.
   * @template T
   * @param {(token: string) => Promise<T>} work token: "" while none is known
   * @returns {Promise<T>}
   * @throws {import('../api.js').ApiError} the last refusal, or what else went wrong
   */
  async run(work) {
    for (;;) {
      try {
        return await work(this.#token);
      } catch (error) {
        if (!tokenHelps(error)) throw error;
        const given = await this.#ask(this.#token === '' ? 'Changing this is for administrators.' : 'The server does not accept this token.');
        if (given === '') throw error;
        this.#token = given;
      }
    }
  }

  /** @param {string} why @returns {Promise<string>} "" when nobody gives one */
  #ask(why) {
    if (!this.#dialog.showModal) return Promise.resolve(prompt(`${why} Admin token:`)?.trim() ?? ''); // older browsers have no dialogs of the page
    setText(byId('admin-why'), why);
    this.#input.value = '';
    this.#dialog.returnValue = '';
    this.#dialog.showModal();
    this.#input.focus();
    return new Promise((resolve) => {
      this.#dialog.addEventListener('close', () => resolve(this.#dialog.returnValue === 'yes' ? this.#input.value.trim() : ''), { once: true });
    });
  }
}

/**
 * Whether a token could change the answer: it cannot where none is configured, or where the property is not listed.
 * @param {import('../api.js').ApiError} error
 */
function tokenHelps({ status, message }) {
  return (status === 401 || status === 403) && /token/.test(message) && !/has none/.test(message);
}
