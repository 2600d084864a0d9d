import { connect, createServer, type Socket } from 'node:net';
import { afterEach, expect, it, vi } from 'vitest';
import { exchange, lines, serve } from '../../lib/index.ts';

const REQUESTS = 200;

afterEach(() => vi.restoreAllMocks());

/** What every TCP handle of this process inherits from. */
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

/** Sends so many requests at a time, and the next ones when all of these are answered; ends when all are. */
async function ask(atATime: number): Promise<void> {
  let client: Socket | undefined;
  let left = REQUESTS;
  await new Promise<void>((resolve) => {
    const handler = exchange(lines(), async (line) => `${line}\n`);
    const subscription = serve({ port: 0, host: '127.0.0.1' }, handler).subscribe((event) => {
      if (event.type !== 'listening') return;
      const send = () => client?.write('a\n'.repeat(atATime));
      client = connect(event.address.port as number, '127.0.0.1', send);
      let answered = 0;
      client.on('data', ({ length }) => {
        answered += length / 2;
        if (answered < atATime) return;
        answered = 0;
        left -= atATime;
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

it('holding the input for an async request asks the system nothing', async () => {
  const asked = vi.spyOn(await handlePrototype(), 'getpeername');
  await ask(REQUESTS);
  // At accept, for the address; and now and then while the input is held.
  expect(asked.mock.calls.length).toBeLessThan(REQUESTS / 4);
});

it('holding the input for an async request stops no read before something more has come', async () => {
  const stopped = vi.spyOn(await handlePrototype(), 'readStop');
  await ask(10);
  expect(stopped.mock.calls.length).toBeLessThan(REQUESTS / 40);
});
