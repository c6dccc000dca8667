// When the page takes missing pictures for a fault: Flow, with the real judges of frames and of sleep, on a clock of its own.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Awake } from '../../../www/js/awake.js';
import { Flow } from '../../../www/js/flow.js';
import { Frames, STALE_TOLD_MS, STALE_UNSEEN_MS } from '../../../www/js/frames.js';

/** A page that watches one stream. Time passes only by `run` and `sleep`; its timers run as a browser's do. */
class Page {
  now = 1000;
  wall = 1.7e12;
  hidden = false;
  reopened = [];
  said = [];
  overlays = [];
  /** Whether the camera's frames reach this browser. */
  frames = true;
  /** Whether the browser calls back for each frame it shows, while it shows any. */
  tells = true;
  /** Whether the browser decodes what nobody sees. */
  decodesUnseen = true;
  /** Whether the server answers, and says that it is connected to this page. */
  confirms = true;
  #decoded = 0;
  #bytes = 0;
  #statisticsAt = 0;
  #lookAt = 0;
  #panelsAt = 0;

  constructor() {
    const clock = { now: () => this.now, wall: () => this.wall, hidden: () => this.hidden };
    this.awake = new Awake(clock);
    this.judge = new Frames();
    this.viewer = {
      state: 'live', wanted: true, message: '',
      reopen: (why) => {
        this.reopened.push({ at: this.now, why });
        this.attach();
        this.flow.sessionIsNew();
      },
    };
    const page = this;
    const tiles = {
      get lastFrameAt() { return page.judge.lastAt; },
      get staleMs() { return page.staleMs; },
      get flowing() { return page.judge.flowing(page.now, page.staleMs) ? ['color'] : []; },
      get late() { return page.judge.late(page.now, page.staleMs) ? ['color'] : []; },
      check: (why) => { if (this.judge.late(this.now, this.staleMs)) this.overlays.push(why('color')); },
    };
    const happenings = { stalls: (streams) => { if (streams.length > 0) this.said.push({ at: this.now, streams }); }, forget: () => {} };
    this.panels = { trouble: '', confirmedAt: 0 };
    this.flow = new Flow({
      tiles, viewer: this.viewer, devices: { device: {}, seen: true }, deck: { paused: false }, server: { state: 'up', reachable: true }, happenings, panels: this.panels, awake: this.awake,
    }, () => this.now);
    this.attach();
    this.flow.sessionIsNew();
  }

  get staleMs() {
    return this.awake.seen ? STALE_TOLD_MS : STALE_UNSEEN_MS;
  }

  attach() {
    this.judge.begin(this.now);
    this.#decoded = this.#bytes = 0;
  }

  /** The page runs for so long: frames at 10 a second, its timers as a busy browser runs them. */
  run(seconds) {
    const end = this.now + seconds * 1000;
    while (this.now < end) {
      this.now += 100;
      this.wall += 100;
      if (this.frames) {
        this.#bytes += 5000;
        if (!this.hidden || this.decodesUnseen) this.#decoded += 1;
        if (!this.hidden && this.tells) this.judge.shown(this.now);
      }
      this.#timers();
    }
  }

