// The page's own address: what it asks for, and what is kept in it for a reload or a copy. Owns the query's names.

/** @param {URLSearchParams} params @returns {string} "?a=b", or "" for none */
export function queryText(params) {
  const text = params.toString(); // not every browser's URLSearchParams has a size
  return text === '' ? '' : `?${text}`;
}

/** The query of the address. */
export class Address {
  #query = new URLSearchParams(location.search);
  /** Streams to tick, as asked for when the page was opened. */
  streams = (this.#query.get('streams') ?? '').split(',').map((s) => s.trim()).filter(Boolean);
  /** Whether to start without a person. */
  autostart = ['1', 'true', 'yes'].includes(this.#query.get('autostart') ?? '');

  get query() {
    return this.#query;
  }

  /** Serial number of the camera to pick, or "". */
  get device() {
    return this.#query.get('device') ?? '';
  }

  /** @param {{device: string, streams: string[]}} wish */
  keep(wish) {
    this.#query.set('device', wish.device);
    this.#query.set('streams', wish.streams.join(','));
    this.#write();
  }

  /** A reload would wait for a recording that is closed. @param {string} device */
  forgetDevice(device) {
    if (this.device === device) this.#query.delete('device');
    this.#write();
  }

  /** The token in the address was not right. */
  forgetToken() {
    this.#query.delete('token');
  }

  #write() {
    history.replaceState(null, '', `?${this.#query.toString().replaceAll('%2C', ',')}`);
  }
}
