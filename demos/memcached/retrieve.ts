import { type Item, MAX_KEY } from './item.ts';
import { parseI32 } from './numbers.ts';
import { blocks, line, type Reply } from './reply.ts';
import type { Store } from './store.ts';

/**
 * `get`, `gets`, `gat` and `gats`.
 *
 * @param words The command, for `gat` the expiry time, and the keys.
 * @param withCas Whether to return the cas ids.
 * @param exptimeWord The expiry time for all items found, for `gat`.
 */
export function retrieve(store: Store, words: readonly string[], withCas: boolean, exptimeWord?: string): Reply {
  const touches = exptimeWord !== undefined;
  const exptime = touches ? parseI32(exptimeWord) : 0;
  if (exptime === undefined) return line('CLIENT_ERROR invalid exptime argument');
  const found: { head: string; data: Uint8Array }[] = [];
  for (let index = touches ? 2 : 1; index < words.length; index += 1) {
    const key = words[index] ?? '';
    // The items found so far are not sent, because a peer would take a list without its END for an incomplete one.
    if (key.length > MAX_KEY) return line('CLIENT_ERROR bad command line format');
    const item = fetch(store, key, touches ? exptime : undefined);
    if (item === undefined) continue;
    const cas = withCas ? ` ${item.cas}` : '';
    const before = found.length === 0 ? '' : '\r\n';
    found.push({ head: `${before}VALUE ${key} ${item.flags} ${item.data.length}${cas}\r\n`, data: item.data });
  }
  return found.length === 0 ? line('END') : blocks(found, '\r\nEND\r\n');
}

/** Looks up an item for a peer: this is counted, it is a use, and it may set a new expiry time. */
export function fetch(store: Store, key: string, exptime: number | undefined): Item | undefined {
  const item = store.find(key);
  if (exptime === undefined) {
    store.counters.cmd_get += 1;
    store.counters[item === undefined ? 'get_misses' : 'get_hits'] += 1;
  } else {
    store.counters.cmd_touch += 1;
    store.counters[item === undefined ? 'touch_misses' : 'touch_hits'] += 1;
    if (item !== undefined) item.expires = store.expiry(exptime);
  }
  if (item !== undefined) store.use(item);
  return item;
}
