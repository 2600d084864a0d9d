import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { type Client, client, closeClients } from '../support/client.ts';
import { HeldSocket } from '../support/heldSocket.ts';
import { endPrograms, Program, type Start } from '../support/program.ts';

const held: HeldSocket[] = [];

afterEach(async () => {
  closeClients();
  endPrograms();
  vi.unstubAllEnvs();
  await Promise.all(held.splice(0).map((socket) => socket.close()));
});

async function hold(): Promise<HeldSocket> {
  const socket = await HeldSocket.open();
  held.push(socket);
  return socket;
}

/** A server that uses the given transport, on the one with the name `main` of the sockets that it inherits. */
function start(transport: string, sockets: Readonly<Record<string, { fd: number }>>, options: object = {}): Program {
  vi.stubEnv('SLUICE_TRANSPORT', transport);
  const names = Object.keys(sockets);
  const inherit = Object.values(sockets).map(({ fd }) => fd);
  const how: Start = { options: { name: 'main', ...options }, inherit, names };
  const program = new Program('inherited', how);
  vi.unstubAllEnvs();
  return program;
}

const replied = (one: Client) => one.whenRead('hello\n');

describe.each(['handle', 'net'])('a server on inherited sockets (transport: %s)', (transport) => {
  it('listens on the one with the name that it asks for', async () => {
    const [other, main] = [await hold(), await hold()];
    const server = start(transport, { other, main });
    expect(await server.whenListening()).toBe(main.port);
    expect(server.of('listening')).toMatchObject([{ transport }]);
    await replied(client(main.port).write('hello\n'));
    server.kill('SIGTERM');
    expect((await server.whenExited()).exit).toBe(0);
  });

  it('passes neither the variables nor the descriptor on to a child process', async () => {
    const server = start(transport, { main: await hold() });
    await server.until(({ output }) => output.includes('\n'));
    // `grep -c` has counted 0, and `readlink` has found no descriptor 3.
    expect(server.output).toBe('a child process has variables: 0\n');
  });

  it('ends while its socket stays open: clients wait in its queue for the next process, and none is refused', async () => {
    const main = await hold();
    const first = start(transport, { main });
    await first.whenListening();
    const early = client(main.port).write('hello\n');
    await replied(early);
    first.kill('SIGTERM');
    await first.whenEmitted('drained');
    await first.whenExited();
    expect(first.exit).toBe(0);
    await early.whenClosed();
    expect(early.fault).toBeUndefined();

    const waiting = Array.from({ length: 20 }, () => client(main.port).write('hello\n'));
    const second = start(transport, { main });
    await Promise.all(waiting.map(replied));
    await second.whenEmitted('opened', 20);
    expect(second.refusals).toEqual([]);
  });

  it('refuses and resets no client that connects while it drains', async () => {
    const main = await hold();
    let server = start(transport, { main });
    await server.whenListening();
    const clients: Client[] = [];
    for (let restarts = 0; restarts < 3; restarts++) {
      const next = () => clients.push(client(main.port).write('hello\n'));
      next();
      server.kill('SIGTERM');
      // A client for each chunk of the output of the server, and for each step of its end.
      server.child.stdout?.on('data', next);
      await server.whenEmitted('draining');
      next();
      await server.whenExited();
      next();
      server = start(transport, { main });
      await server.whenListening();
      next();
    }
    for (const one of clients) {
      // A connection that was accepted in the last moment of a process may be closed without a reply, but only by a FIN.
      await one.until(({ text, closed }) => text === 'hello\n' || closed);
      expect(one.fault).toBeUndefined();
    }
    expect(clients.at(-1)?.text).toBe('hello\n');
  });

  it('leaves the file of a unix socket in its place when it ends, because it has not made it', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'sluice-inherited-'));
    const path = join(folder, 'main.sock');
    const owner = createServer().listen(path);
    await once(owner, 'listening');
    const { fd } = (owner as unknown as { _handle: { fd: number } })._handle;
    const server = start(transport, { main: { fd } });
    await server.whenListening();
    server.kill('SIGTERM');
    await server.whenExited();
    expect([server.exit, existsSync(path)]).toEqual([0, true]);
    owner.close();
    rmSync(folder, { recursive: true });
  });
});

describe('a server that parks on an inherited socket', () => {
  it('leaves the clients in its queue to the next process when it drains', async () => {
    const main = await hold();
    // It serves one client, lets one wait, and parks.
    const limits = { concurrency: 1, waiting: { max: 1 }, overflow: 'park', grace: 60_000 };
    const first = start('handle', { main }, limits);
    await first.whenListening();
    const half = client(main.port).write('hel');
    await first.whenEmitted('opened');
    const all = Array.from({ length: 5 }, () => client(main.port).write('hello\n'));
    await Promise.all(all.map((one) => one.whenConnected()));
    first.kill('SIGTERM');
    await first.whenEmitted('draining');
    half.write('lo\n');
    await first.whenEmitted('drained');
    await first.whenExited();
    // One has its place in the waiting room, and is refused. The others are not accepted.
    expect(first.refusals.filter((reason) => reason !== 'draining')).toEqual([]);
    expect(first.refusals.length).toBeLessThanOrEqual(1);
    const second = start('handle', { main });
    await Promise.all(all.map((one) => one.until(({ text, closed }) => text === 'hello\n' || closed)));
    expect(all.filter(({ text }) => text === '')).toHaveLength(first.refusals.length);
    expect(all.map(({ fault }) => fault).filter(Boolean)).toEqual([]);
    expect(second.refusals).toEqual([]);
  });
});
