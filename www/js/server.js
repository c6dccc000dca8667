// How the server is, as its health tells. Owns what is known of it; asks when told to and touches no page.

import { explain } from './explain.js';

/** Event `change` {before}: it is in another state than before. */
export class Server extends EventTarget {
  /** refused: it wants a token that this page has not. @type {'unknown'|'up'|'degraded'|'down'|'refused'} */
  state = 'unknown';
  /** What is wrong, or "". */
  text = '';
  /** "0.4.0", once known. */
  version = '';
  /** Version of librealsense, or "": with it the server plays recordings, even with no camera. */
  sdk = '';
  #api;
  #checkToken = true;

  /** @param {import('./api.js').Api} api */
  constructor(api) {
    super();
    this.#api = api;
  }

  /** Whether requests make sense now. */
  get reachable() {
    return this.state === 'up' || this.state === 'degraded';
  }

  async check() {
    const before = this.state;
    try {
      const health = await this.#api.health();
      // Health is open to all; whether the rest is open to this page shows at a request that needs the token.
      if (before !== 'up' || this.#checkToken) await this.#api.iceServers().catch((error) => [401, 403].includes(error.status) && Promise.reject(error));
      this.#checkToken = false;
      [this.state, this.text] = ['up', ''];
      this.version = health.version ?? '';
      this.sdk = health.sdk_version && health.sdk_version !== 'none' ? health.sdk_version : '';
    } catch (error) {
      this.state = error.status === 503 ? 'degraded' : error.status === 401 || error.status === 403 ? 'refused' : 'down';
      this.text = this.state === 'refused' && this.#api.token ? 'The server does not accept this token.' : explain(error, '');
    }
    if (this.state !== before) this.dispatchEvent(new CustomEvent('change', { detail: { before } }));
  }

  /** Takes a refusal elsewhere into account at the next look. @param {number} status of the failed request */
  doubt(status) {
    this.#checkToken ||= status === 401 || status === 403;
  }

  /** Begins anew, as with another token. */
  forget() {
    this.state = 'unknown';
    this.#checkToken = true;
  }
}
