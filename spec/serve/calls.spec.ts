import { connect, createServer, type Socket } from 'node:net';
import { afterEach, expect, it, vi } from 'vitest';
import { exchange, lines, serve } from '../../lib/index.ts';

const REQUESTS = 200;

afterEach(() => vi.restoreAllMocks());

/** What every TCP handle of this process inherits from. */
async function handlePrototype(): Promise<Record<'getpeername', () => number>> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { _handle: handle } = server as unknown as { _handle: { getpeername: unknown } };
  const socket = connect((server.address() as { port: number }).port, '127.0.0.1');
  await new Promise((resolve) => socket.once('connect', resolve));
  const prototype = Object.getPrototypeOf((socket as unknown as { _handle: object })._handle);
  expect(prototype).toBe(Object.getPrototypeOf(handle));
  socket.destroy();
  server.close();
  return prototype;
}

it('holding the input for an async request asks the system nothing', async () => {
  const prototype = await handlePrototype();
  const asked = vi.spyOn(prototype, 'getpeername');
  let client: Socket | undefined;
  let left = REQUESTS;
  await new Promise<void>((resolve) => {
    const subscription = serve(
      { port: 0, host: '127.0.0.1' },
      exchange(lines(), async (line) => `${line}\n`),
    ).subscribe((event) => {
      if (event.type !== 'listening') return;
      client = connect(event.address.port as number, '127.0.0.1', () => client?.write('a\n'.repeat(REQUESTS)));
      client.on('data', ({ length }) => {
        left -= length / 2;
        if (left > 0) return;
        subscription.unsubscribe();
        resolve();
      });
    });
  });
  client?.destroy();
  // At accept, for the address; and now and then while the input is held.
  expect(asked.mock.calls.length).toBeLessThan(REQUESTS / 4);
});
