import { changeNumber, flushCache, getItem, removeItem, storeItem } from './binary-commands.ts';
import { packet, refusal } from './binary-reply.ts';
import type { Cache } from './cache.ts';
import { isQuiet, nonQuiet, Opcode, Status } from './opcodes.ts';
import { latin1, NONE, type Piece, type Reply } from './reply.ts';
import type { BinaryRequest } from './requests.ts';
import { resetStats, statsOf } from './stats.ts';

/** Executes a request of the binary protocol. A quiet request is answered only after a failure, or for a hit. */
export function answerBinary(cache: Cache, request: BinaryRequest): Reply {
  if (request.status !== Status.ok) return refuse(cache, request);
  switch (nonQuiet(request.opcode)) {
    case Opcode.get:
    case Opcode.getk:
    case Opcode.touch:
    case Opcode.gat:
    case Opcode.gatk:
      return getItem(cache.store, request);
    case Opcode.set:
    case Opcode.add:
    case Opcode.replace:
    case Opcode.append:
    case Opcode.prepend:
      return storeItem(cache.store, request);
    case Opcode.delete:
      return removeItem(cache.store, request);
    case Opcode.increment:
    case Opcode.decrement:
      return changeNumber(cache.store, request);
    case Opcode.flush:
      return flushCache(cache, request);
    case Opcode.version:
      return packet(request, { value: latin1(cache.version) });
    case Opcode.stat:
      return answerStats(cache, request);
    default:
      // Only `noop` and `quit` are left, which do nothing.
      return isQuiet(request.opcode) ? NONE : packet(request);
  }
}

function refuse({ store }: Cache, request: BinaryRequest): Reply {
  if (request.status === Status.tooLarge) {
    store.counters.store_too_large += 1;
    const old = nonQuiet(request.opcode) === Opcode.set ? store.find(request.key) : undefined;
    if (old !== undefined) store.remove(old);
  }
  return refusal(request, request.status);
}

/** One packet for each line, and an empty one at the end. */
function answerStats(cache: Cache, request: BinaryRequest): Reply {
  if (request.key === 'reset') {
    resetStats(cache);
    return packet(request);
  }
  const stats = statsOf(cache, request.key);
  if (stats === undefined) return refusal(request, Status.notFound);
  const pieces: Piece[] = [];
  for (const [name, value] of stats) pieces.push(...packet(request, { key: name, value: latin1(String(value)) }));
  return [...pieces, ...packet(request)];
}
