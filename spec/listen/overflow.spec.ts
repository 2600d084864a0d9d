import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { BehaviorSubject, Subject } from 'rxjs';
import { afterEach, describe, expect, it } from 'vitest';
import { type Handler, type ServeOptions, serve } from '../../lib/serve.ts';
import { netTransport, nodeTransport } from '../../lib/transport/node.ts';
import type { Where } from '../../lib/transport/transport.ts';
import { type Client, client, clients, closeClients } from '../support/client.ts';
import { Log } from '../support/log.ts';

const LOCAL = { port: 0, host: '127.0.0.1' };
const echo: Handler = (connection) => connection;
const canPark = process.platform === 'linux' && process.env.SLUICE_TRANSPORT !== 'net';

const servers: Log[] = [];
afterEach(() => {
  for (const log of servers.splice(0)) log.subscription?.unsubscribe();
  closeClients();
});

async function open(options: ServeOptions, where: Where = LOCAL) {
  const shutdown = new Subject<void>();
  const log = Log.follow(serve(where, echo, { shutdown, ...options }));
  servers.push(log);
  const port = await log.whenListening();
  return { log, port, shutdown, limits: log.of('listening')[0]?.limits };
}

/** Clients that send a line, and end when they have received it. */
function asking(count: number, port: number | string): Client[] {
  const all = clients(count, port);
  all.forEach((one, n) => {
    one.write(`hello ${n}\n`);
    one.whenRead('\n').then(
      () => one.end(),
      () => undefined,
    );
  });
  return all;
}

const texts = (all: readonly Client[]) => all.map(({ text }) => text);
const faults = (all: readonly Client[]) => all.flatMap(({ fault }) => fault ?? []);

/** Until the event loop has polled some times. */
async function polled(): Promise<void> {
  for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve));
}

describe.runIf(canPark)('a port that parks', () => {
  it('serves 200 clients with 5 places, and refuses and resets none', async () => {
    const { log, port, limits } = await open({ concurrency: 5, waiting: { max: 10 }, overflow: 'park' });
    const holding = clients(5, port);
    for (const one of holding) one.write('x');
    await Promise.all(holding.map((one) => one.whenRead('x')));
    const all = asking(200, port);
    await log.whenAccepted(15);
    await polled();
    // Over TLS, some more were accepted before ten had completed their handshakes.
    const more = process.env.SLUICE_TLS === '1' ? log.counters.accepted - 15 : 0;
    expect([limits?.isParked, log.counters]).toEqual([
      true,
      { accepted: 15 + more, waiting: 10 + more, active: 5, closed: 0, refused: 0 },
    ]);
    for (const one of holding) one.end();
    await Promise.all(all.map((one) => one.whenClosed()));
    await log.whenEmitted('closed', 205);
    expect(texts(all)).toEqual(all.map((_, n) => `hello ${n}\n`));
    expect([faults(all), log.refusals, limits?.isParked]).toEqual([[], [], false]);
    expect(new Set(log.closes)).toEqual(new Set(['ended']));
  });

  it('refuses connections as `gone` that were reset in the queue of the kernel, and takes no token for them', async () => {
    const deny = new BehaviorSubject<readonly string[]>([]);
    const { log, port, limits } = await open({
      concurrency: 1,
      waiting: { max: 1 },
      overflow: 'park',
      deny,
      accepts: { perSecond: 0, burst: 3 },
    });
    const [holding] = clients(1, port) as [Client];
    await holding.write('x').whenRead('x');
    const [waiting] = clients(1, port) as [Client];
    await log.whenAccepted(2);
    expect(limits?.isParked).toBe(true);
    const dead = clients(20, port);
    await Promise.all(dead.map((one) => one.whenConnected()));
    for (const one of dead) one.reset();
    await Promise.all(dead.map((one) => one.whenClosed()));
    // Their address is denied, which cannot be known any more.
    deny.next(['127.0.0.0/8']);
    holding.end();
    await log.whenEmitted('refused', 20);
    expect(new Set(log.refusals)).toEqual(new Set(['gone']));
    expect(log.of('opened').map(({ id }) => id)).toEqual([1, 2]);
    deny.next([]);
    waiting.end();
    await log.whenEmitted('closed', 2);
    const next = await client(port).write('y').whenRead('y');
    const last = client(port);
    await last.whenClosed();
    expect([log.refusals.at(-1), log.refusals.length]).toEqual(['rate', 21]);
    next.end();
  });

  it('accepts in a drain those that wait in the queue of the kernel, and refuses them with a FIN', async () => {
    const { log, port, shutdown } = await open({ concurrency: 2, waiting: { max: 3 }, overflow: 'park' });
    const holding = clients(2, port);
    for (const one of holding) one.write('x');
    await Promise.all(holding.map((one) => one.whenRead('x')));
    const all = clients(100, port);
    await Promise.all(all.map((one) => one.whenConnected()));
    await log.whenAccepted(5);
    await polled();
    expect(log.counters.accepted).toBe(5);
    shutdown.next();
    await log.whenCompleted();
    await Promise.all([...holding, ...all].map((one) => one.whenClosed()));
    expect([faults(all), all.filter(({ ended }) => !ended)]).toEqual([[], []]);
    expect(log.counters).toEqual({ accepted: 102, waiting: 0, active: 0, closed: 2, refused: 100 });
    expect(log.report).toMatchObject({ drained: 2, aborted: 0, refused: 100 });
  });

  it('serves those in the queue while the drain is announced', async () => {
    const { log, port, shutdown } = await open({
      concurrency: 1,
      waiting: { max: 1 },
      overflow: 'park',
      announce: 60_000,
    });
    const [holding] = clients(1, port) as [Client];
    await holding.write('x').whenRead('x');
    const all = asking(20, port);
    await log.whenAccepted(2);
    shutdown.next();
    holding.end();
    await Promise.all(all.map((one) => one.whenClosed()));
    expect([texts(all), log.refusals]).toEqual([all.map((_, n) => `hello ${n}\n`), []]);
    shutdown.next();
    await log.whenCompleted();
  });
});

