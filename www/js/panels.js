// The panels "Active Sessions" and "Stream References". Own their tables; ask the server when told to.

import { confirmInPage } from './confirm.js';
import { byId, childrenOf, el, icon, isOff, reconcile, setOff, setText, showText } from './dom.js';
import { duration, profileText, streamName, viewerName } from './words.js';

/** Seconds that a session is given to its first picture before the list speaks of none. */
const STARTING_S = 4;

/** Events: `closing` {id}, a session is about to be closed from this panel, or all where id is null; `changed`, it was tried. */
export class Panels extends EventTarget {
  #api;
  #log;
  #body = /** @type {HTMLElement} */ (byId('sessions').querySelector('tbody'));
  #error = byId('sessions-error');
  #closeAll = /** @type {HTMLButtonElement} */ (byId('close-all'));
  /** @type {import('realsense-webrtc/api').WebRtcStatus[]} */
  sessions = [];
  /** What runs, by device. @type {import('realsense-webrtc/api').StreamReferences['device_stream_configs']} */
  running = {};
  /** Whether the camera must be named because there are several. */
  severalCameras = false;
  /** When the server was last asked and said that it is connected to this tab (performance.now); 0 before it did. */
  confirmedAt = 0;
  /** The session of this tab, as of the last load. @type {string|null} */
  #own = null;

  /** @param {import('./api.js').Api} api @param {import('./log.js').Say} log */
  constructor(api, log) {
    super();
    this.#api = api;
    this.#log = log;
    this.#closeAll.addEventListener('click', () => !isOff(this.#closeAll) && this.#closeEvery());
  }

