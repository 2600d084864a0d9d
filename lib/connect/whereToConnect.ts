import { type Check, check, text, unixPath, whole } from '../options.ts';
import type { Destination } from '../transport/transport.ts';

const KINDS: readonly (readonly [string, Record<string, Check>])[] = [
  ['port', { port: whole(1, 65_535), host: text }],
  ['path', { path: unixPath }],
];

/**
 * Validates where to connect.
 *
 * @throws TypeError or RangeError for a place that cannot be.
 */
export function whereToConnect(where: Destination): Destination {
  const given = typeof where === 'object' && where !== null ? where : {};
  const kind = KINDS.find(([key]) => key in given);
  if (!kind) throw new TypeError('Cannot connect: where must have a port or a path');
  const [key, checks] = kind;
  const read = check('connect', where, checks, 'where');
  if (!(key in read)) throw new TypeError(`Cannot connect: ${key} is undefined`);
  return read;
}
