// Tabs that nobody sees, machines that sleep, tabs that were put to rest: none of that is a fault, and all of it heals by itself.
import assert from 'node:assert/strict';
import { after, afterEach, before, describe, it } from 'node:test';
import { PATIENCE_MS, Server, advancing, chromium, firefox, start, text, until } from './helper.mjs';

const BOUND = { timeout: 120000 };
/** Seconds that a session lives here where it is to end by itself. */
const LIFE_S = 12;
/** What the page says of a fault, which there is none of in these tests. */
const FAULT = /No new pictures|no video for|delivers no|unplugged|closed by the server/;

const sessionsOf = (server) => server.get('webrtc/sessions');

/** Waits until the tab's one session is so old, and fails as soon as it is another one. */
async function outlives(server, id, seconds) {
  let other = null;
  await until(`session ${id} is ${seconds} s old`, async () => {
    const sessions = await sessionsOf(server);
    other = sessions.find((session) => session.session_id !== id) ?? (sessions.length === 0 ? 'none' : null);
    return other !== null || sessions[0].stats.connected_s >= seconds;
  }, (seconds + 20) * 1000);
  assert.equal(other, null, 'the tab has the session that it had');
}

describe('a Chromium whose windows can be hidden', () => {
  /** @type {Server} */ let server;
  let browser;

  before(async () => {
    [server, browser] = await Promise.all([Server.start(), chromium({ hides: true })]);
  }, BOUND);

  afterEach(async () => {
    for (const context of browser.browserContexts()) {
      if (context !== browser.defaultBrowserContext()) await context.close();
    }
    await server.request('DELETE', 'webrtc/sessions');
  });

  after(async () => {
    await browser?.close();
    assert.equal(await server?.stop(), 0, server?.log);
  }, BOUND);

  it('keeps its session while it is hidden and when it is shown again', BOUND, async () => {
    const page = await start(browser, server, 'color,depth');
    await advancing(page, 'depth');
    const [{ session_id: id }] = await sessionsOf(server);
    const devtools = await page.createCDPSession();
    const { windowId } = await devtools.send('Browser.getWindowForTarget');
    await devtools.send('Browser.setWindowBounds', { windowId, bounds: { windowState: 'minimized' } });
    await until('the page is hidden', () => page.evaluate(() => document.hidden));
    const presented = await page.$eval('.tile', (tile) => tile.dataset.presented);
    await outlives(server, id, 30); // a judge of shown frames asks for another session after 12 s
    assert.equal(await text(page, '#server-state'), 'Live');
    assert.doesNotMatch(await text(page, '#log'), FAULT);
    const meanwhile = await page.$eval('.tile', (tile) => tile.dataset.presented) - presented;
    assert.ok(meanwhile < 30, `no frames are shown in a hidden tab (${meanwhile}): else this test sees nothing`);
    await devtools.send('Browser.setWindowBounds', { windowId, bounds: { windowState: 'normal' } });
    await until('the page is shown', () => page.evaluate(() => !document.hidden));
    await advancing(page, 'color');
    assert.deepEqual((await sessionsOf(server)).map((session) => session.session_id), [id]);
    assert.doesNotMatch(await text(page, '#log'), /Reconnecting/);
    assert.deepEqual(page.complaints, []);
  });

  it('goes on by itself after the machine slept', BOUND, async () => {
    const sleeper = await chromium({ hides: true });
    try {
      const page = await start(sleeper, server, 'color');
      await advancing(page, 'color');
      process.kill(-sleeper.process().pid, 'SIGSTOP'); // the group: the browser and its renderers
      try {
        // 30 s where its rhythm is not known yet: on a busy machine it may have been heard less than three times.
        await until('the server gave the silent viewer up', async () => (await sessionsOf(server)).length === 0, 30000 + PATIENCE_MS);
      } finally {
        process.kill(-sleeper.process().pid, 'SIGCONT');
      }
      await until('the page has another session', async () => (await sessionsOf(server)).some((session) => session.connected));
      await advancing(page, 'color');
      assert.equal((await sessionsOf(server)).length, 1);
      assert.doesNotMatch(await text(page, '#log'), FAULT);
      await until('all is well', async () => (await text(page, '#server-state')) === 'Live' && page.$eval('#banner', (node) => node.hidden));
      await until('Socket.IO is back', () => page.$('[data-motion="accel"]:not([hidden])'));
    } finally {
      await sleeper.close();
    }
  });
});

describe('sessions that end while nobody looks', () => {
  /** @type {Server} */ let server;
  let browser;

  before(async () => {
    [server, browser] = await Promise.all([Server.start(undefined, `[camera]\nlinger_s = 0.5\n[sessions]\nmax_lifetime_s = ${LIFE_S}\n`), chromium({ hides: true })]);
  }, BOUND);

  after(async () => {
    await browser?.close();
    assert.equal(await server?.stop(), 0, server?.log);
  }, BOUND);

  it('are begun anew by a tab that was put to rest, once it is restored', BOUND, async () => {
    const page = await start(browser, server, 'color');
    await advancing(page, 'color');
    const devtools = await page.createCDPSession();
    await devtools.send('Page.setWebLifecycleState', { state: 'frozen' });
    await until('its session has lived its time', async () => (await sessionsOf(server)).length === 0, (LIFE_S + 20) * 1000);
    await devtools.send('Page.setWebLifecycleState', { state: 'active' });
    await until('it has another', async () => (await sessionsOf(server)).some((session) => session.connected));
    await advancing(page, 'color');
    assert.doesNotMatch(await text(page, '#log'), FAULT);
    await page.close();
  });

  it('are begun anew by a page that a person started', BOUND, async () => {
    const page = await start(browser, server, 'color');
    await advancing(page, 'color');
    const [{ session_id: first }] = await sessionsOf(server);
    await until('there is another session', async () => (await sessionsOf(server)).some((session) => session.session_id !== first && session.connected), (LIFE_S + 20) * 1000);
    await advancing(page, 'color');
    assert.match(await text(page, '#log'), /Reconnecting/);
    assert.doesNotMatch(await text(page, '#log'), FAULT);
    assert.ok(await page.$eval('#banner', (node) => node.hidden));
    assert.deepEqual(page.complaints.filter((line) => !/404/.test(line)), [], 'but that the session is asked for once it is gone');
    await page.close();
  });
});

describe('a hidden tab of Firefox', () => {
  it('keeps its session', BOUND, async () => {
    const [server, fox] = await Promise.all([Server.start(), firefox()]);
    try {
      const page = await start(fox, server, 'color');
      await advancing(page, 'color');
      const [{ session_id: id }] = await sessionsOf(server);
      const above = await page.browserContext().newPage();
      await above.bringToFront();
      await until('the page is hidden', () => page.evaluate(() => document.hidden));
      await outlives(server, id, 30);
      await page.bringToFront();
      await advancing(page, 'color');
      assert.deepEqual((await sessionsOf(server)).map((session) => session.session_id), [id]);
      assert.doesNotMatch(await text(page, '#log'), FAULT);
    } finally {
      await fox.close();
      await server.stop();
    }
  });
});
