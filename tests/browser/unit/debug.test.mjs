// The pure parts of the page for looking inside.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { capsGist, parseCaps } from '../../../www/js/debug/caps.js';
import { Rates, bytesText, droppedBy, fill, milliseconds, perSecond, placeOf, queueText, valueText } from '../../../www/js/debug/figures.js';
import { curve, layOut, nextBox, spread } from '../../../www/js/debug/layout.js';
import { levelOf, linesOf, whatIsNew } from '../../../www/js/debug/lines.js';
import { processText } from '../../../www/js/debug/process.js';

describe('caps', () => {
  it('are split at commas outside of brackets and quotes', () => {
    const [raw, other] = parseCaps('video/x-raw(memory:A, meta:B), format=(string){ I420, NV12 }, framerate=(fraction)[ 1/1, 30/1 ], note="a, b; c"; audio/x-raw');
    assert.equal(raw.media, 'video/x-raw(memory:A, meta:B)');
    assert.deepEqual(raw.fields, [['format', '{ I420, NV12 }'], ['framerate', '[ 1/1, 30/1 ]'], ['note', 'a, b; c']]);
    assert.deepEqual(other, { media: 'audio/x-raw', fields: [] });
    assert.deepEqual(parseCaps(null), []);
    assert.deepEqual(parseCaps('ANY'), [{ media: 'ANY', fields: [] }]);
  });
  it('have a gist', () => {
    assert.equal(capsGist('video/x-raw, format=(string)I420, width=(int)640, height=(int)480, framerate=(fraction)30/1'), 'I420 640×480 30 fps');
    assert.equal(capsGist('video/x-h264, stream-format=(string)byte-stream, profile=(string)constrained-baseline'), 'H264 constrained-baseline');
    assert.equal(capsGist('video/x-vp8, profile=(string)0, framerate=(fraction)15/2'), 'VP8 7.5 fps');
    assert.equal(capsGist('application/x-rtp, encoding-name=(string)H264, payload=(int)96'), 'RTP H264 96');
    assert.equal(capsGist('video/x-raw, framerate=(fraction)0/1'), 'raw');
    assert.equal(capsGist(''), '');
  });
});

describe('figures', () => {
  it('read well, also where there are none', () => {
    assert.deepEqual([30.02, 119.7, null, Number.NaN].map(perSecond), ['30.0/s', '120/s', '–', '–']);
    assert.deepEqual([0.001, 0.014, 0.996, 2.94, 131.2, undefined].map(milliseconds), ['<0.01 ms', '0.01 ms', '1.0 ms', '2.9 ms', '131 ms', '–']);
    assert.deepEqual([12, 460800, 1234567].map(bytesText), ['12 B', '461 kB', '1.2 MB']);
    assert.deepEqual([null, '', false, [1], 'a'].map(valueText), ['none', '""', 'false', '[1]', 'a']);
  });
  it('tell how full a queue is', () => {
    assert.equal(fill({ buffers: 1, max_buffers: 2 }), 0.5);
    assert.equal(fill({ buffers: 9, max_buffers: 2 }), 1);
    assert.equal(fill({ buffers: 0, max_buffers: 0 }), 0);
    assert.equal(queueText({ buffers: 1, max_buffers: 2 }), '1 of 2 waiting');
    assert.equal(queueText({ buffers: 3, max_buffers: 0 }), '3 waiting');
    assert.equal(droppedBy({ queue: { dropped: 2 }, meter: { dropped: 3 } }), 5);
    assert.equal(droppedBy({ queue: { dropped: null }, meter: null }), 0);
  });
  it('name the place of a fault', () => {
    assert.equal(placeOf({ file: 'a.gst', line: 18, column: 5 }), 'a.gst:18:5');
    assert.equal(placeOf({ file: 'a.gst', line: 18, column: null }), 'a.gst:18');
  });
});

describe('rates of a session', () => {
  const sessions = (bytes, frames, packets, lost) => [{ session_id: 's', stats: { streams: [{ stream_type: 'color', bytes_sent: bytes, frames_sent: frames, packets_sent: packets, packets_lost: lost }] } }];
  it('are over the last seconds', () => {
    const rates = new Rates();
    rates.add(sessions(0, 0, 0, 0), 0);
    assert.equal(rates.of('s', 'color'), null, 'one look gives no rate');
    rates.add(sessions(250000, 30, 100, 5), 1000);
    assert.deepEqual(rates.of('s', 'color'), { bitsPerSecond: 2e6, fps: 30, loss: 0.05 });
    for (let s = 2; s <= 10; s += 1) rates.add(sessions(250000, 30, 100, 5), s * 1000);
    assert.deepEqual(rates.of('s', 'color'), { bitsPerSecond: 0, fps: 0, loss: 0 }, 'what was long ago counts no more');
  });
  it('begin anew with the counters, and end with the session', () => {
    const rates = new Rates();
    rates.add(sessions(5000, 50, 50, 0), 0);
    rates.add(sessions(1000, 10, 10, 0), 1000);
    assert.equal(rates.of('s', 'color'), null);
    rates.add([], 2000);
    assert.equal(rates.of('s', 'color'), null);
    assert.equal(rates.of('t', 'depth'), null);
  });
});

