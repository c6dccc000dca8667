// The smallest viewer: one stream of the first camera. Copy it to begin your own page.
// minimal.html?device=SERIAL&stream=depth picks another, token=… is for servers that ask for one; nothing here but the HTTP API and WebRTC is used.

const query = new URLSearchParams(location.search);
const status = /** @type {HTMLElement} */ (document.getElementById('status'));
const video = /** @type {HTMLVideoElement} */ (document.getElementById('video'));
const token = query.get('token');
/** @type {Record<string, string>} */
const authorization = token ? { Authorization: `Bearer ${token}` } : {};
/** @type {string|null} */
let session = null;

/**
 * Calls the API; a refusal becomes an error with the server's own words.
 * @param {string} method @param {string} path @param {unknown} [body]
 */
async function call(method, path, body) {
  const response = await fetch(`api/${path}`, {
    method,
    headers: { 'Content-Type': 'application/json', ...authorization },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.detail);
  return answer;
}

/** Says good-bye, so that the camera can stop at once; with keepalive it outlives the page. */
function leave() {
  if (session) fetch(`api/webrtc/sessions/${session}`, { method: 'DELETE', keepalive: true, headers: authorization }).catch(() => {});
  session = null;
}

async function watch() {
  const device = query.get('device') ?? (await call('GET', 'devices/'))[0]?.device_id;
  if (!device) throw new Error('No camera is connected.');
  const pc = new RTCPeerConnection({ iceServers: await call('GET', 'webrtc/ice-servers') });
  try {
    // 1. The server offers. Saying what this browser can receive, best first, lets the server choose a codec that suits it;
    //    H.264 comes first where there is a choice, because the server has it encoded already. Not every browser tells.
    const codecs = RTCRtpReceiver.getCapabilities?.('video')?.codecs.map((codec) => codec.mimeType);
    const offer = await call('POST', 'webrtc/offer', {
      device_id: device,
      stream_types: [query.get('stream') ?? 'color'],
      codecs: codecs?.sort((a, b) => Number(/h264/i.test(b)) - Number(/h264/i.test(a))),
    });
    session = offer.session_id;

    // 2. Show the track when it comes; send our candidates as they are found (before or after the answer).
    pc.ontrack = ({ track }) => { video.srcObject = new MediaStream([track]); };
    pc.onicecandidate = ({ candidate }) => call('POST', 'webrtc/ice-candidates', {
      session_id: offer.session_id,
      candidate: candidate?.candidate ?? '',
      sdpMid: candidate?.sdpMid ?? null,
      sdpMLineIndex: candidate?.sdpMLineIndex ?? 0,
    }).catch(() => {});

    // 3. Answer.
    await pc.setRemoteDescription({ type: 'offer', sdp: offer.sdp });
    const answer = await pc.createAnswer();
    await pc.setLocalDescription(answer);
    await call('POST', 'webrtc/answer', { session_id: offer.session_id, type: 'answer', sdp: answer.sdp });

    // 4. Wait for the end. The server's good-bye closes the encryption at once; the connection's own state tells of it up to
    //    20 s later only, but it also tells of a network that went.
    const { transport } = pc.getReceivers()[0];
    await new Promise((resolve) => {
      const look = () => [pc.connectionState, pc.iceConnectionState, transport?.state].some((state) => state === 'failed' || state === 'closed') && resolve(undefined);
      pc.onconnectionstatechange = pc.oniceconnectionstatechange = look;
      if (transport) transport.onstatechange = look;
      look();
    });
  } finally {
    // Whatever step threw: nothing stays open, here or at the server.
    pc.close();
    leave();
  }
}

video.onplaying = () => { status.textContent = ''; };
addEventListener('pagehide', leave);

// For ever: when it ends, begin anew; when it cannot begin, say why and wait a little longer.
for (;;) {
  const [text, wait] = await watch().then(() => ['The connection ended.', 500], (error) => [error.message, 2000]);
  status.textContent = text;
  await new Promise((resolve) => { setTimeout(resolve, wait); });
}
