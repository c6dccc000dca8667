// Puts the page for looking inside together: polls, wires panels, and says how things stand. Owns no panel's contents.

import { queryText } from '../address.js';
import { byId, isOff, setOff, setText, showText } from '../dom.js';
import { poll } from '../poll.js';
import { Server } from '../server.js';
import { knownToken, onToken } from '../token.js';
import { viewerName } from '../words.js';
import { Admin } from './admin.js';
import { DebugApi } from './api.js';
import { Rates } from './figures.js';
import { GraphView } from './graph.js';
import { Inspector } from './inspector.js';
import { Levels } from './levels.js';
import { Logs, fillSelect } from './logs.js';
import { Pipelines } from './pipelines.js';
import { processText } from './process.js';
import { Sessions } from './sessions.js';

/** Milliseconds between polls. Nothing is asked while nobody sees the tab. */
const HEALTH_EVERY_MS = 2500;
const GRAPH_EVERY_MS = 1000;
const DEVICES_EVERY_MS = 4000;
const PROPERTIES_EVERY_MS = 3000;
const PIPELINES_EVERY_MS = 3000;
const LOG_EVERY_MS = 1500;
const LEVELS_EVERY_MS = 5000;
const PROCESS_EVERY_MS = 3000;
/** Seconds that the server goes on measuring after each look. */
const MEASURE_S = 30;

const query = new URLSearchParams(location.search);
const api = new DebugApi(location.href, knownToken(query));
const server = new Server(api);
const admin = new Admin();
const rates = new Rates();
const view = new GraphView(byId('graph'));
const inspector = new Inspector(api, admin);
const pipelines = new Pipelines(api);
const sessionsPanel = new Sessions();
const logs = new Logs(api);
const levels = new Levels(api, admin);

const devicePick = /** @type {HTMLSelectElement} */ (byId('device'));
const sessionPick = /** @type {HTMLSelectElement} */ (byId('session'));
const measure = /** @type {HTMLInputElement} */ (byId('measure'));

let device = query.get('device') ?? '';
let inside = query.get('session') ?? '';
/** @type {import('realsense-webrtc/api').DeviceInfo[]} */
let devices = [];
let devicesKnown = false;
/** @type {import('realsense-webrtc/api').WebRtcStatus[]} */
let sessions = [];
/** @typedef {Pick<import('realsense-webrtc/api').Graph, 'pipelines'|'measured'>} Drawn what of a graph is drawn */
/** @type {Drawn} */
let graph = { pipelines: [], measured: false };
/** @type {ReturnType<typeof import('./process.js').sampleOf>|null} */
let processSample = null;
measure.checked = ['1', 'true', 'yes'].includes(query.get('measure') ?? '');

/** Whether it makes sense to ask for anything. */
const watching = () => server.reachable && !document.hidden;

async function checkHealth() {
  await server.check();
  if (server.version) setText(byId('version'), `realsense-webrtc ${server.version} · ${server.sdk ? `librealsense ${server.sdk}` : 'no camera SDK'}`);
}

/** Takes a failed request into account; the banner says what is wrong in one place. @param {import('../api.js').ApiError} error */
function onFailure(error) {
  server.doubt(error.status);
  if (error.status === 0 || error.status === 401) refreshHealth();
}

function onServer() {
  const words = { up: 'Connected', degraded: 'Connected', down: 'No server', refused: 'Token needed', unknown: 'Looking for the server…' };
  setText(byId('server-state'), words[server.state]);
  byId('server-state').dataset.state = server.state;
  const again = server.state === 'down' ? ' Trying again until it is back; what is shown is from before.' : '';
  byId('banner').dataset.level = server.state === 'degraded' ? 'warn' : 'error';
  byId('banner').hidden = server.text === '';
  setText(byId('banner-text'), server.text + again);
  byId('token-form').hidden = server.state !== 'refused';
  document.body.dataset.server = server.state;
  if (server.state === 'refused') byId('token').focus();
  if (server.reachable) refreshAll();
}

