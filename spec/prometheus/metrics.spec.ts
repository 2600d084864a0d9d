import { Gauge, type OpenMetricsContentType, Registry, register } from 'prom-client';
import { map, Subject, share } from 'rxjs';
import { afterEach, describe, expect, it } from 'vitest';
import { encodeLine, lines, type ServerEvent, serve } from '../../lib/index.ts';
import { histograms } from '../../lib/metrics/histograms.ts';
import { processInstruments, serverInstruments } from '../../lib/metrics/instruments.ts';
import { type MetricsOptions, metrics } from '../../lib/prometheus/index.ts';
import { prometheusName } from '../../lib/prometheus/names.ts';
import { MemoryNetwork } from '../../lib/testing/index.ts';
import { onPort } from '../metrics/onPort.ts';
import { Page } from '../metrics/page.ts';
import { Clock } from '../support/clock.ts';
import { Log } from '../support/log.ts';

const names = [...serverInstruments, ...Object.values(histograms), ...processInstruments].map(prometheusName);

let ends: (() => void)[] = [];

afterEach(() => {
  for (const end of ends) end();
  ends = [];
});

async function open(options: MetricsOptions, port = 7000) {
  const clock = new Clock();
  const network = new MemoryNetwork(clock);
  const shutdown = new Subject<void>();
  const serving = { transport: onPort(network.transport, port), scheduler: clock, shutdown };
  const events = serve({ port }, (client) => client.pipe(lines(), map(encodeLine)), serving).pipe(share());
  const reported = metrics(events, options);
  const log = Log.follow(events);
  ends.push(() => {
    reported.unsubscribe();
    log.subscription?.unsubscribe();
  });
  await clock.settle();
  const connect = () => {
    network.connect();
    return clock.settle();
  };
  const end = () => {
    shutdown.next();
    return clock.advance(20_000);
  };
  return { reported, log, connect, end };
}

function openMetrics(): Registry {
  const registry = new Registry();
  (registry as unknown as Registry<OpenMetricsContentType>).setContentType(Registry.OPENMETRICS_CONTENT_TYPE);
  return registry;
}

const read = async (registry: Registry) => new Page(await registry.metrics());

