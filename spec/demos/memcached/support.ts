import fc from 'fast-check';
import { Observable, type Subscription } from 'rxjs';
import type { Cache, Host } from '../../../demos/memcached/cache.ts';
import { answer } from '../../../demos/memcached/commands.ts';
import { requests } from '../../../demos/memcached/protocol.ts';
import type { Limits, Request } from '../../../demos/memcached/requests.ts';
import { Store, type StoreOptions } from '../../../demos/memcached/store.ts';
import { Bytes } from '../../../lib/connection/bytes.ts';
import type { ByteSink } from '../../../lib/connection/source.ts';
import { ManualControl } from '../../support/borrowed.ts';

/**
 * Any bytes, but not white space alone: when the original looks for a number in that, it reads on in the memory behind it.
 */
export const anyBytes = fc
  .uint8Array({ maxLength: 40 })
  .map((bytes) => Buffer.from(bytes).toString('latin1'))
  .filter((text) => text === '' || /[^ \t\n\v\f\r]/.test(text));

/** A clock that advances only when a spec sets its time. */
export class ManualClock {
  /** In milliseconds. */
  time = 0;
  now(): number {
    return this.time;
  }
}

/** The time when a {@link ManualClock} is at 0, in seconds since 1970. */
export const EPOCH = 1_800_000_000;

/** A store whose time does not advance by itself, by default with room for everything. */
export function still(options: StoreOptions = {}, limit = 64 * 1024 * 1024): { store: Store; clock: ManualClock } {
  const clock = new ManualClock();
  return { clock, store: new Store(limit, { clock, epoch: EPOCH * 1000, ...options }) };
}

/** A cache around a store, with a host that has no figures. */
export function cacheOf(store: Store, host: Partial<Host> = {}): Cache {
  return {
    store,
    version: '1.2.3',
    host: {
      stats: () => [],
      connections: () => [],
      settings: () => [],
      resetStats: () => {},
      shutdown: undefined,
      setVerbosity: () => {},
      flushing: true,
      ...host,
    },
  };
}

/** The bytes of a text with one character for each byte. */
export const bytesOf = (text: string): Buffer => Buffer.from(text, 'latin1');

/** The replies to what a peer sends in one chunk, as text with one character for each byte. */
export function talk(cache: Cache, text: string | Uint8Array, limits?: Partial<Limits>): string {
  const [all] = decode([typeof text === 'string' ? bytesOf(text) : text], limits);
  return (all ?? []).map((request) => replyTo(cache, request)).join('');
}

/** The reply to one request, as text with one character for each byte. */
export function replyTo(cache: Cache, request: Request): string {
  return answer(cache, request)
    .map((piece) => (typeof piece === 'string' ? piece : bytesToText(piece)))
    .join('');
}

export const bytesToText = (bytes: Uint8Array): string =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');

/** Decodes chunks as a connection provides them: each in a buffer that is overwritten as soon as it has been read. */
export function decode(chunks: readonly Uint8Array[], limits?: Partial<Limits>): [requests: Request[], end: unknown] {
  const found: Request[] = [];
  let end: unknown = 'open';
  new Poisoned(chunks).pipe(requests(limits)).subscribe({
    next: (request) => found.push(request),
    error: (error) => {
      end = error;
    },
    complete: () => {
      end = 'complete';
    },
  });
  return [found, end];
}

/** Chunks that are overwritten with 0xdb after the subscriber has borrowed them. The source never completes. */
class Poisoned extends Bytes {
  readonly control = new ManualControl();
  readonly #chunks: readonly Uint8Array[];

  constructor(chunks: readonly Uint8Array[]) {
    super();
    this.#chunks = chunks;
  }

  borrow(sink: ByteSink): Subscription {
    return new Observable<never>((subscriber) => {
      for (const chunk of this.#chunks) {
        const shared = Buffer.from(chunk);
        if (!subscriber.closed) sink.next(shared);
        shared.fill(0xdb);
      }
    }).subscribe();
  }
}

/** Splits bytes at some places. */
export function splitAt(bytes: Uint8Array, places: readonly number[]): Uint8Array[] {
  const sorted = [...new Set(places.map((place) => place % (bytes.length + 1)))].sort((a, b) => a - b);
  return [0, ...sorted].map((from, index) => bytes.subarray(from, sorted[index] ?? bytes.length));
}
