// The camera list, with the recordings that are played as cameras. Owns which of them is picked; asks the server when told to.

import { byId, el, isOff, reconcile, setOff, setText, showText } from './dom.js';
import { explain } from './explain.js';
import { recordingOf } from './words.js';

/** @typedef {import('realsense-webrtc/api').DeviceInfo} Device */

/**
 * Events: `pick` {device}, another camera was picked, or the first one was found; `change`, the list is new; `closing`
 * {device}, a recording that plays is about to be closed from here.
 */
export class Devices extends EventTarget {
  /** @type {Device[]} */
  list = [];
  /** Serial number of the picked camera. */
  picked = '';
  /** The picked camera as it was when it was last there: its card stays while it is unplugged. @type {Device|null} */
  #last = null;
  /** Whether the list is true now. */
  #known = true;
  /** Counts what came and went by this page's doing: a list that was read across it may be older than it. */
  #epoch = 0;
  #api;
  #node = byId('device-list');
  #note = byId('devices-note');
  #error = byId('devices-error');
  #log;

  /**
   * @param {import('./api.js').Api} api @param {string} wanted serial number to pick even before it appears
   * @param {import('./log.js').Say} log
   */
  constructor(api, wanted, log) {
    super();
    this.#api = api;
    this.#log = log;
    this.picked = wanted;
    const button = /** @type {HTMLButtonElement} */ (byId('devices-refresh'));
    button.addEventListener('click', async () => {
      if (isOff(button)) return;
      setOff(button, true);
      await this.load(true);
      setOff(button, false);
    });
  }

  /** The picked camera's description, if it is there. */
  get device() {
    return this.list.find((device) => device.device_id === this.picked) ?? null;
  }

  /** Whether the picked camera was there since the page was opened. */
  get seen() {
    return this.#last?.device_id === this.picked;
  }

  /** Whether what is picked is a recording that plays, or was one when it was last there. */
  get isRecording() {
    return Boolean((this.device ?? (this.seen ? this.#last : null))?.playback);
  }

  /** Knows a device that this page has just opened before the next look at the list, and picks it. @param {Device} device */
  add(device) {
    this.#epoch += 1;
    this.list = [...this.list.filter((other) => other.device_id !== device.device_id), device];
    this.pick(device.device_id);
  }

  /** @param {string} id */
  pick(id) {
    this.picked = id;
    this.#render();
    this.dispatchEvent(new Event('change'));
    this.#tell();
  }

  /** Says that nobody knows what is connected: the server is not there. */
  unknown() {
    this.#known = false;
    this.#render();
  }

  /** @param {boolean} [refresh] ask the backends anew @returns {Promise<boolean>} whether the server answered */
  async load(refresh = false) {
    const epoch = this.#epoch;
    try {
      const list = await this.#api.devices(refresh);
      if (epoch !== this.#epoch) return true;
      this.list = list;
    } catch (error) {
      showText(this.#note, explain(error, ''));
      return false;
    }
    this.#known = true;
    const before = this.picked;
    if (!this.picked && this.list.length > 0) this.picked = this.list[0].device_id;
    this.#render();
    this.dispatchEvent(new Event('change'));
    if (this.picked !== before) this.#tell();
    return true;
  }

  #tell() {
    this.dispatchEvent(new CustomEvent('pick', { detail: { device: this.picked } }));
  }

  /** @param {Device} device a recording that plays @param {HTMLElement} button */
  async #close(device, button) {
    if (isOff(button)) return;
    setOff(button, true);
    const { device_id: id } = device;
    this.dispatchEvent(new CustomEvent('closing', { detail: { device: id } }));
    try {
      await this.#api.closePlayback(id);
    } catch (error) {
      showText(this.#error, error.message);
      this.#log('error', error.message);
      setOff(button, false);
      await this.load(); // somebody else may have closed it
      return;
    }
    showText(this.#error, '');
    this.#log('info', `${recordingOf(device) || 'The recording'} was closed.`);
    const focused = button === document.activeElement || document.activeElement === document.body;
    this.#epoch += 1;
    this.list = this.list.filter((other) => other.device_id !== id);
    this.pick(this.picked === id ? this.list[0]?.device_id ?? '' : this.picked);
    // Its card is gone: the keyboard goes on at what is picked now.
    if (focused) /** @type {HTMLElement} */ (this.#node.querySelector('input:checked') ?? byId('devices-refresh')).focus();
  }

  #render() {
    if (this.device) this.#last = this.device;
    const missing = this.picked !== '' && !this.device;
    const last = this.seen ? this.#last : null;
    const shown = missing && last ? [...this.list, last] : this.list;
    reconcile(this.#node, shown, (device) => device.device_id, (device) => this.#create(device), (node, device) => {
      const input = /** @type {HTMLInputElement} */ (node.querySelector('input'));
      input.checked = device.device_id === this.picked;
      setText(/** @type {Element} */ (node.querySelector('.device-name')), device.name);
      setText(/** @type {Element} */ (node.querySelector('.device-facts')), facts(device));
      const close = /** @type {HTMLElement} */ (node.querySelector('button'));
      close.hidden = !device.playback || !this.list.includes(device);
      close.setAttribute('aria-label', `Close ${recordingOf(device) || `the recording ${device.device_id}`}`);
      node.title = device.firmware_version ? `Firmware ${device.firmware_version}` : '';
      const state = /** @type {HTMLElement} */ (node.querySelector('.badge'));
      const [text, look] = this.#badge(device);
      setText(state, text);
      state.dataset.state = look;
    });
    let note = '';
    if (shown.length === 0 && !missing) note = 'No camera found. Plug one in: it appears here by itself. To try the page without one, start the server with --sim-cameras 1.';
    else if (missing && !this.seen) note = `Camera ${this.picked} is not connected.`;
    showText(this.#note, this.#known ? note : '');
  }

  /** @param {Device} device @returns {[string, string]} what is written, and how it looks */
  #badge(device) {
    if (!this.#known) return ['unknown', 'off'];
    if (!this.list.includes(device)) return [device.playback ? 'closed' : 'unplugged', 'warn'];
    if (device.problem) return ['unusable', 'warn'];
    return device.is_streaming ? ['streaming', 'on'] : ['idle', 'off'];
  }

  /** @param {Device} device */
  #create(device) {
    const id = device.device_id;
    const close = el('button', {
      type: 'button',
      class: 'small',
      hidden: true,
      onclick: () => this.#close(this.list.find((d) => d.device_id === id) ?? device, close),
    }, 'Close');
    return el('div', { class: 'device' },
      el('label', {},
        el('input', { type: 'radio', name: 'device', value: id, onchange: () => this.pick(id) }),
        el('span', { class: 'device-name' }),
        el('span', { class: 'device-facts' }),
        el('span', { class: 'badge' })),
      close);
  }
}

/** A recording has its camera's name and serial number; its file tells the two apart. @param {Device} device */
function facts(device) {
  if (device.problem) return device.problem;
  const serial = `Serial ${device.serial_number}`;
  if (device.playback) return `${`Recording ${recordingOf(device)}`.trim()} · ${serial}`;
  return device.usb_type ? `${serial} · USB ${device.usb_type}` : serial;
}