  /**
   * Asks the server who watches what and shows it.
   * @param {() => string|null} ownId the session of this tab, read after the answer came
   * @throws {import('./api.js').ApiError}
   */
  async load(ownId) {
    const askedAt = performance.now();
    const [sessions, references] = await Promise.all([this.#api.sessions(), this.#api.references()]);
    this.sessions = sessions;
    this.running = references.device_stream_configs ?? {};
    this.#own = ownId();
    if (sessions.some((s) => s.session_id === this.#own && s.connected)) this.confirmedAt = askedAt;
    this.#showSessions(this.#own);
    this.#showReferences(references.stream_references ?? {});
  }

  /** Why the server cannot encode what this tab watches; empty while it can. */
  get trouble() {
    const own = this.sessions.find((s) => s.session_id === this.#own);
    return own?.stats?.streams?.find((stream) => stream.trouble)?.trouble ?? '';
  }

  /** @param {string|null} own the session of this tab */
  #showSessions(own) {
    const list = [...this.sessions].sort((a, b) => (a.created_at ?? 0) - (b.created_at ?? 0));
    setText(byId('sessions-count'), String(list.length));
    showText(byId('sessions-note'), list.length === 0 ? 'Nobody is watching.' : '');
    byId('sessions').hidden = list.length === 0;
    setOff(this.#closeAll, list.length === 0);
    const focused = document.activeElement;
    const now = Date.now() / 1000;
    reconcile(this.#body, list, (s) => s.session_id, (s) => this.#row(s), (row, s) => {
      row.classList.toggle('own', s.session_id === own);
      const cell = (/** @type {string} */ name) => /** @type {HTMLElement} */ (row.querySelector(`[data-cell="${name}"]`));
      setText(cell('who'), viewerName(s));
      showText(cell('address'), s.remote_address ?? '');
      cell('this-tab').hidden = s.session_id !== own;
      setText(cell('streams'), s.stream_types.map(streamName).join(', '));
      cell('streams').title = `Camera ${s.device_id}`;
      const state = s.state ?? (s.connected ? 'connected' : 'connecting');
      const dark = s.connected && s.streaming === false && !(now - s.created_at < STARTING_S);
      setText(cell('state'), dark ? 'connected, no video' : state);
      cell('state').title = s.stats?.streams?.find((stream) => stream.trouble)?.trouble ?? '';
      cell('state').dataset.state = s.connected ? (dark ? 'warn' : 'on') : 'off';
      setText(cell('since'), s.created_at ? duration(now - s.created_at) : '–');
      if (s.created_at) cell('since').title = new Date(s.created_at * 1000).toLocaleString();
    });
    // A row that goes while its button has the focus hands it on, so that the keyboard does not start from the top.
    if (focused !== document.activeElement) /** @type {HTMLElement} */ (this.#body.querySelector('button') ?? this.#closeAll).focus();
  }

  /** Takes back what nobody can know now. @param {string} why */
  unknown(why) {
    this.sessions = [];
    this.running = {};
    this.#showSessions(null);
    this.#showReferences({});
    setText(byId('sessions-count'), '–');
    showText(byId('sessions-note'), why);
    showText(byId('references-note'), why);
  }

  /** @param {import('realsense-webrtc/api').WebRtcStatus} session */
  #row(session) {
    const close = el('button', { type: 'button', class: 'icon-button', title: 'Close this session', onclick: () => this.#close(session.session_id, close) }, icon('close'));
    close.setAttribute('aria-label', `Close session of ${viewerName(session)}, ${session.stream_types.map(streamName).join(', ')}`);
    return el('tr', {},
      el('td', { 'data-label': 'Viewer' },
        el('span', { 'data-cell': 'who', class: 'who' }), ' ',
        el('span', { 'data-cell': 'this-tab', class: 'badge', 'data-state': 'own' }, 'this tab'),
        el('span', { 'data-cell': 'address', class: 'note address' })),
      el('td', { 'data-label': 'Streams', 'data-cell': 'streams' }),
      el('td', { 'data-label': 'State' }, el('span', { 'data-cell': 'state', class: 'badge' })),
      el('td', { 'data-label': 'Since', 'data-cell': 'since' }),
      el('td', { class: 'row-action' }, close));
  }

  /** @param {string} id of a session @param {HTMLElement} button */
  async #close(id, button) {
    if (isOff(button)) return;
    setOff(button, true);
    this.dispatchEvent(new CustomEvent('closing', { detail: { id } }));
    try {
      await this.#api.closeSession(id);
      showText(this.#error, '');
      this.#log('info', `Session ${id.slice(0, 8)} was closed from this page.`);
    } catch (error) {
      showText(this.#error, error.message);
      this.#log('error', error.message);
      setOff(button, false);
    }
    this.dispatchEvent(new Event('changed'));
  }

  async #closeEvery() {
    const count = this.sessions.length;
    const others = this.sessions.filter((s) => s.session_id !== this.#own).length;
    const whose = others === count ? 'all of them other viewers\u2019' : `${others} of them ${others === 1 ? 'another viewer\u2019s' : 'other viewers\u2019'}`;
    const question = count === 1 ? 'Close another viewer\u2019s session?' : `Close ${count} sessions, ${whose}?`;
    if (others > 0 && !(await confirmInPage(question, count === 1 ? 'Close it' : `Close ${count}`))) return;
    this.dispatchEvent(new CustomEvent('closing', { detail: { id: null } }));
    try {
      const { closed_sessions: closed } = await this.#api.closeAll();
      showText(this.#error, '');
      this.#log('info', `${closed} session${closed === 1 ? ' was' : 's were'} closed from this page.`);
    } catch (error) {
      showText(this.#error, error.message);
      this.#log('error', error.message);
    }
    this.dispatchEvent(new Event('changed'));
  }

  /** @param {import('realsense-webrtc/api').StreamReferences['stream_references']} references */
  #showReferences(references) {
    const rows = Object.entries(references).flatMap(([device, types]) => {
      const configs = this.running[device]?.configs ?? [];
      return Object.entries(types).map(([type, count]) => ({
        device, type, count, config: configs.find((c) => c.stream_type === type),
      }));
    });
    showText(byId('references-note'), rows.length === 0 ? 'No stream is in use.' : '');
    reconcile(byId('references'), rows, (r) => `${r.device}/${r.type}`,
      () => el('li', {}, el('span', { class: 'reference-name' }), el('span', { class: 'badge', 'data-state': 'on' }), el('span', { class: 'note' })),
      (node, r) => {
        const [name, users, note] = childrenOf(node);
        setText(name, streamName(r.type));
        setText(users, `${r.count} ${r.count === 1 ? 'user' : 'users'}`);
        const profile = r.config ? profileText({ ...r.config.resolution, framerate: r.config.framerate }) : '';
        const camera = this.severalCameras ? `camera ${r.device}` : '';
        setText(note, [profile, camera].filter(Boolean).join(' · '));
      });
  }
}
