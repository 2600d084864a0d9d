import { concatMap, delay, map, type Observable, of, Subject, tap } from 'rxjs';
import { afterEach, expect, it } from 'vitest';
import { encodeLine, lines } from '../../lib/framing/lines.ts';
import type { Connection } from '../../lib/index.ts';
import { serve } from '../../lib/serve.ts';
import { clients, closeClients } from '../support/client.ts';
import { Log } from '../support/log.ts';

const CONNECTIONS = 200;
const IN_FLIGHT = 16;
/** Longer than a slow machine takes. A drain that lasts this long has failed. */
const GRACE = 120_000;

const servers: Log[] = [];
afterEach(() => {
  for (const log of servers.splice(0)) log.subscription?.unsubscribe();
  closeClients();
});

const answers: Record<string, (requests: Observable<string>) => Observable<string>> = {
  'at once': (requests) => requests.pipe(map(encodeLine)),
  'in a few milliseconds each': (requests) =>
    requests.pipe(concatMap((line) => of(encodeLine(line)).pipe(delay(line.length % 4)))),
};

it.each(Object.entries(answers))(
  'a drain under load, of handlers that answer %s: each reply that a handler emits arrives, and no client sees a RST',
  async (_name, answer) => {
    const shutdown = new Subject<void>();
    const emitted = new Map<number | undefined, string>();
    const handler = (connection: Connection) =>
      answer(connection.pipe(lines())).pipe(
        tap((reply) => emitted.set(connection.peer.port, (emitted.get(connection.peer.port) ?? '') + reply)),
      );
    const log = Log.follow(serve({ port: 0, host: '127.0.0.1' }, handler, { shutdown, grace: GRACE, linger: GRACE }));
    servers.push(log);
    const port = await log.whenListening();

    let answered = 0;
    const load = clients(CONNECTIONS, port);
    const ports = load.map((one, index) => {
      let sent = 0;
      const ask = (count: number) => {
        let text = '';
        for (let i = 0; i < count; i++) text += `${index}:${sent++}${'.'.repeat(sent % 7)}\n`;
        one.write(text);
      };
      one.socket.on('connect', () => ask(IN_FLIGHT));
      one.socket.on('data', (chunk) => {
        const replies = chunk.toString().split('\n').length - 1;
        // Counted only when all connections are accepted. Before, the signal could come while the kernel still queues some.
        if (log.counters.active === CONNECTIONS) answered += replies;
        if (!one.ended) ask(replies);
        if (answered > CONNECTIONS * IN_FLIGHT * 2 && log.of('draining').length === 0) shutdown.next();
      });
      return () => one.socket.localPort;
    });
    await Promise.all(load.map((one) => one.whenConnected()));
    const localPorts = ports.map((localPort) => localPort());

    await log.whenEmitted('draining');
    await log.whenCompleted();
    await Promise.all(load.map((one) => one.whenClosed()));

    expect(new Set(load.map(({ fault }) => fault))).toEqual(new Set([undefined]));
    for (const [index, one] of load.entries()) {
      if (one.text !== emitted.get(localPorts[index])) expect(one.text).toBe(emitted.get(localPorts[index]));
    }
    expect(answered).toBeGreaterThan(CONNECTIONS * IN_FLIGHT * 2);
    expect(log.report).toMatchObject({ drained: CONNECTIONS, aborted: 0, refused: 0, unsent: 0 });
    expect(log.report.duration).toBeLessThan(GRACE);
    expect(log.counters).toEqual({ accepted: CONNECTIONS, waiting: 0, active: 0, closed: CONNECTIONS, refused: 0 });
    expect(new Set(log.closes)).toEqual(new Set(['drained']));
  },
);

// A port that is closed at once resets what the kernel has completed: 50 of 50 clients had an ECONNRESET.
it('a burst of 50 connects in the iteration of the signal is served, and no client sees a RST', async () => {
  const shutdown = new Subject<void>();
  const log = Log.follow(serve({ port: 0, host: '127.0.0.1' }, (connection) => connection, { shutdown, grace: GRACE }));
  servers.push(log);
  const port = await log.whenListening();
  const burst = clients(50, port);
  shutdown.next();
  await Promise.all(burst.map((one) => one.whenClosed()));
  await log.whenCompleted();
  expect(burst.map(({ fault }) => fault).filter((code) => code !== undefined)).toEqual([]);
  expect(log.of('opened')).toHaveLength(50);
  expect(log.report).toMatchObject({ drained: 50, aborted: 0, refused: 0 });
});

it('the port is closed after a moment though clients keep connecting', async () => {
  const shutdown = new Subject<void>();
  const log = Log.follow(serve({ port: 0, host: '127.0.0.1' }, (connection) => connection, { shutdown, grace: 200 }));
  servers.push(log);
  const port = await log.whenListening();
  let flooding = true;
  const flood = () => {
    for (const one of clients(1, port)) {
      one.socket.on('connect', () => flooding && flood());
      one.socket.on('close', () => one.socket.destroy());
      one.socket.on('error', () => {
        flooding = false;
      });
    }
  };
  for (let i = 0; i < 4; i++) flood();
  await log.whenEmitted('opened', 50);
  shutdown.next();
  // The flood ends only when it is refused, so the drain has not ended because of a pause in the flood.
  await log.whenCompleted();
  flooding = false;
  expect(log.report.drained + log.report.aborted).toBeGreaterThan(0);
});

// nodejs/node#2642: `server.close()` never calls back while one idle client is connected.
it('a drain ends idle connections at once', async () => {
  const shutdown = new Subject<void>();
  const log = Log.follow(serve({ port: 0, host: '127.0.0.1' }, (connection) => connection, { shutdown, grace: GRACE }));
  servers.push(log);
  const port = await log.whenListening();
  const idle = clients(100, port);
  await log.whenEmitted('opened', 100);
  shutdown.next();
  await Promise.all(idle.map((one) => one.whenClosed()));
  await log.whenCompleted();
  expect(log.report.duration).toBeLessThan(GRACE);
  expect(idle.every(({ ended, fault }) => ended && fault === undefined)).toBe(true);
  expect(log.report).toMatchObject({ drained: 100, aborted: 0 });
});

it('a connection whose peer does not read is aborted when the grace is over, also on a real socket', async () => {
  const shutdown = new Subject<void>();
  const flood = 'x'.repeat(16 * 1024 * 1024);
  const options = { shutdown, grace: 300, maxOutbound: Number.POSITIVE_INFINITY };
  const log = Log.follow(serve({ port: 0, host: '127.0.0.1' }, () => of(flood), options));
  servers.push(log);
  const port = await log.whenListening();
  const [deaf] = clients(1, port);
  deaf?.socket.pause();
  await log.whenEmitted('opened');
  shutdown.next();
  await log.whenCompleted();
  expect(log.report).toMatchObject({ drained: 0, aborted: 1 });
  expect(log.report.duration).toBeGreaterThanOrEqual(300);
  expect(log.report.unsent).toBeGreaterThan(0);
  expect(log.of('closed')).toMatchObject([{ reason: 'aborted', unsent: log.report.unsent }]);
});
