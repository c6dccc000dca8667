// The pages in a Chromium that lacks what browsers of 2021 and 2022 lack, and in one that cannot read them at all.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { CAMERA, Server, advancing, chromium, open, text, until } from './helper.mjs';

const BOUND = { timeout: 60000 };

/** Runs in a page before its own scripts: takes away what docs/reference/page.md says is not needed. */
function growOld() {
  delete AbortSignal.timeout; // Chrome 103, Firefox 100, Safari 16
  delete AbortSignal.any;
  delete Array.prototype.at; // 92, 90, 15.4
  delete String.prototype.at;
  delete Array.prototype.findLast; // 97, 104, 15.4
  delete Array.prototype.toSorted;
  delete Object.hasOwn; // 93, 92, 15.4
  delete Object.groupBy;
  delete Promise.withResolvers;
  delete window.structuredClone; // 98, 94, 15.4
  delete crypto.randomUUID; // 92, 95, 15.4
  delete URLSearchParams.prototype.size; // 113, 112, 17
  delete HTMLDialogElement.prototype.showModal; // 37, 98, 15.4
  delete HTMLElement.prototype.inert; // 102, 112, 15.5
  delete HTMLElement.prototype.showPopover;
  delete Element.prototype.checkVisibility;
  delete HTMLVideoElement.prototype.requestVideoFrameCallback; // 83, 132, 15.4
  delete RTCRtpReceiver.getCapabilities; // 59, 113, 11
  delete RTCRtpReceiver.prototype.jitterBufferTarget;
  delete RTCPeerConnection.prototype.connectionState; // 72, 113, 11
  delete RTCPeerConnection.prototype.onconnectionstatechange;
  const listen = EventTarget.prototype.addEventListener;
  EventTarget.prototype.addEventListener = function addEventListener(type, ...rest) {
    if (type !== 'connectionstatechange') listen.call(this, type, ...rest);
  };
  // Selectors with :has(): 105, 121, 15.4.
  for (const { prototype } of [Document, DocumentFragment, Element]) {
    for (const name of ['querySelector', 'querySelectorAll', 'matches', 'closest']) {
      const original = prototype[name];
      if (!original) continue;
      prototype[name] = function find(selector) {
        if (selector.includes(':has(')) throw new DOMException(`'${selector}' is not a valid selector.`, 'SyntaxError');
        return original.call(this, selector);
      };
    }
  }
}

describe('a browser of 2021', () => {
  /** @type {Server} */ let server;
  let browser;

  before(async () => {
    [server, browser] = await Promise.all([Server.start(), chromium()]);
  }, BOUND);

  after(async () => {
    await browser?.close();
    assert.equal(await server?.stop(), 0, server?.log);
  }, BOUND);

  it('starts streams on the demo page and shows them live', BOUND, async () => {
    const page = await open(browser, `${server.url}/?streams=color,depth`, undefined, growOld);
    await (await page.waitForSelector('#start:not(:disabled)')).click();
    for (const stream of ['color', 'depth']) await advancing(page, stream);
    await until('the page is live', async () => (await text(page, '#server-state')) === 'Live');
    await page.evaluate(() => {
      window.states = [];
      new MutationObserver(() => window.states.push(document.getElementById('server-state').textContent))
        .observe(document.getElementById('server-state'), { childList: true, characterData: true, subtree: true });
    });
    await advancing(page, 'color', 120);
    assert.deepEqual(await page.evaluate(() => window.states), [], 'and stays it');
    await until('the figures are there', async () => /fps/.test(await text(page, '[data-figure="fps"]')));
    assert.match(await page.$eval('#inside', (link) => link.href), new RegExp(`/debug\\?device=${CAMERA}$`));
    const [{ session_id: id }] = await server.get('webrtc/sessions');
    await server.request('DELETE', `webrtc/sessions/${id}`);
    await until('the page says that its session was closed', async () => /was closed/.test(await text(page, '#banner-text')));
    await page.click('#banner-action');
    await advancing(page, 'color');

    const other = await open(browser, `${server.url}/?streams=depth&autostart=1`, undefined, growOld);
    await advancing(other, 'depth');
    await until('both are listed', async () => (await text(page, '#sessions-count')) === '2');
    const asked = new Promise((resolve) => {
      page.once('dialog', (dialog) => {
        resolve(dialog.message());
        dialog.dismiss();
      });
    });
    await page.click('#close-all');
    assert.match(await asked, /Close 2 sessions, 1 of them another viewer/);
    assert.equal((await server.get('webrtc/sessions')).length, 2, 'nothing is closed without a yes');
    assert.deepEqual([...page.complaints, ...other.complaints].filter((line) => !/404/.test(line)), []);
    await page.close();
    await other.close();
  });

  it('plays the smallest viewer and looks inside', BOUND, async () => {
    const page = await open(browser, `${server.url}/minimal.html`, undefined, growOld);
    await advancing(page, 'any');
    const inside = await open(browser, `${server.url}/debug?measure=1`, undefined, growOld);
    await until('the graph is drawn', () => inside.$('#graph [role="button"]'));
    await until('it is measured', () => inside.evaluate(() => document.body.dataset.measured === 'true'));
    assert.match(inside.url(), /measure=1/);
    assert.deepEqual([...page.complaints, ...inside.complaints], []);
  });

  for (const address of ['/', '/debug']) {
    it(`is told so where it cannot read the page ${address}`, BOUND, async () => {
      const page = await open(browser, 'about:blank');
      await page.setRequestInterception(true);
      page.on('request', (request) => {
        if (request.url().endsWith('/js/poll.js')) request.respond({ contentType: 'text/javascript', body: 'export class Poll { #no syntax }' });
        else request.continue();
      });
      await page.goto(server.url + address);
      await until('the banner says it', async () => /does not run in this browser \(.*SyntaxError.*\)\. It needs Chrome or Edge \d+, Firefox \d+, Safari \d+/.test(await text(page, '#banner-text')));
      assert.ok(await page.$eval('#banner', (node) => !node.hidden));
    });
  }
});
