// Pipeline files edited under running viewers, in real Chromium: video goes on each time.
import assert from 'node:assert/strict';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Server, advancing, chromium, measureGaps, open, text, until } from './helper.mjs';

const BOUND = { timeout: 90000 };
const shipped = fileURLToPath(new URL('../../pipelines', import.meta.url));
/** The longest freeze that a swap may cause, in milliseconds. */
const FREEZE_MS = 1000;
const VIEWERS = 3;

describe('pipeline files under running viewers', () => {
  /** @type {Server} */ let server;
  let browser;
  let folder;
  let viewers;

  before(async () => {
    folder = mkdtempSync(path.join(tmpdir(), 'realsense-webrtc-pipelines-'));
    cpSync(shipped, folder, { recursive: true });
    const config = `[camera]\nlinger_s = 0.5\n[pipelines]\ndir = "${folder}"\n`;
    [server, browser] = await Promise.all([Server.start('127.0.0.1:0', config), chromium()]);
    viewers = await Promise.all(Array.from({ length: VIEWERS }, () => (
      open(browser, `${server.url}/webrtc_demo.html?device=${server.camera}&streams=color&autostart=1`, { width: 640, height: 480 })
    )));
    await Promise.all(viewers.map((page) => advancing(page, 'color')));
  }, BOUND);

  after(async () => {
    await browser?.close();
    const how = await server?.stop();
    rmSync(folder, { recursive: true, force: true });
    assert.equal(how, 0, server?.log);
  }, BOUND);

  const file = () => path.join(folder, 'color.h264.gst');
  const edit = (change) => writeFileSync(file(), change(readFileSync(file(), 'utf8')));
  const replace = (from, to) => edit((text) => {
    assert.ok(text.includes(from), `the file has ${from}`);
    return text.replace(from, to);
  });
  const pipeline = async () => (await server.get('pipelines')).find((one) => one.name === 'color.h264');
  const sessions = async () => (await server.get('webrtc/sessions')).map((one) => one.session_id).sort();

  /** How many kilobits a second the first session is sent, over two seconds. */
  const kbps = async () => {
    const sent = async () => (await server.get('webrtc/sessions'))[0].stats.streams[0].bytes_sent;
    const [before, at] = [await sent(), performance.now()];
    await new Promise((resolve) => { setTimeout(resolve, 2000); });
    return ((await sent() - before) * 8) / (performance.now() - at);
  };

  /** Does something to the file and checks that every viewer's video goes on, without a longer freeze than allowed. */
  async function goesOn(what, change, settled) {
    const known = await sessions();
    const gaps = await Promise.all(viewers.map((page) => measureGaps(page)));
    await change();
    await until(what, settled);
    await Promise.all(viewers.map((page) => advancing(page, 'color', 60)));
    for (const [index, gap] of gaps.entries()) {
      const [{ longest, frames }] = await gap();
      // A browser that is busy shows fewer than come; that many came, the strip has said.
      assert.ok(frames >= 10, `viewer ${index} sees pictures: ${frames}`);
      assert.ok(longest < FREEZE_MS, `${what}: viewer ${index} froze for ${Math.round(longest)} ms`);
    }
    assert.deepEqual(await sessions(), known, 'the sessions are the same');
  }

  it('takes another bitrate', BOUND, async () => {
    const earlier = await kbps();
    const saved = performance.now();
    await goesOn('the new bitrate runs', () => replace('bitrate={bitrate_kbps}', 'bitrate=200'), async () => {
      const { used_by: [use] } = await pipeline();
      return use && use.running_s < (performance.now() - saved) / 1000;
    });
    const later = await kbps();
    assert.ok(later < earlier * 0.7, `${Math.round(earlier)} kbit/s became ${Math.round(later)}`);
  });

  it('keeps what runs when the file is broken, and says where', BOUND, async () => {
    await goesOn('the fault is told', () => replace('x264enc name', 'x246enc name'), async () => (await pipeline()).state === 'fault');
    const { fault, used_by: uses } = await pipeline();
    const line = readFileSync(file(), 'utf8').split('\n').findIndex((text) => text.includes('x246enc')) + 1;
    assert.equal(fault.line, line);
    assert.equal(fault.token, 'x246enc');
    assert.equal(fault.nearest, 'x264enc');
    assert.equal(uses[0].outdated, true);
    const { status, body } = await server.request('POST', 'pipelines/color.h264/reload');
    assert.equal(status, 400);
    assert.match(body.detail, new RegExp(`color\\.h264\\.gst:${line}:\\d+: .*x246enc`));
  });

  it('takes another encoder', BOUND, async () => {
    const change = () => edit((text) => {
      const start = text.indexOf('! x246enc');
      const end = text.indexOf('\n#', start);
      assert.ok(start > 0 && end > start);
      return `${text.slice(0, start)}! openh264enc name=encoder bitrate={bitrate_bps} gop-size={keyframe_interval}${text.slice(end)}`;
    });
    await goesOn('the other encoder runs', change, async () => {
      const { state, encoder, used_by: uses } = await pipeline();
      return state === 'works' && encoder === 'openh264enc' && uses[0] && !uses[0].outdated;
    });
  });

  it('says why there is no picture while the encoder fails, and shows them again afterwards', BOUND, async () => {
    // Ten test pictures pass, so the file is taken; it fails later, and again after each start.
    replace('! openh264enc', '! identity error-after=30 ! openh264enc');
    const [page] = viewers;
    await until('the words', async () => (await text(page, '[data-stream="color"]')).includes('The server cannot encode it: '), 40000);
    replace('! identity error-after=30 ! openh264enc', '! openh264enc');
    await Promise.all(viewers.map((one) => advancing(one, 'color', 30, 40000)));
  });

  it('says nothing on the browser\'s console meanwhile', () => {
    assert.deepEqual(viewers.flatMap((page) => page.complaints), []);
  });
});
