import type { Cache } from './cache.ts';
import { type Item, MAX_KEY } from './item.ts';
import { opaqueTooLong } from './lines.ts';
import { metaArithmetic } from './meta-arithmetic.ts';
import { type MetaFlags, parseMetaFlags } from './meta-flags.ts';
import { metaGet } from './meta-get.ts';
import { end, opaqueAndKey, opaqueOrKey } from './meta-reply.ts';
import { line, NONE, type Reply } from './reply.ts';
import type { MetaSetRequest } from './requests.ts';
import type { Store } from './store.ts';

const BAD_FORMAT = 'CLIENT_ERROR bad command line format';

/** Executes the meta commands without data. */
export function answerMeta({ store }: Cache, command: 'mg' | 'md' | 'ma' | 'mn', words: readonly string[]): Reply {
  if (command === 'mn') return line('MN');
  const [, key] = words;
  if (key === undefined) return line('ERROR');
  if (key.length > MAX_KEY) return line(BAD_FORMAT);
  if (words.length > 19) return line(`CLIENT_ERROR options flags ${command === 'mg' ? 'are too' : 'too'} long`);
  const meta = parseMetaFlags(words, 2);
  if (typeof meta === 'string') return line(command === 'mg' ? meta : 'CLIENT_ERROR invalid or duplicate flag');
  if (opaqueTooLong(meta)) return line('CLIENT_ERROR opaque token too long');
  if (command === 'mg') return metaGet(store, meta);
  return command === 'md' ? metaDelete(store, meta) : metaArithmetic(store, meta);
}

/** Executes `ms`, once its data have been read. */
export function answerMetaSet({ store }: Cache, { mode, meta, data }: MetaSetRequest): Reply {
  store.counters.cmd_set += 1;
  const { key, clientFlags: flags, exptime = 0, cas = 0, invalidate: orStale, binaryKey } = meta;
  const stored = store.put(mode, key, data, { flags, expires: store.expiry(exptime), cas, orStale, binaryKey });
  if (stored === 'noMemory') {
    store.counters.store_no_memory += 1;
    return line('SERVER_ERROR out of memory storing object');
  }
  if (stored === 'tooLarge') return line('SERVER_ERROR object too large for cache');
  if (typeof stored !== 'string') return meta.quiet ? NONE : end(`HD${echo(meta, stored)}`);
  const code = stored === 'exists' ? 'EX' : stored === 'notFound' ? 'NF' : 'NS';
  return end(code + echo(meta, undefined));
}

/** `md`: deletes, or with `I` marks as stale. */
function metaDelete(store: Store, meta: MetaFlags): Reply {
  const item = store.find(meta.key);
  if (item === undefined || (meta.cas !== undefined && meta.cas !== item.cas)) {
    store.counters.delete_misses += 1;
    return end((item === undefined ? 'NF' : 'EX') + opaqueAndKey(meta));
  }
  if (meta.invalidate) {
    if (meta.exptime !== undefined) item.expires = store.expiry(meta.exptime);
    item.stale = true;
    // Another client may now be asked to recache it.
    item.won = false;
    item.cas = store.nextCas();
  } else {
    store.counters.delete_hits += 1;
    store.remove(item);
  }
  return meta.quiet ? NONE : end(`HD${opaqueAndKey(meta)}`);
}

/** The flags that `ms` returns. */
function echo(meta: MetaFlags, stored: Item | undefined): string {
  let text = '';
  for (const word of meta.words) {
    if (word.startsWith('c')) text += ` c${stored?.cas ?? 0}`;
    else text += opaqueOrKey(meta, word);
  }
  return text;
}
