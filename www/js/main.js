// Puts the page together: polls, wires events to panels, and says how things stand. Owns no panel's contents.

import { Api } from './api.js';
import { byId, setText, showText } from './dom.js';
import { Deck } from './deck.js';
import { Devices } from './devices.js';
import { Events } from './events.js';
import { explain } from './explain.js';
import { Happenings } from './happenings.js';
import { Imu } from './imu.js';
import { Log } from './log.js';
import { Options } from './options.js';
import { Panels } from './panels.js';
import { poll } from './poll.js';
import { Presets } from './presets.js';
import { Recordings } from './recordings.js';
import { banner, pill, stage, streamsHint } from './standing.js';
import { ClockOffset } from './stats.js';
import { Streams } from './streams.js';
import { Tiles } from './tiles.js';
import { knownToken, onToken } from './token.js';
import { Viewer } from './viewer.js';
import { streamName } from './words.js';

/** Milliseconds between polls. */
const HEALTH_EVERY_MS = 2500;
const PANELS_EVERY_MS = 1500;
const DEVICES_EVERY_MS = 4000;
const FIGURES_EVERY_MS = 1000;
const FRAMES_EVERY_MS = 250;
const OPTIONS_EVERY_MS = 3000;
const RECORDINGS_EVERY_MS = 5000;
const DECK_EVERY_MS = 1000;
/** Milliseconds without video, camera and server being there, after which a new session is tried. */
const GIVE_UP_FROZEN_MS = 10000;
/** Milliseconds that a camera or a session that is new is given before the log speaks of missing pictures. */
const RESTING_MS = 4000;
/** A session that ended less than this long before the server went was ended by the server's going. */
const RESTART_MS = 15000;

const query = new URLSearchParams(location.search);
const wantedStreams = (query.get('streams') ?? '').split(',').map((s) => s.trim()).filter(Boolean);
const log = new Log();
const say = log.add.bind(log);
const api = new Api(location.href, knownToken(query));
const clock = new ClockOffset();
const sameMachine = ['localhost', '127.0.0.1', '[::1]'].includes(location.hostname);
const tiles = new Tiles(api, () => (sameMachine ? 0 : clock.ms()), say);
const devices = new Devices(api, query.get('device') ?? '', say);
const streams = new Streams(wantedStreams);
const options = new Options(api, say);
const panels = new Panels(api, say);
const deck = new Deck(api, say);
const presets = new Presets(api, say);
const recordings = new Recordings(api, say);
const imu = new Imu();
const events = new Events(api);
const happenings = new Happenings(say);
const viewer = new Viewer(api);
viewer.unattended = ['1', 'true', 'yes'].includes(query.get('autostart') ?? '');

/** How the server is: unknown | up | degraded | down | refused. */
let server = { state: 'unknown', text: '' };
let autostart = viewer.unattended;
let sdk = false; // whether the server has librealsense: it plays recordings then, even with no camera
let checkToken = true;
let flowed = false;
let wasLive = false;
let sensorsOf = '';
let toPlay = ''; // a recording that was opened here, until it is known which streams it has
let namedUnknown = false;
let endedAt = 0;
let deviceBackAt = 0;
let lastReopenAt = 0;
let deckChangedAt = 0;

const start = /** @type {HTMLButtonElement} */ (byId('start'));
const stop = /** @type {HTMLButtonElement} */ (byId('stop'));
const bannerAction = /** @type {HTMLButtonElement} */ (byId('banner-action'));

async function checkHealth() {
  const before = server.state;
  try {
    const health = await api.health();
    // Health is open to all; whether the rest is open to this page shows at a request that needs the token.
    if (before !== 'up' || checkToken) await api.iceServers().catch((error) => [401, 403].includes(error.status) && Promise.reject(error));
    checkToken = false;
    server = { state: 'up', text: '' };
    sdk = Boolean(health.sdk_version) && health.sdk_version !== 'none';
    setText(byId('version'), `realsense-webrtc ${health.version ?? ''} · ${sdk ? `librealsense ${health.sdk_version}` : 'no camera SDK'}`);
  } catch (error) {
    const state = error.status === 503 ? 'degraded' : error.status === 401 || error.status === 403 ? 'refused' : 'down';
    const text = state === 'refused' && api.token ? 'The server does not accept this token.' : explain(error, '');
    server = { state, text };
  }
  if (server.state === before) return;
  if (server.state === 'down') onServerDown();
  else onServerUp(before);
  render();
}

