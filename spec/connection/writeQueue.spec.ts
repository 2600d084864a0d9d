import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Data, type Overrun, WriteQueue } from '../../lib/connection/writeQueue.ts';
import type { TransportSocket } from '../../lib/transport/transport.ts';

/** A socket that takes a given number of bytes at once from each write, and the rest when it is told to. */
class SlowSocket {
  readonly taken: Buffer[] = [];
  writes = 0;
  ended = false;
  pending = 0;
  #rest: Buffer = Buffer.alloc(0);
  readonly #atOnce: () => number;
  constructor(atOnce: () => number) {
    this.#atOnce = atOnce;
  }
  write(data: Data | readonly Data[]): boolean {
    if (this.pending > 0) throw new Error('a write while one is under way');
    if (this.ended) throw new Error('a write after the FIN');
    this.writes++;
    const pieces = typeof data === 'string' || data instanceof Uint8Array ? [data] : data;
    const all = Buffer.concat(pieces.map((piece) => Buffer.from(piece as string)));
    const now = Math.min(all.length, this.#atOnce());
    this.taken.push(all.subarray(0, now));
    this.#rest = all.subarray(now);
    this.pending = this.#rest.length;
    return this.pending === 0;
  }
  /** @returns Whether all has been taken now, and had not been before. */
  take(bytes: number): boolean {
    if (this.pending === 0) return false;
    this.taken.push(this.#rest.subarray(0, bytes));
    this.#rest = this.#rest.subarray(bytes);
    this.pending = this.#rest.length;
    return this.pending === 0;
  }
  end(): void {
    this.ended = true;
  }
}

const made = (atOnce: () => number, max = Number.POSITIVE_INFINITY, overrun: Overrun = 'disconnect', room = 0) => {
  const socket = new SlowSocket(atOnce);
  return {
    socket,
    writes: new WriteQueue(socket as unknown as TransportSocket, { maxOutbound: max, overrun, highWaterMark: room }),
  };
};

const data = fc.oneof(fc.string({ unit: 'grapheme' }), fc.uint8Array({ maxLength: 20 }));
const step = fc.oneof(
  { weight: 5, arbitrary: data.map((push) => ({ push })) },
  { weight: 2, arbitrary: fc.constant('flush' as const) },
  { weight: 2, arbitrary: fc.nat(30).map((take) => ({ take })) },
);

describe('Writes', () => {
  it('lets strings and bytes leave in order, one write at a time, with what is unsent counted in bytes', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), fc.infiniteStream(fc.nat(20)), (steps, room) => {
        const { socket, writes } = made(() => room.next().value as number);
        const pushed: Buffer[] = [];
        const sum = (all: Buffer[]) => all.reduce((length, chunk) => length + chunk.length, 0);
        for (const step of steps) {
          if (step === 'flush') writes.flush();
          else if ('push' in step) {
            writes.push(step.push);
            pushed.push(Buffer.from(step.push as string));
          } else if (socket.take(step.take)) writes.writable();
          expect(writes.unsent).toBe(sum(pushed) - sum(socket.taken));
          expect(writes.isWriteInFlight).toBe(socket.pending > 0);
        }
        writes.end();
        writes.push('after the end');
        while (socket.pending > 0) if (socket.take(1000)) writes.writable();
        expect(Buffer.concat(socket.taken)).toEqual(Buffer.concat(pushed));
        expect(writes.unsent).toBe(0);
        expect(socket.ended).toBe(true);
      }),
      { numRuns: 500 },
    );
  });

  it('makes one write of a turn, and none of nothing', () => {
    const { socket, writes } = made(() => 100);
    writes.flush();
    expect(socket.writes).toBe(0);
    for (const piece of ['a', Uint8Array.of(98), 'c', 'd']) writes.push(piece);
    writes.flush();
    writes.flush();
    expect(socket.writes).toBe(1);
    expect(Buffer.concat(socket.taken).toString()).toBe('abcd');
  });

  it('sends its FIN behind what waits, not before', () => {
    const { socket, writes } = made(() => 1);
    writes.push('abc');
    writes.flush();
    writes.push('def');
    writes.end();
    expect(socket.ended).toBe(false);
    socket.take(2);
    writes.writable();
    expect(socket.ended).toBe(false);
    socket.take(3);
    socket.take(3);
    writes.writable();
    expect(socket.ended).toBe(true);
  });

  it('keeps nothing of what has left', () => {
    const { writes } = made(() => Number.POSITIVE_INFINITY);
    for (let turn = 0; turn < 1000; turn++) {
      writes.push('text');
      writes.push(Uint8Array.of(turn));
      writes.flush();
      expect(writes.waiting).toBe(0);
      expect(writes.unsent).toBe(0);
    }
  });

  it.each<Overrun>(['disconnect', 'drop-oldest', 'drop-newest'])(
    'takes one value of any length while there is room, and then what may be unsent (%s)',
    (overrun) => {
      const { socket, writes } = made(() => 1, 10, overrun, 3);
      writes.push('abcd');
      writes.flush();
      expect(writes.push('a value of twenty b.')).toBe(true);
      expect([writes.unsent, writes.dropped]).toEqual([23, 0]);
      expect(writes.push('z')).toBe(overrun !== 'disconnect');
      expect(writes.dropped).toBe(overrun === 'disconnect' ? 0 : 1);
      while (socket.pending > 0) if (socket.take(1000)) writes.writable();
      expect(Buffer.concat(socket.taken).toString()).toBe(
        overrun === 'drop-oldest' ? 'abcdz' : 'abcda value of twenty b.',
      );
    },
  );

  it('forgets what waits when it is told to', () => {
    const { socket, writes } = made(() => 100);
    writes.push('é');
    expect(writes.unsent).toBe(2);
    writes.drop();
    writes.flush();
    expect([socket.writes, writes.unsent]).toEqual([0, 0]);
  });
});
