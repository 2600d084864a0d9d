import type { Item } from './item.ts';
import type { MetaFlags } from './meta-flags.ts';
import { timeLeft } from './meta-get.ts';
import { end, opaqueAndKey, opaqueOrKey } from './meta-reply.ts';
import { line, NONE, type Reply } from './reply.ts';
import type { Store } from './store.ts';

/** `ma` */
export function metaArithmetic(store: Store, meta: MetaFlags): Reply {
  if (meta.mode !== '' && !'I+D-'.includes(meta.mode)) return line('CLIENT_ERROR invalid mode for ma M token');
  const up = meta.mode === '' || 'I+'.includes(meta.mode);
  const found = store.find(meta.key);
  if (found === undefined) return missing(store, meta, up);
  const value = store.delta(found, meta.delta, up, meta.cas);
  if (value === 'exists') return end(`EX${opaqueAndKey(meta)}`);
  if (value === 'nonNumeric') return line('CLIENT_ERROR cannot increment or decrement non-numeric value');
  if (value === 'noMemory') return line('SERVER_ERROR out of memory');
  const reply = describe(store, meta, found, String(value));
  return meta.quiet ? NONE : reply;
}

/** `N` creates a missing number, with the value that `J` gives. */
function missing(store: Store, meta: MetaFlags, up: boolean): Reply {
  if (meta.vivify === undefined) {
    store.counters[up ? 'incr_misses' : 'decr_misses'] += 1;
    return end(`NF${opaqueAndKey(meta)}`);
  }
  const value = meta.initial.toString();
  const { key, vivify, binaryKey } = meta;
  const item = store.put('add', key, new TextEncoder().encode(value), { expires: store.expiry(vivify), binaryKey });
  if (typeof item === 'string') return line('SERVER_ERROR Out of memory allocating new item');
  return describe(store, meta, item, value);
}

function describe(store: Store, meta: MetaFlags, item: Item, value: string): Reply {
  let text = meta.value ? `VA ${value.length}` : 'HD';
  for (const word of meta.words) {
    const flag = word.charAt(0);
    if (flag === 'T') item.expires = store.expiry(meta.exptime ?? 0);
    else if (flag === 'c') text += ` c${item.cas}`;
    else if (flag === 't') text += ` t${timeLeft(store, item)}`;
    else text += opaqueOrKey(meta, word);
  }
  return end(meta.value ? `${text}\r\n${value}` : text);
}
