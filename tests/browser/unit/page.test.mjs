// The page's pure parts.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Api, detailOf } from '../../../www/js/api.js';
import { Closings } from '../../../www/js/closings.js';
import { waitMs } from '../../../www/js/backoff.js';
import { isSwitch, optionName, quantity, unitText, valueText } from '../../../www/js/values.js';
import { pixelAt } from '../../../www/js/geometry.js';
import { banner, pill, streamsHint } from '../../../www/js/standing.js';
import { ClockOffset, median, ratesOf, sampleOf } from '../../../www/js/stats.js';
import { ageMs, crc16, decodeStrip, framesBetween, stripSize } from '../../../www/js/strip.js';
import { nearest, videoStreams } from '../../../www/js/profiles.js';
import { afterLoss, worthRetrying } from '../../../www/js/verdict.js';
import { bitrate, browserName, clockTime, duration, megabytes, recordingOf, streamName, viewerName } from '../../../www/js/words.js';

/** Draws a strip as docs/reference/frame-strip.md says. */
function drawStrip(bytes, cell, one = 255, zero = 0) {
  const width = cell * 40;
  const rgba = new Uint8ClampedArray(width * cell * 2 * 4);
  for (let bit = 0; bit < 80; bit += 1) {
    const value = (bytes[bit >> 3] >> (7 - (bit & 7))) & 1 ? one : zero;
    for (let y = 0; y < cell; y += 1) {
      for (let x = 0; x < cell; x += 1) {
        const at = ((Math.floor(bit / 40) * cell + y) * width + (bit % 40) * cell + x) * 4;
        rgba.fill(value, at, at + 3);
      }
    }
  }
  return rgba;
}

describe('the frame strip', () => {
  const example = [0xb2, 0x12, 0x34, 0x89, 0xab, 0xcd, 0xef, 0x20, 0x45, 0xfd];

  it('has the CRC of the reference', () => {
    assert.equal(crc16(new TextEncoder().encode('123456789')), 0x29b1);
    assert.equal(crc16(example.slice(0, 8)), 0x45fd);
  });
  it('is decoded at both cell sizes and at low contrast', () => {
    const wanted = { frame: 4660, timeMs: 0x89abcdef, stream: 'depth', camera: 0 };
    assert.deepEqual(decodeStrip(drawStrip(example, 16), 640, 16), wanted);
    assert.deepEqual(decodeStrip(drawStrip(example, 8), 320, 8), wanted);
    assert.deepEqual(decodeStrip(drawStrip(example, 8, 140, 110), 320, 8), wanted);
  });
  it('is refused when it is damaged, flat or absent', () => {
    const damaged = [...example];
    damaged[2] ^= 1;
    assert.equal(decodeStrip(drawStrip(damaged, 8), 320, 8), null);
    assert.equal(decodeStrip(drawStrip(example, 8, 120, 110), 320, 8), null);
    assert.equal(decodeStrip(new Uint8ClampedArray(320 * 16 * 4), 320, 8), null);
    assert.equal(decodeStrip(new Uint8ClampedArray(16), 320, 8), null);
  });
  it('knows its size and wraps its counters', () => {
    assert.deepEqual(stripSize(640), { cell: 16, width: 640, height: 32 });
    assert.deepEqual(stripSize(424), { cell: 8, width: 320, height: 16 });
    assert.equal(framesBetween(65530, 4), 10);
    const now = 0x19c_0000_0010; // the low 32 bits have just wrapped
    assert.equal(ageMs(0xfffffff0, now), 32);
    assert.equal(ageMs(0x20, now), -16);
  });
});

