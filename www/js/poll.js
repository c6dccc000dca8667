// Doing something again and again. Owns the timers.

/** A tab nobody sees asks this much more seldom. */
const HIDDEN_FACTOR = 4;

/**
 * Runs `work` now and again `everyMs` after it ended; a call of the result runs it at once (or once more, if it runs).
 * @param {() => Promise<void>} work @param {number} everyMs @returns {() => Promise<void>}
 */
export function poll(work, everyMs) {
  let timer = 0;
  let running = false;
  let again = false;
  const run = async () => {
    clearTimeout(timer);
    again = running;
    if (running) return;
    running = true;
    try {
      await work();
    } finally {
      running = false;
      timer = window.setTimeout(run, again ? 0 : everyMs * (document.hidden ? HIDDEN_FACTOR : 1));
    }
  };
  run();
  return run;
}
