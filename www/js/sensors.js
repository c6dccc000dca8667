// What the picked camera has: loads it once for the forms of streams and options, and begins what was asked for before it was
// known (by the address, or by opening a recording). Owns for which camera the forms stand.

import { explain } from './explain.js';

/** Events: `watch` {choice}, it is time to begin; `shown`, the forms are as the camera is. */
export class Sensors extends EventTarget {
  /** Whether to begin as soon as the camera is known. */
  autostart;
  #api;
  #devices;
  #streams;
  #options;
  #wanted;
  #say;
  #of = '';
  /** A recording that was opened here, until it is known which streams it has. */
  #toPlay = '';
  #namedUnknown = false;

  /**
   * @param {import('./api.js').Api} api
   * @param {{devices: import('./devices.js').Devices, streams: import('./streams.js').Streams, options: import('./options.js').Options}} forms
   * @param {import('./address.js').Address} address
   * @param {import('./log.js').Say} say
   */
  constructor(api, { devices, streams, options }, address, say) {
    super();
    this.#api = api;
    this.#devices = devices;
    this.#streams = streams;
    this.#options = options;
    this.#wanted = address.streams;
    this.#say = say;
    this.autostart = address.autostart;
  }

  /** Asks anew at the next load. */
  forget() {
    this.#of = '';
  }

  /** Plays a recording as soon as its streams are known. @param {string} device */
  play(device) {
    this.#toPlay = device;
  }

  async load() {
    const { device } = this.#devices;
    if (!device && this.#devices.seen && this.#of) {
      this.#of = ''; // asked anew when it is back; what is shown stays, but cannot be used
      this.#streams.away = true;
      this.#options.away = true;
    } else if (!device && !this.#devices.seen) {
      this.#streams.unavailable('');
      this.#options.unavailable(this.#devices.picked || this.#devices.list.length === 0 ? 'They appear with the camera.' : 'Pick a camera first.');
    } else if (device && this.#of !== device.device_id) {
      this.#options.away = true; // those that are shown are another camera's
      try {
        const sensors = await this.#api.sensors(device.device_id);
        if (this.#devices.picked !== device.device_id) return; // another was picked meanwhile
        this.#of = device.device_id;
        this.#streams.show(sensors);
        this.#options.show(device.device_id, sensors);
        this.#nameUnknown();
      } catch (error) {
        this.#streams.unavailable(explain(error, device.device_id));
        this.#options.unavailable(explain(error, device.device_id));
      }
    }
    this.#begin(device);
    this.dispatchEvent(new Event('shown'));
  }

  /** @param {import('realsense-webrtc/api').DeviceInfo|null} device the picked camera, if it is there */
  #begin(device) {
    if (this.autostart && (device || this.#devices.picked || this.#devices.list.length === 0)) {
      const choice = this.#streams.choice();
      if (choice.streams.length === 0) choice.streams = this.#wanted.length > 0 ? this.#wanted : ['color'];
      if (this.#devices.picked) this.#watch(choice);
    }
    if (this.#toPlay !== '' && this.#of === this.#toPlay) {
      this.#toPlay = '';
      this.#streams.tickOne();
      if (this.#streams.types.length > 0) this.#watch(this.#streams.choice());
    }
  }

  /** @param {ReturnType<import('./streams.js').Streams['choice']>} choice */
  #watch(choice) {
    this.dispatchEvent(new CustomEvent('watch', { detail: { choice } }));
  }

  /** Streams that the address asks for and the camera does not have: said once. */
  #nameUnknown() {
    const unknown = this.#wanted.filter((stream) => !this.#streams.types.includes(stream));
    if (unknown.length === 0 || this.#namedUnknown) return;
    this.#namedUnknown = true;
    this.#say('warn', `The address asks for ${unknown.map((s) => `"${s}"`).join(', ')}, which this camera does not have. It has ${this.#streams.types.join(', ')}.`);
  }
}
