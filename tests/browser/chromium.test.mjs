// The demo page in real Chromium against the real server and its simulated camera.
import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import path from 'node:path';
import { after, afterEach, before, describe, it } from 'node:test';
import { CAMERA, PATIENCE_MS, Server, advancing, chromium, measureGaps, open, start, text, until, watch } from './helper.mjs';

const BOUND = { timeout: 60000 };
/** Where the pictures of the page go, if anywhere. */
const shots = process.env.SCREENSHOTS;

describe('the demo page in Chromium', () => {
  /** @type {Server} */ let server;
  let browser;

  before(async () => {
    [server, browser] = await Promise.all([Server.start(), chromium()]);
  }, BOUND);

  afterEach(async () => {
    for (const context of browser.browserContexts()) {
      if (context !== browser.defaultBrowserContext()) await context.close();
    }
    await server.request('DELETE', 'webrtc/sessions');
    await server.fault('clear');
  });

  after(async () => {
    await browser?.close();
    assert.equal(await server?.stop(), 0, server?.log);
  }, BOUND);

  const sessions = () => server.get('webrtc/sessions');
  const references = async () => (await server.get('webrtc/stream-references')).stream_references[CAMERA] ?? {};

  async function shoot(page, name) {
    if (!shots) return;
    mkdirSync(shots, { recursive: true });
    await page.screenshot({ path: path.join(shots, `${name}.png`), fullPage: true });
  }

  it('shows different streams in three tabs, and one may leave without the others noticing', BOUND, async () => {
    const wishes = ['color', 'depth', 'color,infrared-1,infrared-2'];
    const pages = [];
    for (const wish of wishes) pages.push(await watch(browser, server, wish));
    for (const [i, page] of pages.entries()) {
      for (const stream of wishes[i].split(',')) {
        const seen = await advancing(page, stream);
        assert.equal(seen.stream, stream, 'the track carries the stream the tile is labelled with');
        assert.ok(seen.deviation > 8, `${stream} shows a picture, not a flat colour: ${JSON.stringify(seen)}`);
        if (stream === 'depth') assert.ok(seen.colours > 10, 'depth is coloured');
        if (stream.startsWith('infrared')) assert.ok(seen.colours < 6, 'infrared is grey');
      }
    }
    assert.deepEqual(await references(), { color: 2, depth: 1, 'infrared-1': 1, 'infrared-2': 1 });
    await until('every figure of a tile is there', () => pages[0].evaluate(() => {
      const figure = (name) => document.querySelector(`[data-figure="${name}"]`).textContent;
      return Number.parseFloat(figure('fps')) > 5 && figure('resolution') === '640×480' && /\d (k|M)bit\/s/.test(figure('bitrate'))
        && /^\d+ ms$/.test(figure('latency')) && figure('codec') === 'H264';
    }));
    await until('the motion readout shows gravity', async () => {
      const values = await pages[0].$$eval('[data-motion="accel"] output', (nodes) => nodes.map((n) => Number.parseFloat(n.textContent)));
      return Math.abs(Math.hypot(...values) - 9.81) < 1.5;
    });

    const gaps = [await measureGaps(pages[0]), await measureGaps(pages[1])];
    await pages[2].close();
    await until('the closed tab said good-bye', async () => (await sessions()).length === 2, 4000);
    await until('its references are gone', async () => JSON.stringify(await references()) === '{"color":1,"depth":1}');
    for (const gap of gaps) {
      const [tile] = await until('45 more frames', async () => (await gap())[0].frames > 45 && gap());
      assert.ok(tile.longest < 1000, `the others go on: ${JSON.stringify(tile)}`);
    }
    assert.deepEqual(pages.slice(0, 2).flatMap((page) => page.complaints), [], 'nothing is complained about in the console');
  });

  it('takes other streams in and out while the picture that stays goes on, in one session', BOUND, async () => {
    const page = await start(browser, server, 'color');
    await advancing(page, 'color');
    const [{ session_id: session }] = await sessions();
    const gap = await measureGaps(page);
    const apply = async (stream) => {
      await (await page.$(`#stream-list input[value="${stream}"]`)).click();
      await (await page.waitForSelector('#start:not(:disabled)')).click();
    };
    for (const stream of ['depth', 'infrared-1']) {
      await apply(stream);
      assert.equal((await advancing(page, stream)).stream, stream, 'the m-line to spare carries what its tile is labelled with');
    }
    await apply('depth');
    await until('the tile is gone', async () => !(await page.$('[data-stream="depth"]')));
    await until('its reference is gone', async () => JSON.stringify(await references()) === '{"color":1,"infrared-1":1}');
    await apply('infrared-2');
    assert.equal((await advancing(page, 'infrared-2')).stream, 'infrared-2', 'an m-line that carried depth carries another stream');
    assert.equal((await advancing(page, 'infrared-1')).stream, 'infrared-1');
    const [color] = await until('45 more frames', async () => (await gap())[0].frames > 45 && gap());
    assert.ok(color.longest < 1000, `colour goes on: ${JSON.stringify(color)}`);
    console.log(`longest pause of colour on the page: ${Math.round(color.longest)} ms`);
    assert.deepEqual((await sessions()).map((one) => one.session_id), [session], 'it is the same session');
    await shoot(page, 'streams-in-and-out');
    assert.deepEqual(page.complaints, []);
  });

  it('notices a killed browser', BOUND, async () => {
    const other = await chromium();
    try {
      const page = await watch(other, server, 'color');
      await advancing(page, 'color');
      assert.equal((await sessions()).length, 1);
    } finally {
      process.kill(-other.process().pid, 'SIGKILL'); // the group: the browser and its renderers, with no good-bye
    }
    // Half a minute where the server has not learnt yet how often it speaks.
    await until('the session of the killed browser is gone', async () => (await sessions()).length === 0, 30000 + PATIENCE_MS);
    await until('its reference is gone', async () => Object.keys(await references()).length === 0);
  });

  it('lists sessions and references, and closes sessions', BOUND, async () => {
    const one = await start(browser, server, 'color');
    await advancing(one, 'color', 3);
    const two = await start(browser, server, 'depth');
    await advancing(two, 'depth', 3);
    const rows = () => one.$$eval('#sessions tbody tr', (list) => list.map((row) => row.innerText.replace(/\s+/g, ' ')));
    const listed = await until('both sessions are listed as connected', async () => {
      const all = await rows();
      return all.length === 2 && all.every((row) => /connected\b(?!, no)/.test(row)) && all;
    });
    assert.match(listed[0], /Chrome \d+ on Linux this tab .*Color/);
    assert.match(listed[1], /Chrome \d+ on Linux .*Depth/);
    await until('both references are listed', async () => (await text(one, '#references')).match(/Color1 user.*Depth1 user/));

    await (await one.$('#sessions tbody tr:nth-child(2) button')).click();
    await until('the other tab says in words that it was closed', async () => (await text(two, '#banner')).includes('closed by the server or by another viewer'));
    assert.equal((await sessions()).length, 1);
    await (await two.$('#banner-action')).click();
    await advancing(two, 'depth');

    await (await one.$('#close-all')).click();
    assert.equal(await text(one, '#confirm-text'), 'Close 2 sessions, 1 of them another viewer\u2019s?');
    await one.keyboard.press('Escape');
    await until('the question is gone', () => one.$eval('#confirm', (node) => !node.open));
    assert.equal((await sessions()).length, 2, 'Escape closes nothing but the question');
    await (await one.$('#close-all')).click();
    await (await one.waitForSelector('#confirm[open] #confirm-yes')).click();
    await until('nobody is left', async () => (await sessions()).length === 0);
    await until('the list says so', async () => (await text(one, '#sessions-note')) === 'Nobody is watching.');
    await (await one.waitForSelector('#start:not(:disabled)')).click();
    // Listed may be sooner than known to be one's own: the offer is still on its way then.
    await until('one session is listed, as this tab', async () => {
      const all = await rows();
      return all.length === 1 && all[0].includes('this tab');
    });
    await (await one.$('#close-all')).click();
    assert.ok(await one.$eval('#confirm', (node) => !node.open), 'no question about one\u2019s own session alone');
    await until('it is closed', async () => (await sessions()).length === 0);
    assert.equal(await text(one, '#stage-title'), 'Nothing is playing');
  });

  it('comes back by itself on a display without a person when its session is closed', BOUND, async () => {
    const page = await watch(browser, server, 'color');
    await advancing(page, 'color', 3);
    const [{ session_id: first }] = await sessions();
    await server.request('DELETE', `webrtc/sessions/${first}`);
    await until('there is another session', async () => (await sessions()).some((s) => s.session_id !== first && s.connected));
    await advancing(page, 'color');
  });

  it('comes back by itself when the camera was unplugged', BOUND, async () => {
    const page = await watch(browser, server, 'color,depth');
    await advancing(page, 'color');
    await server.fault('unplug');
    await until('the page says that the camera is gone', async () => /unplugged/.test(await text(page, '#banner-text')));
    await until('no figure of old is left', async () => (await page.$$eval('.figure', (nodes) => nodes.map((n) => n.textContent))).every((t) => t === '–'));
    assert.equal(await text(page, '#server-state'), 'No video');
    assert.equal(await text(page, '.device .badge'), 'unplugged');
    await server.fault('replug');
    await advancing(page, 'color', 10, 30000);
    await advancing(page, 'depth');
    await until('the banner is gone', () => page.$eval('#banner', (node) => node.hidden));
    await until('the top says so', async () => (await text(page, '#server-state')) === 'Live');
    assert.match(await text(page, '#log'), /was unplugged.*plugged in again/);
  });

  it('says over the picture that the camera stalls', BOUND, async () => {
    const page = await start(browser, server, 'color');
    await advancing(page, 'color', 3);
    await server.fault('stall');
    await until('the tile says so', async () => /delivers no new picture/.test(await text(page, '.overlay')));
    assert.equal(await text(page, '[data-figure="latency"]'), '–');
    await until('the log tells', async () => /No new pictures of Color/.test(await text(page, '#log')));
    await server.fault('clear');
    await advancing(page, 'color');
    assert.ok(await page.$eval('.overlay', (node) => node.hidden));
  });

  it('says in words what is wrong with a request', BOUND, async () => {
    const page = await open(browser, `${server.url}/?device=999&streams=color&autostart=1`);
    await until('the server names the unknown camera', async () => /999/.test(await text(page, '#banner')));
    assert.match(await text(page, '#devices-note'), /999 is not connected/);
    await (await page.$('input[name="device"]')).click();
    await until('the form offers streams', () => page.$('input[name="stream"][value="color"]:checked'));
    await (await page.$('#start')).click();
    await advancing(page, 'color');
  });

  it('sets options live', BOUND, async () => {
    const page = await watch(browser, server, 'color');
    await advancing(page, 'color', 3);
    const [sensor] = (await server.get(`devices/${CAMERA}/sensors/`)).filter((s) => s.name === 'RGB Camera');
    const option = sensor.options.find((o) => o.option_id === 'brightness');
    const box = await page.evaluateHandle(() => document.querySelector('[data-option="brightness"]'));
    await box.evaluate((node) => { node.closest('details').open = true; });
    const slider = await box.$('input[type="range"]');
    await slider.focus();
    await page.keyboard.press('End');
    const value = async () => (await server.get(`devices/${CAMERA}/sensors/${sensor.sensor_id}/options/brightness`)).current_value;
    await until('the option has its greatest value', async () => (await value()) === option.max_value);
    await (await box.$('button')).click();
    await until('the option has its default value', async () => (await value()) === option.default_value);
  });

  it('shows options as they are, whoever changed them', BOUND, async () => {
    const page = await watch(browser, server, 'color');
    const [sensor] = (await server.get(`devices/${CAMERA}/sensors/`)).filter((s) => s.name === 'RGB Camera');
    const put = (option, value) => server.request('PUT', `devices/${CAMERA}/sensors/${sensor.sensor_id}/options/${option}`, { value });
    const node = (option, input) => `[data-sensor="${sensor.sensor_id}"] [data-option="${option}"] ${input}`;
    await put('enable_auto_exposure', 1);
    await page.waitForSelector(node('gain', 'input'));
    await page.$eval(`[data-sensor="${sensor.sensor_id}"]`, (details) => { details.open = true; });
    await until('the switch is on', () => page.$eval(node('enable_auto_exposure', 'input'), (box) => box.checked));
    await page.focus(node('exposure', 'input'));
    await page.keyboard.press('ArrowRight');
    await until('setting the exposure turned the switch off', () => page.$eval(node('enable_auto_exposure', 'input'), (box) => !box.checked));
    await until('the log tells', async () => /Exposure set to 1\d\.\d ms/.test(await text(page, '#log')));

    const held = await page.$eval(node('exposure', 'input'), (input) => input.value);
    await put('exposure', 300);
    await put('brightness', 7);
    await until('another viewer\u2019s change is shown', () => page.$eval(node('brightness', 'input'), (input) => input.value === '7'));
    assert.equal(await page.$eval(node('exposure', 'input'), (input) => input.value), held, 'not under somebody\u2019s hands');
    await page.$eval(node('exposure', 'input'), (input) => input.blur());
    await until('what was held is shown once it is left', () => page.$eval(node('exposure', 'input'), (input) => input.value === '300'));
    for (const option of ['exposure', 'brightness', 'enable_auto_exposure']) {
      await put(option, sensor.options.find((o) => o.option_id === option).default_value);
    }
  });

  it('sets the range of the depth colours', BOUND, async () => {
    const page = await watch(browser, server, 'depth');
    const far = await page.waitForSelector('.legend [name="far"]');
    const range = () => server.get(`devices/${CAMERA}/stream/depth-range`);
    const before = await range();
    await until('the range is shown', () => far.evaluate((input, value) => input.valueAsNumber === value, before.max_depth));
    await far.click({ clickCount: 3 });
    await page.keyboard.type('3.5');
    await page.keyboard.press('Enter');
    await until('the server has it', async () => (await range()).max_depth === 3.5);
    await server.request('PUT', `devices/${CAMERA}/stream/depth-range`, before);
  });

  it('can be used by keyboard alone', BOUND, async () => {
    const page = await open(browser, `${server.url}/`);
    await until('the form is ready', () => page.$('#start:not(:disabled)'));
    const focused = () => page.evaluate(() => {
      const node = document.activeElement;
      const outline = getComputedStyle(node.closest('.device') ?? node).outlineStyle;
      return { id: node.id, name: node.name ?? '', value: node.value ?? '', outline };
    });
    const tabTo = async (wanted) => {
      for (let i = 0; i < 60; i += 1) {
        await page.keyboard.press('Tab');
        const now = await focused();
        assert.notEqual(now.outline, 'none', `the focus can be seen on ${JSON.stringify(now)}`);
        if (wanted(now)) return;
      }
      assert.fail(`Tab never came to ${wanted}`);
    };
    await tabTo((node) => node.id === 'theme-toggle');
    const theme = await page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    await page.keyboard.press('Enter');
    assert.notEqual(await page.evaluate(() => getComputedStyle(document.body).backgroundColor), theme);
    await tabTo((node) => node.name === 'device');
    await tabTo((node) => node.name === 'stream' && node.value === 'depth');
    await page.keyboard.press('Space');
    await tabTo((node) => node.id === 'start');
    await page.keyboard.press('Enter');
    assert.equal((await focused()).id, 'stop', 'the focus is not lost with the button');
    await advancing(page, 'depth');
    await page.focus('[data-stream="depth"] .screen');
    await page.keyboard.press('ArrowRight');
    await until('the measuring point says something', async () => /^\d+\.\d{3} m$|^no depth here$/.test(await text(page, '.probe-label')));
    await page.focus('#stop');
    await page.keyboard.press('Enter');
    await until('the session is closed', async () => (await sessions()).length === 0);
  });

  it('fits a phone', BOUND, async () => {
    const phone = { width: 390, height: 844, isMobile: true, hasTouch: true };
    const page = await watch(browser, server, 'color,depth', phone);
    await advancing(page, 'color');
    await until('the session is listed', () => page.$('#sessions tbody tr.own'));
    await until('the figures are there', async () => /fps/.test(await text(page, '.tile:last-child [data-figure="fps"]')));
    for (const width of [390, 360, 320]) {
      await page.setViewport({ ...phone, width });
      const wide = await page.evaluate(() => [...document.querySelectorAll('body *')]
        .filter((node) => node.getBoundingClientRect().right > innerWidth + 1 && !node.closest('.visually-hidden, .skip'))
        .map((node) => node.outerHTML.slice(0, 80)));
      assert.deepEqual(wide, [], `nothing sticks out at ${width} px`);
      assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), 'no sideways scrolling');
    }
    await shoot(page, 'phone');
  });

  it('plays in the smallest viewer', BOUND, async () => {
    const page = await open(browser, `${server.url}/minimal.html?stream=infrared-1`);
    assert.equal((await advancing(page, 'any')).stream, 'infrared-1');
    assert.equal(await text(page, '#status'), '');
    assert.equal((await sessions())[0].stats.streams[0].codec, 'H264', 'the codec that is encoded already');
    assert.deepEqual(page.complaints, []);
  });

  for (const prefix of ['/api', '/api/v1']) {
    it(`serves pages that know only the old contract, under ${prefix}`, BOUND, async () => {
      const page = await open(browser, `${server.url}/css/base.css`); // a page of this origin with no script of its own
      await page.evaluate(oldPage, prefix, CAMERA);
      const seen = await until('both videos show their strips', async () => {
        const both = await page.evaluate(readAll);
        return both.every((strip) => strip) && both;
      });
      assert.deepEqual(seen.map((strip) => strip.stream), ['color', 'depth']);
      await until('they move on', async () => (await page.evaluate(readAll)).every((strip, i) => strip && strip.frame !== seen[i].frame));
      assert.deepEqual(await page.evaluate(() => window.ended()), { success: true });
      assert.deepEqual(await sessions(), []);
    });
  }

  // Pictures for a person to look at, on request: they assert nothing.
  if (shots) it('is photographed', BOUND, async () => {
    for (const scheme of ['dark', 'light']) {
      const page = await open(browser, 'about:blank', { width: 1440, height: 900 });
      await page.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: scheme }]);
      await page.goto(`${server.url}/?streams=color,depth,infrared-1,infrared-2&device=${CAMERA}&autostart=1`);
      await advancing(page, 'infrared-2', 60);
      await shoot(page, scheme);
    }
  });
});

