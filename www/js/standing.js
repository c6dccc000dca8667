// How things stand, in few words. Pure.

/**
 * @typedef {object} Facts
 * @property {{state: import('./server.js').Server['state'], text: string}} server
 * @property {{state: import('./viewer.js').Viewer['state'], message: string, wanted: boolean}} viewer
 * @property {string} camera serial number of the picked camera, "" for none
 * @property {boolean} present whether that camera is there
 * @property {boolean} [seen] whether it was there before
 * @property {boolean} [isRecording] whether that camera is a recording that plays, or played
 * @property {boolean} [flowing] whether frames come
 * @property {boolean} [paused] whether a recording that plays is paused
 */

/**
 * The banner's words: the worst thing first.
 * @param {Facts} facts
 * @returns {{text: string, level?: 'warn'|'error', action?: string}} no text: no banner
 */
export function banner({ server, viewer, camera, present, seen = true, isRecording = false, flowing = false }) {
  if (server.state === 'down') {
    const more = viewer.wanted ? '; the video then returns by itself' : '';
    return { text: `${server.text} Trying again until it is back${more}.`, level: 'error' };
  }
  if (server.state === 'refused') return { text: server.text, level: 'error' };
  if (viewer.state === 'failed') return { text: viewer.message, level: 'error', action: 'Try again' };
  if (viewer.state === 'ended') return { text: viewer.message, level: 'warn', action: 'Watch again' };
  if (viewer.wanted && isRecording && !present && !flowing) return { text: 'This recording was closed. Play it again, or pick a camera.', level: 'warn' };
  if (viewer.wanted && camera && !present && !flowing) {
    const what = seen ? 'is unplugged. The video returns' : 'is not connected. The video begins';
    return { text: `Camera ${camera} ${what} by itself when the camera is plugged in.`, level: 'warn' };
  }
  if (viewer.state === 'waiting') return { text: `${viewer.message} Trying again by itself.`, level: 'warn', action: 'Try now' };
  if (server.state === 'degraded') return { text: server.text, level: 'warn' };
  return { text: '' };
}

/**
 * The pill at the top: whether video comes, where video is wanted; otherwise how the server is.
 * @param {Facts & {wasLive: boolean}} facts wasLive: whether this choice gave video before
 * @returns {{text: string, state: string}}
 */
export function pill({ server, viewer, present, flowing, wasLive, paused = false }) {
  if (server.state === 'refused') return { text: 'Token needed', state: 'refused' };
  if (viewer.wanted) {
    // Also while frames come: a picture that is held may be sent again for those who join.
    if (paused && present && viewer.state === 'live' && server.state === 'up') return { text: 'Paused', state: 'up' };
    if (flowing) return { text: 'Live', state: 'live' };
    if (server.state === 'down') return { text: 'Reconnecting…', state: 'down' };
    if (viewer.state === 'live' || !present) return { text: wasLive || !present ? 'No video' : 'Connecting…', state: 'degraded' };
    return { text: wasLive || viewer.state === 'waiting' ? 'Reconnecting…' : 'Connecting…', state: 'degraded' };
  }
  const texts = { unknown: 'Looking…', up: 'Server ready', degraded: 'Server degraded', down: 'No server' };
  return { text: texts[server.state], state: server.state };
}

/**
 * What an empty stage says.
 * @param {Facts & {cameras: number}} facts
 * @returns {{title: string, hint: string}}
 */
export function stage({ server, camera, present, isRecording = false, cameras }) {
  if (server.state === 'down') return { title: 'No server', hint: 'The page goes on by itself when the server answers.' };
  if (server.state === 'refused') return { title: 'Locked', hint: 'Type the server\u2019s token above.' };
  if (server.state === 'unknown') return { title: 'Nothing is playing', hint: 'Looking for the server and its cameras…' };
  if (cameras === 0) return { title: 'No camera', hint: 'Plug one in: it appears here by itself.' };
  if (isRecording && !present) return { title: 'This recording was closed', hint: 'Play it again, or pick a camera.' };
  if (camera && !present) return { title: 'This camera is not there', hint: 'Plug it in, or pick another one.' };
  return { title: 'Nothing is playing', hint: 'Tick the streams you want and press Start. Each tab may watch something different.' };
}

/**
 * The line below the list of streams.
 * @param {{ready: boolean, chosen: number, wanted: boolean, same: boolean, anyRuns: boolean}} facts `same`: what is
 *   ticked is what is watched
 * @returns {string}
 */
export function streamsHint({ ready, chosen, wanted, same, anyRuns }) {
  if (!ready) return '';
  if (chosen === 0) return 'Tick a stream.';
  if (wanted && !same) return 'Press Apply to watch what is ticked.';
  return anyRuns ? 'A stream that runs keeps its size and rate.' : '';
}