describe('statistics', () => {
  const report = (at, frames, bytes, bufferS, buffered) => [
    { type: 'codec', id: 'c', mimeType: 'video/H264' },
    { type: 'candidate-pair', nominated: false, currentRoundTripTime: 9 },
    { type: 'candidate-pair', nominated: true, currentRoundTripTime: 0.004 },
    { type: 'inbound-rtp', kind: 'video', timestamp: at, framesDecoded: frames, bytesReceived: bytes, codecId: 'c',
      frameWidth: 640, frameHeight: 480, jitterBufferDelay: bufferS, jitterBufferEmittedCount: buffered, packetsLost: 2 },
  ];

  it('become rates', () => {
    const before = sampleOf(report(1000, 100, 50000, 1, 100));
    const after = sampleOf(report(3000, 160, 550000, 1.6, 160));
    assert.equal(after?.codec, 'H264');
    const rates = ratesOf(before, after);
    assert.equal(rates.fps, 30);
    assert.equal(rates.bitsPerSecond, 2e6);
    assert.ok(Math.abs(rates.estimateMs - 12) < 1e-6, '10 ms of buffer and half of 4 ms');
  });
  it('say nothing without two samples of one connection', () => {
    const none = { fps: null, bitsPerSecond: null, estimateMs: null };
    const sample = sampleOf(report(1000, 100, 50000, 1, 100));
    assert.deepEqual(ratesOf(null, sample), none);
    assert.deepEqual(ratesOf(sample, sampleOf(report(2000, 5, 100, 0, 0))), none);
    assert.equal(sampleOf([{ type: 'inbound-rtp', kind: 'audio' }]), null);
  });
  it('have a middle', () => {
    assert.equal(median([]), null);
    assert.equal(median([9, 1, 5]), 5);
  });
  it('trust the quickest message about the clock', () => {
    const clock = new ClockOffset();
    assert.equal(clock.ms(), 0);
    clock.add(1000, 3050);
    clock.add(2000, 4010);
    clock.add(3000, 5300);
    assert.equal(clock.ms(10), 2000);
  });
});

describe('waiting and retrying', () => {
  it('doubles from half a second to five', () => {
    const middle = () => 0.5;
    assert.deepEqual([1, 2, 3, 4, 5, 50].map((n) => waitMs(n, null, middle)), [500, 1000, 2000, 4000, 5000, 5000]);
    assert.equal(waitMs(1, 3, middle), 3000);
    assert.equal(waitMs(1, 3600, middle), 10000);
    for (let i = 0; i < 100; i += 1) assert.ok(waitMs(9) <= 5000 && waitMs(1) >= 400);
  });
  it('retries what may heal and nothing else', () => {
    for (const status of [0, 409, 429, 503]) assert.ok(worthRetrying(status, false));
    for (const status of [400, 401, 403, 404, 422]) assert.ok(!worthRetrying(status, false));
    assert.ok(worthRetrying(404, true) && !worthRetrying(400, true));
  });
  it('tells a session that somebody closed from one that ended otherwise', () => {
    assert.equal(afterLoss({ unattended: false, reason: 'closed_by_request' }), 'ended');
    assert.equal(afterLoss({ unattended: true, reason: 'closed_by_request' }), 'reopen');
    // Ran out, was lost, or is of a server before this one: no one's wish.
    for (const reason of ['lifetime', 'peer_silent', 'peer_lost', 'pipeline_error', 'idle', 'shutdown', undefined]) {
      assert.equal(afterLoss({ unattended: false, reason }), 'reopen');
    }
  });
});

describe('what is offered', () => {
  const sensors = [
    { supported_stream_profiles: [
      { stream_type: 'infrared-1', resolutions: [[848, 480], [640, 480]], fps: [30, 6] },
      { stream_type: 'depth', resolutions: [[640, 480]], fps: [30] },
      { stream_type: 'depth', resolutions: [[640, 480], [424, 240]], fps: [60, 30] }] },
    { supported_stream_profiles: [{ stream_type: 'color', resolutions: [[1920, 1080]], fps: [30] }] },
    { supported_stream_profiles: [{ stream_type: 'gyro', resolutions: [[0, 0]], fps: [200] }] },
    {},
  ];
  it('is video, in the usual order, each size once', () => {
    const streams = videoStreams(sensors);
    assert.deepEqual(streams.map((s) => s.type), ['color', 'depth', 'infrared-1']);
    assert.deepEqual(streams[1], { type: 'depth', resolutions: [[424, 240], [640, 480]], rates: [30, 60] });
  });
  it('keeps unknown types, last', () => {
    const types = videoStreams([...sensors, { supported_stream_profiles: [{ stream_type: 'fisheye', resolutions: [[9, 9]], fps: [1] }] }]);
    assert.equal(types[types.length - 1].type, 'fisheye');
  });
  it('finds the nearest', () => {
    assert.equal(nearest([6, 15, 60], (fps) => Math.abs(fps - 30)), 15);
    assert.equal(nearest([], () => 0), undefined);
  });
});

