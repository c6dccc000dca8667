// Time limits that a stopped page does not use up. Owns their timers.

import { STOPPED_MS } from './awake.js';

/**
 * Calls `act` after `ms`, unless it is cancelled. A limit that passed while the page was stopped (a machine that slept, a frozen
 * tab) says nothing about whoever was waited for, so it is granted once more.
 * @param {number} ms @param {() => void} act @returns {() => void} cancels it
 */
export function after(ms, act) {
  const due = performance.now() + ms;
  const wallDue = Date.now() + ms;
  let timer = setTimeout(() => {
    const lateMs = Math.max(performance.now() - due, Date.now() - wallDue);
    if (lateMs > STOPPED_MS) timer = setTimeout(act, ms);
    else act();
  }, ms);
  return () => clearTimeout(timer);
}