  #timers() {
    if (this.confirms && this.now - this.#panelsAt >= (this.hidden ? 6000 : 1500)) this.panels.confirmedAt = this.#panelsAt = this.now;
    if (this.now - this.#lookAt >= (this.hidden ? 1000 : 250)) {
      this.#lookAt = this.now;
      this.flow.look();
    }
    if (this.now - this.#statisticsAt >= (this.hidden ? 4000 : 1000)) {
      this.#statisticsAt = this.now;
      this.judge.read(this.now, { frames: this.#decoded, bytes: this.#bytes }, this.tells && !this.hidden, !this.hidden);
      this.flow.revive();
    }
  }

  /** The machine sleeps, or the tab is frozen: nothing runs. @param {number} seconds @param {boolean} counted by performance.now */
  sleep(seconds, counted = true) {
    if (counted) this.now += seconds * 1000;
    this.wall += seconds * 1000;
  }
}

describe('Flow', () => {
  it('asks for another session where pictures cease although all is there', () => {
    const page = new Page();
    page.run(20);
    assert.ok(page.flow.flows);
    page.frames = false;
    page.run(9);
    assert.deepEqual(page.reopened, []);
    assert.deepEqual(page.said[0].streams, ['color']);
    assert.ok(page.said[0].at < 1000 + 20000 + 3000, 'the log tells soon');
    assert.equal(page.overlays.at(-1), 'The camera delivers no new picture.');
    page.run(3);
    assert.equal(page.reopened.length, 1);
    assert.match(page.reopened[0].why, /^no video for 1\d s$/);
  });

  it('asks more and more seldom while that does not help, and at once again after it did', () => {
    const page = new Page();
    page.run(20);
    page.frames = false;
    page.run(600);
    const waits = page.reopened.map(({ at }, i, all) => Math.round((at - (all[i - 1]?.at ?? 21000)) / 10000) * 10);
    assert.deepEqual(waits.slice(0, 5), [10, 20, 40, 60, 60]);
    assert.ok(page.reopened.length < 13, `${page.reopened.length} sessions in 10 minutes`);
    page.frames = true;
    page.run(10);
    page.frames = false;
    const before = page.reopened.length;
    page.run(13);
    assert.equal(page.reopened.length, before + 1);
  });

  it('leaves a hidden tab its session, as long as frames are decoded', () => {
    const page = new Page();
    page.run(20);
    page.hidden = true;
    page.run(3600);
    assert.deepEqual(page.reopened, []);
    assert.deepEqual(page.said, []);
    assert.ok(page.flow.flows, 'frames come, seen or not');
    page.hidden = false;
    page.frames = false; // the first picture takes a moment
    page.run(0.9);
    page.frames = true;
    page.run(10);
    assert.deepEqual(page.reopened, []);
    assert.deepEqual(page.said, []);
    assert.deepEqual(page.overlays, []);
  });

  it('leaves a hidden tab its session in browsers that do not decode what nobody sees', () => {
    const page = new Page();
    page.decodesUnseen = false;
    page.run(20);
    page.hidden = true;
    page.run(3600);
    assert.deepEqual(page.reopened, []);
    assert.deepEqual(page.said, []);
    page.hidden = false;
    page.run(10);
    assert.deepEqual(page.reopened, []);
    assert.ok(page.flow.flows);
  });

  it('asks more and more seldom in a hidden tab, too, where each session brings one picture only', () => {
    const page = new Page();
    page.run(20);
    page.hidden = true;
    page.frames = false;
    const reopen = page.viewer.reopen;
    page.viewer.reopen = (why) => {
      reopen(why);
      page.frames = true;
      page.run(0.1);
      page.frames = false;
    };
    page.run(600);
    assert.ok(page.reopened.length < 16, `${page.reopened.length} sessions in 10 minutes`);
  });

  it('begins in a hidden tab as well', () => {
    const page = new Page();
    page.hidden = true;
    page.run(60);
    assert.deepEqual(page.reopened, []);
    assert.deepEqual(page.overlays, []);
    assert.ok(page.flow.flows);
  });

  it('sees in a hidden tab that pictures really cease', () => {
    const page = new Page();
    page.run(20);
    page.hidden = true;
    page.run(60);
    page.frames = false;
    page.run(30);
    assert.equal(page.reopened.length, 1);
  });

  it('gives a tab that is shown again its time', () => {
    const page = new Page();
    page.run(20);
    page.hidden = true;
    page.frames = false; // as in browsers that do not decode what nobody sees
    page.run(8);
    page.hidden = false;
    page.run(9);
    assert.deepEqual(page.reopened, []);
    page.frames = true;
    page.run(20);
    assert.deepEqual(page.reopened, []);
  });

  it('does not blame the camera where the session may be what ended', () => {
    const page = new Page();
    page.run(20);
    page.sleep(60);
    page.frames = page.confirms = false; // its session is gone, and it takes long to ask
    page.run(8);
    assert.deepEqual(page.said, []);
    for (const text of page.overlays) assert.doesNotMatch(text, /camera/);
    page.confirms = true;
    page.run(2);
    assert.equal(page.said.length > 0, true, 'it is the camera after all');
  });

  for (const [what, seconds, counted] of [['a laptop that slept for a minute', 60, true], ['one whose sleep performance.now does not count', 60, false], ['a tab restored after an hour', 3600, true]]) {
    it(`takes ${what} for no fault of the camera`, () => {
      const page = new Page();
      page.run(20);
      page.sleep(seconds, counted);
      page.flow.revive(); // timers that were due meanwhile all run at once, in any order
      page.frames = false;
      page.run(3.5); // what it takes to connect again
      page.frames = true;
      page.run(30);
      assert.deepEqual(page.reopened, []);
      assert.deepEqual(page.said, []);
      for (const text of page.overlays) assert.doesNotMatch(text, /camera/);
      assert.ok(page.flow.flows);
    });

    it(`gets ${what} another session where pictures do not come again`, () => {
      const page = new Page();
      page.run(20);
      page.sleep(seconds, counted);
      page.frames = false;
      page.run(12);
      assert.equal(page.reopened.length, 1);
    });
  }

  it('does not take frames that are decoded but not shown for a dead session', () => {
    const page = new Page();
    page.run(20);
    page.tells = false; // an element that a browser does not paint: the count goes on
    page.judge.read = function read(now, sample, told, seen) { // with a browser that could tell
      return Frames.prototype.read.call(this, now, sample, true, seen);
    };
    page.run(60);
    assert.deepEqual(page.reopened, []);
  });
});

describe('a page that is stopped', () => {
  it('knows it by either clock', () => {
    const clock = { now: 0, wall: 0, hidden: false };
    const awake = new Awake({ now: () => clock.now, wall: () => clock.wall, hidden: () => clock.hidden });
    clock.now = clock.wall = 2000;
    assert.deepEqual([awake.resumedAt, awake.seen], [0, true]);
    clock.now = clock.wall = 62000;
    assert.deepEqual([awake.resumedAt, awake.seen], [62000, false]);
    clock.now = clock.wall = 63000;
    assert.equal(awake.seen, true);
    clock.wall = 123000;
    assert.deepEqual([awake.resumedAt, awake.seen], [63000, false]);
  });
});