describe('metrics in a registry of prom-client', () => {
  it('have the names and types that are in the tables of instruments', async () => {
    const registry = new Registry();
    await open({ registry });
    const page = await read(registry);
    expect([...page.types.keys()]).toEqual(names);
    for (const one of [...serverInstruments, ...processInstruments]) {
      expect([one.name, page.types.get(prometheusName(one))]).toEqual([
        one.name,
        one.kind === 'counter' ? 'counter' : 'gauge',
      ]);
    }
    for (const one of Object.values(histograms)) expect(page.types.get(prometheusName(one))).toBe('histogram');
  });

  it('name a unit once, and are in base units', () => {
    for (const name of names) {
      expect(name).toMatch(/^(sluice|nodejs)_[a-z0-9_]+$/);
      expect(name).not.toMatch(/(seconds|bytes|total).*\1|milli|_ms\b/);
    }
    expect(names).toContain('sluice_connection_duration_seconds');
    expect(names).toContain('sluice_network_io_bytes_total');
  });

  it('are reported for each server by its address, in one registry', async () => {
    const registry = new Registry();
    const one = await open({ registry }, 7000);
    await open({ registry }, 7001);
    await one.connect();
    const active = (await read(registry)).samples.filter(({ name }) => name === 'sluice_active_connections');
    expect(active).toEqual([
      { name: 'sluice_active_connections', labels: { server_address: 'memory', server_port: '7000' }, value: 1 },
      { name: 'sluice_active_connections', labels: { server_address: 'memory', server_port: '7001' }, value: 0 },
    ]);
  });

  it('have the attributes of the user, which overrule ours', async () => {
    const registry = new Registry();
    await open({ registry, attributes: { 'server.port': 'any', 'service.name': 'a "quoted"\nname\\' } });
    const text = await registry.metrics();
    expect(text).toContain('server_address="memory",server_port="any",service_name="a \\"quoted\\"\\nname\\\\"');
    expect(new Page(text).get('sluice_active_connections')).toBe(0);
  });

  it('are those of the last of several servers with the same attributes', async () => {
    const registry = new Registry();
    const one = await open({ registry });
    await one.connect();
    const other = await open({ registry });
    expect((await read(registry)).get('sluice_accepted_connections_total')).toBe(0);
    other.reported.unsubscribe();
    expect((await read(registry)).get('sluice_accepted_connections_total')).toBe(1);
  });

  it('stay when the server has ended, with its last figures', async () => {
    const registry = new Registry();
    const server = await open({ registry });
    await server.connect();
    await server.end();
    expect(server.log.completed).toBe(true);
    const page = await read(registry);
    expect(page.get('sluice_drain_connections', { sluice_drain_result: 'drained' })).toBe(1);
    expect(page.get('sluice_closed_connections_total', { sluice_close_reason: 'drained' })).toBe(1);
  });

  it('are removed with the last subscription, and only those of ours', async () => {
    const registry = new Registry();
    const other = new Gauge({ name: 'other', help: 'Not of ours.', registers: [registry] });
    const one = await open({ registry }, 7000);
    const two = await open({ registry }, 7001);
    one.reported.unsubscribe();
    expect(registry.getMetricsAsArray().length).toBe(names.length + 1);
    two.reported.unsubscribe();
    two.reported.unsubscribe();
    expect(registry.getMetricsAsArray()).toEqual([other]);
    await open({ registry }, 7002);
    expect((await read(registry)).get('sluice_active_connections', { server_port: '7002' })).toBe(0);
  });

  it('are left alone if they are no longer those of ours', async () => {
    const registry = new Registry();
    const { reported } = await open({ registry });
    registry.clear();
    const mine = new Gauge({ name: 'sluice_drain_unsent_bytes', help: 'Mine.', registers: [registry] });
    reported.unsubscribe();
    expect(registry.getMetricsAsArray()).toEqual([mine]);
  });

  it('come back with the next server when the registry was cleared, also in the format of OpenMetrics', async () => {
    const registry = openMetrics();
    await open({ registry }, 7000);
    await registry.metrics();
    registry.clear();
    await open({ registry }, 7001);
    const text = await registry.metrics();
    expect(text.endsWith('# EOF\n')).toBe(true);
    expect(text.match(/^# TYPE sluice_accepted_connections counter$/gm)).toHaveLength(1);
    expect(text.match(/^sluice_accepted_connections_total\{.*\} 0$/gm)).toHaveLength(2);
  });

  it('can be read as JSON, and be merged with those of other processes', async () => {
    const registry = new Registry();
    const server = await open({ registry });
    await server.connect();
    const json = await registry.getMetricsAsJSON();
    const { AggregatorRegistry } = await import('prom-client');
    const merged = AggregatorRegistry.aggregate([json, json]) as unknown as Registry;
    const page = await read(merged);
    expect(page.get('sluice_active_connections')).toBe(2);
    expect(page.get('sluice_connection_queue_duration_seconds_count')).toBe(2);
  });

  it('are in the registry of prom-client by default', async () => {
    const { reported } = await open({});
    expect(register.getSingleMetric('sluice_active_connections')).toBeDefined();
    reported.unsubscribe();
    expect(register.getMetricsAsArray()).toEqual([]);
  });

  it('keep the sums of the last time when a socket of the user cannot be read', async () => {
    const registry = new Registry();
    const events = new Subject<ServerEvent>();
    const { log } = await open({ registry }, 7001);
    const [listening] = log.of('listening');
    let bytesIn = (): number => 5;
    const connections = [
      {
        paused: { peer: 0, handler: 0, budget: 0 },
        bytesOut: 0,
        dropped: 0,
        get bytesIn() {
          return bytesIn();
        },
      },
    ];
    const reported = metrics(events, { registry, attributes: { 'server.port': 1 } });
    if (listening) events.next({ ...listening, connections: connections as never });
    const received = async () =>
      (await read(registry)).get('sluice_network_io_bytes_total', {
        server_port: '1',
        network_io_direction: 'receive',
      });
    expect(await received()).toBe(5);
    bytesIn = () => {
      throw new Error('no');
    };
    expect(await received()).toBe(5);
    reported.unsubscribe();
  });

  it('are read once for each page, at one moment', async () => {
    const registry = new Registry();
    const events = new Subject<ServerEvent>();
    const reported = metrics(events, { registry });
    const { log } = await open({ registry: new Registry() });
    let reads = 0;
    const connections = {
      [Symbol.iterator]() {
        reads++;
        return [].values();
      },
    };
    const [listening] = log.of('listening');
    if (listening) events.next({ ...listening, connections: connections as never });
    await registry.metrics();
    expect(reads).toBe(1);
    await Promise.all([registry.metrics(), registry.getMetricsAsJSON()]);
    expect(reads).toBe(2);
    reported.unsubscribe();
  });

  it('are complete but for what an event of the user lacks', async () => {
    const registry = new Registry();
    const events = new Subject<ServerEvent>();
    const reported = metrics(events, { registry });
    const counters = { accepted: 1, waiting: 0, active: 1, closed: 0, refused: 0 };
    events.next({ type: 'listening', address: { address: 'a', port: 1 }, counters } as ServerEvent);
    const page = await read(registry);
    expect(page.get('sluice_active_connections')).toBe(1);
    expect(page.get('sluice_budget_usage_bytes')).toBeUndefined();
    expect(page.get('nodejs_eventloop_time_seconds_total', { nodejs_eventloop_state: 'idle' })).toBeGreaterThan(0);
    reported.unsubscribe();
  });

  it('report nothing of a server that never listens, and leave its error to others', async () => {
    const registry = new Registry();
    const events = new Subject<ServerEvent>();
    const reported = metrics(events, { registry });
    const caught: unknown[] = [];
    events.subscribe({ error: (error) => caught.push(error) });
    events.error(new Error('EADDRINUSE'));
    const page = await read(registry);
    expect(page.samples.filter(({ name }) => name.startsWith('sluice_'))).toEqual([]);
    expect(caught).toHaveLength(1);
    reported.unsubscribe();
  });
});

describe('metrics of prom-client refuse', () => {
  const events = new Subject<ServerEvent>();
  it.each<[string, unknown, unknown, string]>([
    ['no Observable', {}, {}, 'events must be an Observable of events, such as serve(…).pipe(share()), not {}'],
    ['no registry', events, { registry: {} }, 'registry must be a Registry of prom-client, not {}'],
    [
      'an unknown option',
      events,
      { registery: 1 },
      "options: there is no option 'registery'; the options are registry, attributes",
    ],
    [
      'attributes of other types',
      events,
      { attributes: { a: {} } },
      'attributes must have strings and numbers by name, not { a: {} }',
    ],
    ...['__name__', '..a', 'le', 'quantile', '\u{1f4a9}'].map((name): [string, unknown, unknown, string] => [
      `the attribute ${name}, whose label is reserved`,
      events,
      { attributes: { [name]: 'x' } },
      `attributes must not have '${name}': Prometheus reserves the label `,
    ]),
    [
      'an attribute that would be one of ours',
      events,
      { attributes: { error_type: 'x' } },
      "attributes must not have 'error_type': metrics have the label error_type themselves",
    ],
    [
      'an attribute of ours',
      events,
      { attributes: { 'sluice.close.reason': 'x' } },
      "attributes must not have 'sluice.close.reason', which metrics have themselves",
    ],
    [
      'two attributes that are one label',
      events,
      { attributes: { 'a.b': 1, a_b: 2 } },
      "attributes must not have both 'a.b' and 'a_b', which are one label",
    ],
    ['attributes that are none', events, { attributes: 'a' }, "attributes must be an object, not 'a'"],
  ])('%s', (_what, given, options, sentence) => {
    const call = () => metrics(given as typeof events, options as MetricsOptions);
    expect(call).toThrow(TypeError);
    expect(call).toThrow(`Cannot report metrics: ${sentence}`);
    expect(events.observed).toBe(false);
  });

  it('a registry that has another metric of the same name, and leave it as it was', () => {
    const registry = new Registry();
    const mine = new Gauge({ name: 'sluice_drain_unsent_bytes', help: 'Mine.', registers: [registry] });
    expect(() => metrics(events, { registry })).toThrow(
      'Cannot report metrics: the registry has another metric with the name sluice_drain_unsent_bytes',
    );
    expect(registry.getMetricsAsArray()).toEqual([mine]);
    expect(events.observed).toBe(false);
  });
});
