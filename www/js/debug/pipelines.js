// The pipeline files: which streams run them, what is wrong with them, and reading one again. Owns its lists.

import { byId, childrenOf, el, isOff, reconcile, setOff, setText, showText } from '../dom.js';
import { streamName } from '../words.js';
import { placeOf } from './figures.js';

/** @typedef {import('realsense-webrtc/api').PipelineInfo} File */

/** What is written, and how it looks. @type {Record<File['state']|'lacks', [string, string]>} */
const STATES = { works: ['works', 'on'], parsed: ['not tried yet', 'off'], fault: ['fault', 'warn'], lacks: ['not on this machine', 'off'] };

/** Where a file stands: one that nobody uses and whose elements are not installed is no matter of concern. @param {File} file */
function standing(file) {
  const lacks = file.state === 'fault' && file.used_by.length === 0 && /apt install|apt-file|not installed|it comes with/.test(file.fault?.message ?? '');
  return lacks ? 'lacks' : file.state;
}

/** The panel of pipeline files. Event `reloaded`: something else may run now. */
export class Pipelines extends EventTarget {
  #api;
  /** @type {File[]} */
  #list = [];
  /** What the last reload of a file gave, until the next. @type {Map<string, {good: boolean, text: string}>} */
  #results = new Map();

  /** @param {import('./api.js').DebugApi} api */
  constructor(api) {
    super();
    this.#api = api;
  }

  async refresh() {
    try {
      this.#list = await this.#api.pipelines();
      showText(byId('pipelines-error'), '');
    } catch (error) {
      if (error.status !== 0) showText(byId('pipelines-error'), `The list of files is not to be had: ${error.message}`);
      return;
    }
    this.#render();
  }

  #render() {
    const inUse = (/** @type {File} */ file) => file.used_by.length > 0 || standing(file) === 'fault';
    const rank = (/** @type {File} */ file) => (file.fault && file.used_by.length > 0 ? 0 : file.used_by.length > 0 ? 1 : 2);
    const used = this.#list.filter(inUse).sort((a, b) => rank(a) - rank(b));
    const rest = this.#list.filter((file) => !inUse(file));
    setText(byId('pipelines-count'), String(this.#list.length));
    setText(byId('pipelines-rest-count'), String(rest.length));
    byId('pipelines-rest').hidden = rest.length === 0;
    for (const [id, list] of /** @type {[string, File[]][]} */ ([['pipelines-used', used], ['pipelines-unused', rest]])) {
      reconcile(byId(id), list, (file) => file.name, (file) => this.#create(file), (node, file) => this.#update(node, file));
    }
  }

  /** @param {File} file */
  #create(file) {
    const button = el('button', { type: 'button', class: 'small', 'aria-label': `Reload ${file.name}`, title: 'Reads the file again, checks it, and swaps it into the streams that run it' }, 'Reload');
    button.addEventListener('click', () => this.#reload(file.name, button));
    return el('li', { class: 'file', 'data-pipeline': file.name },
      el('div', { class: 'file-head' }, el('strong'), el('span', { class: 'badge' }), button),
      el('p', { class: 'note file-where' }), el('p', { class: 'note file-users' }), el('div', { class: 'fault', role: 'alert', hidden: true }), el('p', { class: 'note result', role: 'status', hidden: true }));
  }

  /** @param {HTMLElement} node as `#create` made it @param {File} file */
  #update(node, file) {
    const [head, where, users, fault, result] = childrenOf(node);
    const [name, badge] = childrenOf(head);
    setText(name, file.name);
    name.title = file.title;
    const stands = standing(file);
    const [text, look] = STATES[stands] ?? [stands, 'off']; // a newer server may know more of them
    setText(badge, text);
    badge.dataset.state = look;
    node.dataset.standing = stands;
    setText(where, [file.file, file.encoder].filter(Boolean).join(' · '));
    showText(users, file.used_by.length > 0 ? `Runs ${file.used_by.map(useText).join('; ')}` : file.title);
    fault.hidden = !file.fault;
    if (file.fault) {
      const outdated = file.used_by.some((use) => use.outdated) ? ' What runs goes on with the text that worked last.' : '';
      const near = file.fault.nearest && !file.fault.message.includes(file.fault.nearest) ? ` Did you mean "${file.fault.nearest}"?` : '';
      setText(fault, `${placeOf(file.fault)}: ${sentence(file.fault.message)}${near}${outdated}`);
    }
    const last = this.#results.get(file.name);
    showText(result, last && !(file.fault && !last.good) ? last.text : '');
  }

  /** @param {string} name @param {HTMLElement} button */
  async #reload(name, button) {
    if (isOff(button)) return;
    setOff(button, true);
    try {
      const file = await this.#api.reload(name);
      const streams = file.used_by.length;
      this.#results.set(name, { good: true, text: `Read again at ${time()}: ${streams > 0 ? `${streams === 1 ? 'its stream runs' : 'its streams run'} it now` : 'it has no fault'}.` });
      this.dispatchEvent(new Event('reloaded'));
    } catch (error) {
      this.#results.set(name, { good: false, text: `Read again at ${time()}, and nothing changed: ${error.message}` });
    }
    setOff(button, false);
    await this.refresh();
    this.#render();
  }
}

const time = () => new Date().toLocaleTimeString([], { hour12: false });

/** @param {string} text */
function sentence(text) {
  const first = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(first) ? first : `${first}.`;
}

/** @param {import('realsense-webrtc/api').PipelineUse} use */
function useText(use) {
  const sessions = `${use.sessions} ${use.sessions === 1 ? 'session' : 'sessions'}`;
  return `${streamName(use.stream_type)} of ${use.device_id}, ${sessions}${use.outdated ? ', an older text of it' : ''}`;
}