describe('a server with a token', () => {
  it('is usable with the token and explains itself without', BOUND, async () => {
    const server = await Server.start(undefined, '[server]\ntoken = "open-sesame-1234"\n');
    const browser = await chromium();
    try {
      const locked = await open(browser, `${server.url}/`);
      await until('the page says what is missing', async () => /asks for a token/.test(await text(locked, '#banner-text')));
      await locked.type('#token', 'wrong');
      await locked.keyboard.press('Enter');
      await until('a wrong one is refused in words', async () => /not accept this token/.test(await text(locked, '#banner-text')));
      await locked.type('#token', 'open-sesame-1234');
      await locked.keyboard.press('Enter');
      await (await locked.waitForSelector('#start:not(:disabled)')).click();
      await advancing(locked, 'color');
      const smallest = await open(browser, await locked.$eval('#smallest', (link) => link.href));
      await advancing(smallest, 'any');
      const page = await open(browser, `${server.url}/?token=open-sesame-1234&device=${CAMERA}&streams=color&autostart=1`);
      await advancing(page, 'color');
      await until('Socket.IO works as well', () => page.$('[data-motion="accel"]:not([hidden])'));
      assert.deepEqual(page.complaints, []);
    } finally {
      await browser.close();
      await server.stop();
    }
  });
});

