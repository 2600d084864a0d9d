import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, connect as dial, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { netTransport, nodeTransport } from '../../lib/transport/node.ts';
import { NO_HANDLER } from '../../lib/transport/noHandler.ts';
import { endPrograms, Program } from '../support/program.ts';
import { open } from '../support/sockets.ts';
import { PATIENCE } from '../support/waitable.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sluice-'));
});
afterAll(() => rm(folder, { recursive: true }));
afterEach(() => {
  endPrograms();
  vi.unstubAllEnvs();
});

/** A program with one connection, on the given transport. */
function start(transport: string, options: object): Program {
  vi.stubEnv('SLUICE_TRANSPORT', transport);
  const program = new Program('resources', { options });
  vi.unstubAllEnvs();
  return program;
}

/** The program listens, and the spec connects. */
async function accepted(transport: string, isUnix: boolean) {
  const path = join(folder, transport);
  const program = start(transport, { listen: isUnix ? { path } : { port: 0, host: '127.0.0.1' } });
  await program.until(({ output }) => output.includes('\n'), 'listening');
  const port = Number(/listening (\d+)/.exec(program.output)?.[1]);
  const peer = isUnix ? dial(path) : dial({ port, host: '127.0.0.1' });
  await once(peer, 'connect');
  return { program, peer };
}

/** The spec listens, and the program connects. */
async function dialled(transport: string, isUnix: boolean) {
  const path = join(folder, `${transport}-server`);
  const server = createServer().listen(isUnix ? { path } : { port: 0, host: '127.0.0.1' });
  await once(server, 'listening');
  const program = start(transport, {
    connect: isUnix ? { path } : { ...(server.address() as object), host: '127.0.0.1' },
  });
  const [peer] = (await once(server, 'connection')) as [Socket];
  server.close();
  return { program, peer };
}

/** Sends a command. @returns Its answer. */
async function ask(peer: Socket, command: string): Promise<unknown> {
  peer.write(command);
  const [line] = await once(peer, 'data');
  const answer: unknown = JSON.parse(String(line));
  // The program may still be loading modules, which are resources, too.
  return Array.isArray(answer) ? answer.filter((kind) => /^(TCP|Pipe)/.test(kind)) : answer;
}

/** What keeps a program with one connection alive, and its exit code after the FIN of the peer. */
async function life({ program, peer }: Awaited<ReturnType<typeof accepted>>) {
  const withPort = await ask(peer, 'resources');
  await ask(peer, 'closePort');
  const withoutPort = await ask(peer, 'resources');
  // Only the connection keeps it alive now.
  for (let round = 0; round < 5; round++) expect(await ask(peer, 'resources')).toEqual(withoutPort);
  peer.end();
  await program.whenExited();
  return { withPort, withoutPort, exit: program.exit, errors: program.output.replace(/^listening.*\n/, '') };
}

describe.each([
  ['TCP', false, 'TCPSocketWrap'],
  ['unix', true, 'PipeWrap'],
] as const)('a %s connection of the handle transport', (_kind, isUnix, resource) => {
  it.each([
    ['accepted', accepted],
    ['dialled', dialled],
  ] as const)('is a resource of the process that keeps it alive as a net.Socket does (%s)', async (_how, connected) => {
    const lives = ['handle', 'net'].map(async (transport) => life(await connected(transport, isUnix)));
    const [ofHandle, ofNet] = await Promise.all(lives);
    expect(ofHandle).toMatchObject({ exit: 0, errors: '', withoutPort: expect.arrayContaining([resource]) });
    expect(ofHandle).toEqual(ofNet);
  });
});

/** How a peer leaves: some of them before they are accepted. */
const leaves: ((peer: Socket) => void)[] = [
  (peer) => peer.end('hello'),
  (peer) => peer.destroy(),
  (peer) => peer.resetAndDestroy(),
  (peer) => peer.write(Buffer.alloc(200_000), () => peer.resetAndDestroy()),
  (peer) => peer.once('data', () => peer.resetAndDestroy()).write('hello'),
  (peer) => peer.once('data', () => peer.end()).write('hello'),
];

it.each([
  ['handle', nodeTransport],
  ['net', netTransport],
] as const)('every handle is freed, however its peer leaves (transport: %s)', async (_name, transport) => {
  const sockets = () => process.getActiveResourcesInfo().filter((kind) => kind === 'TCPSocketWrap').length;
  const before = sockets();
  const count = { accepted: 0, freed: 0 };
  const { port, connect } = await open(
    (socket) => {
      count.accepted++;
      socket.handler = {
        ...NO_HANDLER,
        received: (chunk) => void socket.write(Buffer.from(chunk)),
        peerEnded: () => socket.end(),
        writeFailed: () => socket.destroy(),
        freed: () => void count.freed++,
      };
      socket.resume();
    },
    { port: 0, host: '127.0.0.1' },
    transport,
  );
  for (let round = 0; round < 20; round++) {
    const peers = Array.from({ length: 10 * leaves.length }, (_, at) => {
      const peer = connect().resume();
      peer.on('connect', () => leaves[at % leaves.length]?.(peer)).on('end', () => peer.end());
      return once(peer, 'close');
    });
    await Promise.all(peers);
  }
  const all = 20 * 10 * leaves.length;
  await vi.waitFor(() => expect(count).toEqual({ accepted: all, freed: all }), PATIENCE);
  expect(sockets()).toBeLessThanOrEqual(before);
  port.close();
});
