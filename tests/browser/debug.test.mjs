// The page for looking inside, in real Chromium against the real server with viewers.
import assert from 'node:assert/strict';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, afterEach, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { CAMERA, Server, advancing, chromium, open, text, until, watch } from './helper.mjs';

const BOUND = { timeout: 90000 };
const ADMIN = 'admin-token-1234';
const shipped = fileURLToPath(new URL('../../pipelines', import.meta.url));
/** Where the pictures of the page go, if anywhere. */
const shots = process.env.SCREENSHOTS;

/** The box of an element. */
const box = (stream, element) => `g[data-key="${CAMERA}/${stream}/h264/${element}"]`;

describe('the page for looking inside', () => {
  /** @type {Server} */ let server;
  let browser;
  let viewer;
  let folder;

  before(async () => {
    folder = mkdtempSync(path.join(tmpdir(), 'realsense-webrtc-debug-'));
    cpSync(shipped, path.join(folder, 'pipelines'), { recursive: true });
    const config = `[server]\nadmin_token = "${ADMIN}"\n[camera]\nlinger_s = 0.5\n[pipelines]\ndir = "${folder}/pipelines"\n[debug]\nsettable = ["encoder.bitrate"]\n`;
    [server, browser] = await Promise.all([Server.start(undefined, config), chromium()]);
    viewer = await watch(browser, server, 'color,depth', { width: 640, height: 480 });
    await advancing(viewer, 'depth');
  }, BOUND);

  afterEach(async () => {
    for (const context of browser.browserContexts()) {
      if (context !== browser.defaultBrowserContext() && context !== viewer.browserContext()) await context.close();
    }
  });

  after(async () => {
    await browser?.close();
    const how = await server?.stop();
    rmSync(folder, { recursive: true, force: true });
    assert.equal(how, 0, server?.log);
  }, BOUND);

  const debug = (more = '', viewport = { width: 1440, height: 900 }) => open(browser, `${server.url}/debug?device=${CAMERA}${more}`, viewport);
  const label = (page, selector) => page.$eval(selector, (node) => node.getAttribute('aria-label'));
  const file = () => path.join(folder, 'pipelines', 'color.h264.gst');
  const element = async () => (await server.get(`debug/elements/${CAMERA}/color/h264/encoder`)).properties;

  async function shoot(page, name) {
    if (!shots) return;
    mkdirSync(shots, { recursive: true });
    await page.screenshot({ path: path.join(shots, `${name}.png`), fullPage: true });
  }

  it('shows what runs, and measures it when it is told to', BOUND, async () => {
    const page = await debug();
    await page.waitForSelector(box('color', 'encoder'));
    await page.waitForSelector(box('depth', 'encoder'));
    assert.match(await label(page, box('color', 'encoder')), /^encoder, x264enc, PLAYING$/);
    await until('the session is told with its bitrate', async () => (await page.$$eval('g[data-kind="session"]', (nodes) => nodes.map((node) => node.getAttribute('aria-label')))).filter((words) => /Chrome \d+.*bit\/s.*connected/.test(words)).length === 2);
    assert.match(await text(page, '.lane-head'), /^Color · H264.*I420 640×480 30 fps → H264 constrained-baseline.*1 session/s);
    assert.match(await text(page, '#measure-note'), /costs nothing/);

    await (await page.$('#measure')).click();
    await until('the encoder tells rates and delays', async () => / \d+\.\d\/s · .*bit\/s, \d+(\.\d+)? ms · max \d/.test(await label(page, box('color', 'encoder'))));
    assert.ok(await page.$('.link.flows'), 'the links show that something flows');
    assert.match(page.url(), /measure=1/, 'a reload goes on measuring');
    await shoot(page, 'debug-measured');

    await (await page.$('#sessions button')).click();
    await until('the session is opened', async () => (await page.$$eval('.lane h3', (nodes) => nodes.map((node) => node.textContent))).some((title) => title.startsWith('Inside of session')));
    await until('its payloaders are there', () => page.$$eval('.lane:last-child g[role="button"]', (nodes) => nodes.some((node) => node.getAttribute('aria-label').includes('rtph264pay'))));

    await (await page.$('#measure')).click();
    await until('it is said that measuring ends', async () => /ends within/.test(await text(page, '#measure-note')));
    assert.deepEqual(page.complaints, []);
  });

  it('shows an element\u2019s properties and caps, and sets what may be set', BOUND, async () => {
    const page = await debug();
    await (await page.waitForSelector(box('color', 'encoder'))).click();
    assert.equal(await text(page, '#inspector-title'), 'encoder');
    const row = (name) => `[data-property="${name}"]`;
    await until('what was set in the file is shown with the default', async () => /superfast.*default medium/.test(await text(page, row('speed-preset'))));
    assert.ok(await page.$eval(row('noise-reduction'), (node) => node.hidden), 'what has its default is left out');
    await page.type('#inspector input[type="search"]', 'noise');
    assert.ok(await page.$eval(row('noise-reduction'), (node) => !node.hidden));
    assert.match(await text(page, '.caps'), /In sink.*format.*I420.*width.*640/s);
    assert.equal(await page.$(`${row('threads')} input`), null, 'only what debug.settable lists can be changed');

    await page.$eval('#inspector input[type="search"]', (input) => { input.value = ''; input.dispatchEvent(new Event('input')); });
    const input = await page.waitForSelector(`${row('bitrate')} input`);
    await input.click({ count: 3 });
    await input.type('900');
    await page.keyboard.press('Enter');
    await page.waitForSelector('#admin[open]');
    await page.type('#admin-token', 'wrong');
    await page.keyboard.press('Enter');
    await until('a wrong token is refused in words', async () => /does not accept/.test(await text(page, '#admin-why')));
    assert.equal((await element()).bitrate.value, 2000);
    await page.type('#admin-token', ADMIN);
    await page.keyboard.press('Enter');
    await until('the encoder has it', async () => (await element()).bitrate.value === 900);
    await until('the page says so', async () => (await text(page, `${row('bitrate')} [role="status"]`)) === 'set');

    // The token is known by now; what does not fit is refused in words.
    await page.$eval(`${row('bitrate')} form`, (form) => { form.noValidate = true; });
    await input.click({ count: 3 });
    await input.type('0');
    await page.keyboard.press('Enter');
    await until('the refusal is told', async () => /bitrate is as it was\. .*from 1 to/.test(await text(page, '#inspector .field-error')));
    assert.equal((await element()).bitrate.value, 900);
    await shoot(page, 'debug-element');

    await page.keyboard.press('Escape');
    assert.ok(await page.$eval('#inspector', (node) => node.hidden));
    assert.equal(await page.evaluate(() => document.activeElement?.dataset.key), `${CAMERA}/color/h264/encoder`, 'the keyboard goes on where it was');
  });

  it('tells a fault in a pipeline file in words, while video goes on', BOUND, async () => {
    const page = await debug();
    const entry = '[data-pipeline="color.h264"]';
    await until('the file is listed with its stream', async () => /works.*Runs Color of \d+, 1 session/s.test(await text(page, `#pipelines-used ${entry}`)));
    const good = readFileSync(file(), 'utf8');
    writeFileSync(file(), good.replace('x264enc name=encoder', 'x265encc name=encoder'));
    // The file's own fault is told at once; what runs is known when the encoder's start has been tried.
    const told = /color\.h264\.gst:\d+:\d+: .*x265encc.*(x264enc|x265enc).*goes on with the text that worked last/s;
    const words = await until('the fault is told', async () => {
      const found = await text(page, `${entry} .fault`);
      if (!told.test(found)) throw new Error(`it says "${found}"`);
      return found;
    });
    // By the page and not by the mouse: the lines above the button come and go meanwhile.
    const reload = () => page.$eval(`${entry} button`, (node) => node.click());
    await advancing(viewer, 'color', 20);
    await reload();
    await until('a reload changes nothing while the fault is there', () => page.$eval(`${entry} button`, (node) => !node.hasAttribute('aria-disabled')));
    assert.equal(await text(page, `${entry} .fault`), words);
    writeFileSync(file(), good);
    await until('the fault is gone', () => page.$eval(`${entry} .fault`, (node) => node.hidden));
    await reload();
    await until('the reload is told', async () => {
      const said = await text(page, `${entry} .result`);
      if (!/Read again at .*its stream runs it now/.test(said)) throw new Error(`it says "${said}"`);
      return true;
    });
    await shoot(page, 'debug-files');
    const unexpected = page.complaints.filter((line) => !/status of 400/.test(line));
    assert.deepEqual(unexpected, [], 'the refused reload alone is in the console');
  });

  it('shows the log by filters and sets what is logged', BOUND, async () => {
    const page = await debug();
    const lines = () => page.$$eval('#log .line:not([hidden])', (nodes) => nodes.map((node) => node.textContent));
    await until('the log is there', async () => (await lines()).some((line) => line.includes(' INFO ')));
    const [{ session_id: id }] = await server.get('webrtc/sessions');
    await until('the session can be chosen', () => page.$(`#log-session option[value="${id}"]`));
    await page.select('#log-session', id);
    const short = id.slice(0, 8);
    await until('only its lines are shown', async () => (await lines()).length > 0 && (await lines()).every((line) => line.includes(short)));
    await page.select('#log-session', '');
    await page.type('#log-find', 'HTTP listens');
    await until('the rest is hidden', async () => (await lines()).length === 1);

    await (await page.$('#log-pause')).click();
    assert.match(await text(page, '#log-note'), /Paused/);
    await (await page.$('#log-pause')).click();

    await page.$eval('#levels-gst', (input) => { input.value = '*:2'; });
    await (await page.$('#levels-set')).click();
    await page.waitForSelector('#admin[open]');
    await page.keyboard.press('Escape');
    await until('nothing changes without the token', async () => /levels are as they were/.test(await text(page, '#levels-error')));
    await (await page.$('#levels-set')).click();
    await page.waitForSelector('#admin[open]');
    await page.type('#admin-token', ADMIN);
    await page.keyboard.press('Enter');
    await until('the server has them', async () => (await server.get('debug/log-levels')).gst === '*:2');
    await until('the page says for how long', async () => /Back to the default in (10|9) min/.test(await text(page, '#levels-note')));
    await (await page.$('#levels-default')).click();
    await until('they are as configured', async () => /levels of the configuration/.test(await text(page, '#levels-note')));
    assert.equal((await server.get('debug/log-levels')).reverts_in_s ?? null, null);
  });

  it('hands out the bundle and the graph as files', BOUND, async () => {
    const page = await debug();
    await page.waitForSelector(box('color', 'encoder'));
    const downloads = path.join(folder, 'downloads');
    const client = await page.createCDPSession();
    await client.send('Page.setDownloadBehavior', { behavior: 'allow', downloadPath: downloads });
    await (await page.$('#bundle')).click();
    const name = await until('the archive is on the disk', () => readdirSync(downloads).find((one) => /^realsense-webrtc-bundle-.*\.tar$/.test(one)));
    assert.ok(statSync(path.join(downloads, name)).size > 10000);
    for (const [id, words] of [['graph-json', '"pipelines"'], ['graph-dot', 'digraph'], ['graph-svg', '<svg'], ['metrics', 'process_threads']]) {
      const answer = await fetch(await page.$eval(`#${id}`, (link) => link.href));
      assert.equal(answer.status, 200, id);
      assert.ok((await answer.text()).includes(words), id);
    }
    assert.match(await until('the process is told', async () => text(page, '#process')), /MB · \d+ threads · \d+ files/);
    assert.deepEqual(page.complaints, []);
  });

  it('can be used by keyboard alone, and says why nothing is to be seen', BOUND, async () => {
    const page = await debug();
    await page.waitForSelector(box('color', 'encoder'));
    const focused = () => page.evaluate(() => document.activeElement?.id || document.activeElement?.getAttribute('data-key') || document.activeElement?.tagName);
    const reach = async (wanted, most = 40) => {
      for (let i = 0; i < most; i += 1) {
        if (await focused() === wanted) return;
        await page.keyboard.press('Tab');
      }
      assert.fail(`Tab does not lead to ${wanted}, but to ${await focused()}`);
    };
    for (const id of ['theme-toggle', 'device', 'session', 'measure', 'metrics', 'bundle', 'graph-json']) await reach(id);
    await reach(`${CAMERA}/color/h264/source`);
    for (let i = 0; i < 8 && !(await focused()).endsWith('/encoder'); i += 1) await page.keyboard.press('ArrowRight');
    assert.equal(await focused(), `${CAMERA}/color/h264/encoder`);
    await page.keyboard.press('Enter');
    assert.equal(await text(page, '#inspector-title'), 'encoder');
    await page.keyboard.press('Enter');
    assert.ok(await page.$eval('#inspector', (node) => node.hidden), 'the same key closes it');
    await page.keyboard.press('ArrowDown');
    assert.match(await focused(), /\/depth\//, 'the arrows lead to the next stream');
    for (const id of ['log-pause', 'log-source', 'levels-filter', 'levels-set']) await reach(id, 60);

    const unknown = await open(browser, `${server.url}/debug?device=999`);
    await until('an unknown camera is named', async () => (await text(unknown, '#graph-note')) === 'Camera 999 is not connected.');
    for (const width of [1440, 390]) {
      await page.setViewport({ width, height: 844 });
      assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), `nothing sticks out at ${width} px`);
    }
    await shoot(page, 'debug-390');
  });
});

