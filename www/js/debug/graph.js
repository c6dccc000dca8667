// The graph as a drawing: a lane per pipeline, a box per element, a line per link. Owns its SVG; is given what runs, and tells
// which box somebody chose.

import { childrenOf, el, reconcile, setText } from '../dom.js';
import { bitrate, duration, streamName, viewerName } from '../words.js';
import { capsGist } from './caps.js';
import { droppedBy, fill, kilobits, milliseconds, perSecond, queueText } from './figures.js';
import { curve, layOut, nextBox } from './layout.js';

const NS = 'http://www.w3.org/2000/svg';
/** Most sessions drawn at one tee: the list of sessions has them all. */
const MOST_BRANCHES = 8;
/** Widths of boxes by their kind, the height of a line, and the room around the text. */
const WIDTHS = { encoder: 152, source: 112, plumbing: 94, session: 232, more: 232, element: 134 };
const LINE = 16;
const PAD = 8;
/** A drawing that has less room than this share of its width is scrolled rather than made smaller: letters stay legible. */
const LEAST_SCALE = 0.82;
const MOST_SCALE = 1.12;

/** @typedef {import('realsense-webrtc/api').GraphPipeline} Pipeline */
/** @typedef {import('realsense-webrtc/api').GraphElement} ElementOf */
/**
 * @typedef {object} Facts what the sessions tell besides the graph
 * @property {Map<string, import('realsense-webrtc/api').WebRtcStatus>} sessions by id
 * @property {import('./figures.js').Rates} rates
 */
/** @typedef {keyof typeof WIDTHS} Kind */
/** @typedef {ReturnType<typeof boxOf> & import('./layout.js').Placed} DrawnBox */
/** @typedef {ReturnType<typeof arrange>} Lane */

/**
 * @template {keyof SVGElementTagNameMap} Tag
 * @param {Tag} tag @param {Record<string, string|number>} [attributes] @param {...SVGElement} children @returns {SVGElementTagNameMap[Tag]}
 */
function svg(tag, attributes = {}, ...children) {
  const node = document.createElementNS(NS, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, String(value));
  node.append(...children);
  return node;
}

/** Writes attributes that changed. @param {Element} node @param {Record<string, unknown>} attributes */
function put(node, attributes) {
  for (const [name, value] of Object.entries(attributes)) {
    if (node.getAttribute(name) !== String(value)) node.setAttribute(name, String(value));
  }
}

const ruler = document.createElement('canvas').getContext('2d');
/** @type {Map<string, string>} */
const cuts = new Map();

/** What of a text fits. @param {string} text @param {number} width that there is @param {boolean} bold */
function cut(text, width, bold) {
  const key = `${bold}${width} ${text}`;
  const known = cuts.get(key);
  if (known !== undefined || !ruler) return known ?? text;
  ruler.font = `${bold ? 650 : 400} 12px ${getComputedStyle(document.body).fontFamily}`;
  let most = text.length;
  while (most > 1 && ruler.measureText(most < text.length ? `${text.slice(0, most)}…` : text).width > width) most -= 1;
  const result = most < text.length ? `${text.slice(0, most)}…` : text;
  if (cuts.size > 2000) cuts.clear(); // figures change for ever
  cuts.set(key, result);
  return result;
}

/** Event `select` {pipeline, element}: names; null when nothing is chosen any more. */
export class GraphView extends EventTarget {
  #node;
  /** Key of the chosen box, "" for none. */
  #chosen = '';
  /** Key of the box that the Tab key leads to. */
  #current = '';

