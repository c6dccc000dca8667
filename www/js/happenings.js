// What happens to the camera, as lines for the log: told once when it begins and once when it is over. Touches no page.

import { streamName } from './words.js';

/** Compares how things are with how they were. */
export class Happenings {
  #say;
  #camera = '';
  #there = false;
  #stalled = '';

  /** @param {import('./log.js').Say} say */
  constructor(say) {
    this.#say = say;
  }

  /** @param {string} camera serial number of the picked camera @param {boolean} there @param {boolean} isRecording */
  presence(camera, there, isRecording = false) {
    if (camera === this.#camera && there !== this.#there && isRecording) {
      this.#say('info', `Recording ${camera} ${there ? 'is open again' : 'was closed'}.`);
    } else if (camera === this.#camera && there !== this.#there) {
      this.#say(there ? 'info' : 'warn', there ? `Camera ${camera} is plugged in again.` : `Camera ${camera} was unplugged.`);
    } else if (camera !== this.#camera && there) {
      this.#say('info', `Camera ${camera} is connected.`);
    }
    if (camera === this.#camera || there) [this.#camera, this.#there] = [camera, there];
  }

  /** @param {string[]} streams that ought to give pictures and give none, though all else is well */
  stalls(streams) {
    const now = streams.map(streamName).join(', ');
    if (now === this.#stalled) return;
    if (now !== '') this.#say('warn', `No new pictures of ${now} come from the camera.`);
    else this.#say('info', `Pictures of ${this.#stalled} come again.`);
    this.#stalled = now;
  }

  /** Forgets a stall that ended otherwise than by pictures. */
  forget() {
    this.#stalled = '';
  }
}