function onServerDown() {
  say('warn', 'The server cannot be reached; trying again until it is back.');
  viewer.serverWasDown = true;
  events.disconnect();
  devices.unknown();
  showDeck();
  panels.unknown('Not known: the server cannot be reached.');
  streams.away = true;
  options.away = true;
  if (viewer.state === 'ended' && performance.now() - endedAt < RESTART_MS) viewer.sessionGone();
}

function onServerUp(before) {
  if (server.state === 'refused') {
    say('error', server.text);
    devices.unknown();
    panels.unknown('Not shown without the token.');
    streams.unavailable('');
    options.unavailable('Not shown without the token.');
    render();
    byId('token').focus();
    return;
  }
  say(server.state === 'up' ? 'info' : 'warn', before === 'down' ? 'The server is back.' : server.text || 'Connected to the server.');
  events.connect();
  sensorsOf = '';
  refreshDevices();
  refreshPanels();
  viewer.nudge();
}

const reachable = () => server.state === 'up' || server.state === 'degraded';

async function loadDevices() {
  if (!reachable()) return;
  const wasThere = Boolean(devices.device);
  if (!(await devices.load())) return;
  panels.severalCameras = devices.list.length > 1;
  happenings.presence(devices.picked, Boolean(devices.device), devices.isRecording);
  if (devices.device && !wasThere) {
    deviceBackAt = performance.now();
    viewer.nudge();
  }
  await loadSensors();
}

async function loadSensors() {
  const device = devices.device;
  if (!device && devices.seen && sensorsOf) {
    sensorsOf = ''; // asked anew when it is back; what is shown stays, but cannot be used
    streams.away = true;
    options.away = true;
  } else if (!device && !devices.seen) {
    streams.unavailable('');
    options.unavailable(devices.picked || devices.list.length === 0 ? 'They appear with the camera.' : 'Pick a camera first.');
  } else if (device && sensorsOf !== device.device_id) {
    try {
      const sensors = await api.sensors(device.device_id);
      if (devices.picked !== device.device_id) return; // another was picked meanwhile
      sensorsOf = device.device_id;
      streams.show(sensors);
      options.show(device.device_id, sensors);
      nameUnknownStreams();
    } catch (error) {
      streams.unavailable(explain(error, device.device_id));
      options.unavailable(explain(error, device.device_id));
    }
  }
  if (autostart && (device || devices.picked || devices.list.length === 0)) {
    const choice = streams.choice();
    if (choice.streams.length === 0) choice.streams = wantedStreams.length > 0 ? wantedStreams : ['color'];
    if (devices.picked) watch(choice);
  }
  if (toPlay !== '' && sensorsOf === toPlay) {
    toPlay = '';
    streams.tickOne();
    if (streams.types.length > 0) watch(streams.choice());
  }
  render();
}

/** Streams that the address asks for and the camera does not have: said once. */
function nameUnknownStreams() {
  const unknown = wantedStreams.filter((stream) => !streams.types.includes(stream));
  if (unknown.length === 0 || namedUnknown) return;
  namedUnknown = true;
  say('warn', `The address asks for ${unknown.map((s) => `"${s}"`).join(', ')}, which this camera does not have. It has ${streams.types.join(', ')}.`);
}

async function loadPanels() {
  if (!reachable()) return;
  const asked = viewer.state === 'live' ? viewer.peer?.sessionId : null;
  try {
    await panels.load(() => viewer.peer?.sessionId ?? null);
  } catch (error) {
    checkToken ||= error.status === 401 || error.status === 403;
    refreshHealth(); // says in one place what is wrong
    return;
  }
  if (asked && viewer.state === 'live' && viewer.peer?.sessionId === asked) {
    if (panels.sessions.some((s) => s.session_id === asked)) viewer.serverWasDown = false; // it only could not be heard
    else viewer.sessionGone();
  }
  streams.running(panels.running[devices.picked]?.configs ?? []);
  render();
}

async function showFigures() {
  await tiles.poll();
  imu.render();
  const now = performance.now();
  const frozenMs = now - Math.max(tiles.lastFrameAt, deviceBackAt, lastReopenAt, deckChangedAt);
  if (viewer.state === 'live' && reachable() && devices.device && !deck.paused && frozenMs > GIVE_UP_FROZEN_MS) {
    lastReopenAt = now;
    viewer.reopen(`no video for ${Math.round(frozenMs / 1000)} s`);
  }
}

