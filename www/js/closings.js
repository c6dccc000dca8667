// Keeps what is asked of a recording apart from its closing: a browser writes every error status on its console, also of a
// question that only came too late.

/** What this page asks of devices, and which of them it is about to close. */
export class Closings {
  /** @type {Map<string, Set<Promise<unknown>>>} */
  #asked = new Map();
  /** @type {Map<string, Promise<unknown>>} */
  #closing = new Map();
  #tooLate;

  /** @param {() => Error} tooLate what a question fails with whose recording was closed before it was sent */
  constructor(tooLate) {
    this.#tooLate = tooLate;
  }

  /**
   * Asks something of a device. While it is being closed that waits, and is not sent any more once it is closed.
   * @template T
   * @param {string} device @param {() => Promise<T>} send @returns {Promise<T>}
   */
  async ask(device, send) {
    const closing = this.#closing.get(device);
    if (closing && await closing.then(() => true, () => false)) throw this.#tooLate();
    const asked = this.#asked.get(device) ?? new Set();
    this.#asked.set(device, asked);
    const answer = send();
    asked.add(answer);
    try {
      return await answer;
    } finally {
      asked.delete(answer);
      if (asked.size === 0) this.#asked.delete(device);
    }
  }

  /**
   * Closes a device once all that was asked of it is answered.
   * @template T
   * @param {string} device @param {() => Promise<T>} send @returns {Promise<T>}
   */
  async close(device, send) {
    const closing = Promise.allSettled(this.#asked.get(device) ?? []).then(send);
    this.#closing.set(device, closing);
    try {
      return await closing;
    } finally {
      if (this.#closing.get(device) === closing) this.#closing.delete(device);
    }
  }
}
