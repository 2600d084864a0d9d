import { createServer } from 'node:net';
import { afterEach, expect, it } from 'vitest';
import { client, closeClients } from '../support/client.ts';
import { endPrograms, Program } from '../support/program.ts';

afterEach(() => {
  closeClients();
  endPrograms();
});

it('listens on a descriptor that another process has opened, as systemd does', async () => {
  const owner = createServer();
  await new Promise<void>((resolve) => owner.listen(0, '127.0.0.1', resolve));
  const address = owner.address();
  if (address === null || typeof address === 'string') throw new Error('a TCP port has an address');
  const { fd } = (owner as unknown as { _handle: { fd: number } })._handle;
  const server = new Program('server', { options: { where: { fd: 3 } }, inherit: [fd] });
  expect(await server.whenListening()).toBe(address.port);
  // From here on the child alone has the listening socket open.
  await new Promise((resolve) => owner.close(resolve));
  const one = await client(address.port).write('hello\n').whenRead('hello\n');
  one.end();
  await server.whenEmitted('closed');
  server.kill('SIGINT');
  await server.whenExited();
  expect(server.exit).toBe(0);
});
