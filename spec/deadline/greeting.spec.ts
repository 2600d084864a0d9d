import { Observable } from 'rxjs';
import { describe, expect, it } from 'vitest';
import { greeting } from '../../lib/deadline/greeting.ts';
import { DeadlineError } from '../../lib/errors.ts';
import { marbles } from '../support/marbles.ts';
import { pair } from '../support/peers.ts';

const late = (after: number) => new DeadlineError('greeting', after);

describe.each([
  ['no scheduler passed', false],
  ['the scheduler passed', true],
])('greeting, %s', (_how, isPassed) => {
  const given = (after: number, clock: Parameters<typeof greeting>[1]) =>
    isPassed ? greeting<string>(after, clock) : greeting<string>(after);

  it(
    'errors when the first value is not emitted in time',
    marbles(({ clock, hot, expectObservable, expectSubscriptions }) => {
      const source = hot('  ---------a-|');
      const expected = '    -----#      ';
      const subscribed = '  ^----!      ';
      expectObservable(source.pipe(given(5, clock))).toBe(expected, undefined, late(5));
      expectSubscriptions(source.subscriptions).toBe(subscribed);
    }),
  );

  it(
    'does nothing after the first value',
    marbles(({ clock, hot, expectObservable, expectSubscriptions }) => {
      const source = hot('  --a---------|');
      expectObservable(source.pipe(given(5, clock))).toBe('--a---------|');
      expectSubscriptions(source.subscriptions).toBe('^-----------!');
    }),
  );

  it(
    'mirrors many values',
    marbles(({ clock, cold, expectObservable }) => {
      expectObservable(cold('--a-b----------c|').pipe(given(5, clock))).toBe('--a-b----------c|');
    }),
  );

  it(
    'mirrors an endless source, and unsubscribes from it',
    marbles(({ clock, hot, expectObservable, expectSubscriptions }) => {
      const source = hot('  -a-a-a-a-a-a-a-a');
      expectObservable(source.pipe(given(2, clock)), '^--------!').toBe('-a-a-a-a-');
      expectSubscriptions(source.subscriptions).toBe('^--------!');
    }),
  );
});

describe('greeting', () => {
  it('on a connection is not met by output, and is the deadline of the close event', () => {
    const seen: unknown[] = [];
    marbles(({ clock, flush }) => {
      pair(clock, {}, ({ connection }) => {
        connection.closed.subscribe(({ reason, deadline }) => seen.push([reason, deadline]));
        const greet = new Observable<string>((to) => {
          to.next('who are you?');
          return connection.pipe(greeting(50)).subscribe({ error: (error) => to.error(error) });
        });
        greet.pipe(connection.send()).subscribe({ error: (error) => seen.push((error as Error).message) });
      });
      flush();
    })();
    expect(seen).toEqual(['Cannot wait longer: the greeting deadline of 50 ms is over', ['deadline', 'greeting']]);
  });
});
