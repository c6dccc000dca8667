// Writes api.d.ts from the server's own OpenAPI document, which the program prints without a server. Owns what of the document
// becomes types.
//   npm --prefix tests/browser run types     after a change of the API, once `cargo build` has built the program
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import openapiTS, { COMMENT_HEADER, astToString } from 'openapi-typescript';

const root = fileURLToPath(new URL('../../../', import.meta.url));
const program = process.env.REALSENSE_WEBRTC_BIN ?? `${root}target/debug/realsense-webrtc`;

/** The generated file. */
export const FILE = fileURLToPath(new URL('api.d.ts', import.meta.url));

/** What the file ought to be, as of the program that the browser tests use. @returns {Promise<string>} */
export async function generate() {
  const document = JSON.parse(execFileSync(program, ['openapi'], { encoding: 'utf8', maxBuffer: 64 * 1024 * 1024 }));
  // Refusals have the same bodies everywhere (ErrorBody, ValidationBody); at each route they would be three quarters of the file.
  for (const path of Object.values(document.paths)) {
    for (const { responses } of Object.values(path)) {
      for (const status of Object.keys(responses ?? {})) if (!status.startsWith('2')) delete responses[status];
    }
  }
  return COMMENT_HEADER + astToString(await openapiTS(document, { rootTypes: true, rootTypesNoSchemaPrefix: true }));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) writeFileSync(FILE, await generate());
