// Waiting times between attempts. Pure: the caller owns the timer.

/** First and longest wait in milliseconds. */
export const FIRST_MS = 500;
export const LONGEST_MS = 5000;

/**
 * How long to wait before an attempt: doubles from 0.5 s to 5 s, spread by ±20 % so that many pages do not come back in
 * step after a server's restart, and never shorter than the server asked for (up to 10 s).
 * @param {number} failures attempts that failed in a row, from 1
 * @param {number|null} [retryAfterS] the server's Retry-After
 * @param {() => number} [random] 0…1
 * @returns {number} milliseconds
 */
export function waitMs(failures, retryAfterS = null, random = Math.random) {
  const base = Math.min(LONGEST_MS, FIRST_MS * 2 ** Math.max(0, failures - 1));
  const spread = Math.min(LONGEST_MS, base * (0.8 + 0.4 * random()));
  return Math.round(Math.max(spread, Math.min(retryAfterS ?? 0, 10) * 1000));
}
