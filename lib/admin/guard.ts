import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import { isIP } from 'node:net';
import { RequestError } from './requestError.ts';

/**
 * Who may have what:
 *
 * - `open`: anyone who reaches the port, under any name: probes and scrapers, which use the address of a pod. It has no addresses.
 * - `page`: the files of the page, which are the same for everyone. Their requests cannot have the token: a browser makes them.
 * - `token`: figures of connections, and actions.
 */
export type Access = 'open' | 'page' | 'token';

/**
 * Decides whether a request is answered.
 *
 * - **DNS rebinding**: a page of `evil.example` whose name is then resolved to this address is of the same origin to the browser. Its
 *   requests have that name as `Host`. An address as `Host` is allowed, because a page of an address cannot be rebound.
 * - **Other origins**: their requests have another `Origin`, or say `cross-site` or `same-site` as `Sec-Fetch-Site`. They cannot have
 *   the token either, unless it was given away.
 */
export class Guard {
  readonly #names: ReadonlySet<string>;
  readonly #token: Buffer;

  /** @param names By which the port is reached, besides `localhost` and addresses. */
  constructor(names: readonly string[], token: string) {
    this.#names = new Set(['localhost', ...names.map(absolute)]);
    this.#token = digest(token);
  }

  /** @throws RequestError if it is not. */
  check(headers: IncomingHttpHeaders, access: Access): void {
    if (access === 'open') return;
    if (!this.#isOwnHost(headers.host)) {
      throw new RequestError(421, 'host', 'The header Host has a name that is not one of this port');
    }
    if (access === 'page') return;
    if (!isSameOrigin(headers))
      throw new RequestError(403, 'origin', 'The request comes from a page of another origin');
    if (!this.#hasToken(headers.authorization)) {
      const challenge = { 'WWW-Authenticate': 'Bearer realm="sluice admin"' };
      throw new RequestError(401, 'token', 'The header Authorization must be Bearer and the token', challenge);
    }
  }

  #isOwnHost(header: string | undefined): boolean {
    const [, bracketed, plain = ''] = /^(?:\[([\da-f:.]+)\]|([^:[\]]+))(?::\d{1,5})?$/i.exec(header ?? '') ?? [];
    if (bracketed !== undefined) return isIP(bracketed) === 6;
    return isIP(plain) === 4 || (plain !== '' && this.#names.has(absolute(plain)));
  }

  #hasToken(header: string | undefined): boolean {
    const [, token] = /^Bearer +([\w-]+) *$/i.exec(header ?? '') ?? [];
    // Digests have one length, and tell nothing of the token: the time of the comparison does not depend on it.
    return token !== undefined && timingSafeEqual(digest(token), this.#token);
  }
}

function isSameOrigin({ origin, host, 'sec-fetch-site': site }: IncomingHttpHeaders): boolean {
  if (site !== undefined && site !== 'same-origin' && site !== 'none') return false;
  if (origin === undefined) return true;
  // Without the scheme: a proxy in front of the port may speak HTTPS.
  return /^https?:\/\//.test(origin) && origin.replace(/^https?:\/\//, '').toLowerCase() === host?.toLowerCase();
}

/** A dot at the end makes a name absolute; it is the same name. */
const absolute = (name: string): string => name.toLowerCase().replace(/\.$/, '');

const digest = (token: string): Buffer => createHash('sha256').update(token).digest();
