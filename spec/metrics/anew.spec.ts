import { MeterProvider } from '@opentelemetry/sdk-metrics';
import { Registry } from 'prom-client';
import { catchError, defer, EMPTY, map, mergeMap, repeat, retry, Subject, share, timer } from 'rxjs';
import { afterEach, describe, expect, it } from 'vitest';
import { encodeLine, type ListenEvent, lines, listen, serve } from '../../lib/index.ts';
import { metrics as openTelemetry } from '../../lib/opentelemetry/index.ts';
import { metrics as prometheus } from '../../lib/prometheus/index.ts';
import { MemoryNetwork } from '../../lib/testing/index.ts';
import { Clock } from '../support/clock.ts';
import { Reader } from './measuredServer.ts';
import { onPort } from './onPort.ts';
import { Page } from './page.ts';

let ends: (() => void)[] = [];
afterEach(() => {
  for (const end of ends) end();
  ends = [];
});

/** A server that begins anew a second after it has drained or failed, each time on the next of these ports. */
async function open(ports: readonly [number, ...number[]] = [7000]) {
  const clock = new Clock();
  const network = new MemoryNetwork(clock);
  const registry = new Registry();
  const reader = new Reader();
  let begun = 0;
  let shutdown = new Subject<void>();
  const events = defer(() => {
    shutdown = new Subject<void>();
    const transport = onPort(network.transport, ports[begun++ % ports.length] ?? 0);
    const options = { transport, scheduler: clock, shutdown, linger: 0, concurrency: 5 };
    return serve({ port: 0 }, (client) => client.pipe(lines(), map(encodeLine)), options);
  }).pipe(retry({ delay: () => timer(1000, clock) }), repeat({ delay: () => timer(1000, clock) }), share());
  const reported = prometheus(events, { registry });
  reported.add(openTelemetry(events, { meter: new MeterProvider({ readers: [reader] }).getMeter('spec') }));
  reported.add(events.subscribe());
  ends.push(() => reported.unsubscribe());
  await clock.settle();
  return {
    clock,
    connect: () => network.connect({ allowHalfOpen: true }),
    drain: () => shutdown.next(),
    fail: () => shutdown.error(new Error('it failed')),
    /** Reading checks that each series is there once. */
    page: async () => new Page(await registry.metrics()),
    other: () => reader.page(),
    async visit(): Promise<void> {
      const client = network.connect({ allowHalfOpen: true });
      client.write('hello\n');
      await clock.settle();
      client.end();
      await clock.settle();
    },
  };
}

const state = (page: Page) => Object.keys(page.by('sluice_server_status', 'sluice_server_state'));

const accepted = (page: Page) => page.get('sluice_accepted_connections_total');

/** What must go on when a server begins anew. */
const sums = (page: Page) =>
  [
    accepted(page),
    page.get('sluice_closed_connections_total', { sluice_close_reason: 'ended' }),
    page.get('sluice_connection_duration_seconds_count'),
    page.get('sluice_connection_queue_duration_seconds_count'),
    page.get('sluice_network_io_bytes_total', { network_io_direction: 'receive' }),
  ] as const;

describe('the metrics of a server that begins anew', () => {
  it('have each series once, the state of the new one, and sums that go on, after a drain', async () => {
    const server = await open();
    await server.visit();
    await server.visit();
    server.drain();
    await server.clock.settle();
    const drained = await server.page();
    expect([state(drained), sums(drained)]).toEqual([['closed'], [2, 2, 2, 2, 12]]);
    expect(drained.get('sluice_drain_duration_seconds')).toBe(0);
    await server.clock.advance(1000);
    const anew = await server.page();
    expect([state(anew), sums(anew)]).toEqual([['accepting'], [2, 2, 2, 2, 12]]);
    expect(anew.get('sluice_drain_duration_seconds')).toBeUndefined();
    await server.visit();
    const page = await server.page();
    expect(sums(page)).toEqual([3, 3, 3, 3, 18]);
    const others = await server.other();
    for (const [name, value] of page.all) {
      if (/^sluice_.*(_total|_count|_status|_limit) /.test(name))
        expect([name, others.get(name) ?? 0]).toEqual([name, value]);
    }
  });

  it('say closed until it begins anew, and keep what was seen of connections that had no end, after a failure', async () => {
    const server = await open();
    const client = server.connect();
    client.write('hello\n');
    await server.clock.settle();
    expect(sums(await server.page())).toEqual([1, 0, 0, 1, 6]);
    server.fail();
    await server.clock.advance(999);
    const failed = await server.page();
    expect([state(failed), failed.get('sluice_active_connections')]).toEqual([['closed'], 0]);
    await server.clock.advance(1);
    await server.visit();
    const page = await server.page();
    expect([state(page), sums(page)]).toEqual([['accepting'], [2, 1, 1, 2, 12]]);
  });

  it('go on with the labels of the new address, if that is another one', async () => {
    const server = await open([7000, 7001]);
    await server.visit();
    server.drain();
    await server.clock.advance(1000);
    await server.visit();
    const page = await server.page();
    const ports = new Set(
      page.samples.flatMap(({ name, labels }) => (name.startsWith('sluice') ? [labels.server_port] : [])),
    );
    expect([[...ports], sums(page)]).toEqual([['7001'], [2, 2, 2, 2, 12]]);
  });

  it('do not decrease and do not grow over a thousand beginnings', async () => {
    const server = await open();
    let before = 0;
    for (let count = 1; count <= 1000; count++) {
      if (count % 100 === 0) {
        await server.visit();
        const accepted = (await server.page()).get('sluice_accepted_connections_total') ?? 0;
        expect(accepted).toBe(before + 1);
        before = accepted;
      }
      if (count % 2) server.drain();
      else server.fail();
      await server.clock.advance(1000);
    }
  });
});

it('the metrics of two ports on one Subject are their sums, and closed means that the last one is', async () => {
  const clock = new Clock();
  const registry = new Registry();
  const events = new Subject<ListenEvent>();
  const reported = prometheus(events, { registry });
  ends.push(() => reported.unsubscribe());
  const networks = [new MemoryNetwork(clock), new MemoryNetwork(clock)];
  const servers = networks.map(({ transport }) =>
    listen({ port: 0 }, { transport, scheduler: clock, events })
      .pipe(
        mergeMap((client) =>
          client.pipe(
            client.send(),
            catchError(() => EMPTY),
          ),
        ),
      )
      .subscribe(),
  );
  await clock.settle();
  for (const network of networks) network.connect();
  await clock.settle();
  const read = async () => new Page(await registry.metrics());
  const page = await read();
  expect([state(page), accepted(page), page.get('sluice_active_connections')]).toEqual([['accepting'], 2, 2]);
  servers[1]?.unsubscribe();
  await clock.settle();
  const closed = await read();
  expect([state(closed), accepted(closed), closed.get('sluice_active_connections')]).toEqual([['closed'], 2, 1]);
  servers[0]?.unsubscribe();
});
