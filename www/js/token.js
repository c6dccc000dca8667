// The token for servers that ask for one: from the address, or typed in and kept as long as the tab. Owns its form.

import { byId } from './dom.js';

const KEY = 'realsense-token';

/** @param {URLSearchParams} query @returns {string} "" for none */
export function knownToken(query) {
  try {
    return query.get('token') ?? sessionStorage.getItem(KEY) ?? '';
  } catch {
    return ''; // storage may be forbidden: the token then lasts as long as the page
  }
}

/** Calls back when a token was typed in. @param {(token: string) => void} use */
export function onToken(use) {
  const input = /** @type {HTMLInputElement} */ (byId('token'));
  byId('token-form').addEventListener('submit', (event) => {
    event.preventDefault();
    const token = input.value.trim();
    if (token === '') return;
    try {
      sessionStorage.setItem(KEY, token);
    } catch {
      // see above
    }
    input.value = '';
    use(token);
  });
}
