// Puts the page together: builds its parts, wires their events, and polls. Owns no part's contents.

import { Address, queryText } from './address.js';
import { Api } from './api.js';
import { Awake } from './awake.js';
import { byId, setText } from './dom.js';
import { Deck } from './deck.js';
import { Devices } from './devices.js';
import { Events } from './events.js';
import { showFace } from './face.js';
import { Flow } from './flow.js';
import { Happenings } from './happenings.js';
import { Imu } from './imu.js';
import { Log } from './log.js';
import { Options } from './options.js';
import { Panels } from './panels.js';
import { poll } from './poll.js';
import { Presets } from './presets.js';
import { Recordings } from './recordings.js';
import { Sensors } from './sensors.js';
import { Server } from './server.js';
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
/** In a hidden tab the statistics alone tell whether frames come, so they are read often enough for that. */
const FIGURES_HIDDEN_FACTOR = 2;
const OPTIONS_EVERY_MS = 3000;
const RECORDINGS_EVERY_MS = 5000;
const DECK_EVERY_MS = 1000;

const address = new Address();
const log = new Log();
const say = log.add.bind(log);
const api = new Api(location.href, knownToken(address.query));
const server = new Server(api);
const clock = new ClockOffset();
const sameMachine = ['localhost', '127.0.0.1', '[::1]'].includes(location.hostname);
const awake = new Awake();
const tiles = new Tiles(api, () => (sameMachine ? 0 : clock.ms()), say, awake);
const devices = new Devices(api, address.device, say);
const streams = new Streams(address.streams);
const options = new Options(api, say);
const sensors = new Sensors(api, { devices, streams, options }, address, say);
const panels = new Panels(api, say);
const deck = new Deck(api, say);
const presets = new Presets(api, say);
const recordings = new Recordings(api, say);
const imu = new Imu();
const events = new Events(api);
const happenings = new Happenings(say);
const viewer = new Viewer(api);
const flow = new Flow({ tiles, viewer, devices, deck, server, happenings, panels, awake });
viewer.unattended = address.autostart;

const render = () => showFace({ server, viewer, devices, streams, deck, flow });

function onServerDown() {
  say('warn', 'The server cannot be reached; trying again until it is back.');
  events.disconnect();
  devices.unknown();
  showDeck();
  panels.unknown('Not known: the server cannot be reached.');
  streams.away = true;
  options.away = true;
}

function onServerRefuses() {
  say('error', server.text);
  devices.unknown();
  panels.unknown('Not shown without the token.');
  streams.unavailable('');
  options.unavailable('Not shown without the token.');
  render();
  byId('token').focus();
}

/** @param {Server['state']} before */
function onServerUp(before) {
  say(server.state === 'up' ? 'info' : 'warn', before === 'down' ? 'The server is back.' : server.text || 'Connected to the server.');
  events.connect();
  sensors.forget();
  refreshDevices();
  refreshPanels();
  viewer.nudge();
}

async function checkHealth() {
  await server.check();
  if (server.version) setText(byId('version'), `realsense-webrtc ${server.version} · ${server.sdk ? `librealsense ${server.sdk}` : 'no camera SDK'}`);
}

async function loadDevices() {
  if (!server.reachable) return;
  const wasThere = Boolean(devices.device);
  if (!(await devices.load())) return;
  panels.severalCameras = devices.list.length > 1;
  happenings.presence(devices.picked, Boolean(devices.device), devices.isRecording);
  if (devices.device && !wasThere) {
    flow.deviceIsBack();
    viewer.nudge();
  }
  await sensors.load();
}

async function loadPanels() {
  if (!server.reachable) return;
  const asked = viewer.state === 'live' ? viewer.peer?.sessionId : null;
  try {
    await panels.load(() => viewer.peer?.sessionId ?? null);
  } catch (error) {
    server.doubt(error.status);
    refreshHealth(); // says in one place what is wrong
    return;
  }
  if (asked && viewer.state === 'live' && viewer.peer?.sessionId === asked) {
    if (!panels.sessions.some((s) => s.session_id === asked)) viewer.sessionGone();
  }
  streams.running(panels.running[devices.picked]?.configs ?? []);
  render();
}

async function showFigures() {
  await tiles.poll();
  imu.render();
  flow.revive();
}

/** @param {{streams: string[], profiles?: import('./viewer.js').Profiles, spare?: number}} choice */
function watch(choice) {
  sensors.autostart = false;
  const wish = { device: devices.picked, streams: choice.streams, profiles: choice.profiles ?? {}, spare: choice.spare };
  const stays = viewer.canChangeTo(wish);
  tiles.arrange(wish);
  flow.wasLive &&= stays && tiles.flowing.length > 0;
  if (!stays) {
    tiles.notes([]);
    tiles.say('Connecting…');
  }
  address.keep(wish);
  say('info', `Asking for ${wish.streams.map(streamName).join(', ')} of camera ${wish.device}.`);
  viewer.watch(wish);
  render();
  if (matchMedia('(max-width: 860px)').matches) tiles.scrollIntoView();
}

/** What can be done with the picked camera besides watching; what is shown is asked at once. */
function showDeck() {
  const device = server.reachable ? devices.device : null;
  const another = deck.show(device);
  presets.show(device);
  if (another) refreshDeck();
  showRecordings();
}

