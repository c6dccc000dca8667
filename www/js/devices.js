// The camera list. Owns which camera is picked; asks the server when told to.

import { byId, el, isOff, reconcile, setOff, setText, showText } from './dom.js';
import { explain } from './explain.js';

/** Event `pick` {device}: another camera was picked, or the first one was found. Event `change`: the list is new. */
export class Devices extends EventTarget {
  /** @type {any[]} */
  list = [];
  /** Serial number of the picked camera. */
  picked = '';
  /** The picked camera as it was when it was last there: its card stays while it is unplugged. @type {any} */
  #last = null;
  /** Whether the list is true now. */
  #known = true;
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

  /** Says that nobody knows what is connected: the server is not there. */
  unknown() {
    this.#known = false;
    this.#render();
  }

  /** @param {boolean} [refresh] ask the backends anew @returns {Promise<boolean>} whether the server answered */
  async load(refresh = false) {
    try {
      this.list = await this.#api.devices(refresh);
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

  #render() {
    if (this.device) this.#last = this.device;
    const missing = this.picked !== '' && !this.device;
    const shown = missing && this.seen ? [...this.list, this.#last] : this.list;
    reconcile(this.#node, shown, (device) => device.device_id, (device) => this.#create(device), (node, device) => {
      const input = /** @type {HTMLInputElement} */ (node.querySelector('input'));
      input.checked = device.device_id === this.picked;
      setText(/** @type {Element} */ (node.querySelector('.device-name')), device.name);
      setText(/** @type {Element} */ (node.querySelector('.device-facts')), facts(device));
      node.title = device.firmware_version ? `Firmware ${device.firmware_version}` : '';
      const state = /** @type {HTMLElement} */ (node.querySelector('.badge'));
      const [text, look] = this.#badge(device);
      setText(state, text);
      state.dataset.state = look;
    });
    let note = '';
    if (shown.length === 0 && !missing) note = 'No camera found. Plug one in: it appears here by itself.';
    else if (missing && !this.seen) note = `Camera ${this.picked} is not connected.`;
    showText(this.#note, this.#known ? note : '');
  }

  #badge(device) {
    if (!this.#known) return ['unknown', 'off'];
    if (!this.list.includes(device)) return ['unplugged', 'warn'];
    return device.is_streaming ? ['streaming', 'on'] : ['idle', 'off'];
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