describe('the drawing', () => {
  const box = (name, height = 40, width = 100) => ({ name, width, height });
  const chain = (...names) => names.slice(1).map((to, i) => ({ from: names[i], to }));
  const overlaps = (nodes) => {
    const list = [...nodes.values()];
    return list.some((a, i) => list.some((b, j) => j > i && a.x < b.x + b.width && b.x < a.x + a.width && a.y < b.y + b.height && b.y < a.y + a.height));
  };

  it('keeps apart what would overlap, and leaves the rest where it wants to be', () => {
    assert.deepEqual(spread([0, 100], [20, 20], 10), [0, 100]);
    assert.deepEqual(spread([0, 0, 0], [20, 20, 20], 10), [-30, 0, 30]);
    assert.deepEqual(spread([], [], 10), []);
  });
  it('puts a chain into a row', () => {
    const { nodes, height } = layOut([box('a'), box('b', 80), box('c')], chain('a', 'b', 'c'));
    const [a, b, c] = ['a', 'b', 'c'].map((name) => nodes.get(name));
    assert.ok(a.x + a.width < b.x && b.x + b.width < c.x);
    assert.equal(a.y + 20, b.y + 40);
    assert.equal(a.y, c.y);
    assert.ok(height >= 80 && height < 100);
  });
  it('fans out around the tee and takes in several sources', () => {
    const out = layOut([box('tee'), ...['1', '2', '3', '4', '5'].map((name) => box(name))], ['1', '2', '3', '4', '5'].map((to) => ({ from: 'tee', to })));
    assert.ok(!overlaps(out.nodes));
    assert.ok(Math.abs(out.nodes.get('tee').y - out.nodes.get('3').y) < 1, 'the tee stands in the middle');
    const into = layOut([box('a1'), box('b1'), box('a2'), box('b2'), box('bin')], [...chain('a1', 'a2', 'bin'), ...chain('b1', 'b2', 'bin')]);
    assert.ok(!overlaps(into.nodes));
    assert.equal(into.nodes.get('a1').x, into.nodes.get('b1').x);
  });
  it('copes with circles, links to nowhere and nothing at all', () => {
    const { nodes } = layOut([box('a'), box('b'), box('c')], [...chain('a', 'b', 'c', 'a'), { from: 'b', to: 'b' }, { from: 'c', to: 'gone' }]);
    assert.deepEqual([...nodes.values()].map((node) => node.column), [0, 1, 2]);
    assert.ok(!overlaps(nodes));
    assert.equal(layOut([], []).nodes.size, 0);
  });
  it('draws straight lines where it can', () => {
    const at = (x, y) => ({ name: '', x, y, width: 10, height: 10, column: 0 });
    assert.equal(curve(at(0, 0), at(50, 0)), 'M10 5H50');
    assert.match(curve(at(0, 0), at(50, 40)), /^M10 5C30 5 30 45 50 45$/);
  });
  it('knows which box an arrow key leads to', () => {
    const boxes = [[0, 0], [100, 0], [100, 100], [200, 100]].map(([x, y]) => ({ x, y, width: 50, height: 50 }));
    assert.equal(nextBox(boxes, 0, 'ArrowRight'), 1);
    assert.equal(nextBox(boxes, 1, 'ArrowDown'), 2);
    assert.equal(nextBox(boxes, 2, 'ArrowUp'), 1);
    assert.equal(nextBox(boxes, 0, 'ArrowLeft'), 0);
  });
});

describe('lines of the log', () => {
  it('have a level', () => {
    assert.equal(levelOf('2026-01-02T03:04:05.123456Z  WARN realsense_webrtc::media: INFO is a word'), 'warn');
    assert.equal(levelOf('    at src/main.rs'), '');
    assert.equal(levelOf(`${'x'.repeat(80)} ERROR`), '');
  });
  it('are split, without an empty one at the end', () => {
    assert.deepEqual(linesOf('a\nb\n'), ['a', 'b']);
    assert.deepEqual(linesOf(''), []);
  });
  it('follow from those before', () => {
    assert.deepEqual(whatIsNew([], ['a']), { drop: 0, add: ['a'] });
    assert.deepEqual(whatIsNew(['a', 'b'], ['a', 'b']), { drop: 0, add: [] });
    assert.deepEqual(whatIsNew(['a', 'b', 'c'], ['b', 'c', 'd']), { drop: 1, add: ['d'] });
    assert.deepEqual(whatIsNew(['a', 'a', 'b'], ['a', 'b', 'a']), { drop: 1, add: ['a'] });
    assert.deepEqual(whatIsNew(['a', 'b'], ['x', 'y']), { drop: 2, add: ['x', 'y'] });
    assert.deepEqual(whatIsNew(['a', 'b'], []), { drop: 2, add: [] });
  });
});

describe('the process', () => {
  const metrics = (cpu) => `# HELP process_threads Number\nprocess_threads 61\nprocess_open_fds 120\nprocess_cpu_seconds_total ${cpu}\nprocess_resident_memory_bytes 8.8e+07\nother{a="b"} 5\n`;
  it('is told from Prometheus\u2019 text', () => {
    const first = processText(metrics(10), null, 0);
    assert.equal(first.text, '88 MB · 61 threads · 120 files');
    assert.equal(processText(metrics(10.68), first.sample, 2000).text, '34 % of a core · 88 MB · 61 threads · 120 files');
    assert.equal(processText('', null, 0).text, '');
    assert.equal(processText(metrics(1), first.sample, 2000).text, '88 MB · 61 threads · 120 files', 'after a restart');
  });
});
