import { metrics as api, type Meter } from '@opentelemetry/api';
import { DataPointType, MeterProvider } from '@opentelemetry/sdk-metrics';
import { map, Subject, share } from 'rxjs';
import { afterEach, describe, expect, it } from 'vitest';
import { encodeLine, lines, type ServerEvent, serve } from '../../lib/index.ts';
import { histograms } from '../../lib/metrics/histograms.ts';
import { processInstruments, serverInstruments } from '../../lib/metrics/instruments.ts';
import { type MetricsOptions, metrics } from '../../lib/opentelemetry/index.ts';
import { MemoryNetwork } from '../../lib/testing/index.ts';
import { Reader } from '../metrics/measuredServer.ts';
import { onPort } from '../metrics/onPort.ts';
import { Clock } from '../support/clock.ts';
import { Log } from '../support/log.ts';

let ends: (() => void)[] = [];

afterEach(() => {
  for (const end of ends) end();
  ends = [];
});

async function open(options: MetricsOptions, port = 7000) {
  const clock = new Clock();
  const network = new MemoryNetwork(clock);
  const serving = { transport: onPort(network.transport, port), scheduler: clock };
  const events = serve({ port }, (client) => client.pipe(lines(), map(encodeLine)), serving).pipe(share());
  const reported = metrics(events, options);
  const log = Log.follow(events);
  const end = () => {
    reported.unsubscribe();
    log.subscription?.unsubscribe();
  };
  ends.push(end);
  await clock.settle();
  const connect = () => {
    network.connect().end();
    return clock.settle();
  };
  return { reported, connect };
}

function provider() {
  const reader = new Reader();
  const made = new MeterProvider({ readers: [reader] });
  const collect = async () => {
    const { resourceMetrics, errors } = await reader.collect();
    expect(errors).toEqual([]);
    return resourceMetrics.scopeMetrics.flatMap(({ metrics: all }) => all);
  };
  return { reader, meter: made.getMeter('spec'), made, collect };
}

/** The values of one instrument by the port of the server. */
async function byPort(collect: ReturnType<typeof provider>['collect'], name: string) {
  const found = (await collect()).find(({ descriptor }) => descriptor.name === name);
  return Object.fromEntries(found?.dataPoints.map(({ attributes, value }) => [attributes['server.port'], value]) ?? []);
}

describe('metrics of OpenTelemetry', () => {
  it('have the names, units, kinds and bounds that are in the tables of instruments', async () => {
    const { meter, collect } = provider();
    const { connect } = await open({ meter });
    await connect();
    const all = await collect();
    for (const one of [...serverInstruments, ...processInstruments]) {
      const found = all.find(({ descriptor }) => descriptor.name === one.name);
      // Without a value there is no metric.
      if (found === undefined) continue;
      expect(found.descriptor).toMatchObject({ unit: one.unit, description: one.description });
      const kind = one.kind === 'gauge' ? DataPointType.GAUGE : DataPointType.SUM;
      expect([one.name, found.dataPointType, 'isMonotonic' in found && found.isMonotonic]).toEqual([
        one.name,
        kind,
        one.kind === 'counter',
      ]);
      const allowed = new Set(['server.address', 'server.port', ...one.attributes]);
      for (const { attributes } of found.dataPoints)
        expect(Object.keys(attributes).filter((name) => !allowed.has(name))).toEqual([]);
    }
    const duration = all.find(({ descriptor }) => descriptor.name === histograms.duration.name);
    expect(duration?.dataPoints[0]?.value).toMatchObject({
      count: 1,
      buckets: { boundaries: histograms.duration.bounds },
    });
  });

  it('are reported for each server by its address, until it is unsubscribed', async () => {
    const { meter, collect } = provider();
    const one = await open({ meter }, 7000);
    const two = await open({ meter }, 7001);
    await one.connect();
    const accepted = () => byPort(collect, 'sluice.accepted_connections');
    expect(await accepted()).toEqual({ 7000: 1, 7001: 0 });
    // The SDK goes on to export the last value of what it has collected once.
    one.reported.unsubscribe();
    await one.connect();
    await two.connect();
    expect(await accepted()).toEqual({ 7000: 1, 7001: 1 });
    two.reported.unsubscribe();
    two.reported.unsubscribe();
    await two.connect();
    expect(await accepted()).toEqual({ 7000: 1, 7001: 1 });
  });

  it('are read no more when the last server is unsubscribed, those of the process included', async () => {
    const { meter, collect } = provider();
    const { reported } = await open({ meter });
    reported.unsubscribe();
    const read = (await collect()).filter(({ dataPoints }) => dataPoints.length > 0);
    expect(read).toEqual([]);
  });

  it('are those of the last of several servers with the same attributes', async () => {
    const { meter, collect } = provider();
    const one = await open({ meter, attributes: { 'server.port': 1 } });
    await one.connect();
    await open({ meter, attributes: { 'server.port': 1 } });
    expect(await byPort(collect, 'sluice.accepted_connections')).toEqual({ 1: 0 });
  });

  it('are made by the meter `sluice` of the global provider by default', async () => {
    const { made, reader } = provider();
    api.setGlobalMeterProvider(made);
    ends.push(() => api.disable());
    await open({});
    const { resourceMetrics } = await reader.collect();
    expect(resourceMetrics.scopeMetrics.map(({ scope }) => scope.name)).toEqual(['sluice']);
  });

  it('do nothing without a provider', async () => {
    const { reported, connect } = await open({});
    await connect();
    reported.unsubscribe();
  });

  it.each<[string, unknown, unknown, string]>([
    ['no Observable', 1, {}, 'events must be an Observable of events, such as serve(…).pipe(share()), not 1'],
    ['no meter', new Subject(), { meter: {} }, 'meter must be a Meter of OpenTelemetry, not {}'],
    [
      'an attribute of ours',
      new Subject(),
      { attributes: { 'error.type': 'x' } },
      "attributes must not have 'error.type', which metrics have themselves",
    ],
    [
      'attributes that are not finite',
      new Subject(),
      { attributes: { a: Number.NaN } },
      'attributes must have strings',
    ],
  ])('refuse %s', (_what, events, options, sentence) => {
    const call = () => metrics(events as Subject<ServerEvent>, options as { meter: Meter });
    expect(call).toThrow(TypeError);
    expect(call).toThrow(`Cannot report metrics: ${sentence}`);
  });
});
