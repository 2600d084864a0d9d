import { ignoreElements, merge } from 'rxjs';
import { expect, it } from 'vitest';
import { broadcast } from '../../lib/flow/broadcast.ts';
import { exchange } from '../../lib/flow/exchange.ts';
import { lines } from '../../lib/framing/lines.ts';
import type { Handler } from '../../lib/serve.ts';
import { TestServer } from '../support/testServer.ts';

const values = Array.from({ length: 100 }, (_, i) => `<${i}${'x'.repeat(1000)}>`);
const room = broadcast();

it.each<[string, Handler]>([
  ['a generator', exchange(lines(), () => values)],
  [
    'a loop that awaits write()',
    async (connection) => {
      for await (const _ of connection.pipe(lines())) for (const value of values) await connection.write(value);
    },
  ],
  [
    'a member of a broadcast that may drop values',
    (connection) =>
      merge(
        connection.pipe(ignoreElements()),
        room.to(connection, { overrun: 'drop-newest', maxOutbound: Number.POSITIVE_INFINITY }),
      ),
  ],
])('a sender that waits for room is not closed by maxOutbound, however low it is: %s', async (_sender, handler) => {
  const server = await TestServer.open(handler, { maxOutbound: 20_000, idle: 100_000 });
  const client = server.network.connect({ window: 10 }).pause().write('go\n');
  await server.clock.settle();
  for (const value of values) {
    room.next(value);
    await server.clock.settle();
  }
  expect(server.log.closes).toEqual([]);
  client.resume();
  await server.clock.settle();
  expect(client.text).toBe(values.join(''));
});
