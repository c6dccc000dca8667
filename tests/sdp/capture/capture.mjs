// Lets other WebRTC stacks answer the real server's offers, sees that media arrives, and keeps the answers in tests/sdp, where Rust
// tests read them. Owns which stacks and variants there are, and the table in tests/sdp/README.md.
//   node capture.mjs [--check] [STACK…]     all stacks unless some are named; --check writes nothing
// scripts/capture_answers.sh installs what this needs and calls it.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { CAMERA, Server, until } from '../../browser/helper.mjs';
import * as browsers from './browsers.mjs';
import * as programs from './programs.mjs';
import { clean, liveMids, shape } from './text.mjs';

const folder = fileURLToPath(new URL('..', import.meta.url));
const manifest = `${folder}README.md`;
const STREAMS = ['color', 'depth'];
/** RTP packets that have to arrive for each stream: about a second of pictures. */
const ENOUGH = 100;

const REFUSED = 'refused';
const H264_ONLY = 'h264';
/**
 * The stacks with the variants of their answers; '' is the stack as it is by itself. `counts` are the numbers of streams that are
 * offered, `verdict` is what the server says to the answer, `offered` names the offer where it is not the usual one.
 */
const CASES = {
  chromium: [
    { variant: '', counts: [1, 2] },
    { variant: 'no-h264', counts: [1, 2] },
    { variant: 'first-inactive', counts: [2] },
    { variant: 'second-inactive', counts: [2] },
    { variant: 'first-refused', counts: [2], offered: H264_ONLY },
    { variant: 'second-refused', counts: [2], offered: H264_ONLY },
  ],
  firefox: [
    { variant: '', counts: [1, 2] },
    { variant: 'addresses', counts: [1, 2] },
    { variant: 'first-stopped', counts: [2] },
    { variant: 'second-stopped', counts: [2] },
    { variant: 'h264-offered', counts: [1], offered: H264_ONLY, verdict: REFUSED },
  ],
  aiortc: [{ variant: '', counts: [1, 2] }, { variant: 'first-inactive', counts: [2] }, { variant: 'second-inactive', counts: [2] }],
  gstreamer: [
    { variant: '', counts: [1, 2] },
    { variant: 'nack', counts: [1, 2] },
    { variant: 'no-bundle', counts: [1] },
    { variant: 'no-bundle', counts: [2], verdict: REFUSED },
  ],
  werift: [
    { variant: '', counts: [1, 2] },
    { variant: 'h264', counts: [1, 2] },
    { variant: 'no-bundle', counts: [1] },
    { variant: 'no-bundle', counts: [2], verdict: REFUSED },
  ],
  libdatachannel: [{ variant: '', counts: [1, 2] }, { variant: 'codecs', counts: [1, 2] }],
};

const all = { ...browsers.stacks, ...programs.stacks };
const args = process.argv.slice(2);
const check = args.includes('--check');
const named = args.filter((arg) => arg !== '--check');
for (const name of named) {
  if (!CASES[name]) throw new Error(`The stack ${name} is not known; there are ${Object.keys(CASES).join(', ')}.`);
}

/**
 * Keeps the offer that the answers are for, once: all offers of as many streams are alike but for what each session makes up.
 * @param {string} sdp @param {string} name of its file
 */
function keepOffer(sdp, name) {
  const file = `${folder}${name}`;
  const offer = clean(sdp);
  if (!existsSync(file) && !check) writeFileSync(file, offer);
  const kept = readFileSync(file, 'utf8');
  if (shape(kept) !== shape(offer)) {
    throw new Error(`The server's offer is no longer like tests/sdp/${name}. Delete tests/sdp/offer-*.sdp and capture all `
      + `answers anew, because a stack answers what it is offered. The offer is now:\n${offer}`);
  }
}