async function loadDevices() {
  if (!watching()) return;
  try {
    devices = await api.devices();
    devicesKnown = true;
  } catch (error) {
    onFailure(error);
    return;
  }
  if (device === '') device = (devices.find((one) => one.is_streaming) ?? devices[0])?.device_id ?? '';
  const choices = devices.map((one) => [one.device_id, `${one.name}, ${one.device_id}`]);
  if (device !== '' && !devices.some((one) => one.device_id === device)) choices.push([device, `${device}, not connected`]);
  fillChoice(devicePick, choices, device);
  linkDownloads();
}

async function loadGraph() {
  if (!watching() || !devicesKnown) return;
  try {
    sessions = (await api.sessions()).filter((one) => device === '' || one.device_id === device).sort((a, b) => a.created_at - b.created_at);
    rates.add(sessions, performance.now());
  } catch (error) {
    onFailure(error);
    return;
  }
  if (!sessions.some((one) => one.session_id === inside)) lookInside('');
  const names = sessions.map((one) => ({ id: one.session_id, name: viewerName(one) }));
  fillSelect(sessionPick, names.map(({ id, name }) => [id, `${id.slice(0, 8)}, ${name}`]));
  sessionPick.value = inside;
  sessionsPanel.show(sessions, rates, inside);
  if (!devices.some((one) => one.device_id === device)) {
    showGraphNote(device === '' ? 'No camera is there. Plug one in: it appears by itself.' : `Camera ${device} is not connected.`);
    show({ pipelines: [], measured: false });
    return;
  }
  const asked = device;
  try {
    const now = await api.graph(device, { session: inside, measure: measure.checked ? MEASURE_S : 0 });
    if (asked === device) show(now);
  } catch (error) {
    onFailure(error);
    if (error.status !== 0) showGraphNote(error.message);
    return;
  }
  logs.offer([...new Set(graph.pipelines.flatMap((one) => one.stream_type ?? []))], names);
  showGraphNote(graph.pipelines.length > 0 ? '' : 'Nothing runs on this camera: its pipelines begin with the first viewer. Open the demo page and press Start.');
  sayMeasuring();
}

/** What boxes tell besides the graph. */
const facts = () => ({ sessions: new Map(sessions.map((one) => [one.session_id, one])), rates });

/** @param {Drawn} now */
function show(now) {
  graph = now;
  view.show(graph, facts());
  inspector.update(graph, facts());
}

/** @param {string} text */
function showGraphNote(text) {
  showText(byId('graph-note'), text);
}

function sayMeasuring() {
  const text = measure.checked
    ? graph.measured ? 'Every buffer is counted and timed.' : 'Measuring begins…'
    : graph.measured ? `Still measuring: it ends within ${MEASURE_S} s of the last page that asks for it.` : 'Off: costs nothing. On: rates, delays and drops of every element, for under 3 % of a core with 10 viewers.';
  setText(byId('measure-note'), text);
  document.body.dataset.measured = String(Boolean(graph.measured));
}

async function loadProcess() {
  if (!watching()) return;
  try {
    const { text, sample } = processText(await api.metrics(), processSample, performance.now());
    processSample = sample;
    setText(byId('process'), text);
  } catch (error) {
    if (error.status !== 0) setText(byId('process'), ''); // nothing else depends on it
  }
}

/** @param {string} session its id, or "" */
function lookInside(session) {
  if (session === inside) return;
  inside = session;
  sessionPick.value = session;
  writeAddress();
  linkDownloads();
  refreshGraph();
}

function writeAddress() {
  const parts = { device, session: inside, measure: measure.checked ? '1' : '' };
  for (const [name, value] of Object.entries(parts)) {
    if (value === '') query.delete(name);
    else query.set(name, value);
  }
  history.replaceState(null, '', queryText(query) || location.pathname);
}

