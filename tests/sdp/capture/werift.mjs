// Answers as werift does and counts what comes in. Variants: "h264" asks for H.264, where werift by itself has VP8 only; "no-bundle"
// gives every m-line a transport of its own.
import { RTCPeerConnection, useH264 } from 'werift';
import { packageVersion, talk } from './talk.mjs';

const packets = {};
let peer;

async function answer(offer, variant) {
  peer = new RTCPeerConnection({
    iceServers: [],
    ...(variant === 'h264' ? { codecs: { video: [useH264()] } } : {}),
    ...(variant === 'no-bundle' ? { bundlePolicy: 'disable' } : {}),
  });
  peer.onRemoteTransceiverAdded.subscribe((transceiver) => {
    transceiver.onTrack.subscribe((track) => {
      track.onReceiveRtp.subscribe(() => { packets[transceiver.mid] = (packets[transceiver.mid] ?? 0) + 1; });
    });
  });
  await peer.setRemoteDescription({ type: 'offer', sdp: offer });
  await peer.setLocalDescription(await peer.createAnswer());
  return { version: `werift ${packageVersion('werift')}`, sdp: peer.localDescription.sdp };
}

await talk(answer, () => ({ state: peer.connectionState, packets }));