/** Whether frames come, and what is to be said where they do not. */
async function checkFrames() {
  viewer.lastFrameAt = tiles.lastFrameAt;
  tiles.check(whyFrozen);
  const flows = tiles.flowing.length > 0;
  const settled = performance.now() - Math.max(deviceBackAt, lastReopenAt, deckChangedAt) > RESTING_MS;
  if (viewer.state === 'live' && server.state === 'up' && devices.device && !deck.paused && settled) happenings.stalls(tiles.late);
  else happenings.forget();
  if (flows) wasLive = true;
  if (flows !== flowed) {
    flowed = flows;
    refreshHealth();
    refreshDevices();
  }
  render();
}

function whyFrozen() {
  if (!viewer.wanted) return viewer.message || 'Stopped.';
  if (server.state === 'down') return 'No server';
  if (!devices.device) return devices.isRecording ? 'Closed' : devices.seen ? 'Unplugged' : 'Not connected';
  if (deck.paused) return 'Paused.';
  if (viewer.state === 'live') return 'The camera delivers no new picture.';
  return wasLive ? 'Reconnecting…' : 'Connecting…';
}

/** @param {{streams: string[], profiles?: object}} choice */
function watch(choice) {
  autostart = false;
  const wish = { device: devices.picked, streams: choice.streams, profiles: choice.profiles ?? {} };
  wasLive = false;
  tiles.arrange(wish);
  tiles.notes([]);
  tiles.say('Connecting…');
  query.set('device', wish.device);
  query.set('streams', wish.streams.join(','));
  writeAddress();
  say('info', `Asking for ${wish.streams.map(streamName).join(', ')} of camera ${wish.device}.`);
  viewer.watch(wish);
  if (matchMedia('(max-width: 860px)').matches) tiles.scrollIntoView();
}

function writeAddress() {
  history.replaceState(null, '', `?${query.toString().replaceAll('%2C', ',')}`);
}

/** Whether the choice in the form is what is being watched. */
function chosenRuns() {
  const { streams: chosen } = streams.choice();
  return viewer.wanted && viewer.choice?.device === devices.picked && viewer.choice.streams.join() === chosen.join();
}

/** Turns a button off; the focus, if it was there, goes to the other one rather than nowhere. */
function enable(button, on, other) {
  const focused = !on && button === document.activeElement;
  button.disabled = !on;
  if (focused) (other.disabled ? byId('video') : other).focus();
}

