// The demo page in real Chromium over the real librealsense: its software device live, recorded by the page, played on the
// page of another server. Needs the library; scripts/test.sh fetches it.
import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { Server, advancing, chromium, look, start, text, until, watch } from './helper.mjs';

const BOUND = { timeout: 180000 };
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
      server.camera = `${SOFTWARE}-rec`; // a recording never has its camera's id
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

  it('plays a recording beside the camera it was made with, closes and deletes it', BOUND, async () => {
    await serving(['--software-device'], async (server) => {
      const page = await start(browser, server, 'color,depth');
      await advancing(page, 'depth', 3);
      await until('the button may be pressed', () => page.$eval('#record', (node) => !node.hasAttribute('aria-disabled')));
      const files = () => page.$$eval('#recordings .recording-name', (nodes) => nodes.map((node) => node.textContent));
      await until('the list is known', async () => /^\d+$/.test(await text(page, '#recordings-count')));
      const before = await files();
      await page.click('#record');
      await until('two seconds are recorded', async () => /^0:0[2-9]/.test(await text(page, '#record-state')));
      await until('the list says so', () => page.$$eval('#recordings .badge', (nodes) => nodes.some((node) => node.textContent === 'recording' && node.checkVisibility())));
      await page.click('#record');
      const name = await until('the file is offered', () => page.$eval('#record-file', (node) => !node.hidden && node.download));
      await until('it is in the list', async () => (await files()).includes(name));
      assert.deepEqual((await files()).filter((file) => file !== name), before, 'nothing of it is left under another name');
      const download = await page.$eval(`[aria-label="Download ${name}"]`, (node) => node.href);
      const fetched = await fetch(download, { method: 'HEAD' });
      assert.equal(Number(fetched.headers.get('Content-Length')), statSync(path.join(folder, name)).size);

      await page.click(`[aria-label="Play ${name}"]`);
      await until('it is picked', async () => (await text(page, '.device:has(:checked)')).includes(`Recording ${name}`));
      const device = await page.$eval('.device :checked', (node) => node.value);
      assert.notEqual(device, SOFTWARE, 'the camera stays beside it');
      assert.equal((await page.$$('.device')).length, 2);
      await until('this tab watches it', async () => {
        const sessions = await server.get('webrtc/sessions');
        return sessions.length === 1 && sessions[0].device_id === device && sessions[0].connected;
      });
      for (const stream of ['color', 'depth']) await advancing(page, stream);
      await until('its place is told', async () => /^0:0\d \/ 0:0\d$/.test(await text(page, '#playback-time')));
      await until('the list says so', () => page.$eval(`[aria-label="Delete ${name}"]`, (node) => node.getAttribute('aria-disabled') === 'true'));
      await page.click(`[aria-label="Play ${name}"]`); // again: it is not opened twice
      await advancing(page, 'color');
      assert.equal((await server.get('devices/')).length, 2);

      await page.click(`[aria-label="Close ${name}"]`);
      await until('the camera is picked', async () => (await page.$$('.device')).length === 1 && page.$eval('.device input', (node) => node.checked));
      assert.equal(await page.$eval('.device input', (node) => node.value), SOFTWARE);
      assert.equal(await page.evaluate(() => document.activeElement.value), SOFTWARE, 'and has the keyboard');
      assert.deepEqual((await server.get('devices/')).map((d) => d.device_id), [SOFTWARE]);
      await until('nobody watches', async () => (await server.get('webrtc/sessions')).length === 0);
      assert.ok(!(await text(page, '#log')).includes('unplugged'));

      await until('it may be deleted', () => page.$eval(`[aria-label="Delete ${name}"]`, (node) => !node.hasAttribute('aria-disabled')));
      await page.click(`[aria-label="Delete ${name}"]`);
      await page.waitForSelector('#confirm[open]');
      await page.click('#confirm-yes');
      await until('it is gone', async () => !(await files()).includes(name));
      assert.equal(existsSync(path.join(folder, name)), false);
      assert.equal(await page.$eval('#record-file', (node) => node.hidden), true, 'nothing offers it any more');
      assert.deepEqual(page.complaints, []);
      await page.close();
    });
  });
});
