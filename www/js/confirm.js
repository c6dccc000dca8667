// A question in the page, in a <dialog>: it keeps the focus inside, Escape answers no, and the focus goes back after.

import { byId, setText } from './dom.js';

/**
 * Asks before something that cannot be taken back.
 * @param {string} question @param {string} yes what the confirming button says
 * @returns {Promise<boolean>}
 */
export function confirmInPage(question, yes) {
  const dialog = /** @type {HTMLDialogElement} */ (byId('confirm'));
  if (!dialog.showModal) return Promise.resolve(confirm(question)); // older browsers have no dialogs of the page
  setText(byId('confirm-text'), question);
  setText(byId('confirm-yes'), yes);
  dialog.returnValue = '';
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener('close', () => resolve(dialog.returnValue === 'yes'), { once: true });
  });
}
