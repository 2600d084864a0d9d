import { type DataPoint, DataPointType, type Histogram, MeterProvider, MetricReader } from '@opentelemetry/sdk-metrics';
import { Registry } from 'prom-client';
import { type Observable, Subject, type Subscription, share } from 'rxjs';
import { expect } from 'vitest';
import type { ServerEvent } from '../../lib/events.ts';
import { histograms } from '../../lib/metrics/histograms.ts';
import { processInstruments, serverInstruments } from '../../lib/metrics/instruments.ts';
import { metrics as openTelemetry } from '../../lib/opentelemetry/index.ts';
import { metrics as prometheus } from '../../lib/prometheus/index.ts';
import { prometheusName, sanitized } from '../../lib/prometheus/names.ts';
import { type Handler, type ServeOptions, serve } from '../../lib/serve.ts';
import { type MemoryClient, type MemoryClientOptions, MemoryNetwork } from '../../lib/testing/index.ts';
import { Clock } from '../support/clock.ts';
import { Log } from '../support/log.ts';
import { Page } from './page.ts';

/** Collects when it is asked to. */
export class Reader extends MetricReader {
  protected override async onForceFlush(): Promise<void> {}
  protected override async onShutdown(): Promise<void> {}

  /** All values, in the form of a page of Prometheus, so that both can be compared. */
  async page(): Promise<Map<string, number>> {
    const { resourceMetrics, errors } = await this.collect();
    expect(errors).toEqual([]);
    const values = new Map<string, number>();
    const instruments = [...serverInstruments, ...processInstruments, ...Object.values(histograms)];
    for (const { descriptor, dataPointType, dataPoints } of resourceMetrics.scopeMetrics.flatMap(
      ({ metrics }) => metrics,
    )) {
      const instrument = instruments.find(({ name }) => name === descriptor.name);
      if (instrument === undefined) throw new Error(`There is no instrument ${descriptor.name}`);
      expect([descriptor.unit, descriptor.description]).toEqual([instrument.unit, instrument.description]);
      const name = prometheusName(instrument);
      for (const { attributes, value } of dataPoints as DataPoint<number | Histogram>[]) {
        const set = (part: string, of: number, more: readonly (readonly [string, string])[] = []) =>
          values.set(`${name}${part} ${JSON.stringify([...labelsOf(attributes), ...more].sort())}`, of);
        if (dataPointType !== DataPointType.HISTOGRAM) {
          set('', value as number);
          continue;
        }
        const { buckets, sum = 0, count } = value as Histogram;
        let below = 0;
        for (const [i, counted] of buckets.counts.entries()) {
          below += counted;
          set('_bucket', below, [['le', String(buckets.boundaries[i] ?? '+Inf')]]);
        }
        set('_sum', sum);
        set('_count', count);
      }
    }
    return values;
  }
}

const labelsOf = (attributes: object) =>
  Object.entries(attributes).map(([name, value]) => [sanitized(name), String(value)] as const);

/** A server in memory and on virtual time whose metrics are reported in both ways. */
export class MeasuredServer {
  readonly clock = new Clock();
  readonly network = new MemoryNetwork(this.clock);
  readonly shutdown = new Subject<unknown>();
  readonly registry = new Registry();
  readonly reader = new Reader();
  readonly log: Log;
  readonly reported: Subscription;

  constructor(
    handler: Handler,
    options: ServeOptions = {},
    first: (events: Observable<ServerEvent>, registry: Registry) => void = () => {},
  ) {
    const own = { transport: this.network.transport, scheduler: this.clock, shutdown: this.shutdown };
    const events = serve({ port: 0 }, handler, { ...own, ...options }).pipe(share());
    const meter = new MeterProvider({ readers: [this.reader] }).getMeter('spec');
    first(events, this.registry);
    this.reported = prometheus(events, { registry: this.registry });
    this.reported.add(openTelemetry(events, { meter }));
    this.log = Log.follow(events);
  }

  /** A server that is listening. */
  static async open(...how: ConstructorParameters<typeof MeasuredServer>): Promise<MeasuredServer> {
    const server = new MeasuredServer(...how);
    await server.clock.settle();
    return server;
  }

  async connect(options?: MemoryClientOptions): Promise<MemoryClient> {
    const client = this.network.connect({ allowHalfOpen: true, ...options });
    await this.clock.settle();
    return client;
  }

  /** What Prometheus is shown now. */
  async page(): Promise<Page> {
    return new Page(await this.registry.metrics());
  }

  end(): void {
    this.reported.unsubscribe();
    this.log.subscription?.unsubscribe();
  }
}
