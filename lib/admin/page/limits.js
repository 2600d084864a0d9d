import { waitFor } from './actions.js';
import { call } from './api.js';
import { byId, make, say, setText } from './dom.js';
import { exact, readNumber } from './format.js';

/** The limits that can be moved. The server checks each value; its sentence is shown beside the field. */

const LABELS = /** @type {Record<string, string>} */ ({
  concurrency: 'Served at a time',
  'waiting.max': 'That may wait',
  'waiting.timeout': 'Longest wait',
  'perAddress.connections': 'From one address',
  'accepts.perSecond': 'Accepted in all',
  'accepts.perAddress.perSecond': 'Accepted from one address',
  idle: 'Without a byte',
  greeting: 'To the first byte',
  frame: 'For a whole frame',
  reply: 'For a reply',
});

/** @typedef {{ input: HTMLInputElement, wrong: HTMLElement, value: string, current: number | 'Infinity', isRate: boolean }} Field */
/** @type {Map<string, Field>} */
const fields = new Map();
const list = byId('limits', HTMLElement);

/** @param {{ name: string, value: number | 'Infinity', unit: string }} limit */
function add({ name, unit }) {
  const label = LABELS[name] ?? name;
  const id = `limit-${name.replaceAll('.', '-')}`;
  const input = make('input', {
    id,
    inputmode: unit === 'a second' ? 'decimal' : 'numeric',
    autocomplete: 'off',
    'aria-describedby': `${id}-unit ${id}-wrong`,
  });
  const wrong = make('p', { id: `${id}-wrong`, class: 'wrong', role: 'alert' });
  const set = make('button', { type: 'submit', 'aria-label': `Set ${label}` }, 'Set');
  const names = make('div', { class: 'limit-name' }, make('label', { for: id }, label), make('code', {}, name));
  const line = make(
    'div',
    { class: 'limit-line' },
    input,
    make('span', { class: 'unit', id: `${id}-unit` }, unit),
    set,
  );
  const form = make('form', { class: 'limit', novalidate: '' }, names, line, wrong);
  /** @type {Field} */
  const field = { input, wrong, value: '', current: 'Infinity', isRate: unit === 'a second' };
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    move(name, label, field);
  });
  fields.set(name, field);
  list.append(form);
  return field;
}

/** @param {string} name @param {string} label @param {Field} field */
async function move(name, label, field) {
  try {
    // What the page shows itself is clear, whatever it is.
    const isAsShown = field.input.value === field.value;
    const value = isAsShown ? field.current : readNumber(field.input.value, field.isRate);
    const { was, value: moved } = await waitFor(call('/limits/move', { name, value }));
    invalid(field, '');
    field.current = moved;
    field.value = shown(moved);
    field.input.value = field.value;
    say(`${label}: ${shown(was)} is now ${shown(moved)}`);
  } catch (error) {
    invalid(field, error instanceof Error ? error.message : String(error));
  }
}

/** @param {Field} field @param {string} sentence */
function invalid({ input, wrong }, sentence) {
  setText(wrong, sentence.replace(/^Cannot move a limit: (options\.|the body\.)?/, ''));
  if (sentence === '') input.removeAttribute('aria-invalid');
  else input.setAttribute('aria-invalid', 'true');
}

/** @param {number | 'Infinity' | 'share'} value */
const shown = (value) => (typeof value === 'number' ? exact(value) : value);

/** @param {any[]} limits */
export function showLimits(limits) {
  for (const limit of limits) {
    const field = fields.get(limit.name) ?? add(limit);
    const value = shown(limit.value);
    field.current = limit.value;
    if (value === field.value) continue;
    // One that is being edited is left alone.
    if (field.input.value === field.value) field.input.value = value;
    field.value = value;
  }
  if (limits.length === 0) setText(list, 'This server has none that can be moved while it runs.');
}
