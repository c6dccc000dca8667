// The demo page in real Firefox ESR, which has no H.264 without a plug-in: the server encodes VP8 for it.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { CAMERA, Server, advancing, chromium, firefox, text, until, watch } from './helper.mjs';

const BOUND = { timeout: 90000 };

describe('the demo page in Firefox', () => {
  /** @type {Server} */ let server;
  let fox;

  before(async () => {
    [server, fox] = await Promise.all([Server.start(), firefox()]);
  }, BOUND);

  after(async () => {
    await fox?.close();
    assert.equal(await server?.stop(), 0, server?.log);
  }, BOUND);

  it('plays color and depth in VP8 beside a Chromium with H.264', BOUND, async () => {
    const page = await watch(fox, server, 'color,depth');
    for (const stream of ['color', 'depth']) {
      const seen = await advancing(page, stream);
      assert.equal(seen.stream, stream);
      assert.ok(seen.deviation > 8, `${stream} shows a picture: ${JSON.stringify(seen)}`);
    }
    const codec = (tab, name) => until(`the codec is ${name}`, async () => (await text(tab, '[data-figure="codec"]')) === name);
    await codec(page, 'VP8');
    const other = await chromium();
    try {
      const tab = await watch(other, server, 'color');
      await advancing(tab, 'color');
      await codec(tab, 'H264');
      await advancing(page, 'color');
      const { stream_references: references } = await server.get('webrtc/stream-references');
      assert.deepEqual(references[CAMERA], { color: 2, depth: 1 }, 'one camera stream, whatever the codecs');
    } finally {
      await other.close();
    }
    // It was killed. Where it has not yet reported three times, its silence is borne for half a minute.
    await until('the session of Chromium is gone', async () => (await server.get('webrtc/sessions')).length === 1, 35000);
    assert.deepEqual(page.complaints, []);
    await page.close();
    await until('Firefox said good-bye', async () => (await server.get('webrtc/sessions')).length === 0, 4000);
  });
});
