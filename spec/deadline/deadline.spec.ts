import { EMPTY, NEVER, Observable, take } from 'rxjs';
import { describe, expect, it } from 'vitest';
import { deadline } from '../../lib/deadline/deadline.ts';
import { DeadlineError } from '../../lib/errors.ts';
import { marbles } from '../support/marbles.ts';
import { pair } from '../support/peers.ts';

const late = (after: number) => new DeadlineError('total', after);

describe.each([
  ['no scheduler handed in', false],
  ['the scheduler handed in', true],
])('deadline, %s', (_how, handed) => {
  const given = (after: number, clock: Parameters<typeof deadline>[1]) =>
    handed ? deadline<string>(after, clock) : deadline<string>(after);

  it(
    'errors when the source has not completed in time',
    marbles(({ clock, hot, expectObservable, expectSubscriptions }) => {
      const source = hot('  -a--b--c--d-|');
      const expected = '    -a--b--c#     ';
      const subscribed = '  ^-------!    ';
      expectObservable(source.pipe(given(8, clock))).toBe(expected, undefined, late(8));
      expectSubscriptions(source.subscriptions).toBe(subscribed);
    }),
  );

  it(
    'errors in time if there is never a value',
    marbles(({ clock, expectObservable }) => {
      expectObservable(NEVER.pipe(given(5, clock))).toBe('-----#', undefined, late(5));
    }),
  );

  it(
    'completes with a source that is empty, or has one value, in time',
    marbles(({ clock, cold, expectObservable }) => {
      expectObservable(EMPTY.pipe(given(5, clock))).toBe('|');
      expectObservable(cold('--a-|').pipe(given(5, clock))).toBe('--a-|');
    }),
  );

  it(
    'is not put off by values [E9]',
    marbles(({ clock, hot, expectObservable, expectSubscriptions }) => {
      const source = hot('  -a-a-a-a-a-a-a-a-a');
      expectObservable(source.pipe(given(8, clock))).toBe('-a-a-a-a#', undefined, late(8));
      expectSubscriptions(source.subscriptions).toBe('^-------!');
    }),
  );

  it(
    'errors with what the source errors with',
    marbles(({ clock, cold, expectObservable }) => {
      expectObservable(cold('--a#').pipe(given(5, clock))).toBe('--a#');
    }),
  );

  it(
    'is silent once it is unsubscribed',
    marbles(({ clock, hot, expectObservable, expectSubscriptions }) => {
      const source = hot('  --a-------');
      expectObservable(source.pipe(given(5, clock)), '^--!').toBe('--a-');
      expectSubscriptions(source.subscriptions).toBe('^--!');
    }),
  );

  it(
    'stops an endless source that emits at once when nobody wants more',
    marbles(({ clock }) => {
      let asked = 0;
      const endless = new Observable<string>((to) => {
        while (!to.closed && asked < 1000) to.next(String(++asked));
      });
      endless.pipe(given(5, clock), take(3)).subscribe();
      expect(asked).toBe(3);
    }),
  );

  it(
    'errors at once when nothing is allowed, never when everything is',
    marbles(({ clock, cold, expectObservable }) => {
      expectObservable(NEVER.pipe(given(0, clock))).toBe('#', undefined, late(0));
      expectObservable(cold('a 60m |').pipe(given(Number.POSITIVE_INFINITY, clock))).toBe('a 60m |');
    }),
  );
});

describe('deadline', () => {
  it.each([-1, Number.NaN])('refuses %s ms', (after) => {
    expect(() => deadline(after)).toThrow(RangeError);
  });

  it('over a connection is not put off by a byte every now and then [E9]', () => {
    const heard: unknown[] = [];
    marbles(({ clock, flush }) => {
      const { client } = pair(clock, {}, ({ connection }) => {
        connection.closed.subscribe(({ reason, deadline, bytesIn }) => heard.push([reason, deadline, bytesIn]));
        connection.pipe(deadline(55), connection.send()).subscribe({ error: () => undefined });
      });
      for (let ms = 10; ms <= 200; ms += 10) clock.schedule(() => client.write('a').resume(), ms);
      flush();
    })();
    // Five came in time; what came while we lingered was read, and handed to nobody.
    expect(heard).toEqual([['deadline', 'total', 20]]);
  });
});
