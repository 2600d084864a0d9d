import { abortOne, closeFoundNow, closeMany, drainOne } from './actions.js';
import { arrange, byId, make, setAttribute, setText } from './dom.js';
import { bytes, count, duration, place, plural } from './format.js';

/** The tables of connections and of addresses. A row is updated where it is, so that the focus and a selection stay. */

const heading = byId('connections-title', HTMLElement);

/**
 * @param {string} id
 * @param {string} caption
 * @param {readonly (readonly [name: string, label: string, kind?: string])[]} columns
 */
function table(id, caption, columns) {
  const body = make('tbody', { role: 'rowgroup' });
  const heads = columns.map(([name, label, kind = '']) =>
    make('th', { scope: 'col', role: 'columnheader', class: `${kind} ${name}` }, label),
  );
  const head = make('thead', { role: 'rowgroup' }, make('tr', { role: 'row' }, ...heads));
  // Roles, because on a narrow screen rows are shown as cards, and would be no rows to a screen reader.
  const made = make('table', { role: 'table' }, make('caption', { class: 'for-readers' }, caption), head, body);
  const none = make('p', { class: 'none' }, 'None.');
  byId(id, HTMLElement).append(made, none);
  /** @param {Record<string, Node>} filled */
  const row = (filled) =>
    make(
      'tr',
      { role: 'row' },
      ...columns.map(([name, , kind = '']) =>
        make('td', { role: 'cell', class: `${kind} ${name}`, 'data-short': name }, filled[name] ?? ''),
      ),
    );
  return { made, body, none, row };
}

/** @param {string} label @param {string} title @param {string} kind @param {() => void} work */
function button(label, title, kind, work) {
  const made = make('button', { type: 'button', class: kind, 'aria-label': title }, label);
  made.addEventListener('click', work);
  return made;
}

// Connections --------------------------------------------------------------------------------------------------------

const connections = table('connections', 'The connections that are served now', [
  ['id', '#', 'number'],
  ['peer', 'Peer'],
  ['state', 'State'],
  ['age', 'Age', 'number'],
  ['in', 'Received', 'number'],
  ['out', 'Sent', 'number'],
  ['unsent', 'Unsent', 'number'],
  ['idle', 'Idle', 'number'],
  ['paused', 'Paused by'],
  ['act', 'Actions'],
]);

/** @typedef {{ row: HTMLElement, cells: Record<string, HTMLElement>, drain: HTMLButtonElement, abort: HTMLButtonElement, paused: any }} Line */
/** @type {Map<number, Line>} */
const lines = new Map();

/** @param {any} one @returns {Line} */
function lineOf({ id, peer, via, paused }) {
  const where = place(peer);
  /** @type {Record<string, HTMLElement>} */
  const cells = {};
  for (const name of ['state', 'age', 'in', 'out', 'unsent', 'idle', 'paused']) cells[name] = make('span');
  const drain = button('Drain', `Drain ${where}`, '', () => drainOne(id, where));
  const abort = button('Abort', `Abort ${where}`, 'danger', () => abortOne(id, where));
  const who = make('span', {}, make('bdi', {}, where));
  if (via !== undefined) who.append(make('span', { class: 'via' }, `via ${place(via)}`));
  const act = make('span', { class: 'buttons' }, drain, abort);
  const row = connections.row({ ...cells, id: make('span', {}, String(id)), peer: who, act });
  row.dataset.id = String(id);
  return { row, cells, drain, abort, paused };
}

const CAUSES = /** @type {const} */ (['peer', 'handler', 'budget']);

/** Those causes that have paused the connection since the last event; otherwise how long it was paused in all. @param {any} now @param {any} before */
function pausedBy(now, before) {
  const current = CAUSES.filter((cause) => now[cause] > before[cause]);
  if (current.length > 0) return { text: current.join(', '), isNow: true };
  const past = CAUSES.filter((cause) => now[cause] >= 1);
  return { text: past.map((cause) => `${cause} ${duration(now[cause])}`).join(', ') || '–', isNow: false };
}

/** @param {any} one @param {number} now */
function update(one, now) {
  const line = lines.get(one.id) ?? lineOf(one);
  lines.set(one.id, line);
  const { cells, drain } = line;
  /** @param {string} name @param {string} text */
  const put = (name, text) => cells[name] && setText(cells[name], text);
  put('state', one.state);
  put('age', duration(Math.max(0, now - one.openedAt)));
  put('in', bytes(one.bytesIn));
  put('out', bytes(one.bytesOut));
  put('unsent', one.unsent === 0 ? '–' : bytes(one.unsent));
  // On a narrow screen what is nothing is not shown.
  cells.unsent?.classList.toggle('is-nothing', one.unsent === 0);
  put('idle', duration(one.idle));
  const { text, isNow } = pausedBy(one.paused, line.paused);
  put('paused', text);
  cells.paused?.classList.toggle('is-now', isNow);
  cells.paused?.classList.toggle('is-nothing', text === '–');
  line.paused = one.paused;
  if (cells.state) setAttribute(cells.state, 'class', `state ${one.state}`);
  // A disabled button would lose the focus.
  setAttribute(drain, 'aria-disabled', String(one.state !== 'open'));
  return line.row;
}

