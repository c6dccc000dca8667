// The server's log: the newest lines by filters. Owns the panel; the server keeps the lines.

import { byId, childrenOf, el, setText, showText } from '../dom.js';
import { streamName } from '../words.js';
import { levelOf, linesOf, whatIsNew } from './lines.js';

/** Lines asked for. */
const LINES = 500;
/** Milliseconds that "Copied" stays. */
const SAID_MS = 2000;

/** The log panel. */
export class Logs {
  #api;
  /** @type {string[]} */
  #lines = [];
  #paused = false;
  #asked = 0;
  #list = byId('log');
  #find = /** @type {HTMLInputElement} */ (byId('log-find'));
  #selects = ['source', 'level', 'stream', 'session'].map((name) => /** @type {HTMLSelectElement} */ (byId(`log-${name}`)));

  /** @param {import('./api.js').DebugApi} api */
  constructor(api) {
    this.#api = api;
    for (const select of this.#selects) {
      select.addEventListener('change', () => {
        this.#lines = [];
        this.#list.replaceChildren();
        this.refresh(true);
      });
    }
    this.#find.addEventListener('input', () => this.#filter(this.#shown));
    const pause = byId('log-pause');
    pause.addEventListener('click', () => {
      this.#paused = !this.#paused;
      pause.setAttribute('aria-pressed', String(this.#paused));
      setText(pause, this.#paused ? 'Go on' : 'Pause');
      this.#note();
      if (!this.#paused) this.refresh();
    });
    byId('log-copy').addEventListener('click', () => this.#copy());
  }

  /** Offers what can be filtered by. @param {string[]} streams @param {{id: string, name: string}[]} sessions */
  offer(streams, sessions) {
    fillSelect(this.#selects[2], streams.map((stream) => [stream, streamName(stream)]));
    fillSelect(this.#selects[3], sessions.map(({ id, name }) => [id, `${id.slice(0, 8)}, ${name}`]));
  }

  /** The lines in the panel. */
  get #shown() {
    return childrenOf(this.#list);
  }

  /** @param {boolean} [anyway] also while it is paused */
  async refresh(anyway = false) {
    if (this.#paused && !anyway) return;
    const [source, level, stream, session] = this.#selects.map((select) => select.value);
    this.#asked += 1;
    const asked = this.#asked;
    try {
      const text = await this.#api.logs({ source, level, stream, session, lines: LINES });
      if (asked !== this.#asked || (this.#paused && !anyway)) return; // other filters were chosen meanwhile
      this.#show(linesOf(text));
      showText(byId('log-error'), '');
    } catch (error) {
      if (error.status !== 0) showText(byId('log-error'), `The log is not to be had: ${error.message}`);
    }
  }

  /** Changes only what is new: a selection of text in the rest stays. @param {string[]} lines */
  #show(lines) {
    const { drop, add } = whatIsNew(this.#lines, lines);
    const list = this.#list;
    const atEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 30;
    for (let i = 0; i < drop; i += 1) list.firstElementChild?.remove();
    const fresh = add.map((line) => el('div', { class: 'line', 'data-level': levelOf(line) }, line));
    this.#filter(fresh);
    list.append(...fresh);
    this.#lines = lines;
    if (atEnd && (drop > 0 || add.length > 0)) list.scrollTop = list.scrollHeight;
    this.#note();
  }

  /** @param {HTMLElement[]} nodes */
  #filter(nodes) {
    const find = this.#find.value.trim().toLowerCase();
    for (const node of nodes) node.hidden = find !== '' && !(node.textContent ?? '').toLowerCase().includes(find);
    this.#note();
  }

  #note() {
    const text = this.#lines.length === 0 ? 'No line fits.' : this.#lines.length === LINES ? `The newest ${LINES} lines.` : `${this.#lines.length} lines.`;
    setText(byId('log-note'), this.#paused ? `${text} Paused: newer ones are not shown.` : text);
  }

  async #copy() {
    const text = this.#shown.filter((node) => !node.hidden).map((node) => node.textContent).join('\n');
    let said = 'Copied';
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      // Without HTTPS browsers give no clipboard: what is selected can be copied by hand.
      getSelection()?.selectAllChildren(this.#list);
      said = 'Selected: copy it by Ctrl+C';
    }
    const button = byId('log-copy');
    setText(button, said);
    setTimeout(() => setText(button, 'Copy'), SAID_MS);
  }
}

/** Gives a list of choices after its first one, leaving what is chosen. @param {HTMLSelectElement} select @param {string[][]} choices */
export function fillSelect(select, choices) {
  const before = [...select.options].slice(1).map((option) => `${option.value}\n${option.text}`).join('\n');
  if (before === choices.map(([value, text]) => `${value}\n${text}`).join('\n')) return;
  const chosen = select.value;
  const text = select.selectedOptions[0]?.text ?? '';
  select.replaceChildren(select.options[0], ...choices.map(([value, name]) => el('option', { value }, name)));
  // What is gone stays chosen: its lines are still there.
  if (chosen !== '' && !choices.some(([value]) => value === chosen)) select.append(el('option', { value: chosen }, text));
  select.value = chosen;
}
