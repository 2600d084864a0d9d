import { concat, NEVER, Observable, of, range, take } from 'rxjs';
import { describe, expect, it } from 'vitest';
import { idle } from '../../lib/deadline/idle.ts';
import { DeadlineError } from '../../lib/errors.ts';
import { marbles } from '../support/marbles.ts';
import { pair } from '../support/peers.ts';

const late = (after: number) => new DeadlineError('idle', after);

// Without a scheduler the clock is the virtual time of the run; passing that one must make no difference.
describe.each([
  ['no scheduler passed', false],
  ['the scheduler passed', true],
])('idle, %s', (_how, isPassed) => {
  const given = (after: number, clock: Parameters<typeof idle>[1]) =>
    isPassed ? idle<string>(after, clock) : idle<string>(after);

  it(
    'errors when the source is silent for too long',
    marbles(({ clock, hot, expectObservable, expectSubscriptions }) => {
      const source = hot('  -a--b---------c-|');
      const expected = '    -a--b----#       ';
      const subscribed = '  ^--------!       ';
      expectObservable(source.pipe(given(5, clock))).toBe(expected, undefined, late(5));
      expectSubscriptions(source.subscriptions).toBe(subscribed);
    }),
  );

  it(
    'mirrors many values that are each in time',
    marbles(({ clock, cold, expectObservable, expectSubscriptions }) => {
      const source = cold(' ----a----b----c----(d|)');
      expectObservable(source.pipe(given(5, clock))).toBe('----a----b----c----(d|)');
      expectSubscriptions(source.subscriptions).toBe('^------------------!');
    }),
  );

  it(
    'mirrors an endless source',
    marbles(({ clock, hot, expectObservable }) => {
      const source = hot('  -a-a-a-a-a-a-a-a-a-a-a');
      expectObservable(source.pipe(given(3, clock)), '^-------------------!').toBe('-a-a-a-a-a-a-a-a-a-a');
    }),
  );

  it(
    'begins anew with each subscription',
    marbles(({ clock, cold, expectObservable }) => {
      const source = cold('--a----------|').pipe(given(5, clock));
      expectObservable(source).toBe('--a----#', undefined, late(5));
      expectObservable(source, '---^').toBe('-----a----#', undefined, late(5));
    }),
  );

  it('needs as many timers for ten thousand values as for one', () => {
    const timersFor = (values: number) => {
      let timers = 0;
      marbles(({ clock, flush }) => {
        const counting = {
          now: () => clock.now(),
          schedule: ((...args: Parameters<typeof clock.schedule>) => {
            timers++;
            return clock.schedule(...args);
          }) as typeof clock.schedule,
        };
        concat(range(0, values), NEVER).pipe(idle(1000, counting), take(values)).subscribe();
        flush();
      })();
      return timers;
    };
    expect(timersFor(1)).toBe(1);
    expect(timersFor(10_000)).toBe(1);
  });
});

describe('idle, on call', () => {
  it('throws for a time that is not a number', () => {
    expect(() => idle('5' as unknown as number)).toThrow(TypeError);
  });
});

describe('idle on a connection', () => {
  const connected = (
    test: (
      at: Parameters<Parameters<typeof pair>[2]>[0] & { at: (ms: number, work: () => void) => void; seen: string[] },
    ) => void,
  ) => {
    const seen: string[] = [];
    marbles(({ clock, flush }) => {
      const record = (what: string) => seen.push(`${clock.now()} ${what}`);
      const at = (ms: number, work: () => void) => void clock.schedule(work, ms);
      const made = pair(clock, {}, (all) => {
        all.connection.closed.subscribe(({ reason, deadline }) => record(`${reason} ${deadline}`));
        test({ ...all, client: made.client, at, seen });
      });
      flush();
    })();
    return seen;
  };

  it('errors when nothing is received or sent, and is the deadline of the close event', () => {
    expect(
      connected(({ connection }) => {
        connection.pipe(idle(50), connection.send()).subscribe({ error: () => undefined });
      }),
    ).toEqual(['1050 deadline idle']);
  });

  it('counts received bytes', () => {
    expect(
      connected(({ connection, client, at }) => {
        at(40, () => client.write('a'));
        at(80, () => client.write('b').end());
        connection.pipe(idle(50)).subscribe({ error: () => undefined });
      }),
    ).toEqual(['80 ended undefined']);
  });

  it('counts sent bytes', () => {
    expect(
      connected(({ connection, at }) => {
        const replies = new Observable<string>((to) => {
          for (const ms of [40, 80, 120]) at(ms, () => to.next('reply'));
          const input = connection.pipe(idle(50)).subscribe({ error: (error) => to.error(error) });
          return () => input.unsubscribe();
        });
        replies.pipe(connection.send()).subscribe({ error: () => undefined });
      }),
    ).toEqual(['1170 deadline idle']);
  });

  it('counts bytes by the time that has passed since, on whatever clock is passed', () => {
    expect(
      connected(({ connection, client, at }) => {
        const started = connection.clock.now();
        const other = {
          now: () => connection.clock.now() - started + 1_000_000,
          schedule: connection.clock.schedule.bind(connection.clock) as typeof connection.clock.schedule,
        };
        at(40, () => client.write('a'));
        at(80, () => client.write('b'));
        connection.pipe(idle(50, other), connection.send()).subscribe({ error: () => undefined });
      }),
    ).toEqual(['1130 deadline idle']);
  });

  it('errors with AlreadySubscribedError when the connection is subscribed twice', () => {
    connected(({ connection, client }) => {
      const errors: unknown[] = [];
      const bytes = connection.pipe(idle(50));
      bytes.subscribe({ error: () => undefined });
      bytes.subscribe({ error: (error) => errors.push((error as Error).name) });
      expect(errors).toEqual(['AlreadySubscribedError']);
      client.break();
    });
  });
});

it(
  'completes with a source that emits one value and completes at once',
  marbles(({ expectObservable }) => {
    expectObservable(of('a').pipe(idle(5))).toBe('(a|)');
  }),
);
