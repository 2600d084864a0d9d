import { once } from 'node:events';
import { connect as dialPlain, type Socket } from 'node:net';
import { connect, type TLSSocket } from 'node:tls';
import { asyncScheduler, firstValueFrom, ReplaySubject, type SchedulerAction, type SchedulerLike, Subject } from 'rxjs';
import { afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import type { Connection } from '../../lib/connection/connection.ts';
import { type ServeOptions, serve } from '../../lib/serve.ts';
import { type Authority, authority, type Issued } from '../support/certificates.ts';
import { iteration } from '../support/clock.ts';
import { Log } from '../support/log.ts';

let root: Authority;
let issued: Issued;
beforeAll(async () => {
  root = await authority();
  issued = await root.issue();
});

const sockets: TLSSocket[] = [];
const servers: Log[] = [];
afterEach(() => {
  for (const socket of sockets.splice(0)) socket.destroy();
  for (const log of servers.splice(0)) log.subscription?.unsubscribe();
  vi.unstubAllEnvs();
});

const dialOver = (raw: Socket) => {
  const socket = connect({ socket: raw, servername: 'localhost', ca: root.ca }).on('error', () => undefined);
  sockets.push(socket);
  return socket;
};

const dial = (port: number) => dialOver(dialPlain(port, '127.0.0.1'));

/** A server that does nothing with its connections by itself. */
async function serving(options: ServeOptions = {}) {
  const connections = new ReplaySubject<Connection>();
  const { cert, key } = issued;
  const handler = (connection: Connection) => {
    connections.next(connection);
    return connection;
  };
  const log = Log.follow(serve({ port: 0, host: '127.0.0.1' }, handler, { tls: { cert, key }, ...options }));
  servers.push(log);
  return { log, connections, port: await log.whenListening() };
}

describe.each(['handle', 'net'])('a connection over TLS (transport: %s)', (transport) => {
  const open = async (options?: ServeOptions) => {
    vi.stubEnv('SLUICE_TRANSPORT', transport);
    const server = await serving(options);
    const raw = dialPlain(server.port, '127.0.0.1');
    const client = dialOver(raw);
    await once(client, 'secureConnect');
    return { ...server, raw, client, connection: await firstValueFrom(server.connections) };
  };

  it('that is reset in the callback of a large write counts as sent what the network has taken', async () => {
    const { log, client, connection } = await open({ maxOutbound: 20_000_000 });
    client.pause();
    const closed = firstValueFrom(connection.closed);
    void connection.write(Buffer.alloc(9_000_000)).catch(() => undefined);
    await iteration();
    connection.abort();
    const { bytesOut, unsent } = await closed;
    expect(bytesOut).toBeGreaterThan(0);
    expect(unsent).toBeGreaterThan(0);
    expect(bytesOut + unsent).toBe(9_000_000);
    expect(log.closes).toEqual(['aborted']);
  });

  it('counts nothing of a write that fails at once as sent, and all of it as unsent', async () => {
    const { raw, client, connection } = await open();
    client.write('x');
    await once(client, 'data');
    const closed = firstValueFrom(connection.closed);
    // Node completes the write of the echo in a later iteration, and would keep the next one until then.
    await iteration();
    await iteration();
    // In one callback, so that nothing is read in between.
    raw.resetAndDestroy();
    void connection.write('more').catch(() => undefined);
    expect(await closed).toMatchObject({ reason: 'reset', bytesOut: 1, unsent: 4 });
  });
});

it('a server in which no connection may wait lets connections arrive', async () => {
  const { log, port } = await serving({ waiting: { max: 0 }, concurrency: 1 });
  const client = dial(port);
  await once(client, 'secureConnect');
  client.write('x');
  await once(client, 'data');
  const late = dial(port);
  await once(late, 'secureConnect');
  await log.whenEmitted('refused');
  expect(log.refusals).toEqual(['full']);
});

/** A clock on which the server has ten times as long: a busy machine does not complete many handshakes within a second. */
const slowly: SchedulerLike = {
  now: () => asyncScheduler.now() / 10,
  schedule: (work: (this: SchedulerAction<unknown>, state?: unknown) => void, delay = 0, state?: unknown) =>
    asyncScheduler.schedule(work, Math.min(10 * delay, 0x7fffffff), state),
};

it('a drain completes the handshakes that have begun', async () => {
  const shutdown = new Subject<void>();
  const { log, port } = await serving({ shutdown, grace: 60_000, scheduler: slowly });
  const burst = Array.from({ length: 50 }, async () => {
    const events: string[] = [];
    const socket = dial(port);
    for (const event of ['end', 'error', 'close']) socket.on(event, () => events.push(event));
    await once(socket.resume(), 'close');
    return events.join();
  });
  shutdown.next();
  expect(new Set(await Promise.all(burst))).toEqual(new Set(['end,close']));
  await log.whenCompleted();
  expect(log.report).toMatchObject({ drained: 50, aborted: 0, refused: 0 });
});