describe('words', () => {
  it('name browsers', () => {
    assert.equal(browserName('Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/156.0.0.0 Safari/537.36'), 'Chrome 156 on Linux');
    assert.equal(browserName('Mozilla/5.0 (X11; Linux x86_64; rv:153.0) Gecko/20100101 Firefox/153.0'), 'Firefox 153 on Linux');
    assert.equal(browserName('Mozilla/5.0 (Windows NT 10.0; Win64) AppleWebKit/537.36 Chrome/120.0 Safari/537.36 Edg/121.0'), 'Edge 121 on Windows');
    assert.equal(browserName('Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) Version/17.0 Mobile/15E Safari/604.1'), 'Safari 17 on iOS');
    assert.equal(browserName('python-requests/2.31'), 'python-requests');
    assert.equal(browserName(null), 'Unknown client');
    assert.equal(viewerName({ user_agent: null, via: 'relay' }), 'Viewer through the relay');
    assert.equal(viewerName({ user_agent: 'python-requests/2.31', via: null }), 'python-requests');
  });
  it('say sizes and times', () => {
    assert.equal(bitrate(1234567), '1.2 Mbit/s');
    assert.equal(bitrate(640400), '640 kbit/s');
    assert.equal(bitrate(null), '–');
    assert.deepEqual([5.9, 61, 7500, -3].map(duration), ['5 s', '1 min', '2 h 5 min', '0 s']);
    assert.deepEqual([7.9, 754, 3723, -1].map(clockTime), ['0:07', '12:34', '1:02:03', '0:00']);
    assert.deepEqual([0, 430_000, 35_000_000, 1_250_000_000].map(megabytes), ['0.0 MB', '0.4 MB', '35 MB', '1.25 GB']);
    assert.equal(streamName('infrared-2'), 'Infrared right');
    assert.equal(recordingOf({ playback: true, physical_port: 'recording a walk.bag' }), 'a walk.bag');
    assert.equal(recordingOf({ playback: true, physical_port: 'recording läufer (2).bag' }), 'läufer (2).bag');
    assert.equal(new Api('http://robot/x/').recordingUrl('läufer (2)#?%41.bag'), 'http://robot/x/api/recordings/l%C3%A4ufer%20(2)%23%3F%2541.bag');
    for (const camera of [{ playback: false, physical_port: 'recording a.bag' }, { playback: true, physical_port: null }, null]) {
      assert.equal(recordingOf(camera), '');
    }
    assert.equal(streamName('fisheye-1'), 'Fisheye 1');
  });
  it('pass on what the server says', () => {
    assert.equal(detailOf({ detail: 'No.' }, 400), 'No.');
    assert.equal(detailOf({ detail: [{ loc: ['body', 'sdp'], msg: 'is missing' }] }, 422), 'body.sdp: is missing');
    assert.match(detailOf(null, 502), /502/);
  });
  it('put the worst into the banner', () => {
    const well = { server: { state: 'up', text: '' }, viewer: { state: 'live', message: '', wanted: true }, camera: '1', present: true };
    assert.equal(banner(well).text, '');
    assert.match(banner({ ...well, present: false }).text, /Camera 1 is unplugged/);
    assert.match(banner({ ...well, present: false, seen: false }).text, /Camera 1 is not connected/);
    assert.match(banner({ ...well, present: false, isRecording: true }).text, /recording was closed/);
    assert.equal(banner({ ...well, present: false, flowing: true }).text, '', 'frames say more than a list');
    const waiting = { ...well, viewer: { state: 'waiting', message: 'Busy.', wanted: true } };
    assert.deepEqual(banner(waiting), { text: 'Busy. Trying again by itself.', level: 'warn', action: 'Try now' });
    assert.match(banner({ ...waiting, server: { state: 'down', text: 'Gone.' } }).text, /^Gone\. .*returns by itself/);
    assert.equal(banner({ ...well, viewer: { state: 'failed', message: 'Bad.', wanted: false } }).action, 'Try again');
  });
  it('call live only what moves', () => {
    const facts = { server: { state: 'up', text: '' }, viewer: { state: 'live', message: '', wanted: true }, camera: '1', present: true, wasLive: true };
    assert.equal(pill({ ...facts, flowing: true }).text, 'Live');
    assert.equal(pill({ ...facts, flowing: false }).text, 'No video');
    for (const flowing of [false, true]) assert.equal(pill({ ...facts, flowing, paused: true }).text, 'Paused');
    assert.equal(pill({ ...facts, flowing: false, server: { state: 'down', text: '' } }).text, 'Reconnecting…');
    assert.equal(pill({ ...facts, flowing: false, viewer: { ...facts.viewer, wanted: false } }).text, 'Server ready');
  });
  it('say what to press', () => {
    const facts = { ready: true, chosen: 1, wanted: true, same: true, anyRuns: false };
    assert.equal(streamsHint(facts), '');
    assert.match(streamsHint({ ...facts, chosen: 0 }), /Tick/);
    assert.match(streamsHint({ ...facts, same: false }), /Apply/);
  });
});

