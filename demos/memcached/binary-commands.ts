import { type Body, packet, refusal } from './binary-reply.ts';
import type { Cache } from './cache.ts';
import { isQuiet, nonQuiet, Opcode, Status } from './opcodes.ts';
import { NONE, type Reply } from './reply.ts';
import type { BinaryRequest } from './requests.ts';
import { fetch } from './retrieve.ts';
import type { Mode, Store } from './store.ts';

/** With this expiry time, a missing number is not created. */
const NEVER_CREATED = 0xffffffff;

/** `get`, `getk`, `touch`, `gat` and `gatk`. */
export function getItem(store: Store, request: BinaryRequest): Reply {
  const command = nonQuiet(request.opcode);
  const withKey = command === Opcode.getk || command === Opcode.gatk;
  const item = fetch(store, request.key, request.extras.length === 4 ? uint32(request.extras, 0) : undefined);
  if (item === undefined) {
    if (isQuiet(request.opcode)) return NONE;
    return withKey ? packet(request, { key: request.key }, Status.notFound) : refusal(request, Status.notFound);
  }
  const { cas, flags, data, key } = item;
  const body: Body = { cas, flags };
  if (withKey) body.key = key;
  if (command !== Opcode.touch) body.value = data;
  return packet(request, body);
}

const MODES: ReadonlyMap<number, Mode> = new Map<number, Mode>([
  [Opcode.set, 'set'],
  [Opcode.add, 'add'],
  [Opcode.replace, 'replace'],
  [Opcode.append, 'append'],
  [Opcode.prepend, 'prepend'],
]);

/** `set`, `add`, `replace`, `append` and `prepend`. */
export function storeItem(store: Store, request: BinaryRequest): Reply {
  const { key, value, extras, cas } = request;
  const mode = MODES.get(nonQuiet(request.opcode)) ?? 'set';
  const whole = extras.length === 8;
  const flags = whole ? uint32(extras, 0) : 0;
  const expires = store.expiry(whole ? uint32(extras, 4) : 0);
  store.counters.cmd_set += 1;
  const stored = store.put(whole && cas !== 0 ? 'cas' : mode, key, value, { flags, expires, cas });
  if (typeof stored !== 'string') return done(request, { cas: stored.cas });
  switch (stored) {
    case 'exists':
      return refusal(request, Status.exists);
    case 'notFound':
      return refusal(request, Status.notFound);
    case 'tooLarge':
      return refusal(request, Status.tooLarge);
    case 'noMemory':
      store.counters.store_no_memory += 1;
      return refusal(request, Status.noMemory);
    case 'notStored':
      if (mode === 'add') return refusal(request, Status.exists);
      return refusal(request, mode === 'replace' ? Status.notFound : Status.notStored);
  }
}

/** `delete` */
export function removeItem(store: Store, request: BinaryRequest): Reply {
  const item = store.find(request.key);
  if (item === undefined) {
    store.counters.delete_misses += 1;
    return refusal(request, Status.notFound);
  }
  if (request.cas !== 0 && request.cas !== item.cas) return refusal(request, Status.exists);
  store.counters.delete_hits += 1;
  store.remove(item);
  return done(request);
}

/** `increment` and `decrement`, which may create the number. */
export function changeNumber(store: Store, request: BinaryRequest): Reply {
  const { key, cas } = request;
  const view = new DataView(request.extras.buffer, request.extras.byteOffset, 20);
  const up = nonQuiet(request.opcode) === Opcode.increment;
  const expiry = view.getUint32(16);
  const item = store.find(key);
  if (item === undefined) {
    if (expiry === NEVER_CREATED) {
      store.counters[up ? 'incr_misses' : 'decr_misses'] += 1;
      return refusal(request, Status.notFound);
    }
    const initial = view.getBigUint64(8);
    const data = new TextEncoder().encode(initial.toString());
    const made = store.put('add', key, data, { expires: store.expiry(expiry) });
    if (typeof made === 'string') return refusal(request, Status.noMemory);
    return done(request, { cas: made.cas, value: uint64(initial) });
  }
  const value = store.delta(item, view.getBigUint64(0), up, cas);
  if (value === 'exists') return refusal(request, Status.exists);
  if (value === 'nonNumeric') return refusal(request, Status.nonNumeric);
  if (value === 'noMemory') return refusal(request, Status.noMemory);
  return done(request, { cas: item.cas, value: uint64(value) });
}

/** `flush` */
export function flushCache({ store, host }: Cache, request: BinaryRequest): Reply {
  if (!host.flushing) return refusal(request, Status.auth);
  store.counters.cmd_flush += 1;
  store.flush(request.extras.length === 4 ? uint32(request.extras, 0) : 0);
  return done(request);
}

/** The reply to a request that succeeded: none to a quiet one. */
function done(request: BinaryRequest, body?: Body): Reply {
  return isQuiet(request.opcode) ? NONE : packet(request, body);
}

function uint32(bytes: Uint8Array, at: number): number {
  return new DataView(bytes.buffer, bytes.byteOffset).getUint32(at);
}

function uint64(value: bigint): Uint8Array {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, value);
  return bytes;
}
