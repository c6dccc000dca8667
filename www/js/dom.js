// Small helpers around the DOM. Owns no state and knows nothing of cameras.

/** @param {string} id @returns {HTMLElement} the element with this id, which the page is known to have */
export function byId(id) {
  const found = document.getElementById(id);
  if (!found) throw new Error(`The page lacks #${id}`);
  return found;
}

/**
 * Makes an element. Properties that start with `aria-`, `data-` or that the element lacks become attributes.
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Record<string, unknown>} [properties]
 * @param {...(Node|string|null|undefined)} children
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export function el(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null) continue;
    if (name === 'class') node.className = String(value);
    else if (name.startsWith('on')) node.addEventListener(name.slice(2), /** @type {EventListener} */ (value));
    else if (name in node && !name.includes('-')) Object.assign(node, { [name]: value });
    else node.setAttribute(name, String(value));
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

/** @param {Element|null} node whose children `el` made @returns {HTMLElement[]} those */
export function childrenOf(node) {
  return /** @type {HTMLElement[]} */ ([...(node?.children ?? [])]);
}

/** @param {string} name a symbol of img/icons.svg @returns {SVGSVGElement} */
export function icon(name) {
  const ns = 'http://www.w3.org/2000/svg';
  const svg = document.createElementNS(ns, 'svg');
  svg.setAttribute('aria-hidden', 'true');
  const use = document.createElementNS(ns, 'use');
  use.setAttribute('href', `img/icons.svg#${name}`);
  svg.append(use);
  return svg;
}

/** Writes text only when it changed, so that live regions speak only news. @param {Element} node @param {string} text */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Shows `text` in `node`, or hides the node when there is none. @param {HTMLElement} node @param {string} text */
export function showText(node, text) {
  setText(node, text);
  node.hidden = text === '';
}

/**
 * Marks a button as not usable now without taking the focus from it, as `disabled` would.
 * @param {Element} button @param {boolean} off
 */
export function setOff(button, off) {
  if (off) button.setAttribute('aria-disabled', 'true');
  else button.removeAttribute('aria-disabled');
}

/** @param {Element} button @returns {boolean} whether `setOff` turned it off */
export const isOff = (button) => button.getAttribute('aria-disabled') === 'true';

/**
 * Makes a container's children match a list, keeping the elements (and the focus in them) of items that stay.
 * @template T @template {HTMLElement|SVGElement} Node
 * @param {Element} container holds what this function put there, and nothing else
 * @param {T[]} items
 * @param {(item: T) => string} key
 * @param {(item: T) => Node} create
 * @param {(node: Node, item: T) => void} update
 */
export function reconcile(container, items, key, create, update) {
  /** @type {Map<string|undefined, Node>} */
  const old = new Map();
  for (const child of /** @type {Iterable<Node>} */ (/** @type {unknown} */ (container.children))) old.set(child.dataset.key, child);
  let place = container.firstElementChild;
  for (const item of items) {
    const id = key(item);
    let node = old.get(id);
    old.delete(id);
    if (!node) {
      node = create(item);
      node.dataset.key = id;
    }
    update(node, item);
    if (node === place) place = node.nextElementSibling;
    else container.insertBefore(node, place);
  }
  for (const gone of old.values()) gone.remove();
}