function linkDownloads() {
  for (const form of /** @type {('json'|'svg'|'dot')[]} */ (['json', 'svg', 'dot'])) {
    const link = /** @type {HTMLAnchorElement} */ (byId(`graph-${form}`));
    if (device === '') link.removeAttribute('href');
    else link.href = api.graphUrl(device, inside, form);
    link.download = form === 'svg' ? '' : `graph-${device}.${form}`;
    if (form === 'svg') link.removeAttribute('download'); // a browser shows it
  }
  /** @type {HTMLAnchorElement} */ (byId('metrics')).href = api.metricsUrl();
  const more = new URLSearchParams();
  if (device !== '') more.set('device', device);
  if (api.token !== '') more.set('token', api.token);
  /** @type {HTMLAnchorElement} */ (byId('demo')).href = `webrtc_demo.html${queryText(more)}`;
}

/** Gives a list of choices, and chooses one. @param {HTMLSelectElement} select @param {string[][]} choices @param {string} chosen */
function fillChoice(select, choices, chosen) {
  const text = choices.map((choice) => choice.join('\n')).join('\n');
  if (select.dataset.choices !== text) {
    select.dataset.choices = text;
    select.replaceChildren(...choices.map(([value, name]) => new Option(name, value)));
  }
  select.value = chosen;
}

/** @param {HTMLElement} button */
async function downloadBundle(button) {
  if (isOff(button)) return;
  setOff(button, true);
  setText(button, 'Collecting…');
  try {
    const url = URL.createObjectURL(await api.bundle());
    const link = document.createElement('a');
    link.href = url;
    link.download = `realsense-webrtc-bundle-${new Date().toISOString().slice(0, 19).replaceAll(/[-:]/g, '')}.tar`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(url), 10000); // the download has begun long before
    showText(byId('tools-error'), '');
  } catch (error) {
    showText(byId('tools-error'), `There is no bundle: ${error.message}`);
  }
  setText(button, 'Download bundle');
  setOff(button, false);
}

server.addEventListener('change', onServer);
devicePick.addEventListener('change', () => {
  device = devicePick.value;
  inspector.close();
  lookInside('');
  writeAddress();
  linkDownloads();
  refreshGraph();
});
sessionPick.addEventListener('change', () => lookInside(sessionPick.value));
measure.addEventListener('change', () => {
  writeAddress();
  sayMeasuring();
  refreshGraph();
});
view.addEventListener('select', (event) => {
  const chosen = /** @type {CustomEvent} */ (event).detail;
  if (!chosen) {
    inspector.close();
    return;
  }
  inspector.show(chosen);
  inspector.update(graph, facts());
  inspector.refresh();
  if (matchMedia('(max-width: 1000px)').matches) byId('inspector').scrollIntoView({ block: 'nearest' });
});
inspector.addEventListener('close', () => view.unselect());
inspector.addEventListener('inside', (event) => lookInside(/** @type {CustomEvent} */ (event).detail.session));
sessionsPanel.addEventListener('inside', (event) => {
  const { session } = /** @type {CustomEvent} */ (event).detail;
  lookInside(session === inside ? '' : session);
});
pipelines.addEventListener('reloaded', () => refreshGraph());
byId('bundle').addEventListener('click', () => downloadBundle(byId('bundle')));
onToken((token) => {
  api.token = token;
  query.delete('token'); // the one in the address was not right
  server.forget();
  linkDownloads();
  refreshHealth();
});

const refreshHealth = poll(checkHealth, HEALTH_EVERY_MS);
const refreshDevices = poll(loadDevices, DEVICES_EVERY_MS);
const refreshGraph = poll(loadGraph, GRAPH_EVERY_MS);
const others = [
  poll(async () => watching() && pipelines.refresh(), PIPELINES_EVERY_MS),
  poll(async () => watching() && logs.refresh(), LOG_EVERY_MS),
  poll(async () => watching() && levels.refresh(), LEVELS_EVERY_MS),
  poll(async () => watching() && inspector.refresh(), PROPERTIES_EVERY_MS),
  poll(loadProcess, PROCESS_EVERY_MS),
];
async function refreshAll() {
  await refreshDevices();
  refreshGraph();
  for (const refresh of others) refresh();
}
linkDownloads();
document.documentElement.dataset.started = 'true'; // from here on what goes wrong has its own words
