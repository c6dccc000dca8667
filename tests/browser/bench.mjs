// Measures in Chromium how late a frame is on a canvas and how soon the first one comes, and prints rows of the table that
// scripts/bench.sh makes.   node tests/browser/bench.mjs http://127.0.0.1:PORT
import { CAMERA, chromium, open } from './helper.mjs';

const url = process.argv[2];
const FRAMES = 600;
const JOINS = 10;

/** Runs in the page: watches colour for some frames. */
async function watch(device, frames) {
  const { decodeStrip, stripSize, ageMs } = await import('/js/strip.js');
  const post = async (route, body) => {
    const answer = await fetch(`/api/webrtc/${route}`, {
      method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body),
    });
    if (!answer.ok) throw new Error(await answer.text());
    return answer.json();
  };
  const begun = performance.now();
  const offer = await post('offer', { device_id: device, stream_types: ['color'], codecs: ['video/H264'] });
  const peer = new RTCPeerConnection();
  const video = document.createElement('video');
  video.muted = true;
  peer.ontrack = ({ track }) => { video.srcObject = new MediaStream([track]); video.play(); };
  await peer.setRemoteDescription(offer);
  await peer.setLocalDescription(await peer.createAnswer());
  await post('answer', { session_id: offer.session_id, sdp: peer.localDescription.sdp, type: 'answer' });
  const latencies = [];
  let first;
  await new Promise((resolve) => {
    let canvas;
    const seen = () => {
      first ??= performance.now() - begun;
      const strip = stripSize(video.videoWidth);
      canvas ??= new OffscreenCanvas(strip.width, strip.height).getContext('2d', { willReadFrequently: true });
      canvas.drawImage(video, 0, 0);
      const now = performance.timeOrigin + performance.now();
      const read = decodeStrip(canvas.getImageData(0, 0, strip.width, strip.height).data, strip.width, strip.cell);
      if (read) latencies.push(ageMs(read.timeMs, now));
      if (latencies.length >= frames) resolve();
      else video.requestVideoFrameCallback(seen);
    };
    video.requestVideoFrameCallback(seen);
  });
  peer.close();
  await fetch(`/api/webrtc/sessions/${offer.session_id}`, { method: 'DELETE' });
  return { first, latencies };
}

function percentile(values, share) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];
}

function row(what, value, budget, command) {
  const met = budget === undefined ? '' : value < budget ? 'yes' : '**no**';
  console.log(`| ${what} | ${value.toFixed(0)} ms | ${budget === undefined ? '' : `< ${budget} ms`} | ${met} | \`${command}\` |`);
}

const browser = await chromium();
try {
  // A page of the same origin that does nothing by itself.
  const page = await open(browser, `${url}/api/health`);
  const command = 'node tests/browser/bench.mjs';
  const { latencies } = await page.evaluate(watch, CAMERA, FRAMES);
  row('Chromium, frame to canvas, median', percentile(latencies, 0.5), 40, command);
  row('Chromium, frame to canvas, p95', percentile(latencies, 0.95), 60, command);
  const firsts = [];
  for (let join = 0; join < JOINS; join += 1) firsts.push((await page.evaluate(watch, CAMERA, 1)).first);
  row('Chromium, first decoded frame after the offer request, stream running', percentile(firsts, 0.5), 200, command);
} finally {
  await browser.close();
}
