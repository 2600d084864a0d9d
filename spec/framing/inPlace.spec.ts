import { concat, from, of, take, throwError } from 'rxjs';
import { expect, it } from 'vitest';
import { inPlace } from '../../lib/framing/inPlace.ts';
import { Borrowed } from '../support/borrowed.ts';
import { watch } from '../support/bytes.ts';
import { marbles } from '../support/marbles.ts';

const lengths = inPlace((chunk) => chunk.length);
const [a, b] = [Buffer.from('abc'), Buffer.from('defgh')];
const endless = from({
  *[Symbol.iterator]() {
    for (;;) yield* [a, b];
  },
});

it(
  'maps each chunk as it arrives, and ends as its source does',
  marbles(({ hot, expectObservable, expectSubscriptions }) => {
    const source = hot('  --a----------b----------|', { a, b });
    const expected = '    --x----------y----------|';
    const subscription = '^-----------------------!';
    expectObservable(source.pipe(lengths)).toBe(expected, { x: 3, y: 5 });
    expectSubscriptions(source.subscriptions).toBe(subscription);
  }),
);

it('errors as its source does', () => {
  const fault = new Error('no');
  const failing = concat(
    of(a),
    throwError(() => fault),
  );
  expect(watch(failing.pipe(lengths))).toMatchObject({ values: [3], error: fault });
});

it('stops an endless and synchronous source when downstream has enough, and at an error', () => {
  expect(watch(endless.pipe(lengths, take(3))).values).toEqual([3, 5, 3]);
  const fault = new Error('no');
  const fails = inPlace(() => {
    throw fault;
  });
  expect(watch(endless.pipe(fails)).error).toBe(fault);
});

it('passes the borrowed chunk itself where the source is a connection', () => {
  const peer = new Borrowed();
  const chunks: Uint8Array[] = [];
  peer.pipe(inPlace((chunk) => void chunks.push(chunk))).subscribe();
  peer.push(a);
  expect(chunks.map((chunk) => Buffer.from(chunk).equals(a))).toEqual([false]);
});

it('ends as the connection does', () => {
  const lost = new Error('reset');
  const [completing, failing] = [new Borrowed(), new Borrowed()];
  const [completed, failed] = [watch(completing.pipe(lengths)), watch(failing.pipe(lengths))];
  completing.push(a);
  completing.end();
  failing.fail(lost);
  expect(completed).toEqual({ values: [3], completed: true });
  expect(failed).toEqual({ values: [], completed: false, error: lost });
});

it('errors with what the function throws, and reads no more of the connection', () => {
  const peer = new Borrowed();
  const fault = new Error('no');
  const calls: number[] = [];
  const fails = inPlace((chunk) => {
    calls.push(chunk.length);
    throw fault;
  });
  const seen = watch(peer.pipe(fails));
  peer.push(a);
  peer.push(b);
  expect(seen).toEqual({ values: [], completed: false, error: fault });
  expect([calls, peer.released]).toEqual([[3], true]);
});
