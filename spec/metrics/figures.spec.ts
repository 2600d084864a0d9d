import { concatMap, ignoreElements, map, mergeMap, NEVER, range, Subject, throwError } from 'rxjs';
import { afterEach, describe, expect, it } from 'vitest';
import { encodeLine } from '../../lib/framing/lines.ts';
import { exchange, lines, type ServerEvent } from '../../lib/index.ts';
import type { Handler, ServeOptions } from '../../lib/serve.ts';
import { MeasuredServer } from './measuredServer.ts';

const echo: Handler = (connection) => connection.pipe(lines(), map(encodeLine));

let server: MeasuredServer;

async function open(handler: Handler = echo, options: ServeOptions = {}): Promise<void> {
  server = await MeasuredServer.open(handler, options);
}

afterEach(() => server.end());

const value = async (name: string, labels?: Record<string, string>) => (await server.page()).get(name, labels);
const by = async (name: string, label: string) => (await server.page()).by(name, label);

describe('the metrics of a server', () => {
  it('count the connections that are served and that wait, and show their limits', async () => {
    await open(echo, { concurrency: 2, waiting: { max: 5 } });
    for (let count = 0; count < 3; count++) await server.connect();
    const page = await server.page();
    const names = ['active_connections', 'queued_connections', 'accepted_connections_total'];
    expect(names.map((name) => page.get(`sluice_${name}`))).toEqual([2, 1, 3]);
    expect([page.get('sluice_connection_limit'), page.get('sluice_connection_queue_limit')]).toEqual([2, 5]);
  });

  it('follow a limit that moves', async () => {
    const concurrency = new Subject<number>();
    await open(echo, { concurrency });
    concurrency.next(7);
    await server.clock.settle();
    expect(await value('sluice_connection_limit')).toBe(7);
    concurrency.next(3);
    expect(await value('sluice_connection_limit')).toBe(3);
  });

  it('count bytes while a connection is open, and keep them when it is closed', async () => {
    await open();
    const client = await server.connect();
    client.write('hello\n');
    await server.clock.settle();
    const io = () => by('sluice_network_io_bytes_total', 'network_io_direction');
    expect(await io()).toEqual({ receive: 6, transmit: 6 });
    client.end();
    await server.clock.settle();
    expect(server.log.types).toContain('closed');
    expect(await io()).toEqual({ receive: 6, transmit: 6 });
  });

  it('have the duration of connections, with the close reason of those that did not end well', async () => {
    await open((connection) =>
      connection.pipe(
        lines(),
        concatMap(() => throwError(() => new Error('no'))),
      ),
    );
    const good = await server.connect();
    const failing = await server.connect();
    await server.clock.advance(3000);
    good.end();
    failing.write('fail\n');
    await server.clock.advance(5000);
    const page = await server.page();
    expect(page.by('sluice_connection_duration_seconds_count', 'error_type')).toEqual({ '': 1, failed: 1 });
    expect(page.get('sluice_connection_duration_seconds_sum', { error_type: 'failed' })).toBeGreaterThanOrEqual(3);
    const shown = page.samples.filter(({ name }) => name === 'sluice_connection_duration_seconds_bucket');
    const ended = shown.filter(({ labels }) => labels.error_type === undefined);
    expect(Object.fromEntries(ended.map(({ labels, value: count }) => [labels.le, count]))).toMatchObject({
      2: 0,
      5: 1,
    });
    expect(page.by('sluice_closed_connections_total', 'sluice_close_reason')).toEqual({ ended: 1, failed: 1 });
    expect(page.by('sluice_failures_total', 'sluice_failure_source')).toEqual({ handler: 1 });
  });

  it('have the time that connections waited', async () => {
    await open(echo, { concurrency: 1 });
    const first = await server.connect();
    await server.connect();
    await server.clock.advance(2000);
    first.end();
    await server.clock.settle();
    const page = await server.page();
    expect(page.get('sluice_connection_queue_duration_seconds_count')).toBe(2);
    expect(page.get('sluice_connection_queue_duration_seconds_sum')).toBeCloseTo(2, 1);
  });

  it('count refusals by their reason, and the deadlines that were missed by their name', async () => {
    await open(echo, { concurrency: 1, waiting: { max: 1, timeout: 100 }, greeting: 1000, linger: 0 });
    for (let count = 0; count < 3; count++) await server.connect();
    await server.clock.advance(2000);
    expect(await by('sluice_rejected_connections_total', 'error_type')).toEqual({ full: 1, timeout: 1 });
    expect(await by('sluice_missed_deadlines_total', 'sluice_deadline_name')).toEqual({ greeting: 1 });
  });

  it('bound the reasons for refusals that users make up', async () => {
    let count = 0;
    await open(echo, { admit: () => `reason ${count++}` });
    for (let connects = 0; connects < 150; connects++) server.network.connect();
    await server.clock.settle();
    const reasons = await by('sluice_rejected_connections_total', 'error_type');
    expect(Object.keys(reasons)).toHaveLength(101);
    expect(reasons.other).toBe(50);
  });

  it('have the time for which inputs were paused, by the cause, while they still are', async () => {
    await open(
      exchange(lines(), () => NEVER.pipe(ignoreElements()), { concurrency: 1, timeout: Number.POSITIVE_INFINITY }),
    );
    const client = await server.connect();
    client.write('work\nmore\n');
    await server.clock.advance(4000);
    const paused = await by('sluice_pause_time_seconds_total', 'sluice_pause_cause');
    expect(paused).toEqual({ handler: 4 });
  });

  it('have the bytes that connections hold, and the budget', async () => {
    await open((connection) => connection.pipe(ignoreElements()), { budget: 5_000_000 });
    expect(await value('sluice_budget_limit_bytes')).toBe(5_000_000);
    expect(await value('sluice_budget_usage_bytes')).toBe(0);
    server.end();
    await open((connection) =>
      connection.pipe(
        lines(),
        map(() => 'x'.repeat(300_000)),
      ),
    );
    const client = await server.connect();
    client.pause().write('go\n');
    await server.clock.settle();
    expect(await value('sluice_budget_usage_bytes')).toBeGreaterThan(200_000);
  });

  it('count the bytes that were not sent, and the values that were dropped', async () => {
    const handler: Handler = (connection) =>
      connection.pipe(
        lines(),
        mergeMap(() => range(0, 10)),
        map(() => 'x'.repeat(50_000)),
      );
    await open(handler, { overrun: 'drop-newest', maxOutbound: 200_000 });
    const client = await server.connect();
    client.pause().write('go\n');
    await server.clock.settle();
    expect(await value('sluice_dropped_values_total')).toBeGreaterThan(0);
    expect(await value('sluice_connection_unsent_bytes_total')).toBe(0);
    client.break();
    await server.clock.settle();
    const [closed] = server.log.of('closed');
    expect(closed?.unsent).toBeGreaterThan(100_000);
    expect(await value('sluice_connection_unsent_bytes_total')).toBe(closed?.unsent);
    expect(await value('sluice_dropped_values_total')).toBe(closed?.dropped);
  });

  it('have no limit where there is none', async () => {
    await open(echo, { budget: Number.POSITIVE_INFINITY });
    expect(await value('sluice_budget_limit_bytes')).toBeUndefined();
  });

  it('have the state of the server, and the result of its drain', async () => {
    const busy = new Subject<string>();
    await open(
      (connection) =>
        connection.pipe(
          lines(),
          concatMap(() => busy),
        ),
      { grace: 1000 },
    );
    const state = () => by('sluice_server_status', 'sluice_server_state');
    expect(await state()).toEqual({ accepting: 1 });
    const idle = await server.connect();
    const working = await server.connect();
    working.write('work\n');
    await server.clock.settle();
    server.shutdown.next('SIGTERM');
    await server.clock.advance(500);
    idle.end();
    expect(await state()).toEqual({ draining: 1 });
    expect(await value('sluice_drain_duration_seconds')).toBeUndefined();
    await server.clock.advance(5000);
    expect(server.log.completed).toBe(true);
    expect(await state()).toEqual({ closed: 1 });
    expect(await by('sluice_drain_connections', 'sluice_drain_result')).toEqual({ drained: 1, aborted: 1 });
    expect(await value('sluice_drain_duration_seconds')).toBeGreaterThanOrEqual(1);
  });

  it('show a server as closed that was unsubscribed or has failed', async () => {
    const shutdown = new Subject<unknown>();
    await open(echo, { shutdown });
    shutdown.error(new Error('over'));
    expect(server.log.fault).toBeInstanceOf(Error);
    expect(await by('sluice_server_status', 'sluice_server_state')).toEqual({ closed: 1 });
  });

  it('count functions of the user that fail', async () => {
    const fails = () => {
      throw new Error('no');
    };
    await open(echo, { farewell: fails, concurrency: 1, waiting: { max: 0 } });
    await server.connect();
    await server.connect();
    expect(await by('sluice_failures_total', 'sluice_failure_source')).toEqual({ farewell: 1 });
  });
});

