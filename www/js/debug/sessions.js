// The sessions and what is counted of each. Owns its list.

import { byId, childrenOf, el, reconcile, setText, showText } from '../dom.js';
import { bitrate, duration, streamName, viewerName } from '../words.js';
import { milliseconds } from './figures.js';

const COLUMNS = [
  ['Stream', 'What is sent'], ['Codec', ''], ['Bitrate', 'Sent in the last seconds'], ['fps', 'Frames sent a second'],
  ['Lost', 'Packets lost in the last seconds, as the viewer reports'], ['RTT', 'Round-trip time'], ['Jitter', 'As the viewer reports'],
  ['NACK', 'Packets asked for again'], ['PLI', 'Key frames asked for'], ['Key', 'Key frames sent'], ['Queue', 'Frames that wait for it now; at 15 it counts as behind'],
  ['Withheld', 'Frames not sent: it was behind, or waited for a key frame'],
];

/** @typedef {import('realsense-webrtc/api').WebRtcStatus} Session */

/** The panel of sessions. Event `inside` {session}. */
export class Sessions extends EventTarget {
  /** @param {Session[]} list @param {import('./figures.js').Rates} rates @param {string} inside session that is looked into, or "" */
  show(list, rates, inside) {
    setText(byId('sessions-count'), String(list.length));
    showText(byId('sessions-note'), list.length === 0 ? 'Nobody is watching.' : '');
    reconcile(byId('sessions'), list, (session) => session.session_id, (session) => this.#create(session), (node, session) => {
      const [name, badge, note, button] = childrenOf(node.querySelector('.session-head'));
      setText(name, viewerName(session));
      setText(badge, session.connected && !session.streaming ? 'connected, no video' : session.state);
      badge.dataset.state = session.connected ? (session.streaming ? 'on' : 'warn') : 'off';
      setText(note, [session.session_id.slice(0, 8), session.remote_address, `for ${duration(Date.now() / 1000 - session.created_at)}`].filter(Boolean).join(' · '));
      button.setAttribute('aria-pressed', String(session.session_id === inside));
      reconcile(/** @type {Element} */ (node.querySelector('tbody')), session.stats?.streams ?? [], (stream) => stream.stream_type,
        () => el('tr', {}, ...COLUMNS.map(() => el('td'))), (row, stream) => {
          cells(stream, rates.of(session.session_id, stream.stream_type)).forEach((text, i) => setText(row.children[i], text));
          row.dataset.behind = String(stream.frames_dropped_behind > 0);
        });
    });
  }

  /** @param {Session} session */
  #create(session) {
    const button = el('button', { type: 'button', class: 'small', 'aria-label': `Look inside session ${session.session_id.slice(0, 8)}` }, 'Look inside');
    button.addEventListener('click', () => this.dispatchEvent(new CustomEvent('inside', { detail: { session: session.session_id } })));
    return el('li', {},
      el('div', { class: 'session-head' }, el('strong'), el('span', { class: 'badge' }), el('span', { class: 'note' }), button),
      el('div', { class: 'table-scroll' }, el('table', { class: 'figures-table' },
        el('thead', {}, el('tr', {}, ...COLUMNS.map(([name, title]) => el('th', { scope: 'col', title }, name)))), el('tbody'))));
  }
}

/** @param {import('realsense-webrtc/api').StreamStats} stream @param {ReturnType<import('./figures.js').Rates['of']>} rate */
function cells(stream, rate) {
  return [
    streamName(stream.stream_type), stream.codec ?? '–', rate ? bitrate(rate.bitsPerSecond) : '–', rate ? rate.fps.toFixed(1) : '–',
    rate ? `${(rate.loss * 100).toFixed(1)} %` : '–', milliseconds(stream.round_trip_time_ms), milliseconds(stream.jitter_ms),
    String(stream.nack_count), String(stream.pli_count), String(stream.key_frames_sent ?? '–'), String(stream.queued_frames ?? '–'),
    String(stream.frames_dropped),
  ];
}
