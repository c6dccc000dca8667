// A page behind a relay, written from the wire contract alone: it never meets the server but for WebRTC. Tests drive it by
// `window.viewer`.

export class RelayViewer {
  socket = globalThis.io();
  /** The newest event of each name. @type {Record<string, any>} */
  told = {};
  /** Messages of data channels. @type {any[]} */
  messages = [];
  /** By session. @type {Map<string, {peer: RTCPeerConnection, videos: HTMLVideoElement[]}>} */
  sessions = new Map();

  constructor() {
    this.socket.onAny((name, data) => { this.told[name] = data; });
    this.socket.on('webrtc-offer', ({ sessionId, offer }) => this.#answer(sessionId, offer));
    this.socket.on('ice-candidate', ({ sessionId, candidate }) => this.sessions.get(sessionId)?.peer.addIceCandidate(candidate));
    this.socket.on('session-closed', ({ sessionId }) => this.#end(sessionId));
  }

  /** @param {string} name @param {any} data */
  say(name, data) {
    delete this.told[name];
    this.socket.emit(name, data);
  }

  async #answer(sessionId, offer) {
    const peer = new RTCPeerConnection();
    const session = { peer, videos: [] };
    this.sessions.set(sessionId, session);
    peer.ontrack = ({ track }) => {
      const video = document.createElement('video');
      Object.assign(video, { muted: true, autoplay: true, playsInline: true, srcObject: new MediaStream([track]) });
      document.body.append(video);
      session.videos.push(video);
    };
    peer.ondatachannel = ({ channel }) => {
      channel.onmessage = ({ data }) => this.messages.push({ channel: channel.label, ...JSON.parse(data) });
    };
    peer.onicecandidate = ({ candidate }) => {
      if (candidate) this.socket.emit('ice-candidate', { sessionId, candidate });
    };
    await peer.setRemoteDescription(offer);
    await peer.setLocalDescription(await peer.createAnswer());
    const { sdp, type } = peer.localDescription;
    this.socket.emit('webrtc-answer', { sessionId, answer: { sdp, type } });
  }

  #end(sessionId) {
    const session = this.sessions.get(sessionId);
    this.sessions.delete(sessionId);
    session?.peer.close();
    for (const video of session?.videos ?? []) video.remove();
  }

  /** Leaves a session. @param {string} sessionId */
  leave(sessionId) {
    this.socket.emit('close-session', { sessionId });
    this.#end(sessionId);
  }

  /** Size and number of decoded pictures of a session's videos, and the mean colour below the frame strip. @param {string} sessionId */
  async pictures(sessionId) {
    const { peer, videos } = this.sessions.get(sessionId) ?? { peer: null, videos: [] };
    return Promise.all(videos.map(async (video) => {
      const reports = [...(await peer.getStats(video.srcObject.getVideoTracks()[0])).values()];
      const decoded = reports.find((report) => report.type === 'inbound-rtp')?.framesDecoded ?? 0;
      return { width: video.videoWidth, height: video.videoHeight, decoded, colours: colours(video) };
    }));
  }
}

/** How colourful a video's picture is: a mean of differences between red and blue. @param {HTMLVideoElement} video */
function colours(video) {
  const canvas = new OffscreenCanvas(64, 48);
  const context = canvas.getContext('2d');
  context.drawImage(video, 0, 0, 64, 48);
  const { data } = context.getImageData(0, 8, 64, 40);
  let sum = 0;
  for (let at = 0; at < data.length; at += 4) sum += Math.abs(data[at] - data[at + 2]);
  return sum / (data.length / 4);
}

window.viewer = new RelayViewer();
