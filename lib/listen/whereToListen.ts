import { type Checks, checkPlace, flag, text, unixPath, whole } from '../options.ts';
import type { Where } from '../transport/transport.ts';

const KINDS: readonly (readonly [string, Checks])[] = [
  ['port', { port: whole(0, 65535), host: text, ipv6Only: flag }],
  ['path', { path: unixPath }],
  ['fd', { fd: whole(0), held: flag }],
];

/**
 * Validates where to listen.
 *
 * @param what Completes the sentence "Cannot …" of the error.
 * @throws TypeError or RangeError for a place that cannot be.
 */
export const whereToListen = (what: string, where: Where): Where =>
  checkPlace(what, where, KINDS, 'a port, a path or an fd');
