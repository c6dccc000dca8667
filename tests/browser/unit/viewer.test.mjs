// How a session begins and what follows its end: Viewer and Peer, with a browser and a server of paper.
import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { ApiError } from '../../../www/js/api.js';
import { Viewer } from '../../../www/js/viewer.js';

const connections = [];

/** A connection that comes up as soon as it is answered. */
class PaperConnection extends EventTarget {
  static knowsState = true;
  transport = Object.assign(new EventTarget(), { state: 'new' });
  iceConnectionState = 'new';
  closed = false;
  lines = [0, 1];

  constructor() {
    super();
    connections.push(this);
    if (PaperConnection.knowsState) this.connectionState = 'new';
  }

  setRemoteDescription() { return Promise.resolve(); }
  createAnswer() { return Promise.resolve({ type: 'answer', sdp: 'v=0' }); }
  setLocalDescription() { return Promise.resolve(); }
  getReceivers() { return [{ transport: this.transport }]; }
  getTransceivers() { return this.lines.map((line) => ({ mid: `video${line}`, receiver: { track: `track ${line}` } })); }
  close() { this.closed = true; }

  connect() {
    this.transport.state = 'connected';
    this.iceConnectionState = 'connected';
    if (!PaperConnection.knowsState) this.dispatchEvent(new Event('iceconnectionstatechange'));
    else {
      this.connectionState = 'connected';
      this.dispatchEvent(new Event('connectionstatechange'));
    }
  }

  /** The server's good-bye: the encryption closes, the connection's own state does not change yet. */
  goodbye() {
    this.transport.state = 'closed';
    this.transport.dispatchEvent(new Event('statechange'));
  }
}

/** A server that has the sessions it offered until they are ended. */
class PaperApi {
  offered = 0;
  closed = [];
  changes = [];
  asked = 0;
  /** What is told of a session that is no more; undefined while all live. */
  ended = undefined;
  refusal = null;

  iceServers() { return Promise.resolve([]); }
  offer() {
    this.offered += 1;
    return Promise.resolve({ session_id: `session ${this.offered}`, sdp: 'v=0', streams: [{ stream_type: 'color', note: null, mline_index: 0 }] });
  }
  async changeSession(session, wish) {
    this.changes.push([session, wish]);
    if (this.refusal) throw this.refusal;
    return { streams: wish.stream_types.map((stream_type, mline_index) => ({ stream_type, note: null, mline_index })) };
  }
  async answer() {
    if (this.refusal) throw this.refusal;
    queueMicrotask(() => connections.at(-1).connect());
  }
  async closeSession(id) { this.closed.push(id); }
  async session() {
    this.asked += 1;
    if (this.ended) throw new ApiError(404, 'It has ended.', null, this.ended);
    return { connected: true };
  }
}

/** Resolves at the next time that the viewer is in this state. */
const reaches = (viewer, state) => new Promise((resolve) => {
  viewer.addEventListener('state', () => viewer.state === state && resolve());
});

