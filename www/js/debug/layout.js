// Where the elements of a pipeline are drawn: columns by the flow, rows so that lines are short and nothing overlaps. Pure.

/** Units of the drawing, pixels at its natural size. */
const GAP_X = 20;
const GAP_Y = 8;
const MARGIN = 4;
const SWEEPS = 6;

/**
 * Puts boxes of these heights as near to where they want to be as their order and the gap allow (least squares: those that
 * would overlap move together).
 * @param {number[]} wanted middles, in the order in which they are to stand @param {number[]} heights @param {number} gap
 * @returns {number[]} middles
 */
export function spread(wanted, heights, gap) {
  // With the distances from the first one taken off, "not nearer than" becomes "not less than the one before".
  /** @type {number[]} */
  const offsets = [];
  for (let i = 0; i < heights.length; i += 1) offsets.push(i === 0 ? 0 : offsets[i - 1] + (heights[i - 1] + heights[i]) / 2 + gap);
  /** @type {{sum: number, count: number}[]} */
  const blocks = [];
  for (let i = 0; i < wanted.length; i += 1) {
    blocks.push({ sum: wanted[i] - offsets[i], count: 1 });
    while (blocks.length > 1) {
      const [a, b] = blocks.slice(-2);
      if (a.sum / a.count <= b.sum / b.count) break;
      blocks.splice(-2, 2, { sum: a.sum + b.sum, count: a.count + b.count });
    }
  }
  return blocks.flatMap(({ sum, count }) => Array(count).fill(sum / count)).map((middle, i) => middle + offsets[i]);
}

/**
 * The links without those that lead back to where the flow came from: there RTCP goes round in circles.
 * @param {string[]} names @param {Link[]} links
 */
function withoutCircles(names, links) {
  const onward = new Map(names.map((name) => [name, /** @type {Link[]} */ ([])]));
  for (const link of links) onward.get(link.from)?.push(link);
  const state = new Map();
  const back = new Set();
  const visit = (/** @type {string} */ name) => {
    state.set(name, 'open');
    for (const link of onward.get(name) ?? []) {
      if (state.get(link.to) === 'open') back.add(link);
      else if (!state.has(link.to)) visit(link.to);
    }
    state.set(name, 'done');
  };
  for (const name of names) if (!state.has(name)) visit(name);
  return links.filter((link) => !back.has(link));
}

/** The column of each element: one more than the furthest that leads to it. @param {string[]} names @param {Link[]} links */
function columns(names, links) {
  const column = new Map(names.map((name) => [name, 0]));
  const forward = withoutCircles(names, links);
  for (let moved = true; moved;) {
    moved = false;
    for (const { from, to } of forward) {
      const next = (column.get(from) ?? 0) + 1;
      if ((column.get(to) ?? 0) >= next) continue;
      column.set(to, next);
      moved = true;
    }
  }
  return column;
}

/**
 * @typedef {{from: string, to: string}} Link
 * @typedef {{name: string, width: number, height: number}} Box
 * @typedef {{name: string, x: number, y: number, width: number, height: number, column: number}} Placed
 */

/**
 * @param {Box[]} boxes in the order of the flow @param {Link[]} links
 * @returns {{nodes: Map<string, Placed>, width: number, height: number}}
 */
export function layOut(boxes, links) {
  const known = new Map(boxes.map((box) => [box.name, box]));
  const inner = links.filter(({ from, to }) => known.has(from) && known.has(to));
  const column = columns(boxes.map((box) => box.name), inner);
  /** @type {Box[][]} */
  const grid = [];
  for (const box of boxes) (grid[column.get(box.name) ?? 0] ??= []).push(box);
  const middle = new Map(boxes.map((box) => [box.name, 0]));
  const neighbours = (/** @type {string} */ name, /** @type {keyof Link} */ side, /** @type {keyof Link} */ other) => inner.filter((link) => link[side] === name).map((link) => middle.get(link[other]) ?? 0);
  for (let sweep = 0; sweep < SWEEPS; sweep += 1) {
    const forward = sweep % 2 === 0;
    for (const boxesOfColumn of forward ? grid : [...grid].reverse()) {
      const wanted = boxesOfColumn.map((box) => {
        const all = forward ? neighbours(box.name, 'to', 'from') : neighbours(box.name, 'from', 'to');
        return all.length > 0 ? all.reduce((a, b) => a + b) / all.length : middle.get(box.name) ?? 0;
      });
      // Equal wishes keep the order of the flow: sorting is stable.
      const order = boxesOfColumn.map((_, i) => i).sort((a, b) => wanted[a] - wanted[b]);
      const placed = spread(order.map((i) => wanted[i]), order.map((i) => boxesOfColumn[i].height), GAP_Y);
      order.forEach((i, at) => middle.set(boxesOfColumn[i].name, placed[at]));
    }
  }
  const top = Math.min(0, ...boxes.map((box) => (middle.get(box.name) ?? 0) - box.height / 2));
  /** @type {Map<string, Placed>} */
  const nodes = new Map();
  let x = MARGIN;
  let height = 0;
  grid.forEach((boxesOfColumn, index) => {
    const width = Math.max(...boxesOfColumn.map((box) => box.width));
    for (const box of boxesOfColumn) {
      const y = (middle.get(box.name) ?? 0) - box.height / 2 - top + MARGIN;
      nodes.set(box.name, { name: box.name, x, y, width: box.width, height: box.height, column: index });
      height = Math.max(height, y + box.height);
    }
    x += width + GAP_X;
  });
  return { nodes, width: Math.max(0, x - GAP_X) + MARGIN, height: height + MARGIN };
}

/** The line from one box to another, also back to one further left. @param {Placed} from @param {Placed} to @returns {string} for a path's `d` */
export function curve(from, to) {
  const [x1, y1] = [from.x + from.width, from.y + from.height / 2];
  const [x2, y2] = [to.x, to.y + to.height / 2];
  const bend = Math.max(12, Math.abs(x2 - x1) / 2);
  const n = (/** @type {number} */ value) => Number(value.toFixed(1));
  return Math.abs(y1 - y2) < 0.5 ? `M${n(x1)} ${n(y1)}H${n(x2)}` : `M${n(x1)} ${n(y1)}C${n(x1 + bend)} ${n(y1)} ${n(x2 - bend)} ${n(y2)} ${n(x2)} ${n(y2)}`;
}

/**
 * The box that lies next in a direction.
 * @param {{x: number, y: number, width: number, height: number}[]} boxes @param {number} at index of the one to leave
 * @param {'ArrowLeft'|'ArrowRight'|'ArrowUp'|'ArrowDown'} key @returns {number} its index, or `at` where there is none
 */
export function nextBox(boxes, at, key) {
  const centre = (/** @type {{x: number, y: number, width: number, height: number}} */ box) => ({ x: box.x + box.width / 2, y: box.y + box.height / 2 });
  const here = centre(boxes[at]);
  let best = at;
  let least = Number.POSITIVE_INFINITY;
  boxes.forEach((box, i) => {
    const there = centre(box);
    const [dx, dy] = [there.x - here.x, there.y - here.y];
    const ahead = { ArrowLeft: -dx, ArrowRight: dx, ArrowUp: -dy, ArrowDown: dy }[key];
    const aside = key === 'ArrowLeft' || key === 'ArrowRight' ? Math.abs(dy) : Math.abs(dx);
    if (i === at || ahead < 1) return;
    const cost = ahead + 2 * aside;
    if (cost < least) [best, least] = [i, cost];
  });
  return best;
}
