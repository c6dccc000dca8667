// What the server logs: thresholds of its own lines and of GStreamer's, for a while. Owns its form.

import { byId, isOff, setOff, setText, showText } from '../dom.js';
import { duration } from '../words.js';

/** The form of the log's levels. */
export class Levels {
  #api;
  #admin;
  #filter = /** @type {HTMLInputElement} */ (byId('levels-filter'));
  #gst = /** @type {HTMLInputElement} */ (byId('levels-gst'));
  #for = /** @type {HTMLSelectElement} */ (byId('levels-for'));
  #set = byId('levels-set');
  #default = byId('levels-default');
  /** What holds, as the server said last. @type {import('realsense-webrtc/api').Levels|null} */
  #levels = null;

  /** @param {import('./api.js').DebugApi} api @param {import('./admin.js').Admin} admin */
  constructor(api, admin) {
    this.#api = api;
    this.#admin = admin;
    byId('levels').addEventListener('submit', (event) => {
      event.preventDefault();
      const seconds = Number(this.#for.value);
      this.#put({ filter: this.#filter.value.trim(), gst: this.#gst.value.trim(), ...(seconds > 0 ? { for_s: seconds } : {}) });
    });
    this.#default.addEventListener('click', () => {
      if (this.#levels) this.#put({ filter: this.#levels.default_filter, gst: this.#levels.default_gst });
    });
  }

  async refresh() {
    try {
      this.#show(await this.#api.logLevels());
    } catch (error) {
      if (error.status !== 0) setText(byId('levels-note'), `The levels are not to be had: ${error.message}`);
    }
  }

  /** @param {import('../api.js').Asked<'set_log_levels'>} levels */
  async #put(levels) {
    if (isOff(this.#set)) return;
    setOff(this.#set, true);
    try {
      const now = await this.#admin.run((token) => this.#api.setLogLevels(levels, token));
      this.#levels = null;
      this.#show(now);
      showText(byId('levels-error'), '');
    } catch (error) {
      showText(byId('levels-error'), `The levels are as they were. ${error.message}`);
    }
    setOff(this.#set, false);
  }

  /** @param {import('realsense-webrtc/api').Levels} levels */
  #show(levels) {
    // A field that somebody changed, or is in, keeps what was typed.
    for (const [input, name] of /** @type {[HTMLInputElement, 'filter'|'gst'][]} */ ([[this.#filter, 'filter'], [this.#gst, 'gst']])) {
      const typed = this.#levels !== null && input.value !== this.#levels[name];
      if (!typed && input !== document.activeElement) input.value = levels[name];
    }
    this.#levels = levels;
    const plain = levels.filter === levels.default_filter && levels.gst === levels.default_gst;
    const back = levels.reverts_in_s === null || levels.reverts_in_s === undefined ? '' : ` Back to the default in ${duration(levels.reverts_in_s)}.`;
    setText(byId('levels-note'), plain ? 'These are the levels of the configuration.' : `Now "${levels.filter}" and "${levels.gst}".${back}`);
    setOff(this.#default, plain);
  }
}