describe('a port that is to park and cannot', () => {
  it.each([
    ['a unix socket', nodeTransport, true],
    ['a port of netTransport', netTransport, false],
  ] as const)('says so once, when it opens, and refuses: %s', async (_what, transport, isUnix) => {
    const folder = await mkdtemp(join(tmpdir(), 'sluice-'));
    const where = isUnix ? { path: join(folder, 's') } : LOCAL;
    const { log, port, limits } = await open(
      { transport, concurrency: 1, waiting: { max: 1 }, overflow: 'park' },
      where,
    );
    expect(log.types).toEqual(['listening', 'failed']);
    expect(String(log.of('failed')[0]?.error)).toContain('Cannot park: this port cannot stop accepting');
    const at = isUnix ? join(folder, 's') : port;
    await client(at).write('x').whenRead('x');
    const others = clients(10, at);
    await log.whenEmitted('refused', 9);
    expect([log.refusals, limits?.isParked, log.of('failed').length]).toEqual([Array(9).fill('full'), false, 1]);
    for (const one of others) one.end();
    await rm(folder, { recursive: true });
  });
});

describe('a port that evicts', () => {
  it('closes idle clients for new ones in good order', async () => {
    const { log, port } = await open({ concurrency: 3, overflow: 'evict' });
    const idle = clients(3, port);
    for (const one of idle) one.write('x');
    await Promise.all(idle.map((one) => one.whenRead('x')));
    const next = clients(3, port);
    for (const one of next) one.write('hello');
    await Promise.all(next.map((one) => one.whenRead('hello')));
    await Promise.all(idle.map((one) => one.whenClosed()));
    expect([idle.map(({ ended }) => ended), faults(idle)]).toEqual([[true, true, true], []]);
    expect([log.closes, log.refusals]).toEqual([Array(3).fill('evicted'), []]);
  });
});
