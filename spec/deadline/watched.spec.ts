import { EMPTY, type MonoTypeOperatorFunction, NEVER, Observable, type SchedulerLike, take, throwError } from 'rxjs';
import { describe, expect, it } from 'vitest';
import { deadline } from '../../lib/deadline/deadline.ts';
import { greeting } from '../../lib/deadline/greeting.ts';
import { idle } from '../../lib/deadline/idle.ts';
import { DeadlineError, type DeadlineName } from '../../lib/errors.ts';
import { marbles } from '../support/marbles.ts';

type Operator = (after: number, scheduler?: SchedulerLike) => MonoTypeOperatorFunction<string>;

const operators: [name: DeadlineName, operator: Operator][] = [
  ['idle', idle],
  ['greeting', greeting],
  ['total', deadline],
];

// The clock is virtual time by itself; handing in a scheduler makes no difference.
const ways: [how: string, given: (operator: Operator, after: number, clock: SchedulerLike) => ReturnType<Operator>][] =
  [
    ['no scheduler handed in', (operator, after) => operator(after)],
    ['the scheduler handed in', (operator, after, clock) => operator(after, clock)],
  ];

describe.each(operators)('the %s deadline', (name, operator) => {
  const late = (after: number) => new DeadlineError(name, after);

  describe.each(ways)('%s', (_how, given) => {
    it(
      'errors in time if there is never a value',
      marbles(({ clock, expectObservable }) => {
        expectObservable(NEVER.pipe(given(operator, 5, clock))).toBe('-----#', undefined, late(5));
      }),
    );

    it(
      'completes with a source that is empty, or has one value, in time',
      marbles(({ clock, cold, expectObservable, expectSubscriptions }) => {
        expectObservable(EMPTY.pipe(given(operator, 5, clock))).toBe('|');
        const source = cold(' --a-|');
        expectObservable(source.pipe(given(operator, 5, clock))).toBe('--a-|');
        expectSubscriptions(source.subscriptions).toBe('^---!');
      }),
    );

    it(
      'errors with what the source errors with',
      marbles(({ clock, cold, expectObservable, expectSubscriptions }) => {
        const source = cold(' --a-#', undefined, 'broken');
        expectObservable(source.pipe(given(operator, 5, clock))).toBe('--a-#', undefined, 'broken');
        expectSubscriptions(source.subscriptions).toBe('^---!');
        expectObservable(throwError(() => 'at once').pipe(given(operator, 5, clock))).toBe('#', undefined, 'at once');
      }),
    );

    it(
      'is silent once it is unsubscribed',
      marbles(({ clock, hot, expectObservable, expectSubscriptions }) => {
        const source = hot('  -a------------');
        expectObservable(source.pipe(given(operator, 5, clock)), '^---!').toBe('-a-----');
        expectSubscriptions(source.subscriptions).toBe('^---!');
      }),
    );

    it(
      'stops an endless source that emits at once when nobody wants more',
      marbles(({ clock }) => {
        let asked = 0;
        const endless = new Observable<string>((to) => {
          while (!to.closed && asked < 1000) to.next(String(++asked));
        });
        endless.pipe(given(operator, 5, clock), take(3)).subscribe();
        expect(asked).toBe(3);
      }),
    );

    it(
      'errors in the next turn when nothing is allowed, never when everything is',
      marbles(({ clock, cold, expectObservable }) => {
        expectObservable(NEVER.pipe(given(operator, 0, clock))).toBe('#', undefined, late(0));
        const forever = given(operator, Number.POSITIVE_INFINITY, clock);
        expectObservable(cold(' 60m a 60m b|').pipe(forever)).toBe('60m a 60m b|');
      }),
    );
  });

  it.each([-1, Number.NaN])('refuses %s ms', (after) => {
    expect(() => operator(after)).toThrow(RangeError);
  });

  it.each([undefined, null, '5'])('refuses %o, which is no time', (after) => {
    expect(() => operator(after as never)).toThrow(TypeError);
  });
});
