// The bar below the video and the preset buttons, in real Chromium. The simulator neither plays recordings nor records, so
// the camera's description and those answers are scripted where they are needed.
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, afterEach, before, describe, it } from 'node:test';
import { CAMERA, Server, advancing, chromium, open, text, until, watch } from './helper.mjs';

const BOUND = { timeout: 60000 };
/** Without the SDK, even where there is one: it would make a simulated camera's pictures recordable. */
const CONFIG = '[camera]\nlinger_s = 0.5\nsim_cameras = 1\n[realsense]\nenabled = false\n';
/** Where the pictures of the page go, if anywhere. */
const shots = process.env.SCREENSHOTS;

describe('recording and playback on the demo page', () => {
  /** @type {Server} */ let server;
  let browser;
  let folder;

  before(async () => {
    folder = mkdtempSync(path.join(tmpdir(), 'realsense-webrtc-'));
    [server, browser] = await Promise.all([Server.start('127.0.0.1:0', CONFIG), chromium()]);
  }, BOUND);

  afterEach(async () => {
    for (const context of browser.browserContexts()) {
      if (context !== browser.defaultBrowserContext()) await context.close();
    }
  });

  after(async () => {
    await browser?.close();
    rmSync(folder, { recursive: true, force: true });
    assert.equal(await server?.stop(), 0, server?.log);
  }, BOUND);

  async function shoot(page, name) {
    if (!shots) return;
    mkdirSync(shots, { recursive: true });
    await page.screenshot({ path: path.join(shots, `${name}.png`), fullPage: true });
  }

  /**
   * The page over a camera that is described otherwise, and answers to some routes that are scripted.
   * @param {object} traits of the camera
   * @param {(method: string, what: string, body: any) => {status?: number, body: object}|null|Promise<any>} answer what: below the device, or
   *   from "recordings" on
   */
  async function scripted(traits, answer, query = '') {
    const page = await open(browser, 'about:blank');
    await page.setRequestInterception(true);
    page.asked = [];
    page.on('request', async (request) => {
      const { pathname } = new URL(request.url());
      const json = (body, status = 200) => request.respond({ status, contentType: 'application/json', body: JSON.stringify(body) });
      if (pathname === '/api/devices/') return json((await server.get('devices/')).map((device) => ({ ...device, ...traits })));
      const what = pathname.split(`/api/devices/${CAMERA}/`)[1] ?? (pathname.startsWith('/api/recordings') ? pathname.slice('/api/'.length) : undefined);
      const body = JSON.parse(request.postData() ?? 'null');
      const scriptedAnswer = what ? await answer(request.method(), what, body) : null;
      if (!scriptedAnswer) return request.continue();
      page.asked.push([request.method(), what, body]);
      return json(scriptedAnswer.body, scriptedAnswer.status);
    });
    await page.goto(`${server.url}/webrtc_demo.html?device=${CAMERA}&streams=color${query}`);
    await page.waitForSelector('#deck:not([hidden])');
    return page;
  }

  const visible = (page, selector) => page.$eval(selector, (node) => node.checkVisibility());
  const gave = (page, ...wanted) => until(`the page asks ${JSON.stringify(wanted)}`, () => page.asked.some((asked) => JSON.stringify(asked) === JSON.stringify(wanted)));

  it('offers neither to a simulated camera, and asks for nothing in vain', BOUND, async () => {
    const asked = [];
    const page = await open(browser, 'about:blank');
    page.on('request', (request) => asked.push(new URL(request.url()).pathname));
    await page.goto(`${server.url}/webrtc_demo.html?device=${CAMERA}&streams=color&autostart=1`);
    await advancing(page, 'color');
    assert.ok(await visible(page, '#recorder'));
    assert.equal(await visible(page, '#transport'), false);
    assert.equal(await visible(page, '#presets'), false);
    assert.equal(await visible(page, '#recordings'), false);
    assert.equal(await visible(page, '.device button'), false, 'a camera cannot be closed');
    assert.match(await text(page, '.device'), /USB 3/);
    assert.equal(await page.$eval('#record', (node) => node.getAttribute('aria-disabled')), 'true');
    assert.equal(await text(page, '#record-state'), 'Recording needs librealsense on the server.');
    await page.click('#record');
    await page.focus('#record');
    await page.keyboard.press('Enter');
    await advancing(page, 'color', 60);
    assert.deepEqual(asked.filter((route) => /api.*(recording|playback|preset)/.test(route)), []);
    assert.deepEqual(page.complaints, []);
    await shoot(page, 'record-unavailable');
  });

  it('records, tells how it stands, and gives the file', BOUND, async () => {
    const status = {
      device_id: CAMERA, is_recording: false, file_name: null, format: null, streams: [], seconds: 0, bytes: 0, frames: 0,
      dropped_frames: 0, end_reason: null, detail: null,
    };
    const page = await scripted({ can_record: true }, (method, what) => {
      if (what === 'recording/start') Object.assign(status, { is_recording: true, file_name: 'walk.bag', streams: ['color'] });
      if (what === 'recording/stop') Object.assign(status, { is_recording: false, end_reason: 'stopped', detail: 'It was stopped by request.' });
      return what.startsWith('recording/') ? { body: { ...status } } : null;
    }, '&autostart=1');
    await advancing(page, 'color', 3);
    await until('the button may be pressed', () => page.$eval('#record', (node) => !node.hasAttribute('aria-disabled')));
    assert.equal(await text(page, '#record-state'), '');
    await page.focus('#record');
    await page.keyboard.press('Enter');
    await gave(page, 'POST', 'recording/start', null);
    await until('the button stops', async () => (await text(page, '#record')) === 'Stop recording');
    Object.assign(status, { seconds: 72.4, bytes: 1_250_000_000, dropped_frames: 3 });
    await until('the figures follow', async () => (await text(page, '#record-state')) === '1:12 · 1.25 GB · 3 dropped');
    assert.equal(await visible(page, '#record-file'), false);
    await shoot(page, 'recording');
    await page.click('#record');
    await gave(page, 'POST', 'recording/stop', null);
    await until('it is over', async () => (await text(page, '#record')) === 'Record');
    assert.equal(await text(page, '#record-state'), 'walk.bag · 1:12 · 1.25 GB · 3 dropped');
    const link = await page.$eval('#record-file', (node) => ({ href: node.href, download: node.download, hidden: node.hidden }));
    assert.deepEqual(link, { href: `${server.url}/api/recordings/walk.bag`, download: 'walk.bag', hidden: false });
    await until('the log says so', async () => (await text(page, '#log')).includes('walk.bag: It was stopped by request.'));
    // Another viewer's recording, and a disk that fails, are seen, too.
    Object.assign(status, { is_recording: true, end_reason: null, detail: null });
    await until('another\u2019s recording shows', async () => (await text(page, '#record')) === 'Stop recording');
    Object.assign(status, { is_recording: false, end_reason: 'disk_full', detail: 'The disk is full.' });
    await until('its end is in the log', async () => (await text(page, '#log')).includes('The disk is full.'));
    assert.deepEqual(page.complaints, []);
  });

  it('controls a recording that plays, by mouse and keyboard', BOUND, async () => {
    const status = { file: 'walk.bag', duration: 120, position: 5, is_paused: false, speed: 1, repeat: true };
    const page = await scripted({ playback: true }, (method, what, body) => {
      if (what === 'playback/pause') status.is_paused = true;
      if (what === 'playback/resume') status.is_paused = false;
      if (what === 'playback/seek') status.position = body.position;
      if (what === 'playback/speed') status.speed = body.speed;
      if (what === 'playback/repeat') status.repeat = body.enabled;
      return what.startsWith('playback/') ? { body: { ...status } } : null;
    });
    await until('the place is told', async () => (await text(page, '#playback-time')) === '0:05 / 2:00');
    assert.equal(await visible(page, '#recorder'), false, 'a recording is not recorded');
    assert.equal(await page.$eval('#playback-position', (node) => node.getAttribute('aria-valuetext')), '0:05 / 2:00');
    await page.click('#playback-toggle');
    await gave(page, 'POST', 'playback/pause', null);
    const label = () => page.$eval('#playback-toggle', (node) => node.getAttribute('aria-label'));
    await until('the button plays', async () => (await label()) === 'Play');
    await page.focus('#playback-position');
    await page.keyboard.press('ArrowRight');
    await gave(page, 'POST', 'playback/seek', { position: 5.1 });
    await page.keyboard.press('Home');
    await gave(page, 'POST', 'playback/seek', { position: 0 });
    await until('the place follows', async () => (await text(page, '#playback-time')) === '0:00 / 2:00');
    await page.select('#playback-speed', '2');
    await gave(page, 'POST', 'playback/speed', { speed: 2 });
    await page.focus('#playback-repeat');
    await page.keyboard.press('Space');
    await gave(page, 'POST', 'playback/repeat', { enabled: false });
    await shoot(page, 'playback');
    await page.focus('#playback-toggle');
    await page.keyboard.press('Space');
    await gave(page, 'POST', 'playback/resume', null);
    await until('the button pauses', async () => (await label()) === 'Pause');
    // What others do shows here.
    Object.assign(status, { position: 61.2, speed: 0.1, repeat: true });
    await until('the new place, speed and switch', () => page.evaluate(() => document.getElementById('playback-time').textContent === '1:01 / 2:00'
      && document.getElementById('playback-speed').value === '0.1' && document.getElementById('playback-repeat').checked));
    assert.deepEqual(page.complaints, []);
  });

  it('asks nothing of a recording that it closes', BOUND, async () => {
    const status = { file: 'walk.bag', duration: 120, position: 5, is_paused: false, speed: 1, repeat: true };
    const asked = [];
    let answerStatus;
    let answerClose;
    const held = () => new Promise((resolve) => { answerStatus = () => resolve({ body: status }); });
    const page = await scripted({ playback: true }, (method, what) => {
      if (what === 'playback/status') {
        asked.push('status');
        return held();
      }
      if (what !== 'playback/close') return null;
      asked.push('close');
      return new Promise((resolve) => { answerClose = (answer) => resolve(answer); });
    });
    let looks = 0; // each 1.5 s, and the place each second
    page.on('request', (request) => { looks += Number(new URL(request.url()).pathname === '/api/webrtc/sessions'); });
    await until('the place is asked', () => answerStatus);
    await page.click('.device button');
    const refused = { status: 503, body: { detail: 'The camera is busy.' } };
    assert.deepEqual(asked, ['status'], 'what was asked before is answered first');
    answerStatus();
    await until('it is closed', () => answerClose);
    const before = looks;
    await until('other things are asked for longer than the place is looked at', () => looks > before + 1);
    assert.deepEqual(asked, ['status', 'close'], 'nothing is asked while it closes');
    answerClose(refused);
    await until('the page says why it stays', async () => (await text(page, '#devices-error')) === 'The camera is busy.');
    await until('it is asked again', () => asked.length > 2);
    answerStatus();
    await until('the place is told', async () => (await text(page, '#playback-time')) === '0:05 / 2:00');
  });

  it('says paused rather than stalled, and opens no new session', BOUND, async () => {
    const status = { file: 'walk.bag', duration: 120, position: 5, is_paused: false, speed: 1, repeat: true };
    const page = await scripted({ playback: true }, (method, what) => {
      if (what === 'playback/pause') status.is_paused = true;
      if (what === 'playback/resume') status.is_paused = false;
      return what.startsWith('playback/') ? { body: { ...status } } : null;
    }, '&autostart=1');
    await advancing(page, 'color', 3);
    const [{ session_id: session }] = await server.get('webrtc/sessions');
    await server.fault('stall');
    await page.click('#playback-toggle');
    await until('the pill says so', async () => (await text(page, '#server-state')) === 'Paused');
    await until('the tile says so', async () => (await text(page, '.overlay')) === 'Paused.');
    await shoot(page, 'paused');
    assert.ok(!(await text(page, '#log')).includes('No new pictures'));
    await server.fault('clear');
    await page.click('#playback-toggle');
    await advancing(page, 'color');
    await until('the pill says live', async () => (await text(page, '#server-state')) === 'Live');
    assert.deepEqual((await server.get('webrtc/sessions')).map((s) => s.session_id), [session], 'it is the same session');
    assert.deepEqual(page.complaints, []);
  });

  it('lists the recordings, and what may be done with each', BOUND, async () => {
    let files = [
      { name: 'walk.bag', bytes: 62_955_865, modified: 1795368107.5, complete: true },
      { name: 'room.bag', bytes: 1_250_000_000, modified: 1795368000, complete: true },
      { name: 'lost.partial.bag', bytes: 400_000, modified: 1795360000, complete: false },
    ];
    let refusal = { detail: 'Cannot delete room.bag: it is needed.' };
    const page = await scripted({ playback: true, physical_port: 'recording walk.bag' }, (method, what) => {
      if (what === 'playback/status') return { body: { file: 'walk.bag', duration: 9, position: 5, is_paused: true, speed: 1, repeat: true } };
      if (what === 'playback/close') return { status: 400, body: { detail: 'It stays.' } };
      if (method === 'DELETE' && refusal) return { status: 409, body: refusal };
      if (method === 'DELETE') files = files.filter(({ name }) => what !== `recordings/${name}`);
      return what.startsWith('recordings') ? { body: method === 'DELETE' ? { success: true } : files } : null;
    });
    const names = () => page.$$eval('#recordings .recording-name', (nodes) => nodes.map((node) => node.textContent));
    await until('the list is there', async () => (await names()).join() === 'walk.bag,room.bag,lost.partial.bag');
    assert.equal(await text(page, '#recordings-count'), '3');
    const off = (label) => page.$eval(`#recordings [aria-label="${label}"]`, (node) => node.getAttribute('aria-disabled') === 'true');
    const badges = () => page.$$eval('#recordings .badge', (nodes) => nodes.map((node) => node.hidden ? '' : node.textContent));
    assert.deepEqual(await badges(), ['playing', '', 'incomplete']);
    assert.match(await text(page, '#recordings li:nth-child(2)'), /1\.25 GB · .*20\d\d/);
    assert.deepEqual(await Promise.all(['Play lost.partial.bag', 'Delete lost.partial.bag', 'Delete walk.bag', 'Play room.bag'].map(off)), [true, false, true, false]);
    assert.equal(await page.$eval('[aria-label="Download room.bag"]', (node) => node.href), `${server.url}/api/recordings/room.bag`);
    assert.match(await text(page, '.device'), /Recording walk\.bag/);
    assert.doesNotMatch(await text(page, '.device'), /USB/);
    // A refusal is said; the file stays.
    const remove = async (answer) => {
      await page.focus('[aria-label="Delete room.bag"]');
      await page.keyboard.press('Enter');
      await page.waitForSelector('#confirm[open]');
      await page.click(answer);
      await page.waitForSelector('#confirm:not([open])');
    };
    await remove('#confirm button[value="no"]');
    assert.deepEqual(page.asked.filter(([method]) => method === 'DELETE'), []);
    await remove('#confirm-yes');
    await until('the reason is there', async () => (await text(page, '#recordings-error')) === refusal.detail);
    assert.equal((await names()).length, 3);
    refusal = null;
    await remove('#confirm-yes');
    await until('it is gone', async () => (await names()).join() === 'walk.bag,lost.partial.bag');
    await until('the refusal is gone, too', async () => !(await visible(page, '#recordings-error')));
    assert.equal(await page.evaluate(() => document.activeElement.closest('#recordings') !== null), true, 'the keyboard stays in the list');
    await page.click('[aria-label="Close walk.bag"]');
    await until('the reason is there', async () => (await text(page, '#devices-error')) === 'It stays.');
    // What others make shows, unless the list is folded.
    files = [{ name: 'new.bag', bytes: 1e6, modified: 1795369000, complete: true }, ...files];
    await until('the new one is there', async () => (await names())[0] === 'new.bag');
    await page.setViewport({ width: 360, height: 800 });
    assert.equal(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), true);
    await shoot(page, 'recordings');
    await page.focus('#recordings summary');
    await page.keyboard.press('Enter');
    await until('it is folded', async () => !(await visible(page, '#recordings-list')));
    assert.deepEqual(page.complaints.filter((line) => !/40[09]/.test(line)), []);
  });

  it('loads and saves presets', BOUND, async () => {
    let preset = { 'param-laserpower': '150' };
    const page = await scripted({ presets: true }, (method, what, body) => {
      if (what !== 'preset') return null;
      if (method === 'POST') preset = body;
      return { body: method === 'POST' ? { success: true } : preset };
    });
    await page.waitForSelector('#presets:not([hidden])');
    const file = path.join(folder, 'short-range.json');
    writeFileSync(file, '{"param-laserpower": "30"}');
    const input = await page.$('#preset-file');
    await input.uploadFile(file);
    await gave(page, 'POST', 'preset', { 'param-laserpower': '30' });
    await until('the log says so', async () => (await text(page, '#log')).includes('Preset short-range.json loaded.'));
    writeFileSync(file, 'not JSON');
    await input.uploadFile(file);
    await until('what is no preset is refused in words', async () => (await text(page, '#preset-error')) === 'short-range.json is no preset: it is not JSON.');
    const session = await page.createCDPSession();
    await session.send('Browser.setDownloadBehavior', { behavior: 'deny', eventsEnabled: true, browserContextId: page.browserContext().id });
    const download = new Promise((resolve) => { session.on('Browser.downloadWillBegin', resolve); });
    await page.click('#preset-save');
    assert.equal((await download).suggestedFilename, `preset-${CAMERA}.json`);
    await shoot(page, 'presets');
    assert.deepEqual(page.complaints, []);
  });
});