describe('options and points', () => {
  it('are shown in their own grain', () => {
    assert.deepEqual([valueText(8500, 1), valueText(0.1 + 0.2, 0.1), valueText(0.001, 0.000001), valueText(NaN, 1)], ['8500', '0.3', '0.001', '–']);
    assert.deepEqual([quantity(8500, 1, 'microseconds'), quantity(156, 1, '100 microseconds'), quantity(300, 1, 'microseconds'),
      quantity(33, 1, 'milliseconds'), quantity(4600, 10, 'kelvin')], ['8.5 ms', '15.6 ms', '300 µs', '33 ms', '4600 K']);
    assert.deepEqual(['Enable Auto Exposure', 'Asic Temperature', 'Enable'].map(optionName), ['Auto exposure', 'ASIC temperature', 'Enable']);
    assert.ok(isSwitch({ min_value: 0, max_value: 1, step: 1 }));
    assert.ok(isSwitch({ min_value: 0, max_value: 1, step: 1, value_descriptions: { 0: 'Off', 1: 'On' } }));
    assert.ok(!isSwitch({ min_value: 0, max_value: 1, step: 1, value_descriptions: { 0: 'Manual', 1: 'Auto' } }));
    assert.deepEqual(['microseconds', 'furlongs', null].map(unitText), [' µs', ' furlongs', '']);
    assert.ok(!isSwitch({ min_value: 0, max_value: 2, step: 1 }) && !isSwitch({ min_value: 0, max_value: 1, step: 0.1 }));
  });
  it('find the pixel under the pointer in a letterboxed picture', () => {
    const picture = { width: 640, height: 480 };
    assert.deepEqual(pixelAt({ width: 320, height: 240 }, picture, 160, 120), { x: 320, y: 240 });
    assert.equal(pixelAt({ width: 1000, height: 480 }, picture, 100, 100), null, 'on the bar at the left');
    assert.deepEqual(pixelAt({ width: 1000, height: 480 }, picture, 180, 0), { x: 0, y: 0 });
    assert.equal(pixelAt({ width: 320, height: 240 }, { width: 0, height: 0 }, 1, 1), null);
  });
});

describe('closing a recording', () => {
  const settled = () => new Promise((resolve) => { setImmediate(resolve); });
  /** Something that is asked: `sent` when it was sent, `answer` or `fail` ends it. */
  function question() {
    const it = { sent: false };
    const promise = new Promise((resolve, reject) => Object.assign(it, { answer: resolve, fail: reject }));
    return Object.assign(it, { send: () => { it.sent = true; return promise; } });
  }
  const closings = () => new Closings(() => new Error('too late'));

  it('waits for what was asked of it, and of nothing else', async () => {
    const [asked, other, close] = [question(), question(), question()];
    const both = closings();
    const answers = [both.ask('rec', asked.send), both.ask('camera', other.send)];
    const closed = both.close('rec', close.send);
    await settled();
    assert.ok(asked.sent && other.sent && !close.sent);
    asked.fail(new Error('busy'));
    await assert.rejects(answers[0], /busy/);
    await settled();
    assert.ok(close.sent);
    close.answer('done');
    assert.equal(await closed, 'done');
  });
  it('lets nothing be sent meanwhile, nor after it if it was asked before', async () => {
    const [late, other, close, next] = [question(), question(), question(), question()];
    const both = closings();
    const closed = both.close('rec', close.send);
    const refused = assert.rejects(both.ask('rec', late.send), /too late/);
    both.ask('camera', other.send);
    await settled();
    assert.ok(close.sent && !late.sent && other.sent);
    close.answer();
    await closed;
    await refused;
    assert.equal(late.sent, false);
    both.ask('rec', next.send); // the same file, opened again
    await settled();
    assert.ok(next.sent);
  });
  it('that fails lets everything go on', async () => {
    const [late, close] = [question(), question()];
    const both = closings();
    const closed = both.close('rec', close.send);
    const answer = both.ask('rec', late.send);
    close.fail(new Error('busy'));
    await assert.rejects(closed, /busy/);
    late.answer(7);
    assert.equal(await answer, 7);
  });
});
