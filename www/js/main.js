// Puts the page together: polls, wires events to panels, and says how things stand. Owns no panel's contents.

import { Api } from './api.js';
import { byId, setText, showText } from './dom.js';
import { Devices } from './devices.js';
import { Events } from './events.js';
import { Imu } from './imu.js';
import { Log } from './log.js';
import { Options } from './options.js';
import { Panels } from './panels.js';
import { banner } from './standing.js';
import { ClockOffset } from './stats.js';
import { Streams } from './streams.js';
import { Tiles } from './tiles.js';
import { Viewer } from './viewer.js';
import { streamName } from './words.js';

/** Milliseconds between polls. */
const HEALTH_EVERY_MS = 2500;
const PANELS_EVERY_MS = 1500;
const DEVICES_EVERY_MS = 4000;
const FIGURES_EVERY_MS = 1000;
/** A tab nobody sees asks this much more seldom. */
const HIDDEN_FACTOR = 4;
/** Milliseconds without video, camera and server being there, after which a new session is tried. */
const GIVE_UP_FROZEN_MS = 10000;
/** A session that ended less than this long before the server went was ended by the server's going. */
const RESTART_MS = 15000;

const query = new URLSearchParams(location.search);
const wantedStreams = (query.get('streams') ?? '').split(',').map((s) => s.trim()).filter(Boolean);
const log = new Log();
const say = log.add.bind(log);
const api = new Api(location.href, query.get('token') ?? '');
const clock = new ClockOffset();
const sameMachine = ['localhost', '127.0.0.1', '[::1]'].includes(location.hostname);
const tiles = new Tiles(api, () => (sameMachine ? 0 : clock.ms()));
const devices = new Devices(api, query.get('device') ?? '');
const streams = new Streams(wantedStreams);
const options = new Options(api, say);
const panels = new Panels(api, say);
const imu = new Imu();
const events = new Events(api);
const viewer = new Viewer(api);
viewer.unattended = ['1', 'true', 'yes'].includes(query.get('autostart') ?? '');

/** How the server is: unknown | up | degraded | down | refused. */
let server = { state: 'unknown', text: '' };
let autostart = viewer.unattended;
let sensorsOf = '';
let endedAt = 0;
let deviceBackAt = 0;
let lastReopenAt = 0;

const start = /** @type {HTMLButtonElement} */ (byId('start'));
const stop = /** @type {HTMLButtonElement} */ (byId('stop'));
const bannerAction = /** @type {HTMLButtonElement} */ (byId('banner-action'));

/** Runs `work` now and again `everyMs` after it ended; a call of the result runs it at once (or once more, if it runs). */
function poll(work, everyMs) {
  let timer = 0;
  let running = false;
  let again = false;
  const run = async () => {
    clearTimeout(timer);
    again = running;
    if (running) return;
    running = true;
    try {
      await work();
    } finally {
      running = false;
      timer = window.setTimeout(run, again ? 0 : everyMs * (document.hidden ? HIDDEN_FACTOR : 1));
    }
  };
  run();
  return run;
}

