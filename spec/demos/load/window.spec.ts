import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Tally } from '../../../demos/load/tally.ts';
import { SHORTEST_LINE, Window } from '../../../demos/load/window.ts';

/** Passes bytes on in chunks of these lengths, repeated. */
function receiveInPieces(window: Window, bytes: Buffer, lengths: number[]): void {
  let at = 0;
  for (let i = 0; at < bytes.length; i++) {
    const end = at + (lengths[i % lengths.length] ?? 1);
    window.receive(Buffer.from(bytes.subarray(at, end)), performance.now());
    at = end;
  }
}

const sizes = fc.integer({ min: SHORTEST_LINE, max: 120 });
const lengths = fc.array(fc.integer({ min: 1, max: 400 }), { minLength: 1, maxLength: 8 });

describe('the window of requests', () => {
  it('sends lines of the given size, each of them once', () => {
    const tally = new Tally();
    const window = new Window(42, 4, 40, tally);
    const seen = new Set<string>();
    for (let round = 0; round < 30; round++) {
      const sent = Buffer.concat(window.refill(1));
      const lines = sent.toString().split(/(?<=\n)/);
      expect(lines.map((line) => line.length)).toEqual([40, 40, 40, 40]);
      for (const line of lines) seen.add(line);
      window.receive(sent, 2);
    }
    expect(seen.size).toBe(120);
    expect([...seen][119]).toMatch(/^00042 0000000119 [a-z]{22}\n$/);
    expect(tally).toMatchObject({ sent: 120, answered: 120, wrong: 0, lost: 0, unexpected: 0 });
  });

  it('counts every reply of an echo as correct, in any chunks', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 20 }),
        sizes,
        lengths,
        fc.integer({ min: 1, max: 6 }),
        (n, size, cut, rounds) => {
          const tally = new Tally();
          const window = new Window(7, n, size, tally);
          let pending = Buffer.concat(window.refill(1));
          for (let round = 0; round < rounds; round++) {
            // Replies that end in the middle of a line, because only complete ones make room for requests.
            const part = Math.ceil(pending.length * 0.7);
            receiveInPieces(window, pending.subarray(0, part), cut);
            pending = Buffer.concat([pending.subarray(part), ...window.refill(1)]);
          }
          receiveInPieces(window, pending, cut);
          expect(window.outstanding).toBe(0);
          expect(tally).toMatchObject({ answered: tally.sent, wrong: 0, lost: 0, unexpected: 0 });
          expect(tally.latency.totalCount).toBe(tally.sent);
        },
      ),
    );
  });

  it('counts each fault by its kind, and synchronizes with the correct replies again', () => {
    const fault = fc.constantFrom('right', 'spoilt', 'twice', 'swallowed');
    // A correct reply follows each fault, because a missing reply shows only in the next one.
    const faults = fc.array(fault, { maxLength: 40 }).map((some) => some.flatMap((one) => [one, 'right']));
    fc.assert(
      fc.property(faults, sizes, lengths, (faults, size, cut) => {
        const tally = new Tally();
        const window = new Window(7, 4, size, tally);
        const requests: string[] = [];
        for (const fault of faults) {
          requests.push(
            ...Buffer.concat(window.refill(1))
              .toString()
              .split(/(?<=\n)/)
              .filter(Boolean),
          );
          const line = requests.shift() ?? '';
          const replies = { right: line, spoilt: line.replace(/.\n$/, '#\n'), twice: line + line, swallowed: '' };
          receiveInPieces(window, Buffer.from(replies[fault as keyof typeof replies]), cut);
        }
        const count = (name: string): number => faults.filter((fault) => fault === name).length;
        expect(tally).toMatchObject({
          answered: count('right') + count('twice'),
          wrong: count('spoilt'),
          unexpected: count('twice'),
          lost: count('swallowed'),
        });
        expect(tally.sent).toBe(tally.answered + tally.wrong + tally.lost + window.outstanding);
      }),
    );
  });

  it('keeps only a prefix of a line that never ends', () => {
    const tally = new Tally();
    const received: string[] = [];
    tally.onFault = (fault) => received.push(fault.received);
    const window = new Window(7, 1, 40, tally);
    window.refill(1);
    for (let i = 0; i < 1000; i++) window.receive(Buffer.alloc(1000, 'x'), 2);
    expect(tally.wrong).toBe(0);
    window.receive(Buffer.from('\n'), 2);
    expect(tally.wrong).toBe(1);
    expect(received.map((line) => line.length)).toEqual([41]);
  });

  it('counts lines as unexpected that no request asked for', () => {
    const tally = new Tally();
    const window = new Window(7, 2, 40, tally);
    window.receive(Buffer.from('welcome\n'), 1);
    window.receive(Buffer.concat(window.refill(1)), 2);
    expect(tally).toMatchObject({ unexpected: 1, wrong: 0, answered: 2 });
  });

  it('counts a reply to another connection as wrong', () => {
    const [mine, theirs] = [new Tally(), new Tally()];
    const window = new Window(1, 1, 40, mine);
    window.refill(1);
    window.receive(Buffer.concat(new Window(2, 1, 40, theirs).refill(1)), 2);
    expect(mine).toMatchObject({ wrong: 1, answered: 0 });
  });
});
