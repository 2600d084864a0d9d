import { type Check, check, flag, text, unixPath, whole } from '../options.ts';
import type { Where } from '../transport/transport.ts';

const KINDS: readonly (readonly [string, Record<string, Check>])[] = [
  ['port', { port: whole(0, 65535), host: text, ipv6Only: flag }],
  ['path', { path: unixPath }],
  ['fd', { fd: whole(0) }],
];

/**
 * Validates where to listen.
 *
 * @param what Completes the sentence "Cannot …" of the error.
 * @throws TypeError or RangeError for a place that cannot be.
 */
export function whereToListen(what: string, where: Where): Where {
  const given = typeof where === 'object' && where !== null ? where : {};
  const kind = KINDS.find(([key]) => key in given);
  if (!kind) throw new TypeError(`Cannot ${what}: where must have a port, a path or an fd`);
  const [key, checks] = kind;
  const read = check(what, where, checks, 'where');
  // Node takes a port that is present but undefined for 0, any free port.
  if (!(key in read)) throw new TypeError(`Cannot ${what}: ${key} is undefined`);
  return read;
}
