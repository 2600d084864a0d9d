/** Requests to the admin port. Each has the token, which this tab remembers until it is closed. */

const KEY = 'sluice-token';

/**
 * The token comes in the fragment of the address: a browser does not send that part. It is taken out of the history.
 *
 * @returns Whether there was one.
 */
export function takeToken() {
  const given = new URLSearchParams(location.hash.slice(1)).get('token');
  if (given === null) return false;
  setToken(given);
  history.replaceState(null, '', location.pathname);
  return true;
}

export const hasToken = () => sessionStorage.getItem(KEY) !== null;
/** @param {string} token */
export const setToken = (token) => sessionStorage.setItem(KEY, token.trim());
export const forgetToken = () => sessionStorage.removeItem(KEY);

/**
 * @param {string} path
 * @param {RequestInit} [init]
 */
export const request = (path, init = {}) =>
  fetch(path, {
    ...init,
    cache: 'no-store',
    headers: { ...init.headers, authorization: `Bearer ${sessionStorage.getItem(KEY) ?? ''}` },
  });

/**
 * Does something.
 *
 * @param {string} path
 * @param {object} [body] A GET without one.
 * @returns {Promise<any>} Rejects with the sentence of the server.
 */
export async function call(path, body) {
  const headers = { 'content-type': 'application/json' };
  const response = await request(path, body && { method: 'POST', headers, body: JSON.stringify(body) });
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.error.message);
  return answer;
}