async function checkHealth() {
  const before = server.state;
  try {
    const health = await api.health();
    // Health is open to all; whether the rest is open to this page shows at a request that needs the token.
    if (before !== 'up') await api.iceServers().catch((error) => [401, 403].includes(error.status) && Promise.reject(error));
    server = { state: 'up', text: '' };
    const sdk = health.sdk_version && health.sdk_version !== 'none' ? `librealsense ${health.sdk_version}` : 'no camera SDK';
    setText(byId('version'), `realsense-webrtc ${health.version ?? ''} · ${sdk}`);
  } catch (error) {
    const state = error.status === 503 ? 'degraded' : error.status === 401 || error.status === 403 ? 'refused' : 'down';
    server = { state, text: error.message };
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
  if (viewer.state === 'ended' && performance.now() - endedAt < RESTART_MS) viewer.sessionGone();
}

function onServerUp(before) {
  if (server.state === 'refused') {
    say('error', server.text);
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
  if (devices.device && !wasThere) {
    deviceBackAt = performance.now();
    viewer.nudge();
  }
  await loadSensors();
}

async function loadSensors() {
  const device = devices.device;
  if (!device) {
    sensorsOf = '';
    const text = devices.picked ? `Camera ${devices.picked} is not connected.` : 'Pick a camera first.';
    streams.unavailable(text);
    options.unavailable(text);
  } else if (sensorsOf !== device.device_id) {
    try {
      const sensors = await api.sensors(device.device_id);
      if (devices.picked !== device.device_id) return; // another was picked meanwhile
      sensorsOf = device.device_id;
      streams.show(sensors);
      options.show(device.device_id, sensors);
    } catch (error) {
      streams.unavailable(error.message);
      options.unavailable(error.message);
    }
  }
  if (autostart && (device || devices.picked || devices.list.length === 0)) {
    const choice = streams.choice();
    if (choice.streams.length === 0) choice.streams = wantedStreams.length > 0 ? wantedStreams : ['color'];
    if (devices.picked) watch(choice);
  }
  render();
}

async function loadPanels() {
  if (!reachable()) return;
  const asked = viewer.state === 'live' ? viewer.peer?.sessionId : null;
  try {
    await panels.load(() => viewer.peer?.sessionId ?? null);
  } catch {
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
  await tiles.poll(whyFrozen);
  viewer.lastFrameAt = tiles.lastFrameAt;
  imu.render();
  const now = performance.now();
  const frozenMs = now - Math.max(tiles.lastFrameAt, deviceBackAt, lastReopenAt);
  if (viewer.state === 'live' && reachable() && devices.device && frozenMs > GIVE_UP_FROZEN_MS) {
    lastReopenAt = now;
    viewer.reopen(`no video for ${Math.round(frozenMs / 1000)} s`);
  }
  if (viewer.state === 'waiting') render();
}

function whyFrozen(stream) {
  if (!viewer.wanted) return viewer.message || 'Stopped.';
  if (server.state === 'down') return 'The server cannot be reached. Reconnecting…';
  if (!devices.device) return `Camera ${devices.picked} is unplugged. The picture returns when the camera does.`;
  if (viewer.state === 'live') return `${streamName(stream)}: the camera delivers no new picture.`;
  return viewer.message || 'Reconnecting…';
}

/** @param {{streams: string[], profiles?: object}} choice */
function watch(choice) {
  autostart = false;
  const wish = { device: devices.picked, streams: choice.streams, profiles: choice.profiles ?? {} };
  tiles.arrange(wish);
  tiles.say('Connecting…');
  query.set('device', wish.device);
  query.set('streams', wish.streams.join(','));
  history.replaceState(null, '', `?${query.toString().replaceAll('%2C', ',')}`);
  say('info', `Asking for ${wish.streams.map(streamName).join(', ')} of camera ${wish.device}.`);
  viewer.watch(wish);
  if (matchMedia('(max-width: 860px)').matches) tiles.scrollIntoView();
}

/** Whether the choice in the form is what is being watched. */
function chosenRuns() {
  const { streams: chosen } = streams.choice();
  return viewer.wanted && viewer.choice?.device === devices.picked && viewer.choice.streams.join() === chosen.join();
}

function render() {
  const { streams: chosen } = streams.choice();
  const ready = reachable() && Boolean(devices.device) && chosen.length > 0;
  start.disabled = !ready || chosenRuns();
  setText(start.querySelector('span') ?? start, viewer.wanted && !chosenRuns() ? 'Apply' : 'Start');
  stop.disabled = !viewer.wanted;
  showText(byId('stream-error'), viewer.state === 'failed' ? viewer.message : '');
  const pill = byId('server-state');
  const states = { unknown: 'Looking for the server…', up: 'Server ready', degraded: 'Server degraded', down: 'Server not reachable', refused: 'Not allowed' };
  const live = server.state === 'up' && viewer.state === 'live';
  setText(pill, live ? 'Live' : states[server.state]);
  pill.dataset.state = live ? 'live' : server.state;
  document.body.dataset.viewer = viewer.state;
  const { text, level, action } = banner({ server, viewer, camera: devices.picked, present: Boolean(devices.device) });
  setText(byId('banner-text'), text);
  byId('banner').hidden = text === '';
  byId('banner').dataset.level = level ?? '';
  showText(bannerAction, action ?? '');
}

viewer.addEventListener('state', () => {
  if (viewer.state === 'live') say('info', `Watching ${viewer.choice?.streams.map(streamName).join(', ')}.`);
  if (viewer.state === 'live') lastReopenAt = performance.now();
  if (viewer.state === 'ended') endedAt = performance.now();
  if (viewer.state === 'waiting' || viewer.state === 'ended' || viewer.state === 'failed') tiles.say(viewer.message);
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
  loadSensors();
});
devices.addEventListener('change', render);
streams.addEventListener('change', render);
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
events.addEventListener('sessions', () => refreshPanels());
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
