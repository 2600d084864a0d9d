/** Access to the page. Text from the server is only ever set as text, never as HTML. */

/**
 * @template {HTMLElement} T
 * @param {string} id
 * @param {new () => T} type
 * @returns {T}
 */
export function byId(id, type) {
  const found = document.getElementById(id);
  if (!(found instanceof type)) throw new Error(`There is no ${type.name} #${id}`);
  return found;
}

/**
 * Makes an element.
 *
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {Record<string, string>} [attributes]
 * @param {...(Node | string)} children
 * @returns {HTMLElementTagNameMap[K]}
 */
export function make(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

/**
 * A screen reader and a selection notice a text that is replaced by the same one.
 *
 * @param {Element} element
 * @param {string} text
 */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/**
 * @param {Element} element
 * @param {string} name
 * @param {string} value
 */
export function setAttribute(element, name, value) {
  if (element.getAttribute(name) !== value) element.setAttribute(name, value);
}

/**
 * Makes the children of an element those that are given, in that order. Elements that stay keep the focus.
 *
 * @param {Element} parent
 * @param {readonly Element[]} wanted
 * @param {HTMLElement} fallback What is focused if the focused one is gone.
 */
export function arrange(parent, wanted, fallback) {
  const focused = document.activeElement;
  const had = focused !== null && parent.contains(focused);
  const kept = new Set(wanted);
  for (const child of [...parent.children]) if (!kept.has(child)) child.remove();
  let at = parent.firstElementChild;
  for (const one of wanted) {
    if (one === at) at = at.nextElementSibling;
    else parent.insertBefore(one, at);
  }
  if (!had || document.activeElement === focused) return;
  // One that was moved has lost the focus; one that is gone gives it to the heading, not to the next button by chance.
  if (focused instanceof HTMLElement && parent.contains(focused)) focused.focus({ preventScroll: true });
  else fallback.focus({ preventScroll: true });
}

const said = byId('said', HTMLElement);
/** @type {ReturnType<typeof setTimeout> | undefined} */
let silence;

/**
 * Says something that has happened once, for eyes and screen readers. Figures are never said.
 *
 * @param {string} sentence
 */
export function say(sentence) {
  clearTimeout(silence);
  said.textContent = sentence;
  said.classList.add('is-shown');
  silence = setTimeout(() => said.classList.remove('is-shown'), 6000);
}
