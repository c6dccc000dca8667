// The bar below the video: control of a recording that plays, and recording of a live camera. Owns its elements; the server
// owns both, for everyone who watches.

import { byId, isOff, setOff, setText, showText } from './dom.js';
import { clockTime, megabytes } from './words.js';

/** While nothing is recorded, the server is asked how it stands only each so many looks: another viewer may begin. */
const IDLE_LOOKS = 4;
/** Seconds of difference below which the slider is left where it is. */
const STILL_S = 0.05;

/** Events: `change`, it was paused or goes on; `recording`, a recording of the camera has begun or ended. */
export class Deck extends EventTarget {
  #api;
  #log;
  /** @type {import('realsense-webrtc/api').DeviceInfo|null} */
  #device = null;
  /** @type {import('realsense-webrtc/api').PlaybackStatus|null} */
  #playback = null;
  /** @type {import('realsense-webrtc/api').RecordingStatus|null} */
  #recording = null;
  #looks = 0;
  /** Counts commands: what was read across one may be older than it. */
  #epoch = 0;
  /** Whether the slider is under somebody's hands. */
  #held = false;
  /** Whether a recording is being started or stopped. */
  #busy = false;
  /** Files that were deleted from this page: the server goes on telling how their recording ended. */
  #deleted = /** @type {Set<string>} */ (new Set());
  #node = byId('deck');
  #transport = byId('transport');
  #recorder = byId('recorder');
  #play = byId('playback-toggle');
  #position = /** @type {HTMLInputElement} */ (byId('playback-position'));
  #speed = /** @type {HTMLSelectElement} */ (byId('playback-speed'));
  #repeat = /** @type {HTMLInputElement} */ (byId('playback-repeat'));
  #record = byId('record');
  #error = byId('deck-error');

