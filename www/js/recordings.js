// The panel "Recordings": the files in the server's folder, to play, fetch and delete. Owns its list; the server owns the files.

import { confirmInPage } from './confirm.js';
import { byId, el, isOff, reconcile, setOff, setText, showText } from './dom.js';
import { megabytes, recordingOf } from './words.js';

/**
 * Events: `opened` {device}, a file is played as this device now; `pick` {device}, the one that plays it already is wanted;
 * `deleted` {name}.
 */
export class Recordings extends EventTarget {
  #api;
  #log;
  /** @type {import('realsense-webrtc/api').RecordingFileBody[]} */
  #files = [];
  /** What plays which file. @type {Map<string, string>} */
  #playing = new Map();
  /** What the picked camera's file is called while it is written. */
  #writing = '';
  /** Names of files that something is being done to. */
  #busy = /** @type {Set<string>} */ (new Set());
  /** Counts changes: what was read across one may be older than it. */
  #epoch = 0;
  #node = byId('recordings');
  #fold = /** @type {HTMLDetailsElement} */ (byId('recordings-fold'));
  #list = byId('recordings-list');
  #error = byId('recordings-error');

  /** @param {import('./api.js').Api} api @param {import('./log.js').Say} log */
  constructor(api, log) {
    super();
    this.#api = api;
    this.#log = log;
    this.#fold.addEventListener('toggle', () => this.refresh());
  }

  /**
   * Shows the panel where recordings can be made or played.
   * @param {boolean} reachable whether the server can be asked @param {boolean} sdk whether it has librealsense
   * @param {import('realsense-webrtc/api').DeviceInfo[]} devices what is connected @param {string} writing the file that the picked camera is recorded to, or ""
   * @returns {boolean} whether the list is to be asked for: it can be since now, or other files are in use
   */
  show(reachable, sdk, devices, writing) {
    const able = reachable && (sdk || devices.some((device) => device.can_record || device.playback));
    const asked = this.#asks;
    const before = this.#uses;
    this.#node.inert = !reachable;
    if (reachable) this.#node.hidden = !able;
    this.#playing = new Map(devices.map((device) => /** @type {const} */ ([recordingOf(device), device.device_id])).filter(([file]) => file !== ''));
    this.#writing = writing.replace(/\.(?=[^.]*$)/, '.partial.');
    this.#render();
    return this.#asks && (!asked || before !== this.#uses);
  }

  get #uses() {
    return [this.#writing, ...this.#playing].join();
  }

  get #asks() {
    return !this.#node.hidden && !this.#node.inert;
  }

  /** Asks the server for the list, unless nobody sees it. */
  async refresh() {
    if (!this.#asks || !this.#fold.open) return;
    const epoch = this.#epoch;
    try {
      const files = await this.#api.recordings();
      if (epoch !== this.#epoch) return;
      this.#files = files;
      showText(byId('recordings-note'), files.length === 0 ? 'None yet: Record, below the video, makes them.' : '');
      setText(byId('recordings-count'), String(files.length));
    } catch (error) {
      showText(byId('recordings-note'), error.message);
      return;
    }
    this.#render();
  }

  #render() {
    const focused = document.activeElement;
    reconcile(this.#list, this.#files, (file) => file.name, (file) => this.#row(file), (row, file) => {
      const part = (/** @type {string} */ name) => /** @type {HTMLElement} */ (row.querySelector(`[data-part="${name}"]`));
      const plays = this.#playing.has(file.name);
      const busy = this.#busy.has(file.name);
      const written = !file.complete && file.name === this.#writing;
      setText(part('facts'), `${megabytes(file.bytes)} · ${dateText(file.modified)}`);
      const state = part('state');
      state.hidden = file.complete && !plays;
      setText(state, written ? 'recording' : file.complete ? 'playing' : 'incomplete');
      state.dataset.state = written || file.complete ? 'on' : 'warn';
      state.title = written || file.complete ? '' : 'It is being written, or was left behind by a server that died.';
      setOff(part('play'), busy || !file.complete);
      part('play').title = file.complete ? '' : 'Only a complete recording can be played.';
      part('play').hidden = part('delete').hidden = part('download').hidden = written;
      setOff(part('delete'), busy || plays);
      part('delete').title = plays ? 'It is being played: close it first, in the list of cameras.' : '';
      part('download').setAttribute('href', this.#api.recordingUrl(file.name)); // the token may be another by now
    });
    // A row that goes while it has the focus hands it on, so that the keyboard does not start from the top.
    if (focused !== document.activeElement && focused && !focused.isConnected) {
      /** @type {HTMLElement} */ (this.#list.querySelector('button') ?? this.#fold.querySelector('summary')).focus();
    }
  }

  /** @param {import('realsense-webrtc/api').RecordingFileBody} file */
  #row({ name }) {
    const button = (/** @type {string} */ part, /** @type {string} */ text, /** @type {string} */ look, /** @type {() => Promise<void>} */ work) => {
      const node = el('button', { type: 'button', class: look, 'data-part': part, 'aria-label': `${text} ${name}`, onclick: () => !isOff(node) && this.#act(name, work) }, text);
      return node;
    };
    return el('li', {},
      el('div', { class: 'recording-what' },
        el('span', { class: 'recording-name' }, name), ' ',
        el('span', { class: 'badge', 'data-part': 'state', hidden: true }),
        el('span', { class: 'note recording-facts', 'data-part': 'facts' })),
      el('div', { class: 'recording-actions' },
        button('play', 'Play', 'small', () => this.#play(name)),
        el('a', { class: 'small', 'data-part': 'download', download: name, 'aria-label': `Download ${name}` }, 'Download'),
        button('delete', 'Delete', 'small danger', () => this.#delete(name))));
  }

  /** @param {string} name */
  async #play(name) {
    const playing = this.#playing.get(name);
    if (playing) {
      this.dispatchEvent(new CustomEvent('pick', { detail: { device: playing } }));
      return;
    }
    const device = await this.#api.openRecording(name);
    this.#log('info', `${name} is played as camera ${device.device_id}.`);
    this.dispatchEvent(new CustomEvent('opened', { detail: { device } }));
  }

  /** @param {string} name */
  async #delete(name) {
    if (!(await confirmInPage(`Delete ${name}? It cannot be brought back.`, 'Delete it'))) return;
    await this.#api.deleteRecording(name);
    this.#log('info', `${name} was deleted.`);
    this.#files = this.#files.filter((file) => file.name !== name);
    this.dispatchEvent(new CustomEvent('deleted', { detail: { name } }));
  }

  /** @param {string} name of the file @param {() => Promise<void>} work */
  async #act(name, work) {
    this.#busy.add(name);
    this.#render();
    try {
      await work();
      showText(this.#error, '');
    } catch (error) {
      showText(this.#error, error.message);
      this.#log('error', error.message);
    }
    this.#epoch += 1;
    this.#busy.delete(name);
    this.#render();
    await this.refresh();
  }
}

/** @param {number} seconds Unix time @returns {string} */
function dateText(seconds) {
  return new Date(seconds * 1000).toLocaleString([], { dateStyle: 'medium', timeStyle: 'short' });
}
