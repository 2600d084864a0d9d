import { filter, mergeMap, type Observable } from 'rxjs';
import { expect, it } from 'vitest';
import type { Connection } from '../../lib/connection/connection.ts';
import { listen } from '../../lib/listen/listen.ts';
import { MemoryNetwork } from '../../lib/testing/index.ts';
import { Clock } from '../support/clock.ts';
import { Log } from '../support/log.ts';

/** The second example in the documentation of `listen`. */
function perAddress(max: number) {
  const open = new Map<string, number>();
  const allowed = filter((connection: Connection) => {
    const { address = '' } = connection.peer;
    const count = open.get(address) ?? 0;
    if (count >= max) {
      connection.refuse('too many');
      return false;
    }
    open.set(address, count + 1);
    connection.closed.subscribe(() => {
      const left = (open.get(address) ?? 1) - 1;
      if (left > 0) open.set(address, left);
      else open.delete(address);
    });
    return true;
  });
  return { open, allowed };
}

it('the limit for each address: one that connects again and again has two slots, and delays no other address', async () => {
  const clock = new Clock();
  const network = new MemoryNetwork(clock);
  const log = new Log();
  const { open, allowed } = perAddress(2);
  const echo = (connection: Connection): Observable<never> => connection.pipe(connection.send());
  const server = listen({ port: 0 }, { transport: network.transport, scheduler: clock, events: log });
  server.pipe(allowed, mergeMap(echo, 1000)).subscribe();
  await clock.settle();
  const from = (address: string) => network.connect({ address: { address, port: 1 } }).write('hello');

  const many = Array.from({ length: 500 }, () => from('192.0.2.1'));
  const other = [from('192.0.2.2'), from('192.0.2.2')];
  await clock.settle();
  expect(other.map(({ text }) => text)).toEqual(['hello', 'hello']);
  expect(many.filter(({ text }) => text === 'hello')).toHaveLength(2);
  expect(log.refusals).toEqual(Array(498).fill('too many'));
  expect(log.counters).toMatchObject({ waiting: 0, active: 4 });

  // A closed connection frees a slot of its address.
  many[0]?.end();
  await clock.settle();
  const next = from('192.0.2.1');
  await clock.settle();
  expect(next.text).toBe('hello');
  for (const one of [...many, ...other, next]) one.end();
  await clock.advance(1000);
  expect(open.size).toBe(0);
});
