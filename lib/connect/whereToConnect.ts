import { type Checks, checkPlace, text, unixPath, whole } from '../options.ts';
import type { Destination } from '../transport/transport.ts';

const KINDS: readonly (readonly [string, Checks])[] = [
  ['port', { port: whole(1, 65_535), host: text }],
  ['path', { path: unixPath }],
];

/**
 * Validates where to connect.
 *
 * @throws TypeError or RangeError for a place that cannot be.
 */
export const whereToConnect = (where: Destination): Destination =>
  checkPlace('connect', where, KINDS, 'a port or a path');
