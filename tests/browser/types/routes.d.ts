// What a route takes and what it gives, by the name of its operation in the OpenAPI document. Owns no shape: those are generated.

import type { operations } from './api';

/** The body of a route's success. */
export type Answer<Name extends keyof operations> =
  operations[Name] extends { responses: { 200: { content: { 'application/json': infer Body } } } } ? Body : never;

/** The body that a route asks for. */
export type Asked<Name extends keyof operations> =
  operations[Name] extends { requestBody?: { content: { 'application/json': infer Body } } } ? Body : never;
