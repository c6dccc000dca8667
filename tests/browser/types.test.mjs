// The pages' scripts against the API's types, and those types against the server's own document. Needs the program, no browser.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { FILE, generate } from './types/generate.mjs';

const root = fileURLToPath(new URL('../../', import.meta.url));
const tsc = fileURLToPath(new URL('node_modules/typescript/bin/tsc', import.meta.url));

describe('types', () => {
  it('are those of the server', async () => {
    const now = readFileSync(FILE, 'utf8');
    assert.ok(now === await generate(), `${path.relative(root, FILE)} is not what the server's OpenAPI document gives. \`npm --prefix tests/browser run types\` writes it anew.`);
  });

  it('hold in the scripts of the pages', () => {
    const { status, stdout, stderr } = spawnSync(process.execPath, [tsc, '--project', root, '--pretty', 'false'], { cwd: root, encoding: 'utf8' });
    assert.equal(status, 0, `${stdout}${stderr}`);
  });
});