/** Lets one answer be given and says what became of it. */
async function one(server, stack, { variant, offered: which }, count, offerName) {
  const streams = STREAMS.slice(0, count);
  const codecs = which === H264_ONLY ? { codecs: ['video/H264'] } : {};
  const offered = await server.request('POST', 'webrtc/offer', { device_id: CAMERA, stream_types: streams, ...codecs });
  if (offered.status !== 200) throw new Error(`The server makes no offer: ${offered.status} ${JSON.stringify(offered.body)}`);
  const { session_id: session, sdp } = offered.body;
  keepOffer(sdp, offerName);
  const answered = await stack.answer(sdp, variant);
  try {
    const { status, body } = await server.request('POST', 'webrtc/answer', { session_id: session, sdp: answered.sdp, type: 'answer' });
    if (status !== 200) return { ...answered, verdict: REFUSED, outcome: `refused: ${status} ${body.detail}` };
    const mids = liveMids(answered.sdp);
    let seen;
    await until('media arrives', async () => {
      seen = await answered.seen();
      if (seen.state === 'failed') throw new Error('the connection has failed');
      return mids.every((mid) => seen.packets[mid] >= ENOUGH);
    }).catch((error) => { throw new Error(`${error.message}; the stack has seen ${JSON.stringify(seen)}\n${answered.sdp}`); });
    const { body: state } = await server.request('GET', `webrtc/sessions/${session}`);
    const live = state.stats.streams.filter((stream) => stream.packets_sent > 0).map((stream) => stream.stream_type);
    const expected = streams.filter((_, index) => mids.includes(`video${index}`));
    if (state.state !== 'connected' || String(live) !== String(expected)) {
      throw new Error(`The server is to send ${expected}, but says: ${JSON.stringify(state)}`);
    }
    const chosen = state.stats.streams.filter((stream) => stream.packets_sent > 0).map((stream) => stream.codec);
    const told = mids.map((mid, index) => {
      const frames = seen.frames?.[mid] === undefined ? '' : ` (${seen.frames[mid]} pictures)`;
      return `${expected[index]} ${chosen[index]} ${seen.packets[mid]} packets${frames}`;
    });
    return { ...answered, verdict: 'accepted', outcome: `connected, ${told.join(', ')}` };
  } finally {
    await answered.close();
    await server.request('DELETE', `webrtc/sessions/${session}`);
  }
}

/** Puts rows into the manifest's table in place of those of the same file. @param {Map<string, string>} rows */
function writeManifest(rows) {
  const [begin, end] = ['<!-- captured: written by capture.mjs -->\n', '<!-- end of captured -->'];
  const text = readFileSync(manifest, 'utf8');
  const [head, rest] = text.split(begin);
  const [table, tail] = rest.split(end);
  const known = new Map(table.split('\n').slice(2).filter(Boolean).map((row) => [row.match(/^\| `([^`]+)`/)[1], row]));
  for (const [file, row] of rows) known.set(file, row);
  const kept = [...known].filter(([file]) => existsSync(`${folder}${file}`)).map(([, row]) => row).sort();
  const lines = ['| answer | stack | captured | offer | what came of it |', '|---|---|---|---|---|', ...kept];
  writeFileSync(manifest, `${head}${begin}${lines.join('\n')}\n${end}${tail}`);
}

const rows = new Map();
const troubles = [];
const server = await Server.start();
try {
  for (const name of named.length ? named : Object.keys(CASES)) {
    const stack = all[name];
    for (const wanted of CASES[name]) {
      const { variant, counts, offered, verdict = 'accepted' } = wanted;
      // A browser's variant may need another profile of its own, so each is started anew.
      const run = stack();
      for (const count of counts) {
        const file = `${[name, variant].filter(Boolean).join('-')}-${count}.sdp`;
        const offer = `${['offer', offered].filter(Boolean).join('-')}-${count}.sdp`;
        try {
          const result = await one(server, run, wanted, count, offer);
          console.log(`${file}: ${result.version}: ${result.outcome}`);
          if (result.verdict !== verdict) troubles.push(`${file} is to be ${verdict}, but: ${result.outcome}`);
          if (!check) {
            writeFileSync(`${folder}${file}`, clean(result.sdp));
            const date = new Date().toISOString().slice(0, 10);
            rows.set(file, `| \`${file}\` | ${result.version} | ${date} | \`${offer}\` | ${result.outcome} |`);
          }
        } catch (error) {
          console.log(`${file}: ${error.message}`);
          troubles.push(`${file}: ${error.message.split('\n')[0]}`);
        }
      }
      await run.end();
    }
  }
} finally {
  if (rows.size) writeManifest(rows);
  const how = await server.stop();
  if (how !== 0) troubles.push(`the server ended with ${how}:\n${server.log}`);
}
for (const trouble of troubles) console.error(`failed: ${trouble}`);
process.exit(troubles.length ? 1 : 0);
