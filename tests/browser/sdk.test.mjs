// The demo page in real Chromium over the real librealsense: its software device live, recorded by the page, played on the
// page of another server. Needs the library; scripts/test.sh fetches it.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { Server, advancing, chromium, look, text, until, watch } from './helper.mjs';

const BOUND = { timeout: 90000 };
const LIBRARY = process.env.REALSENSE_WEBRTC_TEST_SDK;
/** The serial number of the SDK's software device. */
const SOFTWARE = '954212070924';

describe('the demo page over librealsense', () => {
  let browser;
  let folder;
  let config;

  before(async () => {
    assert.ok(LIBRARY, 'set REALSENSE_WEBRTC_TEST_SDK to a librealsense2.so; scripts/get_librealsense.sh fetches one, and scripts/test.sh does all of it');
    folder = mkdtempSync(path.join(tmpdir(), 'realsense-webrtc-'));
    config = `[recording]\ndir = ${JSON.stringify(folder)}\nmin_free_mb = 1\n[realsense]\nenabled = false\nlibrary = ${JSON.stringify(LIBRARY)}\n`;
    browser = await chromium();
  }, BOUND);

  after(async () => {
    await browser?.close();
    if (folder) rmSync(folder, { recursive: true, force: true });
  }, BOUND);

  async function serving(args, use) {
    const server = await Server.start(undefined, config, args);
    server.camera = SOFTWARE;
    let how;
    try {
      await use(server);
    } finally {
      how = await server.stop();
    }
    assert.equal(how, 0, server.log);
  }

  it('plays what the camera sends, records it, and plays the recording', BOUND, async () => {
    let file;
    await serving(['--software-device'], async (server) => {
      const page = await watch(browser, server, 'color,depth');
      for (const stream of ['color', 'depth']) {
        const seen = await advancing(page, stream);
        assert.equal(seen.stream, stream, 'the track carries the stream the tile is labelled with');
        assert.ok(seen.deviation > 8, `${stream} shows a picture, not a flat colour: ${JSON.stringify(seen)}`);
        if (stream === 'depth') assert.ok(seen.colours > 10, 'depth is coloured');
      }
      assert.match(await text(page, '.device'), /D435I \(software device\)/);
      assert.match(await text(page, 'body'), /librealsense 2\.\d+\.\d+/);
      await until('the motion readout shows gravity', async () => {
        const values = await page.$$eval('[data-motion="accel"] output', (nodes) => nodes.map((n) => Number.parseFloat(n.textContent)));
        return Math.abs(Math.hypot(...values) - 9.81) < 1.5;
      });
      await until('the button may be pressed', () => page.$eval('#record', (node) => !node.hasAttribute('aria-disabled')));
      await page.click('#record');
      await until('three seconds are recorded', async () => /^0:0[3-9]/.test(await text(page, '#record-state')));
      await page.click('#record');
      await until('the file is offered', () => page.$eval('#record-file', (node) => !node.hidden));
      file = path.join(folder, await page.$eval('#record-file', (node) => node.download));
      assert.ok(statSync(file).size > 100000);

      await server.fault('unplug');
      await until('the page says that the camera is gone', async () => /unplugged/.test(await text(page, '#banner-text')));
      await server.fault('replug');
      await advancing(page, 'color', 10, 30000);
      await advancing(page, 'depth');
      assert.deepEqual(page.complaints.filter((line) => !/503/.test(line)), []);
      await page.close();
    });
    await serving(['--recording', file], async (server) => {
      const page = await watch(browser, server, 'color,depth');
      for (const stream of ['color', 'depth']) {
        const seen = await advancing(page, stream);
        assert.equal(seen.stream, stream);
        assert.ok(seen.deviation > 8, `${stream} shows a picture: ${JSON.stringify(seen)}`);
      }
      await until('the place is told', async () => /^0:0\d \/ 0:0\d$/.test(await text(page, '#playback-time')));
      await page.click('#playback-toggle');
      await until('the page says so', async () => (await text(page, '#server-state')) === 'Paused');
      let last;
      let same = 0;
      await until('the picture stands', async () => {
        const { frame } = await look(page, 'color');
        same = frame === last ? same + 1 : 0;
        last = frame;
        return same > 10;
      });
      await page.click('#playback-toggle');
      await advancing(page, 'color');
      await until('the page is live', async () => (await text(page, '#server-state')) === 'Live');
      assert.deepEqual(page.complaints, []);
    });
  });
});