function showRecordings() {
  if (recordings.show(server.reachable, server.sdk !== '', devices.list, deck.writing)) refreshRecordings();
}

/** Plays what somebody has just opened: that is what it was opened for. @param {string} device */
function playRecording(device) {
  viewer.unattended = false;
  sensors.play(device);
  if (devices.picked !== device) devices.pick(device);
  else sensors.load();
  tiles.scrollIntoView();
}

/** The other pages show the same camera, and need the same token. */
function linkOthers() {
  const more = new URLSearchParams();
  if (devices.picked) more.set('device', devices.picked);
  if (api.token) more.set('token', api.token);
  for (const [id, page] of [['smallest', 'minimal.html'], ['inside', 'debug']]) {
    /** @type {HTMLAnchorElement} */ (byId(id)).href = `${page}${queryText(more)}`;
  }
}

/** Listens with the event's detail. @param {EventTarget} part @param {string} type @param {(detail: any) => void} act */
function on(part, type, act) {
  part.addEventListener(type, (event) => act(/** @type {CustomEvent} */ (event).detail));
}

on(server, 'change', ({ before }) => {
  if (server.state === 'down') onServerDown();
  else if (server.state === 'refused') onServerRefuses();
  else onServerUp(before);
  render();
});
on(flow, 'change', () => {
  refreshHealth();
  refreshDevices();
});
on(flow, 'look', render);
on(sensors, 'watch', (/** @type {{choice: ReturnType<Streams['choice']>}} */ { choice }) => watch(choice));
on(sensors, 'shown', render);
on(viewer, 'state', () => {
  if (viewer.state === 'live') say('info', `Watching ${viewer.choice?.streams.map(streamName).join(', ')}.`);
  if (viewer.state === 'live') {
    flow.sessionIsNew();
    tiles.notes(viewer.peer?.offered ?? []);
  }
  if (viewer.state === 'ended' || viewer.state === 'failed') tiles.say(viewer.message);
  if (viewer.state === 'waiting') refreshHealth();
  if (viewer.state === 'idle') tiles.clear();
  if (viewer.state === 'idle' || viewer.state === 'live') refreshDevices();
  refreshPanels();
  render();
});
on(viewer, 'track', (/** @type {import('./peer.js').Track} */ detail) => tiles.attach(detail));
on(viewer, 'log', (/** @type {{level: import('./log.js').Level, text: string}} */ { level, text }) => say(level, text));
on(devices, 'pick', () => {
  sensors.forget();
  showDeck();
  sensors.load();
});
on(devices, 'change', () => {
  linkOthers();
  showDeck();
  render();
});
on(devices, 'closing', ({ device }) => {
  viewer.unattended = false;
  if (viewer.wanted && viewer.choice?.device === device) viewer.stop();
  address.forgetDevice(device);
});
on(streams, 'change', render);
on(deck, 'change', () => {
  flow.deckChanged();
  render();
});
on(deck, 'recording', showRecordings);
on(recordings, 'opened', (/** @type {{device: import('realsense-webrtc/api').DeviceInfo}} */ { device }) => {
  devices.add(device);
  playRecording(device.device_id);
  refreshDevices();
});
on(recordings, 'pick', ({ device }) => playRecording(device));
on(recordings, 'deleted', ({ name }) => deck.forget(name));
on(presets, 'loaded', () => options.refresh());
on(panels, 'closing', ({ id }) => {
  if (viewer.wanted && (id === null || id === viewer.peer?.sessionId)) viewer.stop();
});
on(panels, 'changed', () => refreshPanels());
on(events, 'metadata', (/** @type {import('realsense-webrtc/api').MetadataUpdate} */ update) => {
  if (typeof update.timestamp_server === 'number') clock.add(update.timestamp_server * 1000, Date.now());
  if (update.device_id === devices.picked) imu.update(update.metadata_streams);
});
on(events, 'sessions', () => {
  refreshPanels();
  refreshDevices();
});
on(events, 'goodbye', () => {
  say('warn', 'The server is shutting down.');
});
on(events, 'online', ({ online }) => {
  if (!online) refreshHealth();
});
byId('stream-form').addEventListener('submit', (event) => {
  event.preventDefault();
  viewer.unattended = false; // from here on a person decides
  watch(streams.choice());
});
byId('stop').addEventListener('click', () => {
  say('info', 'Stopped.');
  viewer.unattended = false;
  viewer.stop();
});
onToken((token) => {
  api.token = token;
  events.token = token;
  address.forgetToken();
  server.forget();
  refreshHealth();
  linkOthers();
});
byId('banner-action').addEventListener('click', () => {
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
poll(showFigures, FIGURES_EVERY_MS, FIGURES_HIDDEN_FACTOR);
flow.start();
poll(() => options.refresh(), OPTIONS_EVERY_MS);
const refreshRecordings = poll(() => recordings.refresh(), RECORDINGS_EVERY_MS);
const refreshDeck = poll(() => deck.refresh(), DECK_EVERY_MS);
linkOthers();
document.documentElement.dataset.started = 'true'; // from here on what goes wrong has its own words
