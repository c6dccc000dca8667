// Page loads in real browsers, joining and leaving: afterwards the server has the threads and descriptors that it had.
// LOADS=200 makes it the long version that scripts/test_full.sh runs.
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { describe, it } from 'node:test';
import { Server, advancing, chromium, firefox, open, until } from './helper.mjs';

/** How often the page is loaded, by both browsers together. */
const LOADS = Number(process.env.LOADS ?? 20);
/** Milliseconds that a load may take on a slow machine. */
const LOAD_MS = 20000;
/** Threads and descriptors that pools of GLib and the allocator may keep or give back; a leak has one or more for each load. */
const SLACK = 4;
/** Looks without a change after which the server has settled: half a second. */
const SETTLED_LOOKS = 12;

const used = (pid) => ({ threads: readdirSync(`/proc/${pid}/task`).length, descriptors: readdirSync(`/proc/${pid}/fd`).length });

/** Waits until nobody watches, nothing runs and nothing changes any more. */
async function settled(server) {
  await until('nobody watches', async () => (await server.get('webrtc/sessions')).length === 0);
  await until('no stream runs', async () => (await server.get('devices/')).every((device) => !device.is_streaming));
  let before = '';
  let same = 0;
  await until('threads and descriptors settle', () => {
    const now = JSON.stringify(used(server.child.pid));
    same = now === before ? same + 1 : 0;
    before = now;
    return same >= SETTLED_LOOKS;
  });
  return used(server.child.pid);
}

/**
 * Loads the smallest viewer so often, waits for a picture each time, and leaves.
 * @param {string[]} [candidates] takes up those that it sends; only Chromium's driver shows them
 */
async function load(browser, server, times, candidates) {
  const page = await open(browser, 'about:blank');
  if (candidates) {
    page.on('request', (request) => {
      if (request.url().endsWith('/ice-candidates')) candidates.push(JSON.parse(request.postData() ?? '{}').candidate ?? '');
    });
  }
  for (let i = 0; i < times; i += 1) {
    await page.goto(`${server.url}/minimal.html`);
    await advancing(page, 'any', 2);
    await page.goto('about:blank');
  }
}

/** Both browsers load the page at the same time; each is started for it and ended after it. @returns {Promise<string[]>} Chromium's candidates */
async function loads(server, times) {
  const [chrome, fox] = await Promise.all([chromium(), firefox()]);
  try {
    const sent = [];
    await Promise.all([load(chrome, server, Math.ceil(times / 2), sent), load(fox, server, Math.floor(times / 2))]);
    return sent;
  } finally {
    await Promise.all([chrome.close(), fox.close()]);
  }
}

describe('page loads', () => {
  it(`leave nothing behind, ${LOADS} of them`, { timeout: 60000 + LOADS * LOAD_MS }, async () => {
    const server = await Server.start();
    try {
      await loads(server, 2); // what is made once and kept is made here
      const before = await settled(server);
      const sent = await loads(server, LOADS);
      assert.ok(sent.some((candidate) => /\.local /.test(candidate)), `Chromium hides its addresses behind names, as it does by default: ${sent.join('; ')}`);
      let now;
      await until(`threads and descriptors are back at ${JSON.stringify(before)}`, async () => {
        now = used(server.child.pid);
        return now.threads <= before.threads + SLACK && now.descriptors <= before.descriptors + SLACK;
      }).catch((error) => assert.fail(`${error.message}: ${JSON.stringify(now)} after ${LOADS} loads`));
      await settled(server);
    } finally {
      assert.equal(await server.stop(), 0, server.log);
    }
  });
});
