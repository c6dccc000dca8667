// A client of the family of the camera vendor's viewer, written from the wire contract alone: it lists, starts sensor by sensor,
// watches by the server's offer, and is told things by Socket.IO. Tests drive it by `window.viewer`.

const API = `${location.origin}/api/v1`;

/** @param {string} method @param {string} route @param {any} [body] */
async function ask(method, route, body) {
  const answer = await fetch(`${API}${route}`, {
    method,
    headers: body === undefined ? {} : { 'Content-Type': 'application/json' },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  const read = await answer.json();
  if (!answer.ok) throw new Error(`${method} ${route}: ${answer.status} ${JSON.stringify(read)}`);
  return read;
}

export class Viewer {
  /** @type {Map<string, {session: string, peer: RTCPeerConnection, video: HTMLVideoElement}>} */
  tiles = new Map();
  /** Every m-line's video. @type {Map<string, any>} */
  lines = new Map();
  /** Events of Socket.IO, the newest of each name. @type {Record<string, any>} */
  told = {};
  /** Messages of data channels. @type {any[]} */
  messages = [];

  devices() { return ask('GET', '/devices/'); }

  /** @param {string} device */
  sensors(device) { return ask('GET', `/devices/${device}/sensors/`); }

  /** Starts a stream of a sensor as the viewer's button does. @param {string} device @param {string} sensor @param {any} config */
  start(device, sensor, config) { return ask('POST', `/devices/${device}/sensors/${sensor}/start`, { configs: [config] }); }

  /** @param {string} device @param {string} sensor */
  stop(device, sensor) { return ask('POST', `/devices/${device}/sensors/${sensor}/stop`); }

  /** @param {string} device @param {string} sensor */
  status(device, sensor) { return ask('GET', `/devices/${device}/sensors/${sensor}/status`); }

  /** Watches streams. @param {string} device @param {string[]} streams @param {object} [more] of the request */
  async watch(device, streams, more = {}) {
    const offer = await ask('POST', '/webrtc/offer/', { device_id: device, stream_types: streams, ...more });
    const peer = new RTCPeerConnection();
    peer.ontrack = ({ track, transceiver }) => {
      // m-lines are counted with the one of data, which has no transceiver.
      const mids = [...peer.remoteDescription.sdp.matchAll(/^a=mid:(\S+)/gm)].map(([, mid]) => mid);
      const index = mids.indexOf(transceiver.mid);
      const stream = streams[index] ?? '';
      const video = document.createElement('video');
      Object.assign(video, { muted: true, autoplay: true, playsInline: true, srcObject: new MediaStream([track]) });
      video.dataset.stream = stream;
      document.body.append(video);
      const line = { session: offer.session_id, peer, video, index };
      this.lines.set(`${offer.session_id} ${index}`, line);
      if (stream) this.tiles.set(stream, line);
    };
    peer.ondatachannel = ({ channel }) => {
      channel.onmessage = ({ data }) => this.messages.push({ channel: channel.label, ...JSON.parse(data) });
    };
    peer.onicecandidate = ({ candidate }) => {
      if (!candidate) return;
      const { candidate: text, sdpMid, sdpMLineIndex } = candidate;
      ask('POST', '/webrtc/ice-candidates/', { session_id: offer.session_id, candidate: text, sdpMid, sdpMLineIndex });
    };
    await peer.setRemoteDescription({ type: 'offer', sdp: offer.sdp });
    await peer.setLocalDescription(await peer.createAnswer());
    await ask('POST', '/webrtc/answer/', { session_id: offer.session_id, sdp: peer.localDescription?.sdp, type: 'answer' });
    return offer;
  }

  /** Has a session carry other streams, without a new connection; answers a new offer where one comes. @param {string} session @param {object} change */
  async change(session, change) {
    const changed = await ask('PATCH', `/webrtc/sessions/${session}/`, change);
    const of = () => [...this.lines.values()].filter((line) => line.session === session);
    if (changed.sdp) {
      const { peer } = of()[0];
      await peer.setRemoteDescription({ type: changed.type, sdp: changed.sdp });
      await peer.setLocalDescription(await peer.createAnswer());
      await ask('POST', '/webrtc/answer/', { session_id: session, sdp: peer.localDescription?.sdp, type: 'answer' });
    }
    const peers = of();
    this.tiles.clear();
    for (const line of peers) line.video.dataset.stream = '';
    for (const { stream_type: stream, mline_index: index } of changed.streams) {
      const line = peers.find((known) => known.index === index);
      if (!line) throw new Error(`no m-line ${index}`);
      line.video.dataset.stream = stream;
      this.tiles.set(stream, line);
    }
    return changed;
  }

  /** Size and number of decoded pictures of a tile. @param {string} stream */
  async picture(stream) {
    const tile = this.tiles.get(stream);
    if (!tile) return null;
    const reports = [...(await tile.peer.getStats(tile.video.srcObject.getVideoTracks()[0])).values()];
    const decoded = reports.find((report) => report.type === 'inbound-rtp')?.framesDecoded ?? 0;
    return { width: tile.video.videoWidth, height: tile.video.videoHeight, decoded };
  }

  /** @param {string} stream */
  async leave(stream) {
    const tile = this.tiles.get(stream);
    if (!tile) return;
    this.tiles.delete(stream);
    tile.peer.close();
    tile.video.remove();
    await ask('DELETE', `/webrtc/sessions/${tile.session}/`);
  }

  /** Connects Socket.IO by its packets: Engine.IO 4 on a WebSocket. */
  listen() {
    const socket = new WebSocket(`${location.origin.replace('http', 'ws')}/socket/?EIO=4&transport=websocket`);
    socket.onmessage = ({ data }) => {
      if (data[0] === '0') socket.send('40');
      else if (data === '2') socket.send('3');
      else if (data.startsWith('42')) {
        const [name, content] = JSON.parse(data.slice(2));
        this.told[name] = content;
      }
    };
    this.socket = socket;
  }
}

window.viewer = new Viewer();
