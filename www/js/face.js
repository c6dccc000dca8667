// The page's face: Start and Stop, the pill, the banner, the empty stage. Shows how things stand; decides nothing.

import { byId, setText, showText } from './dom.js';
import { banner, pill, stage, streamsHint } from './standing.js';

const start = /** @type {HTMLButtonElement} */ (byId('start'));
const stop = /** @type {HTMLButtonElement} */ (byId('stop'));
const bannerAction = /** @type {HTMLButtonElement} */ (byId('banner-action'));

/**
 * Turns a button on or off; the focus, if it was there, goes to the other one rather than nowhere.
 * @param {HTMLButtonElement} button @param {boolean} on @param {HTMLButtonElement} other
 */
function enable(button, on, other) {
  const focused = !on && button === document.activeElement;
  button.disabled = !on;
  if (focused) (other.disabled ? byId('video') : other).focus();
}

/**
 * @param {{server: import('./server.js').Server, viewer: import('./viewer.js').Viewer, devices: import('./devices.js').Devices,
 *   streams: import('./streams.js').Streams, deck: import('./deck.js').Deck, flow: import('./flow.js').Flow}} parts
 */
export function showFace({ server, viewer, devices, streams, deck, flow }) {
  const { streams: chosen } = streams.choice();
  const present = Boolean(devices.device);
  const ready = server.reachable && present;
  // Whether the choice in the form is what is being watched.
  const same = viewer.wanted && viewer.choice?.device === devices.picked && viewer.choice.streams.join() === chosen.join();
  const facts = {
    server, viewer, camera: devices.picked, present, seen: devices.seen, isRecording: devices.isRecording, flowing: flow.flows,
    wasLive: flow.wasLive, cameras: devices.list.length, paused: deck.paused,
  };
  const mayStart = ready && chosen.length > 0 && !same;
  if (mayStart) start.disabled = false; // before the other is turned off, so that it can take the focus
  enable(stop, viewer.wanted, start);
  enable(start, mayStart, stop);
  setText(start.querySelector('span') ?? start, viewer.wanted && !same ? 'Apply' : 'Start');
  if (streams.types.length > 0) {
    streams.hint(streamsHint({ ready, chosen: chosen.length, wanted: viewer.wanted, same, anyRuns: streams.anyRuns }));
  }
  const { text: pillText, state: pillState } = pill(facts);
  setText(byId('server-state'), pillText);
  byId('server-state').dataset.state = pillState;
  document.body.dataset.viewer = viewer.state;
  const empty = stage(facts);
  setText(byId('stage-title'), empty.title);
  setText(byId('stage-hint'), empty.hint);
  const { text, level, action } = banner(facts);
  setText(byId('banner-text'), text);
  byId('banner').hidden = text === '';
  byId('banner').dataset.level = level ?? '';
  showText(bannerAction, action ?? '');
  byId('token-form').hidden = server.state !== 'refused';
}
