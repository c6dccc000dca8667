// One video tile: picture, live figures, full screen, snapshot. Owns its elements and the track's statistics; never
// talks to the server.

import { el, icon, setText } from './dom.js';
import { Frames, STALE_READ_MS, STALE_TOLD_MS, STALE_UNSEEN_MS } from './frames.js';
import { ageMs, decodeStrip, stripSize } from './strip.js';
import { median, ratesOf, sampleOf } from './stats.js';
import { bitrate, streamName } from './words.js';

/** Milliseconds between readings of the frame strip: often enough for a median each second, cheap enough for four tiles. */
const STRIP_EVERY_MS = 180;
/** A latency outside this range says that the clocks differ, not how late the picture is. */
const PLAUSIBLE_MS = [-5, 20000];

const canvas = document.createElement('canvas');
const context = canvas.getContext('2d', { willReadFrequently: true });

/** Reads the strip of the picture that `video` shows. @param {HTMLVideoElement} video */
function readStrip(video) {
  const size = stripSize(video.videoWidth);
  if (!context || video.videoWidth < size.width) return null;
  if (canvas.width < size.width || canvas.height < size.height) {
    canvas.width = 640;
    canvas.height = 32;
  }
  context.drawImage(video, 0, 0, size.width, size.height, 0, 0, size.width, size.height);
  return decodeStrip(context.getImageData(0, 0, size.width, size.height).data, size.width, size.cell);
}

/** A stream's tile. */
export class Tile {
  #frames = new Frames();
  #awake;
  #receiver = /** @type {RTCRtpReceiver|null} */ (null);
  #sample = /** @type {import('./stats.js').Sample|null} */ (null);
  #latencies = /** @type {number[]} */ ([]);
  #lastStripAt = 0;
  #stripSeen = false;
  #figures = /** @type {Record<string, HTMLElement>} */ ({});
  #offsetMs = () => 0;
  #countsFrames = 'requestVideoFrameCallback' in HTMLVideoElement.prototype;

