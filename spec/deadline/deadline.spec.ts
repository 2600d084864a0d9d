import { describe, expect, it } from 'vitest';
import { deadline } from '../../lib/deadline/deadline.ts';
import { DeadlineError } from '../../lib/errors.ts';
import { marbles } from '../support/marbles.ts';
import { pair } from '../support/peers.ts';

const late = (after: number) => new DeadlineError('total', after);

describe.each([
  ['no scheduler passed', false],
  ['the scheduler passed', true],
])('deadline, %s', (_how, isPassed) => {
  const given = (after: number, clock: Parameters<typeof deadline>[1]) =>
    isPassed ? deadline<string>(after, clock) : deadline<string>(after);

  it(
    'errors when the source does not complete in time',
    marbles(({ clock, hot, expectObservable, expectSubscriptions }) => {
      const source = hot('  -a--b--c--d-|');
      const expected = '    -a--b--c#     ';
      const subscribed = '  ^-------!    ';
      expectObservable(source.pipe(given(8, clock))).toBe(expected, undefined, late(8));
      expectSubscriptions(source.subscriptions).toBe(subscribed);
    }),
  );

  it(
    'is not pushed back by values',
    marbles(({ clock, hot, expectObservable, expectSubscriptions }) => {
      const source = hot('  -a-a-a-a-a-a-a-a-a');
      expectObservable(source.pipe(given(8, clock))).toBe('-a-a-a-a#', undefined, late(8));
      expectSubscriptions(source.subscriptions).toBe('^-------!');
    }),
  );
});

describe('deadline', () => {
  it('on a connection is not pushed back by a byte every ten milliseconds', () => {
    const seen: unknown[] = [];
    marbles(({ clock, flush }) => {
      const { client } = pair(clock, {}, ({ connection }) => {
        connection.closed.subscribe(({ reason, deadline, bytesIn }) => seen.push([reason, deadline, bytesIn]));
        connection.pipe(deadline(55), connection.send()).subscribe({ error: () => undefined });
      });
      for (let ms = 10; ms <= 200; ms += 10) clock.schedule(() => client.write('a').resume(), ms);
      flush();
    })();
    // Five arrived in time. Those that arrived while the connection lingered were read and discarded.
    expect(seen).toEqual([['deadline', 'total', 20]]);
  });
});
