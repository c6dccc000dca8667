// What is known of one element: figures, negotiated caps, properties, and changing those that may be. Owns its panel; the
// server owns the values.

import { byId, el, reconcile, setText, showText } from '../dom.js';
import { duration, streamName, viewerName } from '../words.js';
import { capsGist, parseCaps } from './caps.js';
import { bytesText, droppedBy, kilobits, milliseconds, perSecond, queueText, valueText } from './figures.js';
import { Property, orderOf } from './property.js';

/** @typedef {import('realsense-webrtc/api').GraphPipeline} Pipeline */
/** @typedef {import('realsense-webrtc/api').GraphElement} ElementOf */

/** Events: `close`; `inside` {session}, somebody wants to see a session's pipeline. */
export class Inspector extends EventTarget {
  #api;
  #admin;
  #node = byId('inspector');
  #body = byId('inspector-body');
  /** @type {{pipeline: string, element: string}|null} */
  #chosen = null;
  /** @type {Map<string, Property>} */
  #properties = new Map();
  #known = '';
  #parts = this.#build();

  /** @param {import('./api.js').DebugApi} api @param {import('./admin.js').Admin} admin */
  constructor(api, admin) {
    super();
    this.#api = api;
    this.#admin = admin;
    byId('inspector-close').addEventListener('click', () => this.close());
    this.#node.addEventListener('keydown', (event) => event.key === 'Escape' && this.close());
  }

