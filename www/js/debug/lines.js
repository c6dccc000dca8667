// Lines of a log: their level, and what is new since the last look. Pure.

const LEVEL = /^.{0,60}?\b(ERROR|WARN|INFO|DEBUG|TRACE)\b/i;

/** @param {string} line @returns {'error'|'warn'|'info'|'debug'|'trace'|''} "" for a line that goes on from the one above */
export function levelOf(line) {
  return /** @type {ReturnType<typeof levelOf>} what the expression can find */ ((LEVEL.exec(line)?.[1] ?? '').toLowerCase());
}

/** @param {string} text @returns {string[]} */
export function linesOf(text) {
  return text === '' ? [] : text.replace(/\n$/, '').split('\n');
}

/**
 * How a list of the newest lines follows from an older one: lines go at its beginning and come at its end.
 * @param {string[]} before @param {string[]} after
 * @returns {{drop: number, add: string[]}}
 */
export function whatIsNew(before, after) {
  for (let drop = 0; drop < before.length; drop += 1) {
    const kept = before.length - drop;
    if (kept <= after.length && before[drop] === after[0] && before.every((line, i) => i < drop || line === after[i - drop])) {
      return { drop, add: after.slice(kept) };
    }
  }
  return { drop: before.length, add: after };
}
