// Answers as libdatachannel does, by node-datachannel, and counts what comes in. Variant "codecs" sets up a track with the formats it
// wants for each m-line, as libdatachannel's own examples do; without it the library mirrors what it is offered.
import library from 'node-datachannel';
import { packageVersion, talk } from './talk.mjs';

const packets = {};
/** Tracks end when nobody holds them. */
const tracks = [];
let peer;

/** libdatachannel hands out RTP and RTCP alike (RFC 5761, section 4, tells them apart). */
function isRtp(message) {
  const type = message[1] & 0x7f;
  return type < 64 || type > 95;
}

function take(track) {
  tracks.push(track);
  const mid = track.mid();
  track.setMediaHandler(new library.RtcpReceivingSession());
  track.onMessage((message) => { if (isRtp(message)) packets[mid] = (packets[mid] ?? 0) + 1; });
  track.onOpen(() => track.requestKeyframe());
}

async function answer(offer, variant) {
  peer = new library.PeerConnection('answers', { iceServers: [], disableAutoNegotiation: true });
  if (variant === 'codecs') {
    for (const [, mid] of offer.matchAll(/^a=mid:(\S+)/gm)) {
      const video = new library.Video(mid, 'RecvOnly');
      video.addH264Codec(96);
      take(peer.addTrack(video));
    }
  } else {
    peer.onTrack(take);
  }
  const gathered = new Promise((resolve) => { peer.onGatheringStateChange((state) => { if (state === 'complete') resolve(); }); });
  peer.setRemoteDescription(offer, 'offer');
  peer.setLocalDescription('answer');
  await gathered;
  const version = packageVersion('node-datachannel');
  return { version: `libdatachannel ${library.getLibraryVersion()} (node-datachannel ${version})`, sdp: peer.localDescription().sdp };
}

await talk(answer, () => ({ state: peer.state(), packets }));
