import type { Cache } from './cache.ts';
import { MAX_KEY } from './item.ts';
import { parseI32, parseU64 } from './numbers.ts';
import { line, NONE, type Reply } from './reply.ts';
import { fetch } from './retrieve.ts';
import type { Store } from './store.ts';

const BAD_FORMAT = line('CLIENT_ERROR bad command line format');
const NOT_FOUND = line('NOT_FOUND');

/** `incr` and `decr`. */
export function arithmetic(store: Store, words: readonly string[]): Reply {
  const [command, key = '', deltaWord = ''] = words;
  const up = command === 'incr';
  if (key.length > MAX_KEY) return BAD_FORMAT;
  const by = parseU64(deltaWord);
  if (by === undefined) return line('CLIENT_ERROR invalid numeric delta argument');
  const item = store.find(key);
  if (item === undefined) {
    store.counters[up ? 'incr_misses' : 'decr_misses'] += 1;
    return NOT_FOUND;
  }
  const value = store.delta(item, by, up);
  if (value === 'nonNumeric') return line('CLIENT_ERROR cannot increment or decrement non-numeric value');
  if (value === 'noMemory') return line('SERVER_ERROR out of memory');
  return line(String(value));
}

/** `touch`. */
export function touch(store: Store, words: readonly string[]): Reply {
  const [, key = '', exptimeWord = ''] = words;
  if (key.length > MAX_KEY) return BAD_FORMAT;
  const exptime = parseI32(exptimeWord);
  if (exptime === undefined) return line('CLIENT_ERROR invalid exptime argument');
  return fetch(store, key, exptime) === undefined ? NOT_FOUND : line('TOUCHED');
}

/** `delete`. It once took a time for which the key was locked, so a 0 in that place is still accepted. */
export function remove(store: Store, words: readonly string[]): Reply {
  const [, key = '', ...rest] = words;
  const noreply = rest.at(-1) === 'noreply';
  const valid =
    rest.length === 0 || (rest.length === 1 && (rest[0] === '0' || noreply)) || (rest[0] === '0' && noreply);
  if (!valid) return noreply ? NONE : line('CLIENT_ERROR bad command line format.  Usage: delete <key> [noreply]');
  if (key.length > MAX_KEY) return noreply ? NONE : BAD_FORMAT;
  const item = store.find(key);
  store.counters[item === undefined ? 'delete_misses' : 'delete_hits'] += 1;
  if (item !== undefined) store.remove(item);
  if (noreply) return NONE;
  return item === undefined ? NOT_FOUND : line('DELETED');
}

/** `flush_all`, at once or after some seconds. */
export function flushAll({ store, host }: Cache, words: readonly string[]): Reply {
  store.counters.cmd_flush += 1;
  if (!host.flushing) return line('CLIENT_ERROR flush_all not allowed');
  const [, delayWord = ''] = words;
  const plain = words.length === (words.at(-1) === 'noreply' ? 2 : 1);
  const delay = plain ? 0 : parseI32(delayWord);
  if (delay === undefined) return line('CLIENT_ERROR invalid exptime argument');
  store.flush(delay);
  return line('OK');
}