function render() {
  const { streams: chosen } = streams.choice();
  const present = Boolean(devices.device);
  const ready = reachable() && present;
  const same = chosenRuns();
  const facts = {
    server, viewer, camera: devices.picked, present, seen: devices.seen, isRecording: devices.isRecording, flowing: flowed, wasLive, cameras: devices.list.length,
    paused: deck.paused,
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

/** What can be done with the picked camera besides watching; what is shown is asked at once. */
function showDeck() {
  const device = reachable() ? devices.device : null;
  const another = deck.show(device);
  presets.show(device);
  if (another) refreshDeck();
  showRecordings();
}

function showRecordings() {
  if (recordings.show(reachable(), sdk, devices.list, deck.writing)) refreshRecordings();
}

/** Plays what somebody has just opened: that is what it was opened for. @param {string} device */
function playRecording(device) {
  viewer.unattended = false;
  toPlay = device;
  if (devices.picked !== device) devices.pick(device);
  else loadSensors();
  tiles.scrollIntoView();
}

/** The smallest viewer shows the same camera, and needs the same token. */
function linkSmallest() {
  const more = new URLSearchParams();
  if (devices.picked) more.set('device', devices.picked);
  if (api.token) more.set('token', api.token);
  const link = /** @type {HTMLAnchorElement} */ (byId('smallest'));
  link.href = `minimal.html${more.size > 0 ? `?${more}` : ''}`;
}

viewer.addEventListener('state', () => {
  if (viewer.state === 'live') say('info', `Watching ${viewer.choice?.streams.map(streamName).join(', ')}.`);
  if (viewer.state === 'live') {
    lastReopenAt = performance.now();
    tiles.notes(viewer.peer?.offered ?? []);
  }
  if (viewer.state === 'ended') endedAt = performance.now();
  if (viewer.state === 'ended' || viewer.state === 'failed') tiles.say(viewer.message);
  if (viewer.state === 'waiting') refreshHealth();
  if (viewer.state === 'idle') tiles.clear();
  if (viewer.state === 'idle' || viewer.state === 'live') refreshDevices();
  refreshPanels();
  render();
});
viewer.addEventListener('track', (event) => tiles.attach(/** @type {CustomEvent} */ (event).detail));
viewer.addEventListener('log', (event) => say(/** @type {CustomEvent} */ (event).detail.level, /** @type {CustomEvent} */ (event).detail.text));
devices.addEventListener('pick', () => {
  sensorsOf = '';
  showDeck();
  loadSensors();
});
devices.addEventListener('change', () => {
  linkSmallest();
  showDeck();
  render();
});
streams.addEventListener('change', render);
deck.addEventListener('change', () => {
  deckChangedAt = performance.now();
  render();
});
deck.addEventListener('recording', showRecordings);
devices.addEventListener('closing', (event) => {
  const { device } = /** @type {CustomEvent} */ (event).detail;
  viewer.unattended = false;
  if (viewer.wanted && viewer.choice?.device === device) viewer.stop();
  if (query.get('device') === device) query.delete('device'); // a reload would wait for it
  writeAddress();
});
recordings.addEventListener('opened', (event) => {
  const { device } = /** @type {CustomEvent} */ (event).detail;
  devices.add(device);
  playRecording(device.device_id);
  refreshDevices();
});
recordings.addEventListener('pick', (event) => playRecording(/** @type {CustomEvent} */ (event).detail.device));
recordings.addEventListener('deleted', (event) => deck.forget(/** @type {CustomEvent} */ (event).detail.name));
presets.addEventListener('loaded', () => options.refresh());
panels.addEventListener('closing', (event) => {
  const { id } = /** @type {CustomEvent} */ (event).detail;
  if (viewer.wanted && (id === null || id === viewer.peer?.sessionId)) viewer.stop();
});
panels.addEventListener('changed', () => refreshPanels());
events.addEventListener('metadata', (event) => {
  const update = /** @type {CustomEvent} */ (event).detail;
  if (typeof update.timestamp_server === 'number') clock.add(update.timestamp_server * 1000, Date.now());
  if (update.device_id === devices.picked) imu.update(update.metadata_streams);
});
events.addEventListener('sessions', () => {
  refreshPanels();
  refreshDevices();
});
events.addEventListener('goodbye', () => {
  viewer.serverWasDown = true; // sessions that end now are no one's wish
  say('warn', 'The server is shutting down.');
});
events.addEventListener('online', (event) => {
  if (!(/** @type {CustomEvent} */ (event).detail.online)) refreshHealth();
});
byId('stream-form').addEventListener('submit', (event) => {
  event.preventDefault();
  viewer.unattended = false; // from here on a person decides
  watch(streams.choice());
});
stop.addEventListener('click', () => {
  say('info', 'Stopped.');
  viewer.unattended = false;
  viewer.stop();
});
onToken((token) => {
  api.token = token;
  events.token = token;
  query.delete('token'); // the one in the address was not right
  server.state = 'unknown';
  checkToken = true;
  refreshHealth();
  linkSmallest();
});
bannerAction.addEventListener('click', () => {
  if (viewer.state === 'waiting') viewer.nudge();
  else if (viewer.choice) watch(viewer.choice);
});
addEventListener('pagehide', () => {
  if (viewer.wanted) viewer.stop({ keepalive: true });
});
addEventListener('pageshow', (event) => {
  if (event.persisted && viewer.choice) watch(viewer.choice); // back from the browser's page cache
});

const refreshHealth = poll(checkHealth, HEALTH_EVERY_MS);
const refreshDevices = poll(loadDevices, DEVICES_EVERY_MS);
const refreshPanels = poll(loadPanels, PANELS_EVERY_MS);
poll(showFigures, FIGURES_EVERY_MS);
poll(checkFrames, FRAMES_EVERY_MS);
poll(() => options.refresh(), OPTIONS_EVERY_MS);
const refreshRecordings = poll(() => recordings.refresh(), RECORDINGS_EVERY_MS);
const refreshDeck = poll(() => deck.refresh(), DECK_EVERY_MS);
linkSmallest();
