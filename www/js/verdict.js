// What to do when something failed. Pure.

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
 * @param {{unattended: boolean, reason: string|undefined}} facts reason: why it ended, in the server's word; undefined where it
 *   does not know, as after a restart
 * @returns {'reopen'|'ended'} ended = somebody closed it on purpose
 */
export function afterLoss({ unattended, reason }) {
  return reason === 'closed_by_request' && !unattended ? 'ended' : 'reopen';
}