/** @param {any} view @param {number} now @param {string} search */
function showConnections({ total, matching, rows }, now, search) {
  const shown = rows.map((/** @type {any} */ one) => update(one, now));
  const ids = new Set(rows.map((/** @type {any} */ { id }) => id));
  for (const id of lines.keys()) if (!ids.has(id)) lines.delete(id);
  arrange(connections.body, shown, heading);
  connections.none.hidden = shown.length > 0;
  connections.made.hidden = shown.length === 0;
  setText(connections.none, total === 0 ? 'No connection is being served.' : 'None is like that.');
  const all = search === '' ? count(total) : `${count(matching)} of ${count(total)}`;
  const part = rows.length < matching ? `, the first ${count(rows.length)} shown` : '';
  byId('more', HTMLElement).hidden = rows.length >= matching || rows.length >= MOST;
  setText(byId('connections-count', HTMLElement), `${all}${part}`);
}

/** Rows that the server sends at most. */
const MOST = 500;
/** On a narrow screen a row takes two lines. */
let asked = matchMedia('(max-width: 46rem)').matches ? 20 : 200;

/** @param {boolean} [more] Whether to ask for more from now on. @returns {number} How many rows are asked for. */
export function rowsAsked(more = false) {
  if (more) asked = Math.min(MOST, asked * 3);
  return asked;
}

// Addresses ----------------------------------------------------------------------------------------------------------

const addresses = table('addresses', 'The addresses with most connections', [
  ['peer', 'Address'],
  ['connections', 'Connections', 'number'],
  ['in', 'Received', 'number'],
  ['out', 'Sent', 'number'],
  ['act', 'Actions'],
]);

/** @typedef {{ row: HTMLElement, bar: HTMLMeterElement, cells: Record<string, HTMLElement>, connections: number }} AddressLine */
/** @type {Map<string, AddressLine>} */
const places = new Map();

/** @param {string} address @returns {AddressLine} */
function addressLine(address) {
  const name = address === '' ? 'unix socket' : address;
  /** @type {Record<string, HTMLElement>} */
  const cells = { number: make('span'), in: make('span'), out: make('span') };
  const bar = make('meter', { min: '0', max: '1', 'aria-label': `Share of ${name}` });
  const many = () => places.get(address)?.connections ?? 0;
  /** @param {'drain' | 'abort'} action */
  const act = (action) => closeMany(action, { address }, `all of ${name}`, many());
  const buttons = make(
    'span',
    { class: 'buttons' },
    button('Drain…', `Drain all of ${name}`, '', () => act('drain')),
    button('Abort…', `Abort all of ${name}`, 'danger', () => act('abort')),
  );
  const counted = make('span', { class: 'share' }, bar, cells.number ?? '');
  const row = addresses.row({ ...cells, peer: make('bdi', {}, name), connections: counted, act: buttons });
  return { row, bar, cells, connections: 0 };
}

/** @param {any} view */
function showAddresses({ addresses: rows, distinct, total }) {
  const shown = rows.map((/** @type {any} */ one) => {
    const line = places.get(one.address) ?? addressLine(one.address);
    places.set(one.address, line);
    line.connections = one.connections;
    line.bar.value = one.connections / Math.max(1, total);
    if (line.cells.number) setText(line.cells.number, count(one.connections));
    if (line.cells.in) setText(line.cells.in, bytes(one.bytesIn));
    if (line.cells.out) setText(line.cells.out, bytes(one.bytesOut));
    return line.row;
  });
  const kept = new Set(rows.map((/** @type {any} */ { address }) => address));
  for (const address of places.keys()) if (!kept.has(address)) places.delete(address);
  arrange(addresses.body, shown, heading);
  addresses.none.hidden = shown.length > 0;
  addresses.made.hidden = shown.length === 0;
  const part = rows.length < distinct ? `, ${count(rows.length)} shown` : '';
  setText(byId('addresses-count', HTMLElement), `${plural(distinct, 'address', 'addresses')}${part}`);
}

/** What the search finds. */
let found = { matching: 0, isExact: false };

/** @param {any} tick @param {string} search */
export function showTables({ connections: view, now }, search) {
  found = view;
  showConnections(view, now, search);
  showAddresses(view);
}

/** @param {'drain' | 'abort'} action @param {string} search */
export function closeFound(action, search) {
  const { matching, isExact } = found;
  if (search === '') return closeMany(action, { all: true }, 'all connections', matching);
  if (isExact) return closeMany(action, { search }, `all that match “${search}”`, matching);
  return closeFoundNow(action, search);
}
