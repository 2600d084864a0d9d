import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Outlet } from '../../lib/logging/outlet.ts';

const LIMIT = 40;

/** A reader with the room that a spec gives it, and a clock that a spec moves. */
class Reader {
  room = 0;
  fault: string | undefined;
  text = '';
  attempts = 0;
  at = 0;
  readonly waiting: boolean[] = [];
  readonly #later: { at: number; work: () => void }[] = [];
  readonly outlet = new Outlet(
    {
      write: (bytes) => {
        this.attempts++;
        if (this.fault !== undefined) throw Object.assign(new Error(this.fault), { code: this.fault });
        const taken = Math.min(this.room, bytes.length);
        this.room -= taken;
        this.text += Buffer.from(bytes.subarray(0, taken)).toString('latin1');
        return taken;
      },
      later: (work, ms) => void this.#later.push({ at: this.at + ms, work }),
      now: () => this.at,
      note: (dropped) => `-${dropped}\n`,
      waiting: (waits) => void this.waiting.push(waits),
    },
    LIMIT,
  );

  get timers(): number {
    return this.#later.length;
  }

  advance(ms: number): void {
    this.at += ms;
    const due = this.#later.filter(({ at }) => at <= this.at);
    this.#later.splice(0, Number.POSITIVE_INFINITY, ...this.#later.filter(({ at }) => at > this.at));
    for (const { work } of due) work();
  }
}

describe('Outlet', () => {
  it('writes at once while there is room', () => {
    const reader = new Reader();
    reader.room = 100;
    reader.outlet.write('one\n');
    reader.outlet.write('two\n');
    expect([reader.text, reader.waiting, reader.timers]).toEqual(['one\ntwo\n', [], 0]);
  });

  it('writes the rest of a line when there is room again', () => {
    const reader = new Reader();
    reader.room = 6;
    reader.outlet.write('one\n');
    reader.outlet.write('two\n');
    reader.outlet.write('three\n');
    expect(reader.text).toBe('one\ntw');
    reader.room = 100;
    reader.advance(10);
    expect(reader.text).toBe('one\ntwo\nthree\n');
    expect(reader.waiting).toEqual([true, false]);
    reader.advance(10);
    expect(reader.timers).toBe(0);
  });

  it('attempts to write every 10 ms while there is no room, however many lines wait, with one timer', () => {
    const reader = new Reader();
    for (let i = 0; i < 1000; i++) reader.outlet.write(`${i}\n`);
    expect([reader.attempts, reader.timers]).toEqual([1, 1]);
    for (let i = 0; i < 10; i++) reader.advance(10);
    expect([reader.attempts, reader.timers]).toEqual([11, 1]);
  });

  it('continues with the next line if its timer is lost', () => {
    const reader = new Reader();
    reader.outlet.write('one\n');
    reader.room = 100;
    reader.at += 10;
    reader.outlet.write('two\n');
    expect(reader.text).toBe('one\ntwo\n');
  });

  it('drops the oldest lines beyond its limit, and reports how many in their place', () => {
    const reader = new Reader();
    for (let i = 0; i < 100; i++) reader.outlet.write(`line ${i}\n`);
    reader.room = 1000;
    reader.advance(10);
    const newest = Array.from({ length: 5 }, (_, i) => `line ${95 + i}\n`).join('');
    expect(reader.text).toBe(`line 0\n-94\n${newest}`);
  });

  it('writes a line that is longer than its limit if there is room', () => {
    const reader = new Reader();
    reader.room = 1000;
    reader.outlet.write(`${'x'.repeat(100)}\n`);
    expect(reader.text).toHaveLength(101);
  });

  it('writes nothing more when the reader has closed', () => {
    const reader = new Reader();
    reader.outlet.write('one\n');
    reader.fault = 'EPIPE';
    reader.advance(10);
    reader.fault = undefined;
    reader.room = 100;
    reader.outlet.write('two\n');
    reader.advance(10);
    expect([reader.text, reader.outlet.waits, reader.waiting, reader.timers]).toEqual(['', false, [true, false], 0]);
  });

  it('loses no line within its limit while writes fail with another error', () => {
    const reader = new Reader();
    reader.fault = 'ENOSPC';
    reader.outlet.write('one\n');
    reader.outlet.write('two\n');
    reader.fault = undefined;
    reader.room = 100;
    reader.advance(10);
    expect(reader.text).toBe('one\ntwo\n');
  });

  it('writes whole lines in order, and writes or reports as dropped each line, whatever room there is', () => {
    const step = fc.oneof(
      fc.record({ write: fc.integer({ min: 1, max: 30 }) }),
      fc.record({ room: fc.integer({ min: 1, max: 200 }) }),
      fc.record({ wait: fc.integer({ min: 1, max: 20 }) }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
        const reader = new Reader();
        let written = 0;
        for (const one of steps) {
          if ('write' in one) reader.outlet.write(`${written++}${'.'.repeat(one.write)}\n`);
          if ('room' in one) reader.room += one.room;
          if ('wait' in one) reader.advance(one.wait);
        }
        reader.room = Number.POSITIVE_INFINITY;
        reader.advance(10);
        let next = 0;
        for (const line of reader.text.split('\n').slice(0, -1)) {
          if (line.startsWith('-')) next += Number(line.slice(1));
          else expect(line).toMatch(new RegExp(`^${next++}\\.+$`));
        }
        expect(next).toBe(written);
        expect(reader.outlet.waits).toBe(false);
      }),
    );
  });
});
