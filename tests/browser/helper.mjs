// Starts the server and the browsers for the tests, and waits for things. Every wait is for a condition and bounded.
import { spawn } from 'node:child_process';
import { appendFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import puppeteer from 'puppeteer-core';

const root = fileURLToPath(new URL('../../', import.meta.url));
const program = process.env.REALSENSE_WEBRTC_BIN ?? path.join(root, 'target/debug/realsense-webrtc');

/** The serial number of the first simulated camera. */
export const CAMERA = '844212070924';
/** Milliseconds that anything may take on a slow machine before it counts as failed. */
export const PATIENCE_MS = 20000;

const CONFIG = `
[camera]
linger_s = 0.5
`;

/**
 * Waits until `look` gives something truthy, and returns it.
 * @param {string} what for the failure's text
 * @param {() => any} look may be async; what it throws counts as not yet
 * @param {number} [patienceMs]
 */
export async function until(what, look, patienceMs = PATIENCE_MS) {
  const deadline = performance.now() + patienceMs;
  let last;
  for (;;) {
    try {
      last = await look();
      if (last) return last;
    } catch (error) {
      last = error;
    }
    if (performance.now() > deadline) {
      throw new Error(`not within ${patienceMs} ms: ${what} (last: ${last instanceof Error ? last.message : JSON.stringify(last)})`);
    }
    await new Promise((resolve) => { setTimeout(resolve, 40); });
  }
}

/** A running server. */
export class Server {
  log = '';
  /** The serial number of the camera that the tests are about. */
  camera = CAMERA;
  /**
   * Without a section [realsense] it has simulated cameras only, whatever is plugged into this machine.
   * @param {string} [listen] @param {string} [config] TOML @param {string[]} [args] further arguments
   * @param {Record<string, string>} [environment] further variables
   */
  static async start(listen = '127.0.0.1:0', config = CONFIG, args = [], environment = {}) {
    const server = new Server();
    server.folder = mkdtempSync(path.join(tmpdir(), 'realsense-webrtc-'));
    const file = path.join(server.folder, 'config.toml');
    const real = config.includes('[realsense]');
    writeFileSync(file, real ? config : `${config}\n[realsense]\nenabled = false\n`);
    const simulated = real ? [] : ['--sim-cameras', '1'];
    const child = spawn(program, ['--config', file, '--listen', listen, ...simulated, ...args], {
      cwd: root, stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...environment },
    });
    server.child = child;
    server.exited = new Promise((resolve) => { child.on('exit', (code, signal) => resolve(signal ?? code)); });
    server.exited.then((how) => { server.how = how; });
    child.on('error', (error) => { server.log += `${error}\n`; server.how = String(error); });
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text) => {
        server.log += text;
        if (process.env.SERVER_LOG) appendFileSync(process.env.SERVER_LOG, text); // to see what a failing test's server said
      });
    }
    const address = () => server.how !== undefined || server.log.match(/listening on (http:\/\/\S+)/);
    const found = await until('the server prints its address', address);
    if (found === true) throw new Error(`the server ended (${server.how}):\n${server.log}`);
    server.url = found[1];
    return server;
  }

  /** Asks the API. @returns {Promise<{status: number, body: any}>} */
  async request(method, route, body) {
    const response = await fetch(`${this.url}/api/${route}`, {
      method, headers: { 'Content-Type': 'application/json' }, body: body === undefined ? undefined : JSON.stringify(body),
      signal: AbortSignal.timeout(PATIENCE_MS),
    });
    return { status: response.status, body: await response.json() };
  }

  async get(route) {
    return (await this.request('GET', route)).body;
  }

  async fault(fault) {
    const { status, body } = await this.request('POST', `sim/devices/${this.camera}/fault`, { fault });
    if (status !== 200) throw new Error(`fault ${fault}: ${status} ${JSON.stringify(body)}`);
  }

  /** Ends the server by a signal and waits for its end. @param {NodeJS.Signals} [signal] */
  async stop(signal = 'SIGTERM') {
    if (this.how === undefined) this.child.kill(signal);
    const timer = setTimeout(() => this.child.kill('SIGKILL'), 10000);
    const how = await this.exited;
    clearTimeout(timer);
    rmSync(this.folder, { recursive: true, force: true });
    return how;
  }
}

/** What keeps a Chromium from treating windows that nobody sees as a person's would be. */
const ALWAYS_SEEN = ['--disable-backgrounding-occluded-windows', '--disable-renderer-backgrounding', '--disable-background-timer-throttling'];

/** A Chromium of its own. @param {{hides?: boolean}} [options] hides: its windows can be out of sight, with all that browsers then do */
export function chromium({ hides = false } = {}) {
  return puppeteer.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    headless: true,
    ignoreDefaultArgs: hides ? ALWAYS_SEEN : [],
    args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
      '--disable-component-update', '--disable-sync', '--mute-audio', ...(hides ? [] : ALWAYS_SEEN)],
  });
}

/** A Firefox of its own, spoken to by WebDriver BiDi. @param {Record<string, any>} [prefs] in place of those that the tests have */
export function firefox(prefs = {}) {
  return puppeteer.launch({
    browser: 'firefox',
    executablePath: process.env.FIREFOX ?? '/usr/bin/firefox-esr',
    headless: true,
    extraPrefsFirefox: {
      'media.peerconnection.ice.loopback': true,
      'media.peerconnection.ice.obfuscate_host_addresses': false,
      'media.autoplay.default': 0,
      ...prefs,
    },
  });
}

