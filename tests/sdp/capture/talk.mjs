// The programs' side of the protocol that programs.mjs describes.
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';

/** The version of an installed package; its own exports do not give it to an import. @param {string} name */
export function packageVersion(name) {
  return JSON.parse(readFileSync(new URL(`node_modules/${name}/package.json`, import.meta.url), 'utf8')).version;
}

/**
 * @param {(offer: string, variant: string) => Promise<{version: string, sdp: string}>} answer
 * @param {() => {state: string, packets: Record<string, number>}} received
 */
export async function talk(answer, received) {
  const [variant = ''] = process.argv.slice(2);
  let answered = false;
  for await (const line of createInterface({ input: process.stdin })) {
    const reply = answered ? received() : await answer(JSON.parse(line), variant);
    answered = true;
    process.stdout.write(`${JSON.stringify(reply)}\n`);
  }
  process.exit(0);
}