describe('the viewer', () => {
  let api;
  let viewer;

  beforeEach(async () => {
    connections.length = 0;
    PaperConnection.knowsState = true;
    globalThis.RTCPeerConnection = PaperConnection;
    globalThis.RTCRtpReceiver = {};
    api = new PaperApi();
    viewer = new Viewer(api);
    const live = reaches(viewer, 'live');
    viewer.watch({ device: '1', streams: ['color'], profiles: {} });
    await live;
  });

  afterEach(() => {
    viewer.stop();
    delete globalThis.RTCPeerConnection;
    delete globalThis.RTCRtpReceiver;
  });

  it('stops when somebody closed its session', async () => {
    const ended = reaches(viewer, 'ended');
    api.ended = { reason: 'closed_by_request' };
    viewer.sessionGone();
    await ended;
    assert.match(viewer.message, /closed by/);
    assert.equal(api.offered, 1);
    assert.ok(connections[0].closed);
  });

  for (const ended of [{ reason: 'lifetime' }, { reason: 'peer_silent' }, {}]) {
    it(`goes on when its session ended otherwise: ${ended.reason ?? 'unknown'}`, async () => {
      const live = reaches(viewer, 'live');
      api.ended = ended;
      viewer.sessionGone();
      viewer.sessionGone(); // the next look at the list comes before the answer
      await live;
      assert.deepEqual([api.offered, api.asked, api.closed], [2, 1, ['session 1']]);
    });
  }

  const both = { device: '1', streams: ['color', 'depth'], profiles: { color: { width: 1 }, depth: { width: 2 } } };

  it('takes another stream into its session, and touches nothing of the one that stays', async () => {
    const live = reaches(viewer, 'live');
    const tracks = [];
    viewer.addEventListener('track', ({ detail }) => tracks.push(detail));
    viewer.watch(both);
    assert.deepEqual([viewer.state, viewer.changing], ['live', true]);
    await live;
    assert.deepEqual(api.changes, [['session 1', { stream_types: ['color', 'depth'], profiles: { depth: { width: 2 } } }]]);
    assert.deepEqual(tracks.map(({ stream, track, mid }) => [stream, track, mid]), [['depth', 'track 1', 'video1']]);
    assert.deepEqual([api.offered, api.closed, viewer.changing], [1, [], false]);
  });

  for (const [what, prepare, choice] of [
    ['has no m-line to spare', () => { connections[0].lines = [0]; }, both],
    ['is of another camera', () => {}, { ...both, device: '2' }],
    ['is being changed already', () => viewer.watch(both), { ...both, streams: ['depth'] }],
  ]) {
    it(`opens another session where this one ${what}`, async () => {
      prepare();
      const live = reaches(viewer, 'live');
      viewer.watch(choice);
      await live;
      await new Promise(setImmediate);
      assert.deepEqual([api.offered, api.closed, viewer.state, viewer.changing], [2, ['session 1'], 'live', false]);
    });
  }

  it('opens another session where the server does not change this one', async () => {
    const told = reaches(viewer, 'connecting');
    api.refusal = new ApiError(409, 'There are too few m-lines.');
    viewer.watch(both);
    await told;
    api.refusal = null;
    await reaches(viewer, 'live');
    assert.deepEqual([api.offered, api.closed], [2, ['session 1']]);
  });

  it('stops at once while its session is being changed', async () => {
    viewer.watch(both);
    viewer.stop();
    await new Promise(setImmediate);
    assert.deepEqual([viewer.state, viewer.changing, api.closed], ['idle', false, ['session 1']]);
  });

  it('leaves a session alone that only a list had not yet', async () => {
    viewer.sessionGone();
    await new Promise(setImmediate);
    assert.deepEqual([viewer.state, api.offered, api.asked], ['live', 1, 1]);
  });

  it('hears of the end by the good-bye, not by the state of the connection', async () => {
    const live = reaches(viewer, 'live');
    api.ended = { reason: 'lifetime' };
    connections[0].goodbye();
    await live;
    assert.equal(connections[0].connectionState, 'connected', 'it tells up to 20 s later only');
    assert.equal(api.offered, 2);
  });

  it('connects in browsers whose connections do not tell their state', async () => {
    viewer.stop();
    PaperConnection.knowsState = false;
    const live = reaches(viewer, 'live');
    viewer.watch({ device: '1', streams: ['color'], profiles: {} });
    await live;
  });

  it('leaves nothing open where a step fails', async () => {
    viewer.stop();
    api.closed.length = 0;
    api.refusal = new ApiError(400, 'No such codec.');
    const failed = reaches(viewer, 'failed');
    viewer.watch({ device: '1', streams: ['color'], profiles: {} });
    await failed;
    assert.ok(connections.every((pc) => pc.closed));
    assert.deepEqual(api.closed, ['session 2']);
  });
});
