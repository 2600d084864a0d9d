import { byId, make, say, setAttribute, setText } from './dom.js';
import { bytes, count, delay, duration, perSecond, place, plural } from './format.js';

/** The figures at the top, the phase, and the drain. */

/** @type {Record<string, { value: HTMLElement, note: HTMLElement, tile: HTMLElement }>} */
const tiles = {};
for (const [name, label] of [
  ['active', 'Active'],
  ['waiting', 'Waiting'],
  ['accepts', 'Accepted'],
  ['refusals', 'Refused'],
  ['in', 'Received'],
  ['out', 'Sent'],
  ['delay', 'Event-loop delay'],
]) {
  if (name === undefined || label === undefined) continue;
  const value = make('dd', { class: 'value', id: `figure-${name}` });
  const note = make('dd', { class: 'note' });
  const tile = make('div', { class: 'card tile' }, make('dt', {}, label), value, note);
  byId('figures', HTMLElement).append(tile);
  tiles[name] = { value, note, tile };
}

/** @param {string} name @param {string} value @param {string} note @param {boolean} [isFull] */
function show(name, value, note, isFull = false) {
  const tile = tiles[name];
  if (tile === undefined) return;
  setText(tile.value, value);
  setText(tile.note, note);
  tile.tile.classList.toggle('is-full', isFull);
}

/** @param {any} tick @param {any} before The sample before. */
export function showFigures({ sample, isParked }, before) {
  const { active, concurrency, waiting, waitingMax } = sample;
  const seconds = before ? (sample.at - before.at) / 1000 : 0;
  /** @param {'accepted' | 'refused' | 'bytesIn' | 'bytesOut'} what */
  const rate = (what) => (seconds > 0 ? (sample[what] - before[what]) / seconds : 0);
  show(
    'active',
    count(active),
    concurrency === null ? 'no limit' : `of ${count(concurrency)}`,
    active >= concurrency && concurrency !== null,
  );
  const room = waitingMax === null ? 'no limit' : `of ${count(waitingMax)}`;
  show('waiting', count(waiting), isParked ? `${room}, parked` : room, waiting > 0 && waiting >= waitingMax);
  show('accepts', `${perSecond(rate('accepted'))}/s`, `${count(sample.accepted)} in all`);
  show('refusals', `${perSecond(rate('refused'))}/s`, `${count(sample.refused)} in all`, rate('refused') >= 0.1);
  show('in', `${bytes(rate('bytesIn'))}/s`, `${bytes(sample.bytesIn)} in all`);
  show('out', `${bytes(rate('bytesOut'))}/s`, `${bytes(sample.bytesOut)} in all`);
  show('delay', delay(sample.loopDelay), 'longest in a second', sample.loopDelay > 100);
}

/** Why connections were refused, most often first. @param {any} tick */
export function showRefusals({ refusals }) {
  const shown = byId('refusals', HTMLElement);
  shown.hidden = refusals.length === 0;
  /** @type {[string, number][]} */
  const most = [...refusals].sort(([, a], [, b]) => b - a);
  setText(shown, `Refused since the start: ${most.map(([reason, n]) => `${count(n)} ${reason}`).join(', ')}`);
}

const phaseShown = byId('phase', HTMLElement);
const PHASES = /** @type {Record<string, string>} */ ({
  starting: 'starting',
  serving: 'serving',
  draining: 'draining',
  drained: 'drained',
  closed: 'closed',
  ended: 'ended',
  lost: 'not reachable',
  token: 'token needed',
  viewers: 'too many pages',
});
const SENTENCES = /** @type {Record<string, string>} */ ({
  lost: 'The server is not reachable. Trying again.',
  viewers: 'As many live pages are open as may be. Close one: this page goes on trying.',
});
/** Whether what is shown is not of now. @param {boolean} is */
const setStale = (is) => document.body.classList.toggle('is-stale', is);

/** @param {string} phase */
export function showPhase(phase) {
  const before = phaseShown.dataset.phase;
  if (before === phase) return;
  setStale(phase === 'lost' || phase === 'viewers');
  phaseShown.dataset.phase = phase;
  setText(phaseShown, PHASES[phase] ?? phase);
  // The form says it.
  if (phase === 'token') return;
  if ((before === 'connecting' || before === 'token') && phase === 'serving') return;
  say(SENTENCES[phase] ?? `The server is ${PHASES[phase]}`);
}

/** The server is silent. @param {number} seconds */
export function showSilence(seconds) {
  setText(phaseShown, `no figures for ${seconds} s`);
  if (phaseShown.dataset.phase === 'silent') return;
  phaseShown.dataset.phase = 'silent';
  setStale(true);
  say('The server sends no figures: it is blocked, or cannot be reached. What is shown is of before.');
}

/** Whether the server is known to answer nothing. */
export const isSilent = () => phaseShown.dataset.phase === 'silent';

/** @param {any} tick @param {number} startedAt */
export function showWhere({ address, now }, startedAt) {
  const where = address === undefined ? '' : place(address);
  setText(byId('where', HTMLElement), where === '' ? '' : `${where} · up ${duration(now - startedAt)}`);
  const title = where === '' ? 'Sluice' : `${where} · Sluice`;
  if (document.title !== title) document.title = title;
}

/** @param {any} tick */
export function showDrain({ drain, now, sample, phase }) {
  byId('drain', HTMLElement).hidden = drain === undefined;
  if (drain === undefined) return;
  const { of, since, report } = drain;
  byId('drain', HTMLElement).classList.toggle('is-over', report !== undefined);
  const left = sample.active;
  const all = Math.max(of, left);
  setAttribute(byId('drain-bar', HTMLProgressElement), 'value', String(report || all === 0 ? 1 : (all - left) / all));
  const title = byId('drain-title', HTMLElement);
  const text = byId('drain-text', HTMLElement);
  if (report === undefined) {
    setText(title, phase === 'ended' ? 'The server has ended' : 'Draining');
    setText(text, `${count(all - left)} of ${plural(all, 'connection')} closed, for ${duration(now - since)}`);
    return;
  }
  setText(title, `Drained in ${duration(report.duration)}`);
  const aborted = report.aborted === 0 ? 'none aborted' : `${count(report.aborted)} aborted`;
  setText(
    text,
    `${count(report.drained)} finished, ${aborted}, ${count(report.refused)} refused, ${bytes(report.unsent)} unsent`,
  );
}
