// Saving a camera's settings as a preset file and loading one. Owns its two buttons; knows nothing of what a preset holds.

import { byId, el, isOff, setOff, showText } from './dom.js';

/** Event `loaded`: the options have new values. */
export class Presets extends EventTarget {
  #api;
  #log;
  #device = '';
  #node = byId('presets');
  #error = byId('preset-error');
  #save = byId('preset-save');
  #load = byId('preset-load');

  /** @param {import('./api.js').Api} api @param {import('./log.js').Say} log */
  constructor(api, log) {
    super();
    this.#api = api;
    this.#log = log;
    const file = /** @type {HTMLInputElement} */ (byId('preset-file'));
    this.#save.addEventListener('click', () => this.#act(this.#save, () => this.#saveFile()));
    this.#load.addEventListener('click', () => !isOff(this.#load) && file.click());
    file.addEventListener('change', () => {
      const chosen = file.files?.[0];
      file.value = ''; // so that the same file can be chosen again
      if (chosen) this.#act(this.#load, () => this.#loadFile(chosen));
    });
  }

  /** @param {import('realsense-webrtc/api').DeviceInfo|null} device its description, or null while it is not there */
  show(device) {
    if (device?.device_id !== this.#device) showText(this.#error, '');
    this.#device = device?.device_id ?? '';
    this.#node.hidden = !device?.presets;
  }

  async #saveFile() {
    const device = this.#device;
    const text = JSON.stringify(await this.#api.preset(device), null, 2);
    const url = URL.createObjectURL(new Blob([text], { type: 'application/json' }));
    el('a', { href: url, download: `preset-${device}.json` }).click();
    setTimeout(() => URL.revokeObjectURL(url), 10000); // the download has begun long before
  }

  /** @param {File} file */
  async #loadFile(file) {
    let preset;
    try {
      preset = JSON.parse(await file.text());
    } catch {
      throw new Error(`${file.name} is no preset: it is not JSON.`);
    }
    await this.#api.loadPreset(this.#device, preset);
    this.#log('info', `Preset ${file.name} loaded.`);
    this.dispatchEvent(new Event('loaded'));
  }

  /** @param {HTMLElement} button @param {() => Promise<void>} work */
  async #act(button, work) {
    if (isOff(button)) return;
    setOff(button, true);
    try {
      await work();
      showText(this.#error, '');
    } catch (error) {
      showText(this.#error, error.message);
      this.#log('error', error.message);
    }
    setOff(button, false);
  }
}
