// Reads and cleans SDP as text. Owns what of this machine may not stand in a kept file, and what two offers may differ in.
import { hostname, networkInterfaces } from 'node:os';

/** Addresses for documentation (RFC 5737, RFC 3849) in place of this machine's, each the same wherever it stands. */
const STAND_INS = new Map();
const FOR_DOCUMENTATION = /^(192\.0\.2\.|2001:db8:)/;
for (const { address, family, internal } of Object.values(networkInterfaces()).flat()) {
  const plain = address.split('%')[0];
  if (internal || STAND_INS.has(plain)) continue;
  const number = 2 + [...STAND_INS.values()].filter((known) => known.includes(':') === (family === 'IPv6')).length;
  STAND_INS.set(plain, family === 'IPv6' ? `2001:db8::${number}` : `192.0.2.${number}`);
}

/** The SDP with documentation addresses for this machine's; it fails where something of the machine is left. */
export function clean(sdp) {
  const words = sdp.split(/\r?\n/).filter(Boolean).map((line) => line.split(' ').map((word) => STAND_INS.get(word.toLowerCase()) ?? word).join(' '));
  const text = `${words.join('\n')}\n`;
  const addresses = [...STAND_INS.keys()].filter((address) => !FOR_DOCUMENTATION.test(address));
  for (const own of [...addresses, `@${hostname()}`]) {
    if (text.includes(own)) throw new Error(`'${own}' of this machine is left in an SDP that was to be kept:\n${text}`);
  }
  return text;
}

/** What has to be the same in every offer of as many streams: all but what a session makes up, and the machine's addresses. */
export function shape(offer) {
  return offer.split(/\r?\n/).filter((line) => line && !line.startsWith('a=candidate:')).map((line) => line
    .replace(/^o=.*/, 'o=')
    .replace(/^(a=ice-ufrag:|a=ice-pwd:|a=fingerprint:sha-256 ).*/, '$1')
    .replace(/^a=ssrc:\d+/, 'a=ssrc:')
    .replace(/^a=ssrc-group:FID \d+ \d+/, 'a=ssrc-group:FID')
    .replace(/cname:\S+/, 'cname:')
    .replace(/msid:[0-9a-f-]{36} /, 'msid: ')).join('\n');
}

/** The ids of the m-lines for which an answer takes pictures. */
export function liveMids(answer) {
  const parts = answer.split(/\r?\nm=/).slice(1);
  const live = parts.filter((part) => !/^\w+ 0 /.test(part) && !/^a=inactive/m.test(part));
  return live.map((part) => part.match(/^a=mid:(\S+)/m)[1]);
}