  #build() {
    const find = el('input', { type: 'search', placeholder: 'Find', 'aria-label': 'Show only properties with this text' });
    const all = el('input', { type: 'checkbox' });
    const parts = {
      facts: el('dl', { class: 'facts' }),
      inside: el('button', { type: 'button', class: 'small' }, 'Look inside'),
      links: el('div', { class: 'links-list' }),
      head: el('div', { class: 'props-head' }, el('h3', {}, 'Properties'), el('label', { class: 'switch' }, all, 'with defaults'), find),
      note: el('p', { class: 'note', role: 'status' }),
      error: el('p', { class: 'field-error', role: 'alert', hidden: true }),
      list: el('ul', { class: 'props', 'aria-label': 'Properties' }),
      find,
      all,
    };
    find.addEventListener('input', () => this.#filter());
    all.addEventListener('change', () => this.#filter());
    parts.inside.addEventListener('click', () => this.dispatchEvent(new CustomEvent('inside', { detail: { session: parts.inside.dataset.session } })));
    this.#body.append(parts.facts, parts.inside, parts.links, parts.head, parts.error, parts.list, parts.note);
    return parts;
  }

  get open() {
    return this.#chosen !== null;
  }

  /** @param {{pipeline: string, element: string}} chosen */
  show(chosen) {
    this.#chosen = chosen;
    this.#known = '';
    this.#properties.clear();
    this.#parts.list.replaceChildren();
    this.#parts.find.value = '';
    showText(this.#parts.error, '');
    setText(this.#parts.note, '');
    this.#node.hidden = false;
  }

  close() {
    if (!this.#chosen) return;
    this.#chosen = null;
    this.#node.hidden = true;
    this.dispatchEvent(new Event('close'));
  }

  /** @param {{pipelines: Pipeline[]}} graph @param {import('./graph.js').Facts} facts */
  update(graph, facts) {
    if (!this.#chosen) return;
    const pipeline = graph.pipelines.find((one) => one.id === this.#chosen?.pipeline);
    const element = pipeline?.elements.find((one) => one.name === this.#chosen?.element);
    const badge = byId('inspector-state');
    if (!pipeline || !element) {
      badge.dataset.state = 'warn';
      setText(badge, 'gone');
      return;
    }
    const branch = pipeline.kind === 'encoder' && element.session_id;
    setText(byId('inspector-title'), branch ? `Session ${branch.slice(0, 8)}` : element.name);
    const state = branch ? facts.sessions.get(branch)?.state ?? 'unknown' : element.state;
    setText(badge, state);
    badge.dataset.state = state === 'PLAYING' || state === 'connected' ? 'on' : 'warn';
    setText(byId('inspector-where'), `${element.factory} · ${element.klass || 'element'} · ${pipeline.id}/${element.name}`);
    this.#showFacts(branch ? [...sessionFacts(facts.sessions.get(branch), pipeline.stream_type ?? '', facts.rates), ...elementFacts(element)] : elementFacts(element));
    this.#parts.inside.hidden = !branch;
    this.#parts.inside.dataset.session = branch || '';
    this.#showLinks(pipeline, element.name);
    // What the graph says of properties, until the element itself was asked, and where it cannot be.
    if (this.#known !== 'element') this.#showProperties(Object.fromEntries(Object.entries(element.properties).map(([name, value]) => [name, { value }])));
  }

  /** Asks for the element's properties again. */
  async refresh() {
    const chosen = this.#chosen;
    if (!chosen || chosen.pipeline.startsWith('session/')) return;
    try {
      const info = await this.#api.element(chosen.pipeline, chosen.element);
      if (chosen !== this.#chosen) return;
      this.#known = 'element';
      this.#showProperties(info.properties);
    } catch (error) {
      if (chosen === this.#chosen) setText(this.#parts.note, `Its own list of properties is not to be had: ${error.message}`);
    }
  }

  /** @param {[string, string][]} facts */
  #showFacts(facts) {
    reconcile(this.#parts.facts, facts, ([name]) => name, ([name]) => el('div', {}, el('dt', {}, name), el('dd')), (node, [, value]) => {
      setText(/** @type {Element} */ (node.lastElementChild), value);
    });
  }

  /** @param {Pipeline} pipeline @param {string} name of the element */
  #showLinks(pipeline, name) {
    const rows = pipeline.links.filter((link) => link.to === name).map((link) => ({ link, text: `In ${link.to_pad}, from ${link.from}` }))
      .concat(pipeline.links.filter((link) => link.from === name).map((link) => ({ link, text: `Out ${link.from_pad}, to ${link.to}` })));
    reconcile(this.#parts.links, rows, (row) => row.text, (row) => el('details', { class: 'caps' }, el('summary', {}, row.text, el('span', { class: 'note' })), el('dl', { class: 'facts' })), (node, { link }) => {
      const [first] = parseCaps(link.caps);
      setText(/** @type {Element} */ (node.querySelector('summary .note')), capsGist(link.caps) || 'nothing negotiated yet');
      const fields = /** @type {[string, string][]} */ (first ? [['media', first.media], ...first.fields] : []);
      reconcile(/** @type {Element} */ (node.querySelector('dl')), fields, ([field]) => field, ([field]) => el('div', {}, el('dt', {}, field), el('dd')),
        (row, [, value]) => setText(/** @type {Element} */ (row.lastElementChild), value));
    });
  }

  /** @param {Record<string, import('./property.js').Info>} properties */
  #showProperties(properties) {
    const list = Object.entries(properties).sort(orderOf);
    // What may be set is known only once the element was asked: it is then another item.
    reconcile(this.#parts.list, list, ([name, info]) => `${name} ${Boolean(info.settable)} ${this.#known}`, ([name, info]) => {
      const property = new Property(name, info, (value) => this.#set(name, value));
      this.#properties.set(name, property);
      return property.node;
    }, (_node, [name, info]) => {
      this.#properties.get(name)?.update(info);
    });
    this.#filter();
  }

  #filter() {
    const find = this.#parts.find.value.trim().toLowerCase();
    let hidden = 0;
    for (const property of this.#properties.values()) {
      const shown = find !== '' ? property.matches(find) : this.#parts.all.checked || property.notable;
      property.node.hidden = !shown;
      if (!shown) hidden += 1;
    }
    const more = find === '' && hidden > 0 ? `${hidden} more at their defaults.` : '';
    if (this.#known === 'element') setText(this.#parts.note, more);
    this.#parts.head.hidden = this.#properties.size === 0;
  }

  /** @param {string} name @param {unknown} value */
  async #set(name, value) {
    const chosen = this.#chosen;
    if (!chosen) return false;
    try {
      const info = await this.#admin.run((token) => this.#api.setProperties(chosen.pipeline, chosen.element, { [name]: value }, token));
      if (chosen === this.#chosen) this.#showProperties(info.properties);
      showText(this.#parts.error, '');
      return true;
    } catch (error) {
      if (chosen === this.#chosen) showText(this.#parts.error, `${name} is as it was. ${error.message}`);
      this.refresh();
      return false;
    }
  }
}

/** @param {ElementOf} element @returns {[string, string][]} */
function elementFacts({ meter, queue }) {
  const facts = /** @type {[string, string][]} */ ([]);
  if (meter) {
    facts.push(['Buffers', perSecond(meter.buffers_per_s)], ['Data', kilobits(meter.kbps)]);
    if (meter.latency_ms !== null && meter.latency_ms !== undefined) facts.push(['Time in it', `${milliseconds(meter.latency_ms)}, at most ${milliseconds(meter.latency_max_ms)}`]);
  }
  if (queue) facts.push(['Queue', `${queueText(queue)}, ${bytesText(queue.bytes)}`]);
  if (meter || queue) facts.push(['Dropped', String(droppedBy({ meter, queue }))]);
  return facts;
}

/**
 * @param {import('realsense-webrtc/api').WebRtcStatus|undefined} session @param {string} type of the stream
 * @param {import('./figures.js').Rates} rates @returns {[string, string][]}
 */
function sessionFacts(session, type, rates) {
  if (!session) return [];
  const stats = session.stats?.streams.find((stream) => stream.stream_type === type);
  const rate = rates.of(session.session_id, type);
  return [
    ['Viewer', [viewerName(session), session.remote_address].filter(Boolean).join(', ')],
    ['Streams', session.stream_types.map(streamName).join(', ')],
    ['Since', duration(Date.now() / 1000 - session.created_at)],
    ['Sent', rate ? `${kilobits(rate.bitsPerSecond / 1000)}, ${perSecond(rate.fps)}` : '–'],
    ['Packets lost', `${valueText(stats?.packets_lost)} of ${valueText(stats?.packets_sent)}`],
    ['Round trip', milliseconds(stats?.round_trip_time_ms)],
    ['Asked again', `${valueText(stats?.nack_count)} NACK, ${valueText(stats?.pli_count)} PLI`],
    ['Key frames', `${valueText(stats?.key_frames_sent)} sent`],
    ['Withheld', `${valueText(stats?.frames_dropped)} frames, ${valueText(stats?.frames_dropped_behind)} of them because it was behind`],
  ];
}

