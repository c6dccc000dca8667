// Pages of one's own under --www, in real Chromium: they may do what any page may, and the built-in page for looking inside
// stays beside them.
import assert from 'node:assert/strict';
import { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { CAMERA, Server, chromium, open, text, until } from './helper.mjs';

const BOUND = { timeout: 90000 };
const shipped = fileURLToPath(new URL('../../www', import.meta.url));
/** As docs/reference/config.md has it. */
const POLICY = "default-src 'self'; connect-src 'self' ws: wss:; media-src 'self' mediastream:; frame-ancestors 'self'";

describe('a folder of own pages', () => {
  let browser;
  let folder;
  before(async () => {
    browser = await chromium();
    folder = mkdtempSync(path.join(tmpdir(), 'realsense-webrtc-www-'));
    for (const part of ['css', 'img', 'js', 'minimal.html']) cpSync(path.join(shipped, part), path.join(folder, part), { recursive: true });
    writeFileSync(path.join(folder, 'index.html'), '<!doctype html><title>own</title><body><style>p { color: rgb(1, 2, 3) }</style>'
      + '<p id="said">nothing ran</p><script>document.getElementById("said").textContent = "inline ran"</script>');
  }, BOUND);
  after(async () => {
    await browser?.close();
    rmSync(folder, { recursive: true, force: true });
  }, BOUND);

  /** A server with this folder, while `use` looks at it. */
  const serve = async (policy, use) => {
    const server = await Server.start(undefined, `[server]\nwww_dir = "${folder}"\ncontent_security_policy = "${policy}"\n`);
    try {
      await use(server);
    } finally {
      assert.equal(await server.stop(), 0, server.log);
    }
  };

  it('runs its inline scripts and styles, and the page for looking inside stays', BOUND, () => serve('', async (server) => {
    const page = await open(browser, `${server.url}/`);
    assert.equal(await text(page, '#said'), 'inline ran');
    assert.equal(await page.$eval('#said', (node) => getComputedStyle(node).color), 'rgb(1, 2, 3)');
    const debug = await open(browser, `${server.url}/debug?device=${CAMERA}`);
    await until('its scripts run', () => debug.$eval('#device', (node) => node.value !== ''));
  }));

  it('connects to the camera under a policy of its own', BOUND, () => serve(POLICY, async (server) => {
    const page = await open(browser, `${server.url}/minimal.html`);
    await until('a connection', async () => (await server.get('webrtc/sessions')).some((session) => session.state === 'connected'));
    await until('its stream is set', () => page.$eval('#video', (video) => video.srcObject !== null));
    assert.deepEqual(page.complaints.filter((text) => text.includes('Content Security Policy')), []);
    const start = await open(browser, `${server.url}/`);
    assert.equal(await text(start, '#said'), 'nothing ran', 'the policy allows nothing inline');
  }));
});
