import { map, type OperatorFunction, tap } from 'rxjs';
import { TestScheduler } from 'rxjs/testing';
import { describe, expect, it, vi } from 'vitest';
import { DeadlineError } from '../../lib/errors.ts';
import { lengthPrefixed } from '../../lib/framing/lengthPrefixed.ts';
import { lines } from '../../lib/framing/lines.ts';
import { monotonic } from '../../lib/time/monotonic.ts';
import { Borrowed } from '../support/borrowed.ts';
import { watch } from '../support/bytes.ts';
import { marbles } from '../support/marbles.ts';

/** In marbles a letter is a byte, and `n` is the end of a line. */
const typed: OperatorFunction<string, Uint8Array> = map((letter) => Buffer.from(letter === 'n' ? '\n' : letter));
const late = new DeadlineError('frame', 5);

describe('the frame deadline', () => {
  it(
    'is not pushed back by a drip',
    marbles(({ hot, expectObservable, expectSubscriptions }) => {
      const source = hot<string>('  --a--b--c--d--n--|');
      const expected = '            -------#';
      const subscription = '        ^------!';
      expectObservable(source.pipe(typed, lines({ timeout: 5 }))).toBe(expected, {}, late);
      expectSubscriptions(source.subscriptions).toBe(subscription);
    }),
  );

  it(
    'begins anew with each frame',
    marbles(({ hot, expectObservable }) => {
      const source = hot<string>('  a--bn-c---n-d--n----|');
      const expected = '            ----x-----y----z----|';
      expectObservable(source.pipe(typed, lines({ timeout: 5 }))).toBe(expected, { x: 'ab', y: 'c', z: 'd' });
    }),
  );

  it(
    'begins anew with a frame that begins where the last one ends',
    marbles(({ hot, expectObservable }) => {
      const source = hot('  a--b---c-----|', { a: Buffer.from('1'), b: Buffer.from('\n2'), c: Buffer.from('\n3') });
      const expected = '    ---x---y----#';
      expectObservable(source.pipe(lines({ timeout: 5 }))).toBe(expected, { x: '1', y: '2' }, late);
    }),
  );

  it(
    'is met by a frame that ends one moment before',
    marbles(({ hot, expectObservable }) => {
      const source = hot<string>('  a---n------|');
      const expected = '            ----x------|';
      expectObservable(source.pipe(typed, lines({ timeout: 5 }))).toBe(expected, { x: 'a' });
    }),
  );

  it(
    'does not run between frames',
    marbles(({ hot, expectObservable }) => {
      const source = hot<string>('  n----- 10s -n|');
      const expected = '            x----- 10s -x|';
      expectObservable(source.pipe(typed, lines({ timeout: 5 }))).toBe(expected, { x: '' });
    }),
  );

  it(
    'is none by default',
    marbles(({ hot, expectObservable }) => {
      const source = hot<string>('  a 600m n|');
      const expected = '            - 600m x|';
      expectObservable(source.pipe(typed, lines())).toBe(expected, { x: 'a' });
    }),
  );

  it(
    'runs from the first byte of a header',
    marbles(({ hot, expectObservable }) => {
      const source = hot('  -a--a--b', { a: Buffer.from([0]), b: Buffer.from([0]) });
      const expected = '    ------#';
      expectObservable(source.pipe(lengthPrefixed({ timeout: 5 }))).toBe(expected, {}, late);
    }),
  );

  it(
    'is the connection’s own where nothing else is said, and the connection is told who is to blame',
    marbles(({ cold, expectObservable, flush }) => {
      const peer = new Borrowed();
      peer.control.frameTimeout = 5;
      const pushes = cold<string>('  -a--b---').pipe(
        typed,
        tap((bytes) => peer.push(bytes)),
      );
      expectObservable(peer.pipe(lines())).toBe('  ------#', {}, late);
      expectObservable(pushes.pipe(map(() => 'x'))).toBe('-x--x---');
      flush();
      expect(peer.control.blamed).toEqual([late]);
    }),
  );

  it(
    'can be taken away where a connection has one',
    marbles(({ cold, expectObservable }) => {
      const peer = new Borrowed();
      peer.control.frameTimeout = 5;
      const pushes = cold<string>('  -a------').pipe(tap(() => peer.push(Buffer.from('a'))));
      expectObservable(peer.pipe(lines({ timeout: Number.POSITIVE_INFINITY }))).toBe('---------');
      expectObservable(pushes).toBe('-a------');
    }),
  );

  it(
    'does not run out while the input is held back: what is not read cannot end',
    marbles(({ cold, expectObservable }) => {
      const peer = new Borrowed();
      peer.control.frameTimeout = 5;
      const script = cold<string>('  -a-h-----o------', { a: 'a', h: 'hold', o: 'open' }).pipe(
        tap((what) => {
          if (what === 'hold') peer.control.pause();
          else if (what === 'open') peer.open();
          else peer.push(Buffer.from(what));
        }),
      );
      // Two of its five are over at 3, when it is held; the others begin at 9.
      expectObservable(peer.pipe(lines())).toBe('   ------------#', {}, late);
      expectObservable(script.pipe(map(() => 'x'))).toBe('-x-x-----x------');
    }),
  );

  it('names itself and its time', () => {
    expect(late).toMatchObject({ name: 'DeadlineError', deadline: 'frame', after: 5 });
  });

  it('runs on the clock it is given', () => {
    const clock = new TestScheduler(() => undefined);
    const peer = new Borrowed();
    const seen = watch(peer.pipe(lines({ timeout: 5, scheduler: clock })));
    peer.push(Buffer.from('a'));
    clock.flush();
    expect(seen.error).toEqual(late);
  });

  it.each([
    ['never armed while frames come whole', 'a\nb\n', 0],
    ['armed for one that does not', 'a\nb', 1],
  ])('is a timer %s, and none is left', (_, text, timers) => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    try {
      const peer = new Borrowed();
      const subscription = peer.pipe(lines({ timeout: 5, scheduler: monotonic })).subscribe();
      peer.push(Buffer.from(text));
      expect(vi.getTimerCount()).toBe(timers);
      subscription.unsubscribe();
      expect(vi.getTimerCount()).toBe(0);
    } finally {
      vi.useRealTimers();
    }
  });
});
