// What to do when something failed. Pure.

/** A session younger than this that ends by itself while its video flowed was ended by somebody; older ones ran out. */
const LIFETIME_MS = 50 * 60 * 1000;
/** Video that came less than this long ago counts as flowing. */
const FLOWING_MS = 3000;

/**
 * Whether trying again can help.
 * @param {number} status HTTP status, 0 when no answer came
 * @param {boolean} persistent true when the camera was there before or the page runs unattended
 */
export function worthRetrying(status, persistent) {
  if ([0, 409, 429, 500, 502, 503, 504].includes(status)) return true;
  return persistent && status === 404;
}

/**
 * What to do about a session that the server no longer has.
 * @param {{unattended: boolean, serverWasDown: boolean, ageMs: number, sinceFrameMs: number}} facts
 * @returns {'reopen'|'ended'} ended = somebody closed it on purpose
 */
export function afterLoss({ unattended, serverWasDown, ageMs, sinceFrameMs }) {
  if (unattended || serverWasDown || ageMs >= LIFETIME_MS) return 'reopen';
  return sinceFrameMs < FLOWING_MS ? 'ended' : 'reopen';
}
