// The Socket.IO connection: metadata of running streams. Owns the socket; it reconnects by itself.

import { io } from '../vendor/socket.io/socket.io.esm.min.js';

/**
 * Events: `metadata` {…metadata_update}; `online` {online}; `sessions`, when somebody came or went; `goodbye`, when the
 * server is about to stop.
 */
export class Events extends EventTarget {
  #socket;

  /** @param {import('./api.js').Api} api */
  constructor(api) {
    super();
    this.#socket = io({
      path: api.socketPath,
      transports: ['websocket', 'polling'],
      reconnectionDelay: 500,
      reconnectionDelayMax: 5000,
      auth: api.token ? { token: api.token } : undefined,
      query: api.token ? { token: api.token } : undefined,
      autoConnect: false,
    });
    this.#socket.on('metadata_update', (detail) => this.dispatchEvent(new CustomEvent('metadata', { detail })));
    this.#socket.on('sessions_changed', () => this.dispatchEvent(new Event('sessions')));
    this.#socket.on('server_shutdown', () => this.dispatchEvent(new Event('goodbye')));
    this.#socket.on('connect', () => this.#tell(true));
    this.#socket.on('disconnect', () => this.#tell(false));
  }

  /** @param {boolean} online */
  #tell(online) {
    this.dispatchEvent(new CustomEvent('online', { detail: { online } }));
  }

  /** Uses another token from the next connection on. @param {string} token */
  set token(token) {
    this.#socket.auth = { token };
    this.#socket.io.opts.query = { token };
  }

  /** Connects, unless it is connected. Call when the server is known to be there: failed tries fill the console. */
  connect() {
    if (!this.#socket.active) this.#socket.connect();
  }

  /** Stops trying. */
  disconnect() {
    this.#socket.disconnect();
  }
}
