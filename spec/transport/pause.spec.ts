import { once } from 'node:events';
import { link, mkdtemp, rm } from 'node:fs/promises';
import { createServer, connect as dial, type NetConnectOpts, type Server, type Socket } from 'node:net';
import { networkInterfaces, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { netTransport, nodeTransport } from '../../lib/transport/node.ts';
import { Accepting } from '../../lib/transport/nodeListening.ts';
import { NO_HANDLER } from '../../lib/transport/noHandler.ts';
import type { TransportSocket, Where } from '../../lib/transport/transport.ts';
import { endPrograms, Program } from '../support/program.ts';
import { dialTo, type Opened, open, readAll } from '../support/sockets.ts';
import { PATIENCE } from '../support/waitable.ts';

const OPTIONS = { backlog: 511, noDelay: true, keepAlive: false } as const;
const LOCAL = { port: 0, host: '127.0.0.1' };
const hasIpv6 = Object.values(networkInterfaces()).some((all) => all?.some(({ family }) => family === 'IPv6'));

const servers = new Set<Server>();
afterEach(() => {
  endPrograms();
  for (const server of servers) server.close();
  servers.clear();
  vi.restoreAllMocks();
});

/** Echoes, and closes when its peer does. */
function echo(socket: TransportSocket): void {
  socket.handler = {
    ...NO_HANDLER,
    received: (bytes) => void socket.write(Buffer.from(bytes)),
    peerEnded: () => socket.end(),
    writeFailed: () => socket.destroy(),
  };
  socket.resume();
}

interface Pausing extends Opened {
  /** The ports of the clients that were accepted, in order. */
  readonly accepted: (number | undefined)[];
  pause(): boolean | undefined;
  resume(): void;
}

/** Opens a port of `nodeTransport`. @param after Called within `accepted`. */
async function openPausing(where?: Where, after = (_port: Pausing, _socket: TransportSocket) => {}): Promise<Pausing> {
  const accepted: (number | undefined)[] = [];
  const opened = await open((socket) => {
    accepted.push(socket.peer.port);
    echo(socket);
    after(pausing, socket);
  }, where);
  const pausing = {
    ...opened,
    accepted,
    pause: () => opened.port.pause?.(),
    resume: () => opened.port.resume?.(),
  };
  return pausing;
}

/** Connects a client, and waits until the kernel has connected it. */
async function connected(connect: () => Socket): Promise<Socket> {
  const client = connect();
  await once(client, 'connect');
  return client;
}

/** One after the other, so that the order of the queue is known. */
async function queueUp(connect: () => Socket, count: number): Promise<Socket[]> {
  const clients: Socket[] = [];
  while (clients.length < count) clients.push(await connected(connect));
  return clients;
}

/** Waits until the event loop has polled, so that a port that accepts has accepted: another port accepts a client meanwhile. */
async function polled(): Promise<void> {
  const other = createServer().listen(LOCAL);
  servers.add(other);
  await once(other, 'listening');
  const client = dialTo((other.address() as { port: number }).port);
  const [socket] = (await once(other, 'connection')) as [Socket];
  client.destroy();
  socket.destroy();
  await new Promise((resolve) => setImmediate(resolve));
}

const portsOf = (clients: Socket[]) => clients.map(({ localPort }) => localPort);
const errorOf = (client: Socket) => once(client, 'error').then(([{ code }]) => code as string);

/** Whether each client gets its echo and then a FIN. */
async function areServed(clients: Socket[]): Promise<void> {
  const replies = clients.map(async (client, n) => {
    const reply = readAll(client);
    client.end(`hello ${n}`);
    return String(await reply);
  });
  expect(await Promise.all(replies)).toEqual(clients.map((_, n) => `hello ${n}`));
}

const canPause = process.platform === 'linux' && process.env.SLUICE_TRANSPORT !== 'net';

describe.runIf(canPause)('a port of TCP that is paused', () => {
  const places: [string, Where][] = [
    ['an address of IPv4', LOCAL],
    ['every address', { port: 0 }],
  ];
  if (hasIpv6) places.push(['an address of IPv6', { port: 0, host: '::1' }]);

  it.each(places)('accepts none until it resumes, and then all in order: %s', async (_what, where) => {
    const at = await openPausing(where, (port) => port.accepted.length === 1 && expect(port.pause()).toBe(true));
    const connect = 'host' in where ? at.connect : () => dialTo(at.address.port as number);
    const first = await connected(connect);
    await vi.waitFor(() => expect(at.accepted).toHaveLength(1), PATIENCE);
    const queued = await queueUp(connect, 200);
    const order = portsOf(queued);
    await polled();
    expect(at.accepted).toHaveLength(1);
    // The connection that was accepted is served meanwhile.
    await areServed([first]);
    expect(at.accepted).toHaveLength(1);
    at.resume();
    await areServed(queued);
    expect(at.accepted.slice(1)).toEqual(order);
    at.port.close();
  });

  it('accepts one connection for each resume, if each accept pauses it', async () => {
    const at = await openPausing(LOCAL, (port) => port.pause());
    at.pause();
    const queued = await queueUp(at.connect, 5);
    for (let count = 1; count <= 5; count++) {
      at.resume();
      await vi.waitFor(() => expect(at.accepted).toHaveLength(count), PATIENCE);
      await polled();
      expect(at.accepted).toEqual(portsOf(queued).slice(0, count));
    }
    await areServed(queued);
    at.port.close();
  });

  it('can be paused before the first client, twice, and resumed twice', async () => {
    const at = await openPausing();
    at.resume();
    expect([at.pause(), at.pause()]).toEqual([true, true]);
    const one = await connected(at.connect);
    await polled();
    expect(at.accepted).toEqual([]);
    at.resume();
    expect(at.accepted).toEqual([]);
    at.resume();
    await areServed([one]);
    // Once is enough after a second pause, too.
    at.pause();
    const other = await connected(at.connect);
    await polled();
    expect(at.accepted).toHaveLength(1);
    at.resume();
    await areServed([other]);
    at.port.close();
  });

  it('does not change if it is paused and resumed within one call', async () => {
    const at = await openPausing(LOCAL, (port) => {
      port.pause();
      port.resume();
    });
    await areServed(await queueUp(at.connect, 20));
    at.port.close();
  });

  it('loses and resets no client in 4000 pauses under traffic', async () => {
    const at = await openPausing(LOCAL, (port) => port.accepted.length % 3 === 0 && port.pause());
    let cycles = 0;
    let isOver = false;
    const cycle = async () => {
      for (; !isOver || cycles < 4000; cycles++) {
        expect(at.pause()).toBe(true);
        if (cycles % 2 === 0) await new Promise((resolve) => setImmediate(resolve));
        at.resume();
        if (cycles % 5 === 0) await new Promise((resolve) => setImmediate(resolve));
      }
    };
    const lane = async () => {
      for (let round = 0; round < 40 || cycles < 4000; round++) await areServed([at.connect(), at.connect()]);
    };
    const cycling = cycle();
    await Promise.all([lane(), lane(), lane(), lane(), lane()]);
    isOver = true;
    await cycling;
    expect(at.accepted.length).toBeGreaterThanOrEqual(400);
    at.port.close();
  });

  it('accepts clients that have sent a FIN or a RST in the queue, which is noticed when they are read', async () => {
    const notified: string[][] = [];
    const at = await openPausing(LOCAL, (_port, socket) => {
      const notes: string[] = [];
      notified.push(notes);
      socket.handler = {
        ...NO_HANDLER,
        received: (bytes) => notes.push(String(bytes)),
        peerEnded: () => {
          notes.push('FIN');
          socket.end();
        },
        failed: (error) => notes.push((error as NodeJS.ErrnoException).code ?? ''),
      };
    });
    at.pause();
    const [polite, rude, last] = (await queueUp(at.connect, 3)) as [Socket, Socket, Socket];
    const ports = portsOf([polite, rude, last]);
    polite.end('bye');
    rude.resetAndDestroy();
    await once(rude, 'close');
    await polled();
    at.resume();
    last.end('last');
    await vi.waitFor(() => expect(notified).toEqual([['bye', 'FIN'], ['ECONNRESET'], ['last', 'FIN']]), PATIENCE);
    // The kernel no longer knows the peer after its RST.
    expect(at.accepted).toEqual([ports[0], undefined, ports[2]]);
    polite.destroy();
    last.destroy();
    at.port.close();
  });

  it('resets the clients in its queue when it closes, and does nothing from then on', async () => {
    const at = await openPausing();
    at.pause();
    const queued = await queueUp(at.connect, 20);
    const errors = queued.map(errorOf);
    at.port.close();
    expect(at.pause()).toBe(false);
    at.resume();
    expect(new Set(await Promise.all(errors))).toEqual(new Set(['ECONNRESET']));
    expect(await errorOf(at.connect())).toBe('ECONNREFUSED');
    expect(at.accepted).toEqual([]);
    at.resume();
    at.port.close();
    expect(at.pause()).toBe(false);
  });

  it('reports an error if it cannot continue to accept, and can try again', async () => {
    const errors: Error[] = [];
    const at = await new Promise<Opened>((resolve) => {
      const port = nodeTransport.listen(LOCAL, OPTIONS, {
        listening: (address) => resolve({ port, address, connect: () => dialTo(address.port ?? 0) }),
        accepted: echo,
        error: (error) => errors.push(error),
      });
    });
    at.port.pause?.();
    const client = await connected(at.connect);
    vi.spyOn(Accepting.prototype, 'resume').mockReturnValueOnce(-9);
    at.port.resume?.();
    expect(errors).toEqual([]);
    await vi.waitFor(() => expect(errors).toMatchObject([{ code: 'EBADF', syscall: 'accept' }]), PATIENCE);
    at.port.resume?.();
    await areServed([client]);
    at.port.close();
  });
});

type Outcome = number | Error;
type Method = (...args: unknown[]) => number;
interface Request {
  oncomplete(): void;
}

/** A server, and its handle with methods whose next outcomes can be replaced. */
async function withHandle() {
  const server = createServer((socket) => socket.pipe(socket)).listen(LOCAL);
  servers.add(server);
  await once(server, 'listening');
  const { _handle: handle } = server as unknown as { _handle: Record<string, Method> };
  const calls: string[] = [];
  const requests: Request[] = [];
  const outcomes: Record<string, Outcome> = {};
  const method =
    (name: string) =>
    (...args: unknown[]) => {
      calls.push(name);
      if (name === 'connect') requests.push(args[0] as Request);
      const outcome = outcomes[name];
      delete outcomes[name];
      if (outcome instanceof Error) throw outcome;
      // A connect has marked the handle, whatever it returns.
      const real = outcome === undefined || name === 'connect' ? (handle[name] as Method).apply(handle, args) : 0;
      return outcome ?? real;
    };
  const names = ['readStart', 'readStop', 'connect', 'setNoDelay'];
  const listening = Object.fromEntries(names.map((name) => [name, method(name)]));
  const { port } = server.address() as { port: number };
  return { listening, calls, outcomes, requests, connect: () => dialTo(port) };
}

describe.runIf(process.platform === 'linux')('the handle of a listening server', () => {
  it('is marked as readable by a connect that fails, once', async () => {
    const { listening, calls, requests, connect } = await withHandle();
    const accepting = new Accepting(listening);
    expect(accepting.resume()).toBe(0);
    expect(calls).toEqual([]);
    expect(accepting.pause()).toBe(true);
    expect(calls).toEqual(['readStart', 'connect', 'readStart', 'readStop']);
    expect(accepting.resume()).toBe(0);
    expect(accepting.resume()).toBe(0);
    accepting.pause();
    accepting.resume();
    expect(calls.slice(4)).toEqual(['readStart', 'readStop', 'readStart']);
    // Should the connect have been in progress, its end would be ignored.
    expect(requests.map((request) => request.oncomplete())).toEqual([undefined]);
    accepting.close();
    // One that is marked needs no connect.
    calls.length = 0;
    const { listening: marked, calls: ofMarked, outcomes } = await withHandle();
    outcomes.readStart = 0;
    expect(new Accepting(marked).pause()).toBe(true);
    expect(ofMarked).toEqual(['readStart', 'readStop']);
    await areServed([connect()]);
  });

  it.each<[string, Record<string, Outcome>]>([
    ['it cannot be read', { readStart: -22, connect: -111 }],
    ['its connect is refused', { connect: -111 }],
    ['its connect is in progress', { connect: 0 }],
    ['its connect throws', { connect: new Error('Access to this API has been restricted') }],
    ['reading cannot be stopped', { readStop: -22 }],
  ])('goes on to accept if %s', async (_what, given) => {
    const { listening, outcomes, calls, connect } = await withHandle();
    Object.assign(outcomes, given);
    const accepting = new Accepting(listening);
    expect(accepting.pause()).toBe(false);
    expect(outcomes).toEqual({});
    const tried = calls.length;
    // What failed is not tried again, except for the pause itself.
    expect(accepting.pause()).toBe('readStop' in given);
    expect(calls.slice(tried)).toEqual('readStop' in given ? ['readStop'] : []);
    accepting.resume();
    await areServed([await connected(connect), await connected(connect)]);
    accepting.close();
  });

  it('stays paused if reading cannot be started again', async () => {
    const { listening, outcomes, connect } = await withHandle();
    const accepting = new Accepting(listening);
    accepting.pause();
    outcomes.readStart = -9;
    expect(accepting.resume()).toBe(-9);
    expect(accepting.pause()).toBe(true);
    expect(accepting.resume()).toBe(0);
    await areServed([connect()]);
    accepting.close();
  });

  it.each([
    ['has other methods, as in a worker of a cluster', {}],
    ['has no connect of TCP', { readStart: () => -107, readStop: () => 0, connect: () => expect.unreachable() }],
  ])('cannot pause if it %s', (_what, listening) => {
    expect(new Accepting(listening).pause()).toBe(false);
  });
});

describe('a port that cannot pause', () => {
  it.each([
    ['nodeTransport', nodeTransport],
    ['netTransport', netTransport],
  ] as const)('accepts on: a unix socket of %s', async (_name, transport) => {
    const folder = await mkdtemp(join(tmpdir(), 'sluice-'));
    const { port, connect } = await open(echo, { path: join(folder, 's') }, transport);
    expect(port.pause?.() ?? false).toBe(false);
    port.resume?.();
    await areServed([connect(), connect()]);
    port.close();
    await rm(folder, { recursive: true });
  });

  it('says so by having no `pause`, if it is one of netTransport', async () => {
    const { port } = await open(echo, LOCAL, netTransport);
    expect([port.pause, port.resume]).toEqual([undefined, undefined]);
    port.close();
  });

  it('says so if it is not open yet', async () => {
    const port = nodeTransport.listen(LOCAL, OPTIONS, { listening() {}, accepted() {}, error() {} });
    expect(port.pause?.() ?? false).toBe(false);
    port.close();
  });

  it('says so outside of Linux', async () => {
    const at = await openPausing();
    vi.spyOn(process, 'platform', 'get').mockReturnValue('darwin');
    expect(at.pause() ?? false).toBe(false);
    vi.restoreAllMocks();
    await areServed([at.connect()]);
    at.port.close();
  });
});

/** A program whose port has accepted one client, which sends commands. @param at The port or the path, if the program does not say. */
async function start(where: Where, inherit: readonly number[] = [], at?: NetConnectOpts) {
  const program = new Program('pausing', { options: { where }, inherit });
  await program.until(({ output, exit }) => /listening .*\n/.test(output) || exit !== undefined, 'listening');
  const port = Number(/listening (\d+)/.exec(program.output)?.[1]);
  const connect = () =>
    dial({ host: '127.0.0.1', port, allowHalfOpen: true, ...at } as NetConnectOpts).on('error', () => undefined);
  const client = await connected(connect);
  const ask = async (command: string): Promise<unknown> => {
    client.write(command);
    const [line] = await once(client, 'data');
    return JSON.parse(String(line));
  };
  return { program, connect, client, ask };
}

describe.runIf(canPause)('a process with a port that is paused', () => {
  it('resets the clients in the queue if it is killed', async () => {
    const { program, connect, ask } = await start(LOCAL);
    expect(await ask('pause')).toBe(true);
    const queued = await queueUp(connect, 50);
    expect(await ask('accepted')).toBe(1);
    const errors = queued.map(errorOf);
    program.kill('SIGKILL');
    expect(new Set(await Promise.all(errors))).toEqual(new Set(['ECONNRESET']));
    await program.whenExited();
  });

  it('exits when the port and all connections are closed', async () => {
    const { program, connect, client, ask } = await start(LOCAL);
    await ask('pause');
    const queued = await connected(connect);
    const error = errorOf(queued);
    await ask('close');
    expect(await error).toBe('ECONNRESET');
    client.end();
    await program.whenExited();
    expect([program.exit, program.output.replace(/^listening.*\n/, '')]).toEqual([0, '']);
  });

  it('stays alive without a connection, as with a port that accepts', async () => {
    const { program, connect, client, ask } = await start(LOCAL);
    await ask('pause');
    client.end();
    await program.until(({ output, exit }) => output.includes('alive') || exit !== undefined);
    const queued = await queueUp(connect, 20);
    program.kill('SIGUSR2');
    await areServed(queued);
    expect(program.exit).toBeUndefined();
    program.kill('SIGTERM');
    await program.whenExited();
    expect(program.exit).toBe('SIGTERM');
  });

  it('keeps its number of descriptors', async () => {
    const { program, connect, client, ask } = await start(LOCAL);
    await ask('pause');
    await ask('resume');
    const before = await ask('descriptors');
    await ask('cycles');
    expect(await ask('descriptors')).toBe(before);
    for (let round = 0; round < 3; round++) {
      await ask('pause');
      const clients = await queueUp(connect, 10);
      await ask('resume');
      await areServed(clients);
    }
    // A connection is closed when the program has read the FIN that answers its own.
    await vi.waitFor(async () => expect(await ask('descriptors')).toBe(before), PATIENCE);
    client.destroy();
    program.kill('SIGKILL');
    await program.whenExited();
  });

  it.each(['TCP', 'a unix socket'])('pauses a port by its descriptor: %s', async (kind) => {
    const folder = await mkdtemp(join(tmpdir(), 'sluice-'));
    const [path, other] = [join(folder, 's'), join(folder, 't')];
    const owner = createServer().listen(kind === 'TCP' ? LOCAL : { path });
    await once(owner, 'listening');
    // The owner removes the path when it closes, but not the other name.
    if (kind !== 'TCP') await link(path, other);
    const { fd } = (owner as unknown as { _handle: { fd: number } })._handle;
    const at = kind === 'TCP' ? { port: (owner.address() as { port: number }).port } : { path: other };
    const starting = start({ fd: 3 }, [fd], at);
    // The program alone is to accept.
    owner.close();
    const { program, connect, client, ask } = await starting;
    expect(await ask('pause')).toBe(true);
    const queued = await queueUp(connect, 10);
    expect(await ask('accepted')).toBe(1);
    await ask('resume');
    await areServed(queued);
    expect(await ask('accepted')).toBe(11);
    client.destroy();
    program.kill('SIGKILL');
    await program.whenExited();
    await rm(folder, { recursive: true });
  });
});
