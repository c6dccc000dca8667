// How things stand, in one sentence for the banner. Pure.

/**
 * The banner's words: the worst thing first.
 * @param {object} facts
 * @param {{state: string, text: string}} facts.server
 * @param {{state: string, message: string, wanted: boolean}} facts.viewer
 * @param {string} facts.camera serial number of the picked camera, "" for none
 * @param {boolean} facts.present whether that camera is there
 * @returns {{text: string, level?: 'warn'|'error', action?: string}} no text: no banner
 */
export function banner({ server, viewer, camera, present }) {
  if (server.state === 'down') {
    const more = viewer.wanted ? '; the video then returns by itself' : '';
    return { text: `${server.text} Trying again until it is back${more}.`, level: 'error' };
  }
  if (server.state === 'refused') return { text: `${server.text} Open this page with ?token=… to pass the token.`, level: 'error' };
  if (viewer.state === 'waiting') return { text: `${viewer.message} Trying again by itself.`, level: 'warn', action: 'Try now' };
  if (viewer.state === 'failed') return { text: viewer.message, level: 'error', action: 'Try again' };
  if (viewer.state === 'ended') return { text: viewer.message, level: 'warn', action: 'Watch again' };
  if (viewer.wanted && camera && !present) {
    return { text: `Camera ${camera} is unplugged. The video returns when the camera does.`, level: 'warn' };
  }
  if (server.state === 'degraded') return { text: server.text, level: 'warn' };
  return { text: '' };
}