  /** @param {HTMLElement} node */
  constructor(node) {
    super();
    this.#node = node;
    node.addEventListener('keydown', (event) => this.#onKey(event));
  }

  /** Takes the mark from the chosen box and gives it the focus back. */
  unselect() {
    const box = this.#box(this.#chosen);
    this.#chosen = '';
    for (const other of this.#boxes()) other.setAttribute('aria-pressed', 'false');
    box?.focus();
  }

  /** Chooses a box as if it were clicked. @param {string} pipeline @param {string} element */
  select(pipeline, element) {
    this.#choose(`${pipeline}/${element}`, pipeline, element);
  }

  /**
   * @param {{pipelines: Pipeline[]}} graph
   * @param {Facts} facts
   */
  show(graph, facts) {
    const lanes = graph.pipelines.map((pipeline) => arrange(pipeline, facts));
    // All encoders at one scale; a session has many more elements, and a scale of its own.
    const widths = { encoder: 0, session: 0 };
    for (const lane of lanes) widths[lane.pipeline.kind] = Math.max(widths[lane.pipeline.kind], lane.width);
    reconcile(this.#node, lanes, (lane) => lane.pipeline.id, (lane) => createLane(lane), (node, lane) => {
      updateHead(node, lane);
      this.#updateDrawing(/** @type {SVGSVGElement} */ (node.querySelector('svg')), lane, widths[lane.pipeline.kind]);
    });
    const boxes = this.#boxes();
    if (!boxes.some((box) => box.dataset.key === this.#current)) this.#current = boxes[0]?.dataset.key ?? '';
    for (const box of boxes) put(box, { tabindex: box.dataset.key === this.#current ? 0 : -1 });
  }

  /** @param {SVGSVGElement} drawing @param {Lane} lane @param {number} width */
  #updateDrawing(drawing, lane, width) {
    put(drawing, { viewBox: `0 0 ${width} ${lane.height}`, width, height: lane.height });
    drawing.style.minWidth = `${Math.round(width * LEAST_SCALE)}px`;
    drawing.style.maxWidth = `${Math.round(width * MOST_SCALE)}px`;
    const [links, boxes] = drawing.children;
    reconcile(links, lane.edges, (edge) => edge.key, () => svg('path', {}, svg('title')), (node, edge) => {
      put(node, { d: edge.path, class: `link${edge.flow}` });
      setText(/** @type {Element} */ (node.firstElementChild), edge.caps);
    });
    reconcile(boxes, lane.boxes, (box) => `${lane.pipeline.id}/${box.name}`, (box) => this.#createBox(lane, box), (node, box) => {
      updateBox(node, box);
      put(node, { 'aria-pressed': node.dataset.key === this.#chosen });
    });
  }

  /** @param {Lane} lane @param {DrawnBox} box */
  #createBox(lane, box) {
    const node = svg('g', { role: 'button', tabindex: -1 }, svg('title'), svg('rect', { rx: 8, class: 'box' }),
      svg('circle', { r: 4, class: 'dot' }), svg('g', { class: 'text' }), svg('rect', { rx: 2, class: 'bar' }), svg('rect', { rx: 2, class: 'bar-fill' }));
    node.addEventListener('click', () => this.#choose(node.dataset.key ?? '', lane.pipeline.id, box.name));
    return node;
  }

  /** @param {string} key @param {string} pipeline @param {string} element */
  #choose(key, pipeline, element) {
    const same = this.#chosen === key;
    this.#chosen = same ? '' : key;
    this.#current = key;
    for (const box of this.#boxes()) put(box, { 'aria-pressed': box.dataset.key === this.#chosen, tabindex: box.dataset.key === key ? 0 : -1 });
    this.dispatchEvent(new CustomEvent('select', { detail: same ? null : { pipeline, element } }));
  }

  #boxes() {
    return /** @type {SVGGElement[]} */ ([...this.#node.querySelectorAll('g[role="button"]')]);
  }

  /** @param {string} key */
  #box(key) {
    return this.#boxes().find((box) => box.dataset.key === key);
  }

  /** @param {KeyboardEvent} event */
  #onKey(event) {
    const at = /** @type {SVGGElement|null} */ (/** @type {Element} */ (event.target).closest('g[role="button"]'));
    if (!at) return;
    if (event.key === 'Enter' || event.key === ' ') {
      event.preventDefault();
      at.dispatchEvent(new MouseEvent('click', { bubbles: true }));
    } else if (isArrow(event.key)) {
      event.preventDefault();
      const boxes = this.#boxes();
      const next = boxes[nextBox(boxes.map((box) => box.getBoundingClientRect()), boxes.indexOf(at), event.key)];
      put(at, { tabindex: -1 });
      put(next, { tabindex: 0 });
      this.#current = next.dataset.key ?? '';
      next.focus();
      next.scrollIntoView({ block: 'nearest', inline: 'nearest' });
    }
  }
}

/** @param {string} key @returns {key is 'ArrowLeft'|'ArrowRight'|'ArrowUp'|'ArrowDown'} */
function isArrow(key) {
  return key.startsWith('Arrow');
}

/** Boxes and lines of a pipeline, with their places and words. @param {Pipeline} pipeline @param {Facts} facts */
function arrange(pipeline, facts) {
  const branches = pipeline.elements.filter((element) => element.session_id && pipeline.kind === 'encoder');
  const hidden = branches.length > MOST_BRANCHES ? branches.slice(MOST_BRANCHES - 1) : [];
  const shown = pipeline.elements.filter((element) => !hidden.includes(element));
  const caps = new Map(pipeline.links.map((link) => [link.from, link.caps]));
  /** @type {ReturnType<typeof boxOf>[]} */
  const boxes = shown.map((element) => boxOf(element, caps.get(element.name), pipeline, facts));
  const links = [...pipeline.links];
  if (hidden.length > 0) {
    const name = hidden[0].name;
    boxes.push({ name, element: hidden[0], kind: 'more', width: WIDTHS.more, height: LINE + 2 * PAD, lines: [`and ${hidden.length} more sessions`], state: '', warn: false, queue: null, label: '' });
  }
  const place = layOut(boxes, links);
  const byName = new Map(pipeline.elements.map((element) => [element.name, element]));
  const edges = links.flatMap((link) => {
    const [from, to] = [place.nodes.get(link.from), place.nodes.get(link.to)];
    if (!from || !to) return [];
    const meter = byName.get(link.from)?.meter;
    return [{
      key: `${link.from}.${link.from_pad}>${link.to}.${link.to_pad}`,
      path: curve(from, to),
      caps: link.caps ?? 'nothing negotiated yet',
      flow: meter ? (meter.buffers_per_s > 0 ? ' flows' : ' still') : '',
    }];
  });
  const drawn = boxes.flatMap((box) => {
    const placed = place.nodes.get(box.name);
    return placed ? [{ ...box, ...placed }] : [];
  });
  return { pipeline, boxes: drawn, edges, width: place.width, height: place.height };
}

/** What a box says and how large it is. @param {ElementOf} element @param {string|null|undefined} caps @param {Pipeline} pipeline @param {Facts} facts */
function boxOf(element, caps, pipeline, facts) {
  const session = element.session_id && pipeline.kind === 'encoder' ? element.session_id : '';
  const plumbing = ['capsfilter', 'identity', 'tee', 'queue'].includes(element.factory);
  const kind = session ? 'session' : plumbing ? 'plumbing' : /Encoder\/Video|Encoder\/Image/.test(element.klass) ? 'encoder' : element.factory === 'appsrc' ? 'source' : 'element';
  const dropped = droppedBy(element);
  const lines = session ? sessionLines(session, pipeline, facts) : nameLines(element, caps);
  if (element.meter) lines.push(...meterLines(element.meter, caps, kind));
  if (dropped > 0) lines.push(`${dropped} dropped`);
  const queue = !session && element.queue ? element.queue : null;
  const height = 2 * PAD + lines.length * LINE - 2 + (queue ? 7 : 0);
  const state = session ? facts.sessions.get(session)?.state ?? '' : element.state;
  const label = [...lines, session ? state : element.state, queue ? queueText(queue) : ''].filter(Boolean).join(', ');
  return { name: element.name, element, kind: /** @type {Kind} also "more", which `arrange` adds */ (kind), width: WIDTHS[kind], height, lines, state, warn: dropped > 0, queue, label };
}

/** @param {ElementOf} element @param {string|null|undefined} caps */
function nameLines(element, caps) {
  if (element.factory === 'capsfilter') return ['caps', capsGist(caps).replace(/^H26[45] (?=\S)/, '').replace('constrained-', 'c-').replace(/ \d+×.*/, '')].filter(Boolean);
  const name = element.name.split('/').pop() ?? element.name; // what is in a bin has the bin's name before its own
  return new RegExp(`^${element.factory}[\\d_]*$`).test(name) ? [element.factory] : [name, element.factory];
}

/** @param {string} id @param {Pipeline} pipeline @param {Facts} facts */
function sessionLines(id, pipeline, { sessions, rates }) {
  const session = sessions.get(id);
  const rate = rates.of(id, pipeline.stream_type ?? '');
  const stats = session?.stats?.streams?.find((stream) => stream.stream_type === pipeline.stream_type);
  const rtt = stats?.round_trip_time_ms;
  const loss = rate ? `${(rate.loss * 100).toFixed(rate.loss >= 0.1 ? 0 : 1)} % lost` : '';
  return [
    `${id.slice(0, 8)} · ${session ? viewerName(session).split(' on ')[0] : 'session'}`,
    [rate ? bitrate(rate.bitsPerSecond) : session?.state ?? '', loss, rtt === null || rtt === undefined ? '' : milliseconds(rtt)].filter(Boolean).join(' · '),
  ];
}

/** @param {import('realsense-webrtc/api').GraphMeter} meter @param {string|null|undefined} caps @param {Kind} kind */
function meterLines(meter, caps, kind) {
  const latency = meter.latency_ms === null || meter.latency_ms === undefined ? '' : milliseconds(meter.latency_ms);
  if (kind === 'session') return [];
  if (kind === 'plumbing') return [perSecond(meter.buffers_per_s)];
  const rate = [perSecond(meter.buffers_per_s), meter.kbps > 0 && !caps?.startsWith('video/x-raw') ? kilobits(meter.kbps) : ''].filter(Boolean).join(' · ');
  const most = kind === 'encoder' && latency ? ` · max ${milliseconds(meter.latency_max_ms).replace(' ms', '')}` : '';
  return [rate, latency + most].filter(Boolean);
}

/** @param {SVGGElement} node @param {DrawnBox} box */
function updateBox(node, box) {
  put(node, { transform: `translate(${box.x.toFixed(1)} ${box.y.toFixed(1)})`, 'aria-label': box.label });
  put(node, { 'data-kind': box.kind, 'data-warn': box.warn, 'data-state': stateOf(box.state) });
  const [title, rect, dot, text, bar, filled] = /** @type {SVGElement[]} as `#createBox` made them */ ([...node.children]);
  setText(title, box.label.replaceAll(', ', '\n'));
  put(rect, { width: box.width, height: box.height });
  put(dot, { cx: box.width - 11, cy: 13 });
  if (text.childElementCount !== box.lines.length) text.replaceChildren(...box.lines.map(() => svg('text', { x: PAD + 2 })));
  box.lines.forEach((line, i) => {
    put(text.children[i], { y: PAD + LINE * i + 11 });
    setText(text.children[i], cut(line, box.width - 2 * PAD - (i === 0 ? 12 : 2), i === 0));
    put(text.children[i], { class: line.endsWith('dropped') ? 'bad' : i === 0 ? 'name' : '' });
  });
  bar.style.display = filled.style.display = box.queue ? '' : 'none';
  if (!box.queue) return;
  const place = { x: PAD + 2, y: box.height - PAD - 3, height: 5 };
  put(bar, { ...place, width: box.width - 2 * PAD - 4 });
  put(filled, { ...place, width: (box.width - 2 * PAD - 4) * fill(box.queue), 'data-full': fill(box.queue) >= 1 });
}

/** @param {string} state of an element or a session @returns {string} "good", "bad", "wait", or "" for unknown */
function stateOf(state) {
  if (state === 'PLAYING' || state === 'connected') return 'good';
  if (['disconnected', 'closing', 'NULL', 'HANGS'].includes(state)) return 'bad';
  return state === '' ? '' : 'wait';
}

/** @param {Lane} lane */
function createLane({ pipeline }) {
  const drawing = svg('svg', { role: 'presentation' }, svg('g', { class: 'links-layer' }), svg('g', {}));
  return el('section', { class: 'lane', 'aria-label': titleOf(pipeline) },
    el('div', { class: 'lane-head' }, el('h3', {}, titleOf(pipeline)), el('span', { class: 'badge' }), el('span', { class: 'note' })),
    el('div', { class: 'lane-scroll' }, drawing));
}

/** @param {Pipeline} pipeline */
function titleOf(pipeline) {
  if (pipeline.kind === 'session') return `Inside of session ${String(pipeline.session_id).slice(0, 8)}`;
  return `${streamName(pipeline.stream_type ?? '')} · ${pipeline.codec ?? ''}`;
}

/** @param {HTMLElement} node @param {Lane} lane */
function updateHead(node, { pipeline }) {
  const [, badge, note] = childrenOf(node.querySelector('.lane-head'));
  setText(badge, pipeline.state);
  badge.dataset.state = pipeline.state === 'PLAYING' ? 'on' : 'warn';
  const encoder = pipeline.elements.find((element) => element.name === 'encoder');
  const gist = encoder ? /** @type {const} */ (['to', 'from']).map((side) => capsGist(pipeline.links.find((link) => link[side] === 'encoder')?.caps)).filter(Boolean).join(' → ') : '';
  const sessions = pipeline.elements.filter((element) => element.session_id).length;
  const users = pipeline.kind === 'encoder' ? `${sessions} ${sessions === 1 ? 'session' : 'sessions'}` : '';
  setText(note, [gist, users, pipeline.file, `for ${duration(pipeline.running_s)}`].filter(Boolean).join(' · '));
}
