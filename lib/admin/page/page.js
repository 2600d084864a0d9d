import { drainServer } from './actions.js';
import { hasToken, setToken, takeToken } from './api.js';
import { redrawCharts, showCharts } from './charts.js';
import { redrawCloses, showCloses } from './closes.js';
import { closeFound, rowsAsked, showTables } from './connections.js';
import { byId, setText } from './dom.js';
import { showDrain, showFigures, showPhase, showRefusals, showSilence, showWhere } from './figures.js';
import { showLimits } from './limits.js';
import { Live } from './live.js';

/** The live page: connects, and hands what it receives to its parts. */

/** Samples that are kept. */
const SAMPLES = 300;

const search = byId('search', HTMLInputElement);
const sort = byId('sort', HTMLSelectElement);
const askToken = byId('ask-token', HTMLFormElement);
const drainButton = byId('drain-server', HTMLButtonElement);

/** @type {any[]} */
let samples = [];
let startedAt = 0;
/** Of which server the page has figures. */
let shownServer = '';

const live = new Live({
  start(start) {
    const server = `${start.pid} ${start.startedAt}`;
    // Rows, charts and perhaps the page itself are those of a server that was.
    if (shownServer !== '' && shownServer !== server) location.reload();
    shownServer = server;
    samples = start.history;
    startedAt = start.startedAt;
  },
  tick(tick) {
    if (tick.sample === undefined) return;
    byId('shown', HTMLElement).hidden = false;
    askToken.hidden = true;
    document.body.classList.remove('is-over');
    const newest = samples.at(-1);
    // The server replaces one of less than half a second ago by the next one.
    if (newest !== undefined && tick.sample.at - newest.at < 500) samples.pop();
    samples.push(tick.sample);
    if (samples.length > SAMPLES) samples.shift();
    drainButton.hidden = !tick.canDrain || tick.phase !== 'serving';
    showPhase(tick.phase);
    showWhere(tick, startedAt);
    showDrain(tick);
    showFigures(tick, samples.at(-2));
    showRefusals(tick);
    showCharts(samples);
    showCloses(samples, tick.closes);
    showLimits(tick.limits);
    showTables(tick, search.value.trim());
  },
  over(why) {
    if (why === 'token') ask(shownServer === '' ? WRONG : RESTARTED);
    if (why === 'lost' || why === 'viewers') showPhase(why);
    // The port is closed by now, and nothing can be done until another server has it.
    if (why === 'ended') document.body.classList.add('is-over');
  },
  silent: showSilence,
});

const WRONG = 'That token is not the one of this server.';
const RESTARTED =
  'The server was restarted, and has another token. Open the address that it has printed, or paste its token.';

const follow = () => live.follow({ search: search.value.trim(), sort: sort.value, first: String(rowsAsked()) });

/** @param {string} [sentence] */
function ask(sentence = '') {
  byId('shown', HTMLElement).hidden = true;
  drainButton.hidden = true;
  showPhase('token');
  askToken.hidden = false;
  setText(byId('token-wrong', HTMLElement), sentence);
  byId('token', HTMLInputElement).focus();
}

askToken.addEventListener('submit', (event) => {
  event.preventDefault();
  setToken(byId('token', HTMLInputElement).value);
  follow();
});

/** @type {ReturnType<typeof setTimeout> | undefined} */
let typing;
search.addEventListener('input', () => {
  clearTimeout(typing);
  typing = setTimeout(follow, 200);
});
sort.addEventListener('change', follow);
byId('more', HTMLButtonElement).addEventListener('click', () => {
  rowsAsked(true);
  follow();
});
byId('find', HTMLFormElement).addEventListener('submit', (event) => event.preventDefault());
byId('drain-all', HTMLButtonElement).addEventListener('click', () => closeFound('drain', search.value.trim()));
byId('abort-all', HTMLButtonElement).addEventListener('click', () => closeFound('abort', search.value.trim()));
drainButton.addEventListener('click', drainServer);

matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => {
  redrawCharts();
  redrawCloses();
});

// The address that was printed may be opened in a tab that shows the page already: only its fragment changes then.
addEventListener('hashchange', () => takeToken() && follow());

takeToken();
if (hasToken()) follow();
else ask();
