// Clients that others wrote, or would write from the wire contract alone, against the server as it is.
import assert from 'node:assert/strict';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { CAMERA, Server, chromium, firefox, open, until } from './helper.mjs';

const BOUND = { timeout: 90000 };
const FOLDER = fileURLToPath(new URL('./clients', import.meta.url));
const DEPTH = (width, height) => ({ stream_type: 'depth', format: 'z16', resolution: { width, height }, framerate: 30 });

describe('a viewer of the vendor\'s family in Chromium', () => {
  /** @type {Server} */ let server;
  let browser, page;

  before(async () => {
    [server, browser] = await Promise.all([Server.start('127.0.0.1:0', undefined, ['--www', path.resolve(FOLDER)]), chromium()]);
    page = await open(browser, `${server.url}/`);
  }, BOUND);

  after(async () => {
    await browser?.close();
    assert.equal(await server?.stop(), 0, server?.log);
  }, BOUND);

  const call = (name, ...args) => page.evaluate((method, given) => window.viewer[method](...given), name, args);
  const shows = (stream, width, height) => until(`${stream} in ${width}x${height}`, async () => {
    const before = await call('picture', stream);
    await new Promise((resolve) => { setTimeout(resolve, 100); });
    const now = await call('picture', stream);
    return before && now && now.decoded > before.decoded && now.width === width && now.height === height;
  });

  it('lists, starts, watches, changes the size, stops and starts again', BOUND, async () => {
    await call('listen');
    const [device] = await call('devices');
    assert.equal(device.device_id, CAMERA);
    assert.equal(device.firmware_status, 'unknown');
    const sensors = await call('sensors', CAMERA);
    const motion = sensors.find((sensor) => sensor.name === 'Motion Module');
    assert.ok(motion.supported_stream_profiles.every((profile) => profile.resolutions.length > 0), 'the motion module can be shown');
    const stereo = sensors.find((sensor) => sensor.supported_stream_profiles.some((profile) => profile.stream_type === 'depth')).sensor_id;

    const started = await call('start', CAMERA, stereo, DEPTH(640, 480));
    assert.deepEqual([started.is_streaming, started.stream_type, started.resolution], [true, 'depth', { width: 640, height: 480 }]);
    await call('watch', CAMERA, ['depth']);
    await shows('depth', 640, 480);
    await until('metadata of depth', () => page.evaluate(() => window.viewer.told.metadata_update?.metadata_streams?.depth?.hardware_width === 640));

    const wide = await call('start', CAMERA, stereo, DEPTH(848, 480));
    assert.deepEqual(wide.resolution, { width: 848, height: 480 });
    await shows('depth', 848, 480);
    await until('the change is told', () => page.evaluate(() => window.viewer.told.stream_restarted?.profile?.width === 848));
    assert.equal((await server.get('webrtc/sessions')).length, 1, 'the same session goes on');

    await call('stop', CAMERA, stereo);
    await call('leave', 'depth');
    await until('the sensor has stopped', async () => !(await call('status', CAMERA, stereo)).is_streaming);
    assert.deepEqual((await server.get('webrtc/stream-references')).stream_references, {});

    await call('start', CAMERA, stereo, DEPTH(640, 480));
    await call('watch', CAMERA, ['depth']);
    await shows('depth', 640, 480);
    await call('leave', 'depth');
    await call('stop', CAMERA, stereo);
    assert.deepEqual(page.complaints, []);
  });

  it('gets point clouds on a data channel', BOUND, async () => {
    const offer = await call('watch', CAMERA, ['depth'], { data_channels: ['pointcloud-data'] });
    assert.match(offer.sdp, /^m=application 9 UDP\/DTLS\/SCTP webrtc-datachannel/m);
    await shows('depth', 640, 480);
    const clouds = await until('three whole clouds', () => page.evaluate(() => {
      const parts = window.viewer.messages.filter((message) => message.type === 'pointcloud-data');
      const whole = Map.groupBy(parts, (part) => part.message_id ?? part.timestamp);
      const complete = [...whole.values()].filter((part) => part.some((message) => message.is_last_chunk ?? true));
      return complete.length >= 3 && complete.slice(0, 3).map((messages) => ({
        channel: messages[0].channel,
        device: messages[0].device_id,
        total: messages[0].total_vertices,
        sent: messages.reduce((sum, message) => sum + message.sent_vertices, 0),
        points: messages.flatMap((message) => message.vertices),
        longest: Math.max(...messages.map((message) => JSON.stringify(message).length)),
      }));
    }));
    for (const cloud of clouds) {
      assert.deepEqual([cloud.channel, cloud.device], ['pointcloud-data', CAMERA]);
      assert.ok(cloud.total > 500 && cloud.total <= 3000 && cloud.sent === cloud.total && cloud.points.length === cloud.total, `${cloud.total}`);
      assert.ok(cloud.points.every(([, , z]) => z > 0.1 && z < 20));
    }
    await call('leave', 'depth');
    assert.deepEqual(page.complaints, []);
  });

  it('changes streams without losing a picture of those that stay', BOUND, async () => {
    const offer = await call('watch', CAMERA, ['color'], { spare_streams: 2 });
    await shows('color', 640, 480);
    // Every picture of colour is noted from here on.
    await page.evaluate(() => {
      const { video } = window.viewer.tiles.get('color');
      window.gaps = [];
      let last = performance.now();
      const note = (now) => { window.gaps.push(now - last); last = now; video.requestVideoFrameCallback(note); };
      video.requestVideoFrameCallback(note);
    });
    for (const streams of [['color', 'depth'], ['color', 'depth', 'infrared-1'], ['color', 'infrared-1'], ['color', 'infrared-2'], ['color']]) {
      const changed = await call('change', offer.session_id, { stream_types: streams });
      assert.deepEqual([...changed.stream_types].sort(), [...streams].sort());
      for (const stream of streams) await shows(stream, 640, 480);
    }
    const changed = await call('change', offer.session_id, { stream_types: ['color', 'depth'], profiles: { depth: { width: 848, height: 480, framerate: 30 } } });
    assert.equal(changed.streams.find((stream) => stream.stream_type === 'depth').profile.width, 848);
    await shows('depth', 848, 480);
    await shows('color', 640, 480);
    const gaps = await page.evaluate(() => window.gaps.slice(1));
    assert.ok(gaps.length > 10, `${gaps.length} pictures`);
    assert.ok(Math.max(...gaps) < 1000, `colour stood still for ${Math.round(Math.max(...gaps))} ms`);
    assert.equal((await server.get('webrtc/sessions')).length, 1);
    assert.deepEqual((await server.get('webrtc/stream-references')).stream_references[CAMERA], { color: 1, depth: 1 });
    console.log(`longest pause of colour: ${Math.round(Math.max(...gaps))} ms`);
    await call('leave', 'color');
    assert.deepEqual(page.complaints, []);
  });

  it('gets more m-lines by a new offer of the same session, and misses no picture', BOUND, async () => {
    // What still runs of the test before would be taken as it is.
    await until('nothing runs', async () => !(await server.get(`devices/${CAMERA}/stream/status`)).is_streaming);
    // A line of data stands between the first lines and those that come.
    const offer = await call('watch', CAMERA, ['color'], { data_channels: ['pointcloud-data'] });
    await shows('color', 640, 480);
    await page.evaluate(() => {
      const { video } = window.viewer.tiles.get('color');
      window.gaps = [];
      let last = performance.now();
      const note = (now) => { window.gaps.push(now - last); last = now; video.requestVideoFrameCallback(note); };
      video.requestVideoFrameCallback(note);
    });
    const lines = [];
    for (const streams of [['color', 'depth'], ['depth', 'color', 'infrared-1', 'infrared-2'], ['color', 'infrared-2'], ['color', 'depth']]) {
      const changed = await call('change', offer.session_id, { stream_types: streams });
      lines.push((changed.sdp?.match(/^m=/gm) ?? []).length);
      assert.deepEqual([...changed.stream_types].sort(), [...streams].sort());
      for (const stream of streams) await shows(stream, 640, 480);
    }
    assert.deepEqual(lines, [3, 5, 0, 0], 'a new offer comes only where lines are missing');
    const gaps = await page.evaluate(() => window.gaps.slice(1));
    assert.ok(gaps.length > 10 && Math.max(...gaps) < 1000, `colour stood still for ${Math.round(Math.max(...gaps))} ms`);
    console.log(`longest pause of colour over new offers: ${Math.round(Math.max(...gaps))} ms`);
    await until('points on the channel that was there', () => page.evaluate(() => window.viewer.messages.some((message) => message.type === 'pointcloud-data')));
    assert.equal((await server.get('webrtc/sessions')).length, 1);
    assert.deepEqual((await server.get('webrtc/stream-references')).stream_references[CAMERA], { color: 1, depth: 1 });
    await call('leave', 'color');
    assert.deepEqual(page.complaints, []);
  });

  it('is disconnected when it opens data channels of its own, and nobody else is', BOUND, async () => {
    const offer = await call('watch', CAMERA, ['color'], { data_channels: ['pointcloud-data'] });
    await call('watch', CAMERA, ['depth'], { profiles: { depth: { width: 640, height: 480, framerate: 30 } } });
    await shows('color', 640, 480);
    await shows('depth', 640, 480);
    await page.evaluate(() => { for (let n = 0; n < 50; n += 1) window.viewer.tiles.get('color').peer.createDataChannel(`own-${n}`); });
    const gone = await until('the session is gone', async () => {
      const answer = await server.request('GET', `webrtc/sessions/${offer.session_id}`);
      return answer.status === 404 && answer;
    });
    assert.equal(gone.body.reason, 'peer_misbehaved');
    await shows('depth', 640, 480);
    await page.evaluate(() => window.viewer.tiles.get('color').peer.close());
    await call('leave', 'depth');
    assert.deepEqual(page.complaints, []);
  });
});

