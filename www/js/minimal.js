// The smallest viewer: one stream of the first camera. Copy it to begin your own page.
// minimal.html?device=SERIAL&stream=depth picks another, token=… is for servers that ask for one; nothing here but the HTTP API and WebRTC is used.

const query = new URLSearchParams(location.search);
const status = document.getElementById('status');
const video = document.getElementById('video');
const token = query.get('token');
const authorization = token ? { Authorization: `Bearer ${token}` } : {};
let session = null;

/** Calls the API; a refusal becomes an error with the server's own words. */
async function call(method, path, body) {
  const response = await fetch(`api/${path}`, {
    method,
    headers: { 'Content-Type': 'application/json', ...authorization },
    body: body && JSON.stringify(body),
  });
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.detail);
  return answer;
}

async function watch() {
  const device = query.get('device') ?? (await call('GET', 'devices/'))[0]?.device_id;
  if (!device) throw new Error('No camera is connected.');

  // 1. The server offers. Saying what this browser can receive, best first, lets the server choose a codec that suits it;
  //    H.264 comes first where there is a choice, because the server has it encoded already.
  const codecs = RTCRtpReceiver.getCapabilities('video').codecs.map((codec) => codec.mimeType);
  const offer = await call('POST', 'webrtc/offer', {
    device_id: device,
    stream_types: [query.get('stream') ?? 'color'],
    codecs: codecs.sort((a, b) => /h264/i.test(b) - /h264/i.test(a)),
  });
  session = offer.session_id;

  // 2. Show the track when it comes; send our candidates as they are found (before or after the answer).
  const pc = new RTCPeerConnection({ iceServers: await call('GET', 'webrtc/ice-servers') });
  pc.ontrack = ({ track }) => { video.srcObject = new MediaStream([track]); };
  pc.onicecandidate = ({ candidate }) => call('POST', 'webrtc/ice-candidates', {
    session_id: offer.session_id,
    candidate: candidate?.candidate ?? '',
    sdpMid: candidate?.sdpMid ?? null,
    sdpMLineIndex: candidate?.sdpMLineIndex ?? 0,
  }).catch(() => {});
  const ended = new Promise((resolve) => {
    pc.onconnectionstatechange = () => ['failed', 'closed'].includes(pc.connectionState) && resolve();
  });

  // 3. Answer.
  await pc.setRemoteDescription({ type: 'offer', sdp: offer.sdp });
  await pc.setLocalDescription(await pc.createAnswer());
  await call('POST', 'webrtc/answer', { session_id: offer.session_id, type: 'answer', sdp: pc.localDescription.sdp });
  await ended;
  pc.close();
  throw new Error('The connection ended.');
}

video.onplaying = () => { status.textContent = ''; };
addEventListener('pagehide', () => session && fetch(`api/webrtc/sessions/${session}`, { method: 'DELETE', keepalive: true, headers: authorization }));

// For ever: when it ends, say why and begin anew.
for (;;) {
  await watch().catch((error) => { status.textContent = error.message; });
  await new Promise((resolve) => { setTimeout(resolve, 2000); });
}