/**
 * Opens an address in a window of its own and keeps what the browser complains about in `page.complaints`.
 * @param {import('puppeteer-core').Browser} browser @param {string} url
 * @param {import('puppeteer-core').Viewport} [viewport]
 * @param {() => void} [first] runs in the page before its own scripts
 */
export async function open(browser, url, viewport = { width: 1280, height: 900 }, first = undefined) {
  const context = await browser.createBrowserContext();
  const page = await context.newPage();
  page.complaints = [];
  page.on('console', (message) => {
    if (['error', 'warn', 'warning'].includes(message.type())) page.complaints.push(`${message.text()} (${message.location().url ?? 'no address'})`);
  });
  page.on('pageerror', (error) => page.complaints.push(String(error)));
  page.setDefaultTimeout(PATIENCE_MS);
  await page.setViewport(viewport).catch((error) => {
    // Firefox 140 of Debian 13 sets the size, but does not yet know the screen orientation sent with it.
    if (!error.message.includes('emulation.setScreenOrientationOverride')) throw error;
  });
  if (first) await page.evaluateOnNewDocument(first);
  await page.goto(url);
  return page;
}

/** The demo page as a person uses it: Start is pressed once these streams are ticked. */
export async function start(browser, server, streams) {
  const page = await open(browser, `${server.url}/webrtc_demo.html?device=${server.camera}&streams=${streams}`);
  await (await page.waitForSelector('#start:not(:disabled)')).click();
  return page;
}

/** The demo page as a display without a person uses it: it begins by itself. @param {Server} server @param {string} streams "color,depth" */
export function watch(browser, server, streams, viewport) {
  return open(browser, `${server.url}/webrtc_demo.html?device=${server.camera}&streams=${streams}&autostart=1`, viewport);
}

/**
 * What a tile shows: the frame strip, and how much the picture below it varies.
 * @returns {Promise<{frame: number, stream: string, ageMs: number, deviation: number, colours: number}|null>}
 */
export function look(page, stream) {
  return page.evaluate(async (wanted) => {
    const { decodeStrip, stripSize, ageMs } = await import('/js/strip.js');
    const video = document.querySelector(`[data-stream="${wanted}"] video`) ?? document.querySelector('video');
    if (!video?.videoWidth) return null;
    const canvas = document.createElement('canvas');
    canvas.width = video.videoWidth;
    canvas.height = video.videoHeight;
    const context = canvas.getContext('2d', { willReadFrequently: true });
    context.drawImage(video, 0, 0);
    const size = stripSize(canvas.width);
    const strip = decodeStrip(context.getImageData(0, 0, size.width, size.height).data, size.width, size.cell);
    if (!strip) return null;
    const below = context.getImageData(0, size.height, canvas.width, canvas.height - size.height).data;
    let sum = 0;
    let squares = 0;
    let colours = 0;
    const count = below.length / 4;
    for (let i = 0; i < below.length; i += 4) {
      const luma = 0.299 * below[i] + 0.587 * below[i + 1] + 0.114 * below[i + 2];
      sum += luma;
      squares += luma * luma;
      colours += Math.abs(below[i] - below[i + 2]);
    }
    return {
      frame: strip.frame, stream: strip.stream, camera: strip.camera, ageMs: ageMs(strip.timeMs, Date.now()),
      deviation: Math.sqrt(Math.max(0, squares / count - (sum / count) ** 2)), colours: colours / count,
      width: canvas.width, height: canvas.height,
    };
  }, stream);
}

/** Waits until a tile's strip has moved on by this many frames, and returns the newest. */
export async function advancing(page, stream, frames = 10, patienceMs = PATIENCE_MS) {
  const first = await until(`${stream} shows a strip`, () => look(page, stream), patienceMs);
  return until(`${stream} moves on by ${frames} frames`, async () => {
    const now = await look(page, stream);
    return now && ((now.frame - first.frame) & 0xffff) >= frames && now;
  }, patienceMs);
}

/** Begins to measure the longest time between two frames of each tile; `gaps()` tells it so far, in milliseconds. */
export async function measureGaps(page) {
  await page.evaluate(() => {
    window.gaps = {};
    for (const tile of document.querySelectorAll('.tile')) {
      const video = tile.querySelector('video');
      let last = performance.now();
      window.gaps[tile.dataset.stream] = { longest: 0, frames: 0, since: () => performance.now() - last };
      const gap = window.gaps[tile.dataset.stream];
      const onFrame = () => {
        gap.longest = Math.max(gap.longest, performance.now() - last);
        gap.frames += 1;
        last = performance.now();
        video.requestVideoFrameCallback(onFrame);
      };
      video.requestVideoFrameCallback(onFrame);
    }
  });
  return () => page.evaluate(() => Object.values(window.gaps).map((g) => ({ longest: Math.max(g.longest, g.since()), frames: g.frames })));
}

/** The text of an element. */
export function text(page, selector) {
  return page.$eval(selector, (node) => node.textContent.trim());
}