describe('a client in Firefox', () => {
  /** @type {Server} */ let server;
  let browser, page;

  before(async () => {
    [server, browser] = await Promise.all([Server.start('127.0.0.1:0', undefined, ['--www', path.resolve(FOLDER)]), firefox()]);
    page = await open(browser, `${server.url}/`);
  }, BOUND);

  after(async () => {
    await browser?.close();
    assert.equal(await server?.stop(), 0, server?.log);
  }, BOUND);

  it('gets more m-lines by new offers of the same session', BOUND, async () => {
    const call = (name, ...args) => page.evaluate((method, given) => window.viewer[method](...given), name, args);
    const runs = (streams) => until(`${streams} run`, async () => {
      const look = () => Promise.all(streams.map((stream) => call('picture', stream)));
      const earlier = await look();
      await new Promise((resolve) => { setTimeout(resolve, 100); });
      return (await look()).every((now, at) => now && earlier[at] && now.decoded > earlier[at].decoded);
    });
    // It has no H.264 here, and takes the second codec.
    const offer = await page.evaluate(async (camera) => {
      const { session_id: id } = await window.viewer.watch(camera, ['color'], { spare_streams: 1, codecs: ['video/H264', 'video/VP8'] });
      return { id };
    }, CAMERA);
    await runs(['color']);
    const lines = [];
    for (const streams of [['color', 'depth', 'infrared-1'], ['color', 'depth', 'infrared-1', 'infrared-2']]) {
      lines.push(await page.evaluate(async (id, wanted) => {
        const { sdp } = await window.viewer.change(id, { stream_types: wanted });
        return sdp?.match(/^m=/gm).length ?? 0;
      }, offer.id, streams));
      await runs(streams);
    }
    assert.deepEqual(lines, [3, 4]);
    assert.equal((await server.get('webrtc/sessions')).length, 1);
    assert.deepEqual(page.complaints, []);
  });
});