  /**
   * @param {string} stream @param {() => number} offsetMs what to add to a server time to get ours
   * @param {import('./awake.js').Awake} awake
   */
  constructor(stream, offsetMs, awake) {
    this.stream = stream;
    this.#awake = awake;
    this.#offsetMs = offsetMs;
    this.video = el('video', { autoplay: true, playsInline: true, 'aria-label': `${streamName(stream)}, live video` });
    this.video.muted = true; // what lets browsers play without a click
    this.overlay = el('p', { class: 'overlay', role: 'status' }, 'Waiting for the first picture…');
    this.screen = el('div', { class: 'screen' }, this.video, this.overlay);
    const figures = ['fps', 'resolution', 'bitrate', 'latency', 'codec'].map((name) => {
      this.#figures[name] = el('span', { class: 'figure', 'data-figure': name }, '–');
      return this.#figures[name];
    });
    const name = streamName(stream);
    this.note = el('p', { class: 'note tile-note', hidden: true });
    this.caption = el('figcaption', {});
    this.node = el('figure', { class: 'tile', 'data-stream': stream }, this.screen,
      this.caption, this.note);
    this.caption.append(
      el('strong', {}, name),
      el('span', { class: 'figures' }, ...figures),
      el('span', { class: 'tile-actions' },
        el('button', { type: 'button', class: 'icon-button', 'aria-label': `Save a picture of ${name}`, title: 'Save a picture', onclick: () => this.#snapshot() }, icon('snapshot')),
        el('button', { type: 'button', class: 'icon-button', 'aria-label': `Show ${name} full screen`, title: 'Full screen', onclick: () => this.#fullscreen() }, icon('fullscreen'))));
    this.video.addEventListener('dblclick', () => this.#fullscreen());
    this.video.addEventListener('resize', () => {
      if (this.video.videoWidth > 0) this.screen.style.aspectRatio = `${this.video.videoWidth} / ${this.video.videoHeight}`;
    });
    this.#watchFrames();
  }

  /** Shows a new track, keeping the last picture until its first frame. @param {MediaStreamTrack} track @param {RTCRtpReceiver} receiver */
  attach(track, receiver) {
    this.#receiver = receiver;
    this.#sample = null;
    this.#frames.begin(performance.now());
    this.video.srcObject = new MediaStream([track]);
    // Refused only where a browser forbids even silent video; the overlay then keeps asking for patience.
    this.video.play().catch(() => {});
  }

  /** Says something over the picture; "" clears it. @param {string} text */
  say(text) {
    setText(this.overlay, text);
    this.overlay.hidden = text === '';
  }

  /** performance.now() of the newest frame that is known of; 0 before the first track. */
  get lastFrameAt() {
    return this.#frames.lastAt;
  }

  /** Whether frames come now. */
  get flowing() {
    return this.#frames.flowing(performance.now(), this.staleMs);
  }

  /** Whether frames ought to have come by now. */
  get late() {
    return this.#frames.late(performance.now(), this.staleMs);
  }

  /** Milliseconds without a new frame after which none come. */
  get staleMs() {
    if (!this.#awake.seen) return STALE_UNSEEN_MS;
    return this.#countsFrames ? STALE_TOLD_MS : STALE_READ_MS;
  }

  /** Takes back figures that hold no longer. */
  blank() {
    this.node.dataset.live = 'false';
    for (const figure of Object.values(this.#figures)) setText(figure, '–');
  }

  #onNewFrame() {
    this.#frames.shown(performance.now());
    this.node.dataset.live = 'true';
    if (!this.overlay.hidden) this.say('');
  }

  remove() {
    this.video.srcObject = null;
    this.#receiver = null;
    this.node.remove();
  }

  /** Refreshes the figures; call about once a second. */
  async poll() {
    const receiver = this.#receiver;
    if (!receiver) return;
    const report = await receiver.getStats();
    if (receiver !== this.#receiver) return;
    const sample = sampleOf(report.values());
    if (!sample) return;
    const before = this.#sample;
    this.#sample = sample;
    const seen = !document.hidden;
    if (this.#frames.read(performance.now(), sample, this.#countsFrames && seen, seen)) this.#onNewFrame();
    if (!this.flowing) {
      this.blank();
      return;
    }
    const rates = ratesOf(before, sample);
    const f = this.#figures;
    setText(f.fps, rates.fps === null ? '–' : `${rates.fps.toFixed(1)} fps`);
    setText(f.resolution, sample.width > 0 ? `${sample.width}×${sample.height}` : '–');
    setText(f.bitrate, bitrate(rates.bitsPerSecond));
    setText(f.codec, sample.codec || '–');
    f.codec.title = 'Codec';
    f.bitrate.title = `Received; ${sample.lost} packets lost, ${sample.dropped} frames dropped by the browser`;
    this.#showLatency(rates.estimateMs);
    this.node.dataset.decoded = String(sample.frames);
  }

  /** @param {number|null} estimateMs */
  #showLatency(estimateMs) {
    const measured = median(this.#latencies);
    this.#latencies = [];
    const figure = this.#figures.latency;
    if (measured !== null) {
      setText(figure, `${Math.round(measured)} ms`);
      figure.title = 'Latency from capture to this page, measured from the frame strip in the picture';
    } else if (estimateMs !== null && !this.#stripSeen) {
      setText(figure, `≈ ${Math.round(estimateMs)} ms`);
      figure.title = 'Estimate: jitter buffer and half the round trip; capture, encoder and screen come on top';
    }
  }

  #watchFrames() {
    if (!this.#countsFrames) return; // figures then come from the statistics alone
    const onFrame = (/** @type {number} */ now) => {
      this.#onNewFrame();
      this.node.dataset.presented = String(Number(this.node.dataset.presented ?? '0') + 1);
      if (now - this.#lastStripAt >= STRIP_EVERY_MS) {
        this.#lastStripAt = now;
        this.#measure();
      }
      this.video.requestVideoFrameCallback(onFrame);
    };
    this.video.requestVideoFrameCallback(onFrame);
  }

  #measure() {
    const now = performance.now(); // not the callback's time, which lies a little before: the picture may be newer than it
    const strip = readStrip(this.video);
    if (!strip) return;
    this.#stripSeen = true;
    this.node.dataset.frame = String(strip.frame);
    const latency = ageMs(strip.timeMs, performance.timeOrigin + now) - this.#offsetMs();
    if (latency >= PLAUSIBLE_MS[0] && latency <= PLAUSIBLE_MS[1]) this.#latencies.push(latency);
  }

  #fullscreen() {
    if (document.fullscreenElement) document.exitFullscreen();
    else this.screen.requestFullscreen?.().catch(() => this.say('This browser does not allow full screen here.'));
  }

  #snapshot() {
    if (this.video.videoWidth === 0) return;
    const picture = el('canvas', { width: this.video.videoWidth, height: this.video.videoHeight });
    picture.getContext('2d')?.drawImage(this.video, 0, 0);
    picture.toBlob((blob) => {
      if (!blob) return;
      const url = URL.createObjectURL(blob);
      const stamp = new Date().toISOString().replace(/[:.]/g, '-');
      el('a', { href: url, download: `${this.stream}-${stamp}.png` }).click();
      setTimeout(() => URL.revokeObjectURL(url), 10000); // the download has begun long before
    }, 'image/png');
  }
}
