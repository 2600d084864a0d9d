import { connect, createServer, type Socket } from 'node:net';
import { afterEach, expect, it, vi } from 'vitest';
import { exchange, lines, serve } from '../../lib/index.ts';

const REQUESTS = 200;

afterEach(() => vi.restoreAllMocks());

/** The prototype of every TCP handle of this process. */
async function handlePrototype(): Promise<Record<'getpeername' | 'readStop', () => number>> {
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

/** Sends requests in batches, each when the one before is answered. Resolves when all requests are answered. */
async function request(batch: number): Promise<void> {
  let client: Socket | undefined;
  let left = REQUESTS;
  await new Promise<void>((resolve) => {
    const handler = exchange(lines(), async (line) => `${line}\n`);
    const subscription = serve({ port: 0, host: '127.0.0.1' }, handler).subscribe((event) => {
      if (event.type !== 'listening') return;
      const send = () => client?.write('a\n'.repeat(batch));
      client = connect(event.address.port as number, '127.0.0.1', send);
      let answered = 0;
      client.on('data', ({ length }) => {
        answered += length / 2;
        if (answered < batch) return;
        answered = 0;
        left -= batch;
        if (left > 0) {
          send();
        } else {
          subscription.unsubscribe();
          resolve();
        }
      });
    });
  });
  client?.destroy();
}

it('a pause of the input for an async request makes no getpeername call of its own', async () => {
  const calls = vi.spyOn(await handlePrototype(), 'getpeername');
  await request(REQUESTS);
  // One call is made at accept, for the address. A few are made by polls while the input is paused.
  expect(calls.mock.calls.length).toBeLessThan(REQUESTS / 4);
});

it('a pause of the input for an async request makes no readStop call before more bytes arrive', async () => {
  const calls = vi.spyOn(await handlePrototype(), 'readStop');
  await request(10);
  expect(calls.mock.calls.length).toBeLessThan(REQUESTS / 40);
});