describe('a server that goes and comes back', () => {
  for (const signal of ['SIGKILL', 'SIGTERM']) {
    it(`after ${signal} the page reconnects by itself`, BOUND, async () => {
      let server = await Server.start();
      const browser = await chromium();
      try {
        const page = await start(browser, server, 'color,depth');
        await advancing(page, 'color');
        const address = new URL(server.url).host;
        await server.stop(signal);
        await until('the page says that the server is gone', async () => /cannot be reached/.test(await text(page, '#banner')));
        server = await Server.start(address);
        await advancing(page, 'color', 10, 30000);
        await advancing(page, 'depth');
        assert.equal((await server.get('webrtc/sessions')).length, 1, 'one tab has one session');
        await until('the banner is gone', () => page.$eval('#banner', (node) => node.hidden));
      } finally {
        await browser.close();
        await server.stop();
      }
    });
  }
});

/** Runs in the page: what pages written for the seed servers do. No codecs, no profiles, candidates before the answer. */
async function oldPage(prefix, device) {
  const post = async (route, body) => {
    const response = await fetch(prefix + route, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body) });
    if (!response.ok) throw new Error(`${route}: ${response.status} ${await response.text()}`);
    return response.json();
  };
  const [known] = await (await fetch(`${prefix}/devices/`)).json();
  if (known.device_id !== device) throw new Error(`unexpected device ${known.device_id}`);
  const offer = await post('/webrtc/offer/', { device_id: device, stream_types: ['color', 'depth'] });
  const pc = new RTCPeerConnection({ iceServers: [] });
  const sent = [];
  window.videos = [];
  pc.ontrack = ({ track }) => {
    const video = document.createElement('video');
    video.muted = true;
    video.srcObject = new MediaStream([track]);
    video.play();
    window.videos.push(video);
  };
  const gathered = new Promise((resolve) => {
    pc.onicecandidate = ({ candidate }) => {
      if (!candidate) resolve();
      else {
        sent.push(post('/webrtc/ice-candidates', {
          session_id: offer.session_id, candidate: candidate.candidate, sdpMid: candidate.sdpMid, sdpMLineIndex: candidate.sdpMLineIndex,
        }));
      }
    };
  });
  await pc.setRemoteDescription({ type: offer.type, sdp: offer.sdp });
  const answer = await pc.createAnswer();
  await pc.setLocalDescription(answer);
  await gathered;
  for (const done of await Promise.all(sent)) if (done.success !== true) throw new Error('candidate refused');
  if (sent.length === 0) throw new Error('the browser had no candidate to send');
  const answered = await post('/webrtc/answer', { session_id: offer.session_id, sdp: answer.sdp, type: 'answer' });
  if (answered.success !== true) throw new Error('answer refused');
  window.ended = async () => (await fetch(`${prefix}/webrtc/sessions/${offer.session_id}/`, { method: 'DELETE' })).json();
}

/** Runs in the page of `oldPage`: the strip of each video. */
async function readAll() {
  const { decodeStrip, stripSize } = await import('/js/strip.js');
  return window.videos.map((video) => {
    if (!video.videoWidth) return null;
    const size = stripSize(video.videoWidth);
    const canvas = document.createElement('canvas');
    Object.assign(canvas, { width: size.width, height: size.height });
    const context = canvas.getContext('2d');
    context.drawImage(video, 0, 0, size.width, size.height, 0, 0, size.width, size.height);
    return decodeStrip(context.getImageData(0, 0, size.width, size.height).data, size.width, size.cell);
  });
}
