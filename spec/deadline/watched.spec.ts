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

// Without a scheduler the clock is the virtual time of the run; passing that one must make no difference.
const ways: [how: string, given: (operator: Operator, after: number, clock: SchedulerLike) => ReturnType<Operator>][] =
  [
    ['no scheduler passed', (operator, after) => operator(after)],
    ['the scheduler passed', (operator, after, clock) => operator(after, clock)],
  ];

describe.each(operators)('the %s deadline', (name, operator) => {
  const late = (after: number) => new DeadlineError(name, after);

  describe.each(ways)('%s', (_how, given) => {
    it(
      'errors in time if the source never emits',
      marbles(({ clock, expectObservable }) => {
        expectObservable(NEVER.pipe(given(operator, 5, clock))).toBe('-----#', undefined, late(5));
      }),
    );

    it(
      'completes with a source that is empty, or that emits one value in time',
      marbles(({ clock, cold, expectObservable, expectSubscriptions }) => {
        expectObservable(EMPTY.pipe(given(operator, 5, clock))).toBe('|');
        const source = cold(' --a-|');
        expectObservable(source.pipe(given(operator, 5, clock))).toBe('--a-|');
        expectSubscriptions(source.subscriptions).toBe('^---!');
      }),
    );

    it(
      'errors with the error of the source',
      marbles(({ clock, cold, expectObservable, expectSubscriptions }) => {
        const source = cold(' --a-#', undefined, 'broken');
        expectObservable(source.pipe(given(operator, 5, clock))).toBe('--a-#', undefined, 'broken');
        expectSubscriptions(source.subscriptions).toBe('^---!');
        expectObservable(throwError(() => 'at once').pipe(given(operator, 5, clock))).toBe('#', undefined, 'at once');
      }),
    );

    it(
      'emits nothing after it is unsubscribed',
      marbles(({ clock, hot, expectObservable, expectSubscriptions }) => {
        const source = hot('  -a------------');
        expectObservable(source.pipe(given(operator, 5, clock)), '^---!').toBe('-a-----');
        expectSubscriptions(source.subscriptions).toBe('^---!');
      }),
    );

    it(
      'unsubscribes from an endless synchronous source when downstream unsubscribes',
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
      'errors in the next task for 0 ms, and never for Infinity',
      marbles(({ clock, cold, expectObservable }) => {
        expectObservable(NEVER.pipe(given(operator, 0, clock))).toBe('#', undefined, late(0));
        const forever = given(operator, Number.POSITIVE_INFINITY, clock);
        expectObservable(cold(' 60m a 60m b|').pipe(forever)).toBe('60m a 60m b|');
      }),
    );
  });

  it.each([-1, Number.NaN])('throws a RangeError for %s ms', (after) => {
    expect(() => operator(after)).toThrow(RangeError);
  });

  it.each([undefined, null, '5'])('throws a TypeError for %o, which is not a time', (after) => {
    expect(() => operator(after as never)).toThrow(TypeError);
  });
});
