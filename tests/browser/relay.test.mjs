// A robot that dials out, a relay, and a page in Chromium that knows the relay only.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { CAMERA, Server, chromium, open, until } from './helper.mjs';
import { Relay } from './relay.mjs';

const BOUND = { timeout: 90000 };
const ROBOT = `robot-${CAMERA}`;

describe('a page behind a relay in Chromium', () => {
  /** @type {Server} */ let server;
  /** @type {Relay} */ let relay;
  let browser, page;

  before(async () => {
    relay = await Relay.start({ token: 's3cret' });
    const config = `
[camera]
linger_s = 0.5

[relay]
url = "${relay.robotUrl}"
token = "s3cret"
`;
    // The relay's certificate is its own, so the server has to be told whom to trust.
    const started = Server.start('127.0.0.1:0', config, [], { SSL_CERT_FILE: relay.certificate });
    [server, browser] = await Promise.all([started, chromium()]);
    page = await open(browser, `${relay.url}/`);
  }, BOUND);

  after(async () => {
    await browser?.close();
    const how = await server?.stop();
    await relay?.stop();
    assert.equal(how, 0, server?.log);
  }, BOUND);

  const say = (name, data) => page.evaluate((event, content) => window.viewer.say(event, content), name, data);
  const told = (name) => until(name, () => page.evaluate((event) => window.viewer.told[event], name));
  const pictures = (session) => page.evaluate((id) => window.viewer.pictures(id), session);
  const watch = async (streamTypes) => {
    await page.evaluate(() => { window.viewer.told = {}; });
    await say('create-session', { robotId: ROBOT, deviceId: CAMERA, streamTypes });
    return (await told('webrtc-offer')).sessionId;
  };
  /** Waits until every video of a session shows more pictures, and gives them. */
  const shows = (session, count = 1) => until(`${count} running pictures`, async () => {
    const before = await pictures(session);
    await new Promise((resolve) => { setTimeout(resolve, 100); });
    const now = await pictures(session);
    const run = now.length === count && before.length === count && now.every((one, at) => one.decoded > before[at].decoded && one.width > 0);
    return run && now;
  });
  const sessions = () => server.get('webrtc/sessions');

  it('is registered over TLS with its token', BOUND, async () => {
    const { deviceInfo } = await until('the robot', () => relay.robots.get(ROBOT));
    assert.deepEqual([deviceInfo.deviceId, deviceInfo.serialNumber, deviceInfo.status], [CAMERA, CAMERA, 'available']);
    assert.deepEqual(deviceInfo.capabilities, ['color', 'depth', 'infrared', 'pointcloud']);
    assert.equal(relay.brought.at(-1), 's3cret');
    assert.doesNotMatch(server.log, /s3cret/);
  });

  it('tells nothing to one whose certificate it cannot trust', BOUND, async () => {
    const before = relay.brought.length;
    const config = `[relay]\nurl = "${relay.robotUrl}"\ntoken = "other"\n`;
    const wary = await Server.start('127.0.0.1:0', config);
    await until('it says why', () => /The relay is lost: .*certificate/i.test(wary.log));
    assert.equal(await wary.stop(), 0, wary.log);
    assert.equal(relay.brought.length, before);
  });

  it('watches, switches, and leaves', BOUND, async () => {
    const session = await watch(['color']);
    const [color] = await shows(session);
    assert.deepEqual([color.width, color.height], [640, 480]);
    const [listed] = await sessions();
    assert.deepEqual([listed.via, listed.device_id, listed.stream_types], ['relay', CAMERA, ['color']]);

    await say('switch-stream-type', { sessionId: session, streamTypes: ['infrared-1'] });
    assert.deepEqual(await told('stream-type-switched'), { sessionId: session, streamTypes: ['infrared-1'] });
    await until('a picture without colours on the same track', async () => (await pictures(session))[0].colours < color.colours / 4);
    await shows(session);
    await say('switch-stream-type', { sessionId: session, streamTypes: ['color', 'depth'] });
    const refused = await told('stream-type-switch-error');
    assert.equal(refused.sessionId, session);
    assert.match(refused.error, /m-line/);
    await shows(session);

    await page.evaluate((id) => window.viewer.leave(id), session);
    await until('no session', async () => (await sessions()).length === 0);
    await until('nothing runs', async () => !(await server.get(`devices/${CAMERA}/stream/status`)).is_streaming);
    assert.deepEqual(page.complaints, []);
  });

  it('gets points with depth, and may not start streams', BOUND, async () => {
    const session = await watch(['depth', 'color']);
    await shows(session, 2);
    const points = await until('points', () => page.evaluate(() => window.viewer.messages.find((message) => message.type === 'pointcloud-data')));
    assert.deepEqual([points.channel, points.device_id], ['pointcloud-data', CAMERA]);
    assert.ok(points.vertices.length > 100);
    await say('activate-pointcloud', { deviceId: CAMERA, enabled: true });
    assert.deepEqual(await told('pointcloud-activated'), { device_id: CAMERA, is_active: true });
    await say('start-device-stream', { deviceId: CAMERA, streamConfigs: [] });
    assert.match((await told('pointcloud-error')).error, /relay\.allow/);
    await page.evaluate((id) => window.viewer.leave(id), session);
    await until('the points end with it', async () => !(await server.get(`devices/${CAMERA}/point_cloud/status`)).is_active);
    assert.deepEqual(page.complaints, []);
  });

  it('keeps its picture while the robot loses the relay, and hears of a session that ends', BOUND, async () => {
    const session = await watch(['color']);
    await shows(session);
    const first = relay.robots.get(ROBOT).socket;
    relay.cutRobots();
    await until('the robot is back', () => relay.robots.has(ROBOT) && relay.robots.get(ROBOT).socket !== first);
    await shows(session);
    assert.equal((await sessions()).length, 1);
    // The relay passes on what the robot says of it now.
    relay.sessions.get(session).robot = relay.robots.get(ROBOT).socket;
    await server.request('DELETE', 'webrtc/sessions');
    assert.equal((await told('session-closed')).sessionId, session);
    assert.deepEqual(page.complaints, []);
  });

  it('is told when the robot leaves', BOUND, async () => {
    const session = await watch(['color']);
    await shows(session);
    assert.equal(await server.stop(), 0, server.log);
    assert.equal((await told('session-closed')).sessionId, session);
    await until('the robot is gone', () => !relay.robots.has(ROBOT));
  });
});
