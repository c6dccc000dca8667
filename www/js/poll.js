// Doing something again and again. Owns the timers.

/** A tab nobody sees asks this much more seldom, and at once when it is shown again. */
const HIDDEN_FACTOR = 4;

/**
 * Runs `work` now and again `everyMs` after it ended; a call of the result runs it at once (or once more, if it runs).
 * @param {() => Promise<unknown>} work @param {number} everyMs @param {number} [hiddenFactor] how much more seldom in a hidden tab
 * @returns {() => Promise<void>}
 */
export function poll(work, everyMs, hiddenFactor = HIDDEN_FACTOR) {
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
      timer = window.setTimeout(run, again ? 0 : everyMs * (document.hidden ? hiddenFactor : 1));
    }
  };
  document.addEventListener('visibilitychange', () => {
    if (!document.hidden) run();
  });
  run();
  return run;
}
