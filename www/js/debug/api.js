// The routes for looking inside, as functions. Owns addresses only.

import { queryText } from '../address.js';
import { Api } from '../api.js';

/**
 * @template {keyof import('realsense-webrtc/api').operations} Name
 * @typedef {import('../api.js').Answer<Name>} Answer
 */

/** Writing an archive of everything takes longer than an answer. */
const BUNDLE_TIMEOUT_MS = 30000;
/** A reload is answered once the streams run the new text. */
const RELOAD_TIMEOUT_MS = 30000;

/** A query of what is not empty. @param {Record<string, string|number>} wanted @returns {string} "?a=b", or "" */
function query(wanted) {
  const params = new URLSearchParams();
  for (const [name, value] of Object.entries(wanted)) if (value !== '' && value !== 0) params.set(name, String(value));
  return queryText(params);
}

/** One server's API, with the part for debugging. */
export class DebugApi extends Api {
  /** @param {string} device @param {{session?: string, measure?: number}} wanted measure: seconds to go on measuring @returns {Answer<'graph'>} */
  graph(device, { session = '', measure = 0 }) {
    return this.request('GET', `debug/graph/${encodeURIComponent(device)}.json${query({ session, measure })}`);
  }

  /** Where a browser fetches the graph. @param {string} device @param {string} session @param {'json'|'svg'|'dot'} form */
  graphUrl(device, session, form) {
    return this.#url(`debug/graph/${encodeURIComponent(device)}.${form}`, { session });
  }

  metricsUrl() {
    return this.#url('metrics', {});
  }

  /** @param {string} path @param {Record<string, string>} wanted */
  #url(path, wanted) {
    return new URL(path + query({ ...wanted, token: this.token }), this.base).href;
  }

  /** @param {string} pipeline "844212070924/color/h264" @param {string} element @returns {Answer<'element'>} */
  element(pipeline, element) {
    return this.request('GET', elementPath(pipeline, element));
  }

  /** @param {string} pipeline @param {string} element @param {Record<string, unknown>} values @param {string} token the admin's @returns {Answer<'set_element'>} */
  setProperties(pipeline, element, values, token) {
    return this.request('PATCH', elementPath(pipeline, element), values, { token: token || this.token });
  }

  /** @returns {Answer<'list_pipelines'>} */
  pipelines() {
    return this.request('GET', 'pipelines');
  }

  /** @param {string} name @returns {Answer<'reload_pipeline'>} */
  reload(name) {
    return this.request('POST', `pipelines/${encodeURIComponent(name)}/reload`, undefined, { timeoutMs: RELOAD_TIMEOUT_MS });
  }

  /** @param {{session?: string, device?: string, stream?: string, level?: string, source?: string, lines?: number}} wanted @returns {Promise<string>} */
  logs(wanted) {
    return this.request('GET', `debug/logs${query(wanted)}`, undefined, { as: 'text' });
  }

  /** @returns {Answer<'get_log_levels'>} */
  logLevels() {
    return this.request('GET', 'debug/log-levels');
  }

  /** @param {import('../api.js').Asked<'set_log_levels'>} levels @param {string} token the admin's @returns {Answer<'set_log_levels'>} */
  setLogLevels(levels, token) {
    return this.request('PUT', 'debug/log-levels', levels, { token: token || this.token });
  }

  /** @returns {Promise<Blob>} */
  bundle() {
    return this.request('GET', 'debug/bundle', undefined, { as: 'blob', timeoutMs: BUNDLE_TIMEOUT_MS });
  }

  /** @returns {Promise<string>} Prometheus' text */
  metrics() {
    return this.request('GET', 'metrics', undefined, { as: 'text' });
  }
}

/** @param {string} pipeline @param {string} element */
function elementPath(pipeline, element) {
  return `debug/elements/${[...pipeline.split('/'), element].map(encodeURIComponent).join('/')}`;
}