describe('the page for looking inside, of a server with a token', () => {
  it('asks for it, and goes on when the server comes back', BOUND, async () => {
    const config = '[server]\ntoken = "open-sesame-1234"\n';
    let server = await Server.start(undefined, config);
    const browser = await chromium();
    try {
      const page = await open(browser, `${server.url}/debug`);
      await until('the page says what is missing', async () => /asks for a token/.test(await text(page, '#banner-text')));
      await page.type('#token', 'open-sesame-1234');
      await page.keyboard.press('Enter');
      await until('nothing runs, and that is said', async () => /begin with the first viewer/.test(await text(page, '#graph-note')));
      assert.match(await page.$eval('#metrics', (link) => link.href), /token=open-sesame-1234/);
      const demo = await open(browser, `${await page.$eval('#demo', (link) => link.href)}&streams=color&autostart=1`);
      assert.match(await demo.$eval('#inside', (link) => link.href), /\/debug\?.*token=open-sesame-1234/);
      await page.waitForSelector(box('color', 'encoder'));

      const address = new URL(server.url).host;
      await server.stop('SIGKILL');
      await until('the page says that the server is gone', async () => /cannot be reached/.test(await text(page, '#banner-text')));
      server = await Server.start(address, config);
      await until('the banner goes', () => page.$eval('#banner', (node) => node.hidden));
      await until('the viewer is back, and shown', async () => (await text(page, '#sessions-count')) === '1' && page.$(box('color', 'encoder')), 30000);
      assert.equal(await text(page, '#server-state'), 'Connected');
    } finally {
      await browser.close();
      await server.stop();
    }
  });
});
