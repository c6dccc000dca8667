// The smallest viewer, which people copy to begin their own: it ends and begins anew without leaving anything behind.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Server, advancing, chromium, firefox, look, open, text, until } from './helper.mjs';

const BOUND = { timeout: 90000 };
/** Milliseconds from the end of a session to pictures of the next one. */
const AGAIN_MS = 3000;

for (const [name, launch] of [['Chromium', chromium], ['Firefox', firefox]]) {
  describe(`the smallest viewer in ${name}`, () => {
    /** @type {Server} */ let server;
    let browser;

    before(async () => {
      [server, browser] = await Promise.all([Server.start(), launch()]);
    }, BOUND);

    after(async () => {
      await browser?.close();
      assert.equal(await server?.stop(), 0, server?.log);
    }, BOUND);

    const sessions = () => server.get('webrtc/sessions');

    it('has pictures again soon after its session was ended', BOUND, async () => {
      const page = await open(browser, `${server.url}/minimal.html`);
      await advancing(page, 'any');
      const [{ session_id: id }] = await sessions();
      const began = performance.now();
      await server.request('DELETE', `webrtc/sessions/${id}`);
      await until('another session is connected', async () => (await sessions()).some((session) => session.session_id !== id && session.connected));
      const first = await look(page, 'any');
      await until('pictures move', async () => {
        const now = await look(page, 'any');
        return now && now.frame !== first?.frame;
      });
      const took = performance.now() - began;
      assert.ok(took < AGAIN_MS, `pictures came again after ${Math.round(took)} ms`);
      await until('the status is clear', async () => (await text(page, '#status')) === '');
      assert.equal((await sessions()).length, 1);
      assert.deepEqual(page.complaints, []);
      await page.close();
    });
  });
}

/** Runs in a page before its own scripts: the browser does not take the first two offers, and tells what became of its connections. */
function takesNoOffer() {
  let left = 2;
  window.connections = [];
  window.RTCPeerConnection = class extends RTCPeerConnection {
    constructor(...how) {
      super(...how);
      window.connections.push(this);
    }

    setRemoteDescription(...what) {
      left -= 1;
      return left >= 0 ? Promise.reject(new Error('a codec is missing')) : super.setRemoteDescription(...what);
    }
  };
}

describe('a page whose browser does not take the offer', () => {
  for (const [what, address, again] of [['the smallest viewer', '/minimal.html', null], ['the demo page', '/?streams=color&autostart=1', '#banner-action']]) {
    it(`is left with nothing open: ${what}`, BOUND, async () => {
      const [server, browser] = await Promise.all([Server.start(), chromium()]);
      try {
        const page = await open(browser, server.url + address, undefined, takesNoOffer);
        for (let tries = 1; again && tries <= 2; tries += 1) {
          await until('the page tells why', () => page.$eval('#banner-text', (node, count) => /codec is missing/.test(node.textContent) && window.connections.length === count, tries));
          await page.click(again);
        }
        await until('it is tried a third time', () => page.evaluate(() => window.connections.length === 3));
        await advancing(page, 'any');
        assert.deepEqual(await page.evaluate(() => window.connections.map((pc) => pc.signalingState)), ['closed', 'closed', 'stable']);
        const sessions = await server.get('webrtc/sessions');
        assert.deepEqual(sessions.map((session) => session.connected), [true], 'no session waits for an answer that never comes');
      } finally {
        await browser.close();
        await server.stop();
      }
    });
  }
});
