// The camera list. Owns which camera is picked; asks the server when told to.

import { byId, el, reconcile, setText, showText } from './dom.js';

/** Event `pick` {device}: another camera was picked, or the first one was found. Event `change`: the list is new. */
export class Devices extends EventTarget {
  /** @type {any[]} */
  list = [];
  /** Serial number of the picked camera. */
  picked = '';
  #api;
  #node = byId('device-list');
  #note = byId('devices-note');

  /** @param {import('./api.js').Api} api @param {string} wanted serial number to pick even before it appears */
  constructor(api, wanted) {
    super();
    this.#api = api;
    this.picked = wanted;
    const button = /** @type {HTMLButtonElement} */ (byId('devices-refresh'));
    button.addEventListener('click', async () => {
      button.disabled = true;
      await this.load(true);
      button.disabled = false;
    });
  }

  /** The picked camera's description, if it is there. */
  get device() {
    return this.list.find((device) => device.device_id === this.picked) ?? null;
  }

  /** @param {boolean} [refresh] ask the backends anew @returns {Promise<boolean>} whether the server answered */
  async load(refresh = false) {
    try {
      this.list = await this.#api.devices(refresh);
    } catch (error) {
      showText(this.#note, error.message);
      return false;
    }
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

  #render() {
    const missing = this.picked !== '' && !this.device;
    reconcile(this.#node, this.list, (device) => device.device_id, (device) => this.#create(device), (node, device) => {
      const input = /** @type {HTMLInputElement} */ (node.querySelector('input'));
      input.checked = device.device_id === this.picked;
      setText(/** @type {Element} */ (node.querySelector('.device-name')), device.name);
      setText(/** @type {Element} */ (node.querySelector('.device-facts')), facts(device));
      node.title = device.firmware_version ? `Firmware ${device.firmware_version}` : '';
      const state = /** @type {HTMLElement} */ (node.querySelector('.badge'));
      setText(state, device.is_streaming ? 'streaming' : 'idle');
      state.dataset.state = device.is_streaming ? 'on' : 'off';
    });
    let note = '';
    if (this.list.length === 0) note = 'No camera found. Plug one in and press the refresh button; this list also looks again by itself.';
    else if (missing) note = `Camera ${this.picked} is not connected.`;
    showText(this.#note, note);
  }

  #create(device) {
    return el('label', { class: 'device' },
      el('input', {
        type: 'radio',
        name: 'device',
        value: device.device_id,
        onchange: () => {
          this.picked = device.device_id;
          this.#render();
          this.#tell();
        },
      }),
      el('span', { class: 'device-name' }),
      el('span', { class: 'device-facts' }),
      el('span', { class: 'badge' }));
  }
}

function facts(device) {
  const parts = [`Serial ${device.serial_number}`];
  if (device.usb_type) parts.push(`USB ${device.usb_type}`);
  return parts.join(' · ');
}
