import { map } from 'rxjs';
import { expect, it } from 'vitest';
import { lines } from '../../lib/framing/lines.ts';
import { descriptorLimit } from '../../lib/listen/descriptorLimit.ts';
import { TestServer } from '../support/testServer.ts';

it('the event `listening` has the resources that connections use, live, and printed as the numbers of that moment', async () => {
  const budget = 10_000_000;
  const server = await TestServer.open(
    (client) =>
      client.pipe(
        lines(),
        map(() => 'x'.repeat(300_000)),
      ),
    { budget },
  );
  const resources = server.log.of('listening')[0]?.resources;
  const idle = { held: 0, budget, handshakes: 0, descriptors: descriptorLimit() };
  expect(resources).toEqual(idle);
  const client = await server.connect();
  client.pause().write('go\n');
  await server.clock.settle();
  const held = resources?.held ?? 0;
  expect(held).toBeGreaterThan(200_000);
  expect(JSON.parse(JSON.stringify(resources))).toEqual({ ...idle, held });
  client.resume().end();
  await server.clock.settle();
  expect(resources?.held).toBe(0);
  server.log.subscription?.unsubscribe();
});
