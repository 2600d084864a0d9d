import type { Item } from './item.ts';
import type { MetaFlags } from './meta-flags.ts';
import { end, keyFlag, opaqueAndKey } from './meta-reply.ts';
import { blocks, NONE, type Reply } from './reply.ts';
import type { Store } from './store.ts';

const NO_DATA = new Uint8Array(0);

/** `mg` */
export function metaGet(store: Store, meta: MetaFlags): Reply {
  const found = store.find(meta.key);
  const item = found ?? vivified(store, meta);
  const touches = item !== undefined && meta.exptime !== undefined;
  const { counters } = store;
  counters[touches ? 'cmd_touch' : 'cmd_get'] += 1;
  if (item === undefined) {
    counters.get_misses += 1;
    return meta.quiet ? NONE : end(`EN${opaqueAndKey(meta)}`);
  }
  counters[touches ? 'touch_hits' : 'get_hits'] += 1;
  const head = (meta.value ? `VA ${item.data.length}` : 'HD') + describe(store, meta, item, found === undefined);
  // After the reply has been composed, because `h` and `l` report the state before this use.
  if (!meta.noUse) store.use(item);
  return meta.value ? blocks([{ head: `${head}\r\n`, data: item.data }], '\r\n') : end(head);
}

/** `N` creates a missing item without data, and the client that sent it is asked to fill the item. */
function vivified(store: Store, meta: MetaFlags): Item | undefined {
  if (meta.vivify === undefined) return undefined;
  const { key, vivify, binaryKey } = meta;
  const item = store.put('add', key, NO_DATA, { expires: store.expiry(vivify), binaryKey });
  return typeof item === 'string' ? undefined : item;
}

function describe(store: Store, meta: MetaFlags, item: Item, created: boolean): string {
  let text = '';
  let wins = created;
  for (const word of meta.words) {
    const flag = word.charAt(0);
    if (flag === 'T') item.expires = store.expiry(meta.exptime ?? 0);
    else if (flag === 'R') wins ||= !item.won && isDue(store, item, meta.recache ?? 0);
    else text += returned(store, item, flag, word);
  }
  if (item.won) text += ' Z';
  if (item.stale) {
    text += ' X';
    wins ||= !item.won;
  }
  if (wins) {
    text += ' W';
    item.won = true;
  }
  return text;
}

/**
 * Whether an item is to be recached before it expires. This is computed in whole seconds: an item that has just been stored for
 * 30 s does not have less than 30 s left.
 */
function isDue(store: Store, item: Item, recache: number): boolean {
  if (recache === 0 || item.expires === Number.POSITIVE_INFINITY) return false;
  return item.expires <= store.expiry(recache) - 1000;
}

/** A flag's part of the reply. */
function returned(store: Store, item: Item, flag: string, word: string): string {
  switch (flag) {
    case 's':
      return ` s${item.data.length}`;
    case 't':
      return ` t${timeLeft(store, item)}`;
    case 'c':
      return ` c${item.cas}`;
    case 'f':
      return ` f${item.flags}`;
    case 'l':
      return ` l${Math.floor((store.now() - item.time) / 1000)}`;
    case 'h':
      return item.fetched ? ' h1' : ' h0';
    case 'O':
      return ` ${word}`;
    case 'k':
      return keyFlag(item.key, item.binaryKey);
    default:
      return '';
  }
}

/** How many seconds an item has left, rounded up; -1 if it never expires. */
export function timeLeft(store: Store, item: Item): number {
  if (item.expires === Number.POSITIVE_INFINITY) return -1;
  return Math.max(0, Math.ceil((item.expires - store.now()) / 1000));
}
