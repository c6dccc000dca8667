// Failures in the page's own words. The server's sentences speak to developers who read the API. Pure.

/**
 * @param {{status: number, message: string}} error @param {string} camera serial number that was asked for, or ""
 * @returns {string} one sentence
 */
export function explain(error, camera) {
  if (error.status === 401) return 'This server asks for a token.';
  if (error.status === 403) return 'This server does not allow this page to watch.';
  if (error.status === 404 && camera) return `Camera ${camera} is not connected.`;
  return error.message;
}
