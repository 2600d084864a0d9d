import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Data, type Overrun, WriteQueue } from '../../lib/connection/writeQueue.ts';
import type { TransportSocket } from '../../lib/transport/transport.ts';

/** A socket that sends a given number of bytes of each write at once, and the rest in calls of `take`. */
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
  /** @returns Whether this call has sent the last bytes of the pending write. */
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

const open = (
  atOnce: () => number,
  maxOutbound = Number.POSITIVE_INFINITY,
  overrun: Overrun = 'disconnect',
  highWaterMark = 0,
) => {
  const socket = new SlowSocket(atOnce);
  return {
    socket,
    queue: new WriteQueue(socket as unknown as TransportSocket, { maxOutbound, overrun, highWaterMark }),
  };
};

/** Values of up to so many characters or bytes, flushes, and bytes that the network takes. */
const steps = (maxLength: number) => {
  const data = fc.oneof(fc.string({ unit: 'grapheme', maxLength }), fc.uint8Array({ maxLength }));
  return fc.oneof(
    { weight: 5, arbitrary: data.map((push) => ({ push })) },
    { weight: 2, arbitrary: fc.constant('flush' as const) },
    { weight: 2, arbitrary: fc.nat(30).map((take) => ({ take })) },
  );
};

describe('a WriteQueue', () => {
  it('sends strings and bytes in order, one write at a time, and counts in bytes what is unsent', () => {
    fc.assert(
      fc.property(fc.array(steps(20), { maxLength: 60 }), fc.infiniteStream(fc.nat(20)), (steps, room) => {
        const { socket, queue } = open(() => room.next().value as number);
        const pushed: Buffer[] = [];
        const sum = (all: Buffer[]) => all.reduce((length, chunk) => length + chunk.length, 0);
        for (const step of steps) {
          if (step === 'flush') queue.flush();
          else if ('push' in step) {
            queue.push(step.push);
            pushed.push(Buffer.from(step.push as string));
          } else if (socket.take(step.take)) queue.writable();
          expect(queue.unsent).toBe(sum(pushed) - sum(socket.taken));
          expect(queue.isWriteInFlight).toBe(socket.pending > 0);
        }
        queue.end();
        queue.push('after the end');
        while (socket.pending > 0) if (socket.take(1000)) queue.writable();
        expect(Buffer.concat(socket.taken)).toEqual(Buffer.concat(pushed));
        expect(queue.unsent).toBe(0);
        expect(socket.ended).toBe(true);
      }),
      { numRuns: 500 },
    );
  });

  it('hands on what was pushed before hold, and keeps what is pushed later until release', () => {
    fc.assert(
      fc.property(
        fc.array(steps(20), { maxLength: 30 }),
        fc.array(steps(20), { maxLength: 30 }),
        fc.infiniteStream(fc.nat(20)),
        fc.boolean(),
        (before, after, room, ends) => {
          const { socket, queue } = open(() => room.next().value as number);
          const pushed: Buffer[] = [];
          const sum = (all: Buffer[]) => all.reduce((length, chunk) => length + chunk.length, 0);
          const run = (step: (typeof before)[number]) => {
            if (step === 'flush') queue.flush();
            else if ('push' in step) {
              queue.push(step.push);
              pushed.push(Buffer.from(step.push as string));
            } else if (socket.take(step.take)) queue.writable();
            expect(queue.unsent).toBe(sum(pushed) - sum(socket.taken));
          };
          before.forEach(run);
          const held = Buffer.concat(pushed);
          queue.hold();
          for (const step of after) {
            run(step);
            expect(sum(socket.taken) + socket.pending).toBeLessThanOrEqual(held.length);
            expect(queue.isWriteInFlight).toBe(true);
          }
          if (ends) queue.end();
          while (socket.pending > 0) if (socket.take(1000)) queue.writable();
          expect(queue.isTaken).toBe(true);
          expect(Buffer.concat(socket.taken)).toEqual(held);
          expect(socket.ended).toBe(false);
          queue.release();
          if (!ends) queue.end();
          while (socket.pending > 0) if (socket.take(1000)) queue.writable();
          expect(Buffer.concat(socket.taken)).toEqual(Buffer.concat(pushed));
          expect(queue.unsent).toBe(0);
          expect(socket.ended).toBe(true);
        },
      ),
      { numRuns: 500 },
    );
  });

  it('counts what it holds against the limit', () => {
    const { queue } = open(() => 1, 10);
    queue.push('abc');
    queue.flush();
    queue.push('def');
    queue.hold();
    expect(queue.weight).toBe(6);
    expect(queue.push('ghij')).toBe(true);
    expect(queue.push('kl')).toBe(false);
    queue.fail();
    expect(queue.unsent).toBe(9);
  });

  it('makes one write of all that is queued, and none when it is empty', () => {
    const { socket, queue } = open(() => 100);
    queue.flush();
    expect(socket.writes).toBe(0);
    for (const piece of ['a', Uint8Array.of(98), 'c', 'd']) queue.push(piece);
    queue.flush();
    queue.flush();
    expect(socket.writes).toBe(1);
    expect(Buffer.concat(socket.taken).toString()).toBe('abcd');
  });

  it('sends its FIN after all that is queued, and not before', () => {
    const { socket, queue } = open(() => 1);
    queue.push('abc');
    queue.flush();
    queue.push('def');
    queue.end();
    expect(socket.ended).toBe(false);
    socket.take(2);
    queue.writable();
    expect(socket.ended).toBe(false);
    socket.take(3);
    socket.take(3);
    queue.writable();
    expect(socket.ended).toBe(true);
  });

  it('keeps nothing in the queue that has been sent', () => {
    const { queue } = open(() => Number.POSITIVE_INFINITY);
    for (let round = 0; round < 1000; round++) {
      queue.push('text');
      queue.push(Uint8Array.of(round));
      queue.flush();
      expect(queue.waiting).toBe(0);
      expect(queue.unsent).toBe(0);
    }
  });

  it.each<Overrun>(['disconnect', 'drop-oldest', 'drop-newest'])(
    'queues one value of any length below highWaterMark, and then applies maxOutbound (%s)',
    (overrun) => {
      const { socket, queue } = open(() => 1, 10, overrun, 3);
      queue.push('abcd');
      queue.flush();
      expect(queue.push('a value of twenty b.')).toBe(true);
      expect([queue.unsent, queue.dropped]).toEqual([23, 0]);
      expect(queue.push('z')).toBe(overrun !== 'disconnect');
      expect(queue.dropped).toBe(overrun === 'disconnect' ? 0 : 1);
      while (socket.pending > 0) if (socket.take(1000)) queue.writable();
      expect(Buffer.concat(socket.taken).toString()).toBe(
        overrun === 'drop-oldest' ? 'abcdz' : 'abcda value of twenty b.',
      );
    },
  );

  it('keeps its limit as a list of values does, whatever the overrun', () => {
    const overruns = fc.constantFrom<Overrun>('disconnect', 'drop-oldest', 'drop-newest');
    const most = 30;
    const highWaterMark = 5;
    fc.assert(
      fc.property(overruns, fc.nat(8), fc.array(steps(6), { maxLength: 60 }), (overrun, atOnce, steps) => {
        const { socket, queue } = open(() => atOnce, most, overrun, highWaterMark);
        const written: Buffer[] = [];
        let values: Buffer[] = [];
        let dropped = 0;
        const queued = () => values.reduce((sum, { length }) => sum + length, 0);
        const flush = () => {
          queue.flush();
          if (socket.pending === 0 || socket.writes > writes) written.push(...values.splice(0));
          writes = socket.writes;
        };
        let writes = 0;
        for (const step of steps) {
          if (step === 'flush') {
            flush();
          } else if ('take' in step) {
            if (socket.take(step.take)) {
              queue.writable();
              written.push(...values.splice(0));
              writes = socket.writes;
            }
          } else {
            const value = Buffer.from(step.push as string);
            const fits = () => socket.pending + queued() + value.length <= most;
            const isQueued =
              value.length === 0 || socket.pending === 0 || fits() || socket.pending + queued() <= highWaterMark;
            expect(queue.push(step.push)).toBe(isQueued || overrun !== 'disconnect');
            if (!isQueued && overrun === 'disconnect') break;
            while (!isQueued && overrun === 'drop-oldest' && socket.pending + value.length <= most && !fits()) {
              values = values.slice(1);
              dropped++;
            }
            if (isQueued || fits()) values.push(value);
            else dropped++;
            values = values.filter(({ length }) => length > 0);
          }
          expect([queue.unsent, queue.dropped]).toEqual([socket.pending + queued(), dropped]);
        }
        while (socket.pending > 0 || queue.waiting > 0) {
          flush();
          if (socket.take(1000)) queue.writable();
        }
        written.push(...values);
        expect(Buffer.concat(socket.taken)).toEqual(Buffer.concat(written));
      }),
      { numRuns: 500 },
    );
  });

  it('drops what is queued', () => {
    const { socket, queue } = open(() => 100);
    queue.push('é');
    expect(queue.unsent).toBe(2);
    queue.drop();
    queue.flush();
    expect([socket.writes, queue.unsent]).toEqual([0, 0]);
  });
});
