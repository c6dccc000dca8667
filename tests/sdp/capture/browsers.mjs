// Lets Chromium and Firefox answer an offer. Owns what a browser is told to do before it answers; the server is spoken to elsewhere.
import { chromium, firefox, open } from '../../browser/helper.mjs';

/**
 * How an answer is made to differ from what the browser would say by itself; runs in the page.
 * @param {string} offer @param {string} variant
 */
async function answer(offer, variant) {
  const peer = new RTCPeerConnection();
  window.peer = peer;
  await peer.setRemoteDescription({ type: 'offer', sdp: offer });
  const transceivers = peer.getTransceivers();
  const [which, what] = variant.split('-');
  const chosen = ['first', 'second'].includes(which) ? [transceivers[which === 'first' ? 0 : 1]] : transceivers;
  for (const transceiver of chosen) {
    if (what === 'stopped') transceiver.stop();
    if (what === 'inactive') transceiver.direction = 'inactive';
    // An m-line on which nothing else is offered is refused for it.
    if (what === 'refused' || variant === 'no-h264') {
      const { codecs } = RTCRtpReceiver.getCapabilities('video');
      transceiver.setCodecPreferences(codecs.filter((codec) => codec.mimeType !== 'video/H264'));
    }
  }
  await peer.setLocalDescription();
  // Where every m-line is refused there is nothing to find addresses for.
  if (/^m=video [^0]/m.test(peer.localDescription.sdp)) {
    await new Promise((resolve) => {
      const look = () => { if (peer.iceGatheringState === 'complete') resolve(); };
      peer.addEventListener('icegatheringstatechange', look);
      look();
    });
  }
  return peer.localDescription.sdp;
}

/** What has come in so far, by the id of the m-line; runs in the page. */
async function received() {
  const { peer } = window;
  const seen = { state: peer.connectionState, packets: {}, frames: {} };
  for (const report of (await peer.getStats()).values()) {
    if (report.type !== 'inbound-rtp') continue;
    seen.packets[report.mid] = report.packetsReceived;
    seen.frames[report.mid] = report.framesDecoded ?? 0;
  }
  return seen;
}

/** @param {import('puppeteer-core').Browser} browser @param {string} version @param {string} offer @param {string} variant */
async function answering(browser, version, offer, variant) {
  const page = await open(browser, 'about:blank');
  return {
    version,
    sdp: await page.evaluate(answer, offer, variant),
    seen: () => page.evaluate(received),
    close: () => page.close(),
  };
}

const NO_MDNS = { 'media.peerconnection.ice.obfuscate_host_addresses': false };
const MDNS = { 'media.peerconnection.ice.obfuscate_host_addresses': true };

/** A browser that is started once for all answers of a variant. @param {(variant: string) => Promise<import('puppeteer-core').Browser>} launch */
function stack(launch) {
  let running;
  return {
    async answer(offer, variant) {
      running ??= launch(variant);
      const browser = await running;
      // "HeadlessChrome/1.2", "Chrome/1.2", "firefox/1.2"
      const [name, number] = (await browser.version()).split('/');
      return answering(browser, `${name.endsWith('Chrome') ? 'Chromium' : 'Firefox'} ${number}`, offer, variant);
    },
    async end() {
      await (await running)?.close();
      running = undefined;
    },
  };
}

export const stacks = {
  chromium: () => stack(() => chromium()),
  // As it is for everybody: host addresses are hidden behind names of mDNS.
  firefox: () => stack((variant) => firefox(variant === 'addresses' ? NO_MDNS : MDNS)),
};
