import { call } from './api.js';
import { byId, say, setText } from './dom.js';
import { isSilent } from './figures.js';
import { count, duration, plural } from './format.js';

/** What an operator can do to connections and to the server. */

const dialog = byId('ask', HTMLDialogElement);
const yes = byId('ask-yes', HTMLButtonElement);

/**
 * Asks before something that cannot be undone.
 *
 * @param {{ title: string, text: string | Promise<string>, button: string }} question
 * @returns {Promise<boolean>}
 */
function confirm({ title, text, button }) {
  setText(byId('ask-title', HTMLElement), title);
  setText(yes, button);
  const shown = byId('ask-text', HTMLElement);
  setText(shown, typeof text === 'string' ? text : '…');
  if (typeof text !== 'string') text.then((known) => setText(shown, known));
  dialog.returnValue = '';
  dialog.showModal();
  byId('ask-no', HTMLButtonElement).focus();
  return new Promise((resolve) =>
    dialog.addEventListener('close', () => resolve(dialog.returnValue === 'yes'), { once: true }),
  );
}
yes.addEventListener('click', () => dialog.close('yes'));
byId('ask-no', HTMLButtonElement).addEventListener('click', () => dialog.close());

/** Milliseconds in which a server that is not blocked has answered. */
const SOON = 2000;

/**
 * Says that an action waits while the server does not answer it: it is done when the server goes on.
 *
 * @template T
 * @param {Promise<T>} answer
 * @returns {Promise<T>}
 */
export function waitFor(answer) {
  const waiting = () => say('The server does not answer yet. This waits, and is done as soon as it does.');
  if (isSilent()) waiting();
  const late = setTimeout(waiting, SOON);
  return answer.finally(() => clearTimeout(late));
}

/** @param {Promise<string>} done What has happened, in a sentence. */
async function report(done) {
  try {
    say(await waitFor(done));
  } catch (error) {
    say(error instanceof Error ? error.message : String(error));
  }
}

/** Numbers of connections in one request, at most. */
const MOST = 1000;

/** @param {{ ids?: number[] }} selection @returns {object[]} The same, with as many numbers as a request may have. */
const inParts = ({ ids, ...others }) =>
  ids === undefined
    ? [others]
    : Array.from({ length: Math.ceil(ids.length / MOST) }, (_, i) => ({ ids: ids.slice(i * MOST, (i + 1) * MOST) }));

/** @param {'drain' | 'abort'} action @param {object} selection @param {string} what */
const close = (action, selection, what) =>
  report(
    Promise.all(inParts(selection).map((part) => call(`/connections/${action}`, part))).then((answers) => {
      const connections = answers.reduce((sum, one) => sum + one.connections, 0);
      if (connections === 0) return `${what}: none is open any more`;
      const done = action === 'drain' ? 'asked to finish' : 'aborted';
      return `${what}: ${plural(connections, 'connection')} ${connections === 1 ? 'is' : 'are'} ${done}`;
    }),
  );

/** @param {number} id @param {string} peer */
export const drainOne = (id, peer) => close('drain', { ids: [id] }, peer);

/** @param {number} id @param {string} peer */
export async function abortOne(id, peer) {
  const text = `Connection ${id} of ${peer} is reset at once. What is unsent is lost.`;
  if (await confirm({ title: `Abort ${peer}?`, text, button: 'Abort' })) close('abort', { ids: [id] }, peer);
}

/**
 * @param {'drain' | 'abort'} action
 * @param {object} selection
 * @param {string} what
 * @param {number} connections
 */
export async function closeMany(action, selection, what, connections) {
  const drains = action === 'drain';
  const title = `${drains ? 'Drain' : 'Abort'} ${what}?`;
  const many = plural(connections, 'connection');
  const text = drains
    ? `${many} will be asked to finish: requests in progress are answered first.`
    : `${many} will be reset at once. What is unsent is lost.`;
  if (await confirm({ title, text, button: drains ? 'Drain' : 'Abort' })) close(action, selection, what);
}

/**
 * Closes the connections that a search finds by a part of their addresses: those that it finds now. Others that it would find later
 * are not meant.
 *
 * @param {'drain' | 'abort'} action
 * @param {string} search
 */
export async function closeFoundNow(action, search) {
  try {
    const rows = await waitFor(call(`/connections?${new URLSearchParams({ search })}`));
    const ids = rows.map((/** @type {any} */ { id }) => id);
    await closeMany(action, { ids }, `all that match “${search}” now`, ids.length);
  } catch (error) {
    say(error instanceof Error ? error.message : String(error));
  }
}

/** Drains the whole server. The question says what that would do now. */
export async function drainServer() {
  const text = call('/rehearsal').then(
    ({ idle, busy, aborted, duration: time }) =>
      `No new connections are served, and the process ends. If it began now, it would take about ${duration(time)}: ` +
      `${plural(idle, 'idle connection')} ${idle === 1 ? 'ends' : 'end'} when asked to finish, ${count(busy)} finish their work, and ${count(aborted)} are aborted when the grace is over.`,
    () => 'No new connections are served, and the process ends.',
  );
  if (await confirm({ title: 'Drain the server?', text, button: 'Drain' })) {
    report(call('/drain', {}).then(() => 'The server is asked to drain'));
  }
}