  /** @param {import('./api.js').Api} api @param {import('./log.js').Say} log */
  constructor(api, log) {
    super();
    this.#api = api;
    this.#log = log;
    this.#play.addEventListener('click', () => this.#command(this.paused ? 'resume' : 'pause'));
    this.#position.addEventListener('input', () => {
      this.#held = true;
      this.#showTime(Number(this.#position.value));
    });
    this.#position.addEventListener('change', () => {
      this.#held = false;
      this.#command('seek', { position: Number(this.#position.value) });
    });
    this.#speed.addEventListener('change', () => this.#command('speed', { speed: Number(this.#speed.value) }));
    this.#repeat.addEventListener('change', () => this.#command('repeat', { enabled: this.#repeat.checked }));
    this.#record.addEventListener('click', () => !isOff(this.#record) && this.#toggleRecording());
  }

  /** Whether the picture stands because somebody paused the recording. */
  get paused() {
    return Boolean(this.#device?.playback && this.#playback?.is_paused);
  }

  /** The file that the camera is recorded to, or "". */
  get writing() {
    return (this.#recording?.is_recording && this.#recording.file_name) || '';
  }

  /** Offers this file no more. @param {string} name */
  forget(name) {
    this.#deleted.add(name);
    this.#render();
  }

  /**
   * Shows what can be done with a camera.
   * @param {import('realsense-webrtc/api').DeviceInfo|null} device its description, or null while it is not there
   * @returns {boolean} whether it is another camera than before
   */
  show(device) {
    const another = device?.device_id !== this.#device?.device_id;
    if (another) {
      this.#playback = null;
      this.#recording = null;
      this.#looks = 0;
      showText(this.#error, '');
    }
    this.#device = device;
    this.#node.hidden = device === null;
    this.#transport.hidden = !device?.playback;
    this.#recorder.hidden = !device || device.playback;
    this.#render();
    return another;
  }

  /** Asks the server how things stand; call about once a second. */
  async refresh() {
    const device = this.#device;
    if (!device) return;
    const epoch = this.#epoch;
    const current = () => epoch === this.#epoch && device.device_id === this.#device?.device_id;
    this.#looks += 1;
    try {
      if (device.playback) {
        const status = await this.#api.playback(device.device_id);
        if (!current()) return;
        const paused = this.paused;
        this.#playback = status;
        if (paused !== this.paused) this.dispatchEvent(new Event('change')); // another viewer did it
      } else if (device.can_record && (this.#recording?.is_recording || this.#looks % IDLE_LOOKS === 1)) {
        const status = await this.#api.recording(device.device_id);
        if (current()) this.#tellEnd(status);
      }
    } catch {
      return; // the health poll says what is wrong
    }
    this.#render();
  }

  /**
   * @param {NonNullable<Parameters<import('./api.js').Api['playback']>[1]>} what
   * @param {Parameters<import('./api.js').Api['playback']>[2]} [body]
   */
  async #command(what, body) {
    const device = this.#device;
    if (!device?.playback) return;
    this.#epoch += 1;
    try {
      const status = await this.#api.playback(device.device_id, what, body);
      showText(this.#error, '');
      if (device.device_id === this.#device?.device_id) this.#playback = status;
    } catch (error) {
      showText(this.#error, error.message);
      this.#log('error', error.message);
    }
    this.#render();
    this.dispatchEvent(new Event('change'));
  }

  async #toggleRecording() {
    const device = this.#device?.device_id;
    if (device === undefined) return;
    const begins = !this.#recording?.is_recording;
    this.#epoch += 1;
    this.#busy = true;
    setOff(this.#record, true);
    try {
      const status = await this.#api.record(device, begins ? 'start' : 'stop');
      showText(this.#error, '');
      if (begins) this.#log('info', `Recording ${status.streams.join(', ')} to ${status.file_name}.`);
      if (device === this.#device?.device_id) this.#tellEnd(status);
    } catch (error) {
      showText(this.#error, error.message);
      this.#log('error', error.message);
    }
    this.#busy = false;
    this.#render();
  }

  /** Takes a new state of the recording, and says it when one has ended. @param {import('realsense-webrtc/api').RecordingStatus} status */
  #tellEnd(status) {
    const before = this.#recording;
    this.#recording = status;
    if (status.is_recording && status.file_name) this.#deleted.delete(status.file_name);
    if (Boolean(before?.is_recording) !== status.is_recording) this.dispatchEvent(new Event('recording'));
    if (!before?.is_recording || status.is_recording) return;
    const well = status.end_reason === 'stopped' || status.end_reason === 'time_limit' || status.end_reason === 'size_limit';
    this.#log(well ? 'info' : 'warn', `${status.file_name}: ${status.detail ?? 'the recording ended.'}`);
  }

  #render() {
    if (this.#device?.playback) this.#renderTransport();
    else if (this.#device) this.#renderRecorder();
  }

  #renderTransport() {
    const status = this.#playback;
    for (const control of [this.#position, this.#speed, this.#repeat]) control.disabled = status === null;
    setOff(this.#play, status === null);
    if (status === null) return;
    const name = this.paused ? 'Play' : 'Pause';
    if (this.#play.getAttribute('aria-label') !== name) {
      this.#play.setAttribute('aria-label', name);
      this.#play.title = name;
      this.#play.querySelector('use')?.setAttribute('href', `img/icons.svg#${this.paused ? 'play' : 'pause'}`);
    }
    this.#transport.title = status.file;
    this.#position.max = String(status.duration);
    if (!this.#held) {
      if (Math.abs(Number(this.#position.value) - status.position) > STILL_S) this.#position.value = String(status.position);
      this.#showTime(status.position);
    }
    if (document.activeElement !== this.#speed) this.#showSpeed(status.speed);
    this.#repeat.checked = status.repeat;
  }

  /** @param {number} seconds */
  #showTime(seconds) {
    const text = `${clockTime(seconds)} / ${clockTime(this.#playback?.duration ?? 0)}`;
    setText(byId('playback-time'), text);
    this.#position.setAttribute('aria-valuetext', text);
  }

  /** A speed that somebody else chose may not be in the list. @param {number} speed */
  #showSpeed(speed) {
    const value = String(speed);
    if (![...this.#speed.options].some((option) => option.value === value)) this.#speed.add(new Option(`${value}×`, value));
    this.#speed.value = value;
  }

  #renderRecorder() {
    const can = Boolean(this.#device?.can_record);
    const status = this.#recording;
    const active = Boolean(status?.is_recording);
    setOff(this.#record, !can || this.#busy);
    this.#record.dataset.active = String(active);
    setText(this.#record.querySelector('span') ?? this.#record, active ? 'Stop recording' : 'Record');
    this.#record.querySelector('use')?.setAttribute('href', `img/icons.svg#${active ? 'stop' : 'record'}`);
    setText(byId('record-state'), can ? recordingText(status) : 'Recording needs librealsense on the server.');
    const link = /** @type {HTMLAnchorElement} */ (byId('record-file'));
    // A file that is not complete has another name than its recording, and helps nobody here.
    const file = !active && status?.file_name && status.end_reason !== 'write_error' && !this.#deleted.has(status.file_name) ? status.file_name : '';
    link.hidden = file === '';
    if (file !== '') {
      link.href = this.#api.recordingUrl(file);
      link.download = file;
    }
  }
}

/** @param {import('realsense-webrtc/api').RecordingStatus|null} status @returns {string} */
function recordingText(status) {
  if (!status?.file_name) return '';
  const figures = [clockTime(status.seconds), megabytes(status.bytes)];
  if (status.dropped_frames > 0) figures.push(`${status.dropped_frames} dropped`);
  if (status.is_recording) return figures.join(' · ');
  return `${status.file_name} · ${figures.join(' · ')}`;
}