describe('the metrics of events that are rare', () => {
  const metricsOf = async (...events: ServerEvent[]) => {
    await open();
    const all = new Subject<ServerEvent>();
    server.end();
    const { metrics } = await import('../../lib/prometheus/index.ts');
    const [listening] = server.log.of('listening');
    const reported = metrics(all, { registry: server.registry });
    if (listening) all.next(listening);
    for (const event of events) all.next(event);
    const page = await server.page();
    reported.unsubscribe();
    return page;
  };

  it('show a shortage of descriptors, and its end', async () => {
    const begins = { type: 'exhausted', limit: 100 } as const;
    const ends = { type: 'recovered', refused: 3, duration: 5 } as const;
    const short = await metricsOf(begins);
    expect([short.get('sluice_descriptor_short'), short.get('sluice_descriptor_shortages_total')]).toEqual([1, 1]);
    const long = await metricsOf(begins, ends, begins, ends);
    expect([long.get('sluice_descriptor_short'), long.get('sluice_descriptor_shortages_total')]).toEqual([0, 2]);
  });

  it('show when the first certificate ends', async () => {
    const certificates = [3_000_000, 2_000_000].map((validTo) => ({ validTo })) as never;
    const page = await metricsOf({ type: 'certificate', certificates, validFor: 1, isExpiring: false });
    expect(page.get('sluice_certificate_expiry_timestamp_seconds')).toBe(2000);
    const none = await metricsOf({ type: 'certificate', certificates: [], validFor: 1, isExpiring: false });
    expect(none.get('sluice_certificate_expiry_timestamp_seconds')).toBeUndefined();
  });

  it('count hoarding handlers', async () => {
    const page = await metricsOf({ type: 'hoarding', id: 1, peer: { address: 'a', port: 1 }, frames: 9, bytes: 9 });
    expect(page.get('sluice_hoarding_handlers_total')).toBe(1);
  });
});
