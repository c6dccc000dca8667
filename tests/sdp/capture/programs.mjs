// Lets a stack answer in a program of its own, so that one which hangs or crashes takes nothing with it. Owns the protocol: the
// program gets the variant as its argument and on its input one line with the offer as JSON; it says one line with {version, sdp},
// then for every further line what it has received, {state, packets, frames}, by the id of the m-line; it ends with its input.
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

import { PATIENCE_MS } from '../../browser/helper.mjs';

const here = fileURLToPath(new URL('.', import.meta.url));

/** @param {string} command @param {string[]} args @param {Record<string, string>} [env] */
export function program(command, args, env = {}) {
  return {
    async answer(offer, variant) {
      const child = spawn(command, [...args, variant], { cwd: here, env: { ...process.env, ...env }, stdio: ['pipe', 'pipe', 'pipe'] });
      let complaints = '';
      child.stderr.setEncoding('utf8').on('data', (text) => { complaints += text; });
      child.stdin.on('error', (error) => { complaints += `${error}\n`; });
      const ended = new Promise((resolve) => {
        child.on('error', (error) => { complaints += `${error}\n`; resolve(undefined); });
        child.on('close', resolve);
      });
      const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
      const ask = async (line) => {
        child.stdin.write(`${JSON.stringify(line)}\n`);
        let timer;
        const late = new Promise((resolve) => { timer = setTimeout(resolve, PATIENCE_MS, { late: true }); });
        const reply = await Promise.race([lines.next(), late]);
        clearTimeout(timer);
        if (reply.late || reply.done) {
          child.kill('SIGKILL');
          throw new Error(`${command} ${args.join(' ')} ${reply.late ? 'does not reply' : 'has ended'}:\n${complaints}`);
        }
        return JSON.parse(reply.value);
      };
      return {
        ...await ask(offer),
        seen: () => ask('received'),
        async close() {
          child.stdin.end();
          const timer = setTimeout(() => child.kill('SIGKILL'), 5000);
          await ended;
          clearTimeout(timer);
        },
      };
    },
    async end() {},
  };
}

export const stacks = {
  werift: () => program(process.execPath, ['werift.mjs']),
  libdatachannel: () => program(process.execPath, ['libdatachannel.mjs']),
  // Debian's Python has GStreamer's bindings, another one that stands before it in PATH has not.
  gstreamer: () => program('/usr/bin/python3', ['gstreamer_answers.py']),
  aiortc: () => {
    if (!process.env.AIORTC) throw new Error('AIORTC must name a folder with aiortc in it; scripts/get_aiortc.sh makes one and prints it.');
    return program('python3', ['aiortc_answers.py'], { PYTHONPATH: process.env.AIORTC });
  },
};
