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

/** In a marble diagram a letter is a byte, and `n` ends a line. */
const typed: OperatorFunction<string, Uint8Array> = map((letter) => Buffer.from(letter === 'n' ? '\n' : letter));
const late = new DeadlineError('frame', 5);

describe('the frame deadline', () => {
  it(
    'is not pushed back by further bytes of the same frame',
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
    'begins anew with a frame that begins in the chunk in which the last one ends',
    marbles(({ hot, expectObservable }) => {
      const source = hot('  a--b---c-----|', { a: Buffer.from('1'), b: Buffer.from('\n2'), c: Buffer.from('\n3') });
      const expected = '    ---x---y----#';
      expectObservable(source.pipe(lines({ timeout: 5 }))).toBe(expected, { x: '1', y: '2' }, late);
    }),
  );

  it(
    'does not pass if the frame ends one millisecond before it',
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
    'is unlimited by default without a connection',
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
    'defaults to that of the connection',
    marbles(({ cold, expectObservable }) => {
      const peer = new Borrowed();
      peer.control.frameTimeout = 5;
      const pushes = cold<string>('  -a--b---').pipe(
        typed,
        tap((bytes) => peer.push(bytes)),
      );
      expectObservable(peer.pipe(lines())).toBe('  ------#', {}, late);
      expectObservable(pushes.pipe(map(() => 'x'))).toBe('-x--x---');
    }),
  );

  it(
    'sets the close reason when it passes',
    marbles(({ cold, expectObservable, flush }) => {
      const peer = new Borrowed();
      peer.control.frameTimeout = 5;
      const pushes = cold<string>('  -a------').pipe(tap(() => peer.push(Buffer.from('a'))));
      expectObservable(peer.pipe(lines())).toBe('  ------#', {}, late);
      expectObservable(pushes).toBe('-a------');
      flush();
      expect(peer.control.closedAs).toEqual([late]);
    }),
  );

  it(
    'can be disabled on a connection that has one',
    marbles(({ cold, expectObservable }) => {
      const peer = new Borrowed();
      peer.control.frameTimeout = 5;
      const pushes = cold<string>('  -a------').pipe(tap(() => peer.push(Buffer.from('a'))));
      expectObservable(peer.pipe(lines({ timeout: Number.POSITIVE_INFINITY }))).toBe('---------');
      expectObservable(pushes).toBe('-a------');
    }),
  );

  it(
    'is suspended while the input is paused, because an unread frame cannot end',
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
      // Two of its five milliseconds have passed at 3, when the input pauses; the other three begin at 9.
      expectObservable(peer.pipe(lines())).toBe('   ------------#', {}, late);
      expectObservable(script.pipe(map(() => 'x'))).toBe('-x-x-----x------');
    }),
  );

  it('grants at most six minutes in advance for bytes, however long the input was paused before they came', () => {
    const seconds = (s: number) => 1000 * s;
    let failedAt: number | undefined;
    marbles(({ clock, flush }) => {
      const peer = new Borrowed();
      peer.control.pace = { in: 1, out: 0, grace: seconds(10) };
      peer.pipe(lines()).subscribe({
        error: () => {
          failedAt = clock.now();
        },
      });
      const at = (s: number, work: () => void) => clock.schedule(work, seconds(s));
      at(0, () => peer.control.pause());
      at(5, () => peer.open());
      at(6, () => peer.push(Buffer.from('a')));
      at(7, () => peer.control.pause());
      at(1000, () => {
        peer.open();
        peer.push(Buffer.from('b'.repeat(10_000)));
      });
      flush();
    })();
    expect(failedAt).toBe(seconds(1000 + 10 + 360));
  });

  it('is named in the error, with its limit', () => {
    expect(late).toMatchObject({ name: 'DeadlineError', deadline: 'frame', after: 5 });
  });

  it('runs on the scheduler that is passed', () => {
    const clock = new TestScheduler(() => undefined);
    const peer = new Borrowed();
    const seen = watch(peer.pipe(lines({ timeout: 5, scheduler: clock })));
    peer.push(Buffer.from('a'));
    clock.flush();
    expect(seen.error).toEqual(late);
  });

  it.each([
    ['no timer while frames arrive whole', 'a\nb\n', 0],
    ['one timer when a frame arrives in parts', 'a\nb', 1],
  ])('needs %s, and leaves none behind', (_, text, timers) => {
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
