// Every pipeline file whose elements this machine has, streamed to real Chromium: H.264 variants one after another under one
// running viewer, VP8 and VP9 for every stream type.
import assert from 'node:assert/strict';
import { cpSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Server, advancing, chromium, until, watch } from './helper.mjs';

const BOUND = { timeout: 90000 };
const shipped = fileURLToPath(new URL('../../pipelines', import.meta.url));
/** What only other machines have. Everything else must run here; scripts/install_deps.sh --test sees to that. */
const HARDWARE = new Set(['nvenc.h264', 'nvv4l2.h264', 'va.h264', 'va-lp.h264', 'vaapi.h264', 'v4l2.h264']);
const names = readdirSync(shipped).filter((file) => file.endsWith('.gst')).map((file) => file.slice(0, -'.gst'.length));
const variants = names.filter((name) => name.endsWith('.h264') && !HARDWARE.has(name) && !/^(color|depth|infrared)\./.test(name));

/** The codec that the page says it receives. */
const codec = (page, stream) => page.evaluate(async (wanted) => {
  const tile = document.querySelector(`[data-stream="${wanted}"]`);
  return tile?.textContent.match(/H264|VP8|VP9/)?.[0] ?? '';
}, stream);

/** A server whose pipelines may be edited. @param {string} codecs TOML list */
async function start(codecs) {
  const folder = mkdtempSync(path.join(tmpdir(), 'realsense-webrtc-variants-'));
  cpSync(shipped, folder, { recursive: true });
  const server = await Server.start('127.0.0.1:0', `[camera]\nlinger_s = 0.5\n[pipelines]\ndir = "${folder}"\ncodecs = ${codecs}\n`);
  return { server, folder };
}

describe('pipeline files in Chromium', () => {
  let browser;
  before(async () => { browser = await chromium(); }, BOUND);
  after(async () => { await browser?.close(); }, BOUND);

  it('has variants to stream', () => assert.ok(variants.length >= 5, String(variants)));

  it('streams every H.264 variant', { timeout: 30000 * (variants.length + 1) }, async () => {
    const { server, folder } = await start('["H264"]');
    try {
      const page = await watch(browser, server, 'color', { width: 800, height: 600 });
      await advancing(page, 'color');
      for (const name of variants) {
        // Files that the variant writes go to the test's folder.
        const text = readFileSync(path.join(shipped, `${name}.gst`), 'utf8').replaceAll('/tmp/', `${folder}/`);
        writeFileSync(path.join(folder, 'color.h264.gst'), text);
        const { status, body } = await server.request('POST', 'pipelines/color.h264/reload');
        assert.equal(status, 200, `${name}: ${JSON.stringify(body)}`);
        assert.equal(body.state, 'works', name);
        await advancing(page, 'color', 20);
        const all = await server.get('pipelines');
        assert.equal(all.find((one) => one.name === 'color.h264').used_by[0].outdated, false, name);
      }
      assert.deepEqual(page.complaints, []);
    } finally {
      assert.equal(await server.stop(), 0, server.log);
      rmSync(folder, { recursive: true, force: true });
    }
  });

  for (const [name, streams] of [['H264', 'color,depth,infrared-1'], ['VP8', 'color,depth,infrared-1'], ['VP9', 'color,depth,infrared-1']]) {
    it(`streams colour, depth and infrared as ${name}`, BOUND, async () => {
      const { server, folder } = await start(`["${name}"]`);
      try {
        const page = await watch(browser, server, streams);
        await Promise.all(streams.split(',').map((stream) => advancing(page, stream)));
        const [session] = await server.get('webrtc/sessions');
        assert.deepEqual(session.stats.streams.map((stream) => stream.codec), [name, name, name]);
        await until('the page says the codec', async () => (await codec(page, 'color')) === name);
        assert.deepEqual(page.complaints, []);
      } finally {
        assert.equal(await server.stop(), 0, server.log);
        rmSync(folder, { recursive: true, force: true });
      }
    });
  }
});
