import { type Aggregator, Counter, Gauge, type MetricType, type Registry, type RegistryContentType } from 'prom-client';
import type { Histogram } from '../metrics/histogram.ts';
import { histograms } from '../metrics/histograms.ts';
import {
  type Attributes,
  type HistogramInstrument,
  type Instrument,
  type Report,
  readTo,
} from '../metrics/instrument.ts';
import { processInstruments, serverInstruments } from '../metrics/instruments.ts';
import type { ObservedServer } from '../metrics/observedServer.ts';
import { microtask } from '../time/eventLoop.ts';
import { EventLoopDelay } from '../time/eventLoopDelay.ts';
import { labelsOf, prometheusName, sanitized } from './names.ts';

/** A value as prom-client prints it. `metricName` is that of a part of a histogram. */
interface Value {
  readonly value: number;
  readonly labels: Record<string, string | number>;
  readonly metricName?: string;
}

/** The values of a server's histogram. */
export interface Recorded {
  readonly instrument: HistogramInstrument;
  /** Without those of the server. */
  readonly attributes: Attributes;
  readonly histogram: Histogram;
}

/** A server, and its histograms. */
export interface Reported {
  readonly server: ObservedServer;
  readonly recorded: ReadonlyMap<string, Recorded>;
}

type Any = Instrument<never> | HistogramInstrument;
const allInstruments: readonly Any[] = [...serverInstruments, ...Object.values(histograms), ...processInstruments];

// Computed once, because a scrape needs each of them many times.
const names = new Map(allInstruments.map((one) => [one, prometheusName(one)]));
const nameOf = (one: Any): string => names.get(one) ?? '';
const labelNames = new Map(
  allInstruments.flatMap(({ attributes }) => attributes.map((name) => [name, sanitized(name)])),
);

/** A metric whose values are read when they are asked for. */
class ReadGauge extends Gauge {
  readonly #read: () => Value[];
  readonly #isHistogram: boolean;

  constructor(config: ConstructorParameters<typeof Gauge>[0], isHistogram: boolean, read: () => Value[]) {
    super(config);
    this.#isHistogram = isHistogram;
    this.#read = read;
  }

  override async get() {
    // Before anything is awaited: so all metrics of a registry are of one moment.
    const values = this.#read();
    const described = await super.get();
    // prom-client has no histogram whose buckets can be set. For it a histogram is a name and values, too.
    return this.#isHistogram
      ? { ...described, type: 'histogram' as unknown as MetricType, values }
      : { ...described, values };
  }
}

/** The same for what only grows. */
class ReadCounter extends Counter {
  readonly #read: () => Value[];

  constructor(config: ConstructorParameters<typeof Counter>[0], read: () => Value[]) {
    super(config);
    this.#read = read;
  }

  override async get() {
    const values = this.#read();
    return { ...(await super.get()), values };
  }
}

export type AnyRegistry = Registry<RegistryContentType>;

/** The metrics of all servers that one registry reports. */
export class Reporter {
  readonly #registry: AnyRegistry;
  readonly #servers = new Set<Reported>();
  readonly #metrics = new Map<string, ReadGauge | ReadCounter>();
  readonly #loop = new EventLoopDelay();
  /** What was read for the collection that is in progress. */
  #collected: Map<string, Value[]> | undefined;

  constructor(registry: AnyRegistry) {
    this.#registry = registry;
  }

  /** @throws Error if the registry has other metrics of these names. */
  add(reported: Reported): void {
    // Also for a further server, because a registry may have been cleared.
    this.#register();
    this.#servers.add(reported);
    this.#loop.start();
  }

  /** @returns Whether it was the last one. */
  delete(reported: Reported): boolean {
    this.#servers.delete(reported);
    if (this.#servers.size > 0) return false;
    this.#loop.stop();
    for (const [name, metric] of this.#metrics)
      if (this.#registry.getSingleMetric(name) === metric) this.#registry.removeSingleMetric(name);
    return true;
  }

  #register(): void {
    const missing = allInstruments.filter((one) => {
      const name = nameOf(one);
      const registered = this.#registry.getSingleMetric(name);
      if (registered !== undefined && registered !== this.#metrics.get(name))
        throw new TypeError(`Cannot report metrics: the registry has another metric with the name ${name}`);
      return registered === undefined;
    });
    for (const instrument of missing) this.#metrics.set(nameOf(instrument), this.#make(instrument));
  }

  #make(instrument: Any): ReadGauge | ReadCounter {
    const name = nameOf(instrument);
    const registers = [this.#registry as Registry];
    const config = { name, help: instrument.description, registers, aggregator: aggregatorOf(instrument) };
    const read = () => this.#read().get(name) ?? [];
    if (instrument.kind === 'counter') return new ReadCounter(config, read);
    return new ReadGauge(config, instrument.kind === 'histogram', read);
  }

  /** The values of all metrics, read once for each collection: a registry asks all of its metrics in one call. */
  #read(): Map<string, Value[]> {
    if (this.#collected === undefined) {
      this.#collected = this.#collect();
      microtask(() => {
        this.#collected = undefined;
      });
    }
    return this.#collected;
  }

  #collect(): Map<string, Value[]> {
    const values = new Map<string, Value[]>(allInstruments.map((one) => [nameOf(one), []]));
    const reportTo = (instrument: Instrument<never>, common: Value['labels']): Report => {
      const to = values.get(nameOf(instrument));
      return (value, attributes) => {
        const labels = { ...common };
        for (const name in attributes) labels[labelNames.get(name) ?? name] = attributes[name] ?? '';
        to?.push({ value, labels });
      };
    };
    for (const { server, recorded } of this.#distinct()) {
      const sample = server.sample();
      if (sample === undefined) continue;
      const labels = labelsOf(server.attributes ?? {});
      for (const one of serverInstruments) readTo(reportTo(one, labels), one, sample);
      for (const one of recorded.values()) values.get(nameOf(one.instrument))?.push(...partsOf(one, labels));
    }
    const loop = { delays: this.#loop.take(), time: this.#loop.time };
    for (const one of processInstruments) readTo(reportTo(one, {}), one, loop);
    return values;
  }

  /** Of servers with the same attributes the last one: Prometheus accepts no page on which a value is there twice. */
  #distinct(): Iterable<Reported> {
    const servers = new Map<string, Reported>();
    for (const reported of this.#servers) {
      const { attributes } = reported.server;
      if (attributes === undefined) continue;
      servers.set(JSON.stringify(Object.entries(labelsOf(attributes)).sort()), reported);
    }
    return servers.values();
  }
}

/** A histogram as Prometheus has it: each bucket counts those below it, too. */
function partsOf({ instrument, attributes, histogram }: Recorded, common: Value['labels']): Value[] {
  const { bounds, counts, sum, count } = histogram;
  const name = nameOf(instrument);
  const labels = { ...common, ...labelsOf(attributes) };
  let below = 0;
  const buckets = bounds.map((bound, i) => {
    below += counts[i] ?? 0;
    return { metricName: `${name}_bucket`, labels: { ...labels, le: bound }, value: below };
  });
  return [
    ...buckets,
    { metricName: `${name}_bucket`, labels: { ...labels, le: '+Inf' }, value: count },
    { metricName: `${name}_sum`, labels, value: sum },
    { metricName: `${name}_count`, labels, value: count },
  ];
}

/** What the workers of a cluster report together. */
function aggregatorOf({ kind, name }: Any): Aggregator {
  if (name === 'sluice.certificate.expiry_timestamp') return 'min';
  return kind === 'gauge' ? 'max' : 'sum';
}
