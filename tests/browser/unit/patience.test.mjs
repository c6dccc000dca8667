// Time limits of a page that may be stopped.
import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it, mock } from 'node:test';
import { Api } from '../../../www/js/api.js';
import { after } from '../../../www/js/patience.js';

/** Timers and clocks of their own: `run` lets time pass, `stop` lets it pass without a timer running. */
class Time {
  now = 0;
  #timers = new Map();
  #last = 0;

  constructor() {
    mock.method(performance, 'now', () => this.now);
    mock.method(Date, 'now', () => this.now);
    mock.method(globalThis, 'setTimeout', (act, ms) => {
      this.#last += 1;
      this.#timers.set(this.#last, { act, at: this.now + ms });
      return this.#last;
    });
    mock.method(globalThis, 'clearTimeout', (timer) => this.#timers.delete(timer));
  }

  run(ms) {
    const end = this.now + ms;
    for (;;) {
      const [next] = [...this.#timers].filter(([, { at }]) => at <= end).sort(([, a], [, b]) => a.at - b.at);
      if (!next) break;
      this.#timers.delete(next[0]);
      this.now = Math.max(this.now, next[1].at);
      next[1].act();
    }
    this.now = end;
  }

  stop(ms) {
    this.now += ms;
  }
}

describe('a time limit', () => {
  /** @type {Time} */ let time;
  beforeEach(() => { time = new Time(); });
  afterEach(() => mock.restoreAll());

  it('passes while the page runs', () => {
    const act = mock.fn();
    after(8000, act);
    time.run(7999);
    assert.equal(act.mock.callCount(), 0);
    time.run(1);
    assert.equal(act.mock.callCount(), 1);
  });
  it('is granted once more, and only once, where the page was stopped', () => {
    const act = mock.fn();
    after(8000, act);
    time.stop(60000); // the machine sleeps: the timer is late when it runs at last
    time.run(7999);
    assert.equal(act.mock.callCount(), 0);
    time.stop(60000);
    time.run(0);
    assert.equal(act.mock.callCount(), 1);
  });
  it('can be cancelled, before and after that', () => {
    const act = mock.fn();
    after(8000, act)();
    const cancel = after(8000, act);
    time.stop(60000);
    time.run(0);
    cancel();
    time.run(20000);
    assert.equal(act.mock.callCount(), 0);
  });

  it('ends a request that is not answered, and says so', async () => {
    mock.method(globalThis, 'fetch', (_, { signal }) => new Promise((_, reject) => {
      signal.addEventListener('abort', () => reject(signal.reason));
    }));
    const asked = new Api('http://127.0.0.1/').health();
    time.run(4000);
    await assert.rejects(asked, { status: 0, message: 'The server did not answer within 4 s.' });
  });
  it('is not told from a server that is not there by its name alone', async () => {
    mock.method(globalThis, 'fetch', () => Promise.reject(new TypeError('Failed to fetch')));
    await assert.rejects(new Api('http://127.0.0.1/').health(), { status: 0, message: 'The server cannot be reached.' });
  });
});
