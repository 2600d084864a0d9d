import { createServer } from 'node:net';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { client, closeClients } from '../support/client.ts';
import { endPrograms, Program, type Start } from '../support/program.ts';

afterEach(() => {
  closeClients();
  endPrograms();
  vi.unstubAllEnvs();
});

/** A program that uses the given transport. */
function start(name: string, transport: string, how?: Start): Program {
  vi.stubEnv('SLUICE_TRANSPORT', transport);
  const program = new Program(name, how);
  vi.unstubAllEnvs();
  return program;
}

describe.each(['handle', 'net'])('a server (transport: %s)', (transport) => {
  it('listens on a descriptor that another process has opened, as systemd does', async () => {
    const owner = createServer();
    await new Promise<void>((resolve) => owner.listen(0, '127.0.0.1', resolve));
    const address = owner.address();
    if (address === null || typeof address === 'string') throw new Error('a TCP port has an address');
    const { fd } = (owner as unknown as { _handle: { fd: number } })._handle;
    const server = start('server', transport, { options: { where: { fd: 3 } }, inherit: [fd] });
    expect(await server.whenListening()).toBe(address.port);
    expect(server.of('listening')).toMatchObject([{ transport }]);
    // From here on the child alone has the listening socket open.
    await new Promise((resolve) => owner.close(resolve));
    const one = await client(address.port).write('hello\n').whenRead('hello\n');
    one.end();
    await server.whenEmitted('closed');
    server.kill('SIGINT');
    await server.whenExited();
    expect(server.exit).toBe(0);
  });

  it.each([
    ['the worker of a cluster', 'worker'],
    ['a thread', 'thread'],
  ])('serves in %s', async (_where, program) => {
    const server = start(program, transport);
    const port = await server.whenListening();
    expect(server.of('listening')).toMatchObject([{ transport }]);
    for (const text of ['hello', 'x'.repeat(60_000)]) {
      const one = await client(port).write(`${text}\n`).whenRead(`${text}\n`);
      one.end();
      await one.whenClosed();
    }
    await server.whenEmitted('closed', 2);
    expect(server.closes).toEqual(['ended', 'ended']);
    server.kill('SIGKILL');
    await server.whenExited();
  });
});
