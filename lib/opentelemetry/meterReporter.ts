import {
  type BatchObservableCallback,
  type BatchObservableResult,
  type Histogram,
  type Meter,
  type Observable,
  ValueType,
} from '@opentelemetry/api';
import { type Attributes, type HistogramInstrument, type Instrument, readTo } from '../metrics/instrument.ts';
import { processInstruments, serverInstruments } from '../metrics/instruments.ts';
import type { ObservedServer } from '../metrics/observedServer.ts';
import type { Recording } from '../metrics/serverFigures.ts';
import { EventLoopDelay } from '../time/eventLoopDelay.ts';

/** An instrument, and the same as the meter has it. */
type Pairs<Source> = readonly (readonly [Instrument<Source>, Observable])[];

/** The instruments of one meter, for all servers that report there. */
export class MeterReporter {
  readonly #meter: Meter;
  readonly #ofServer: Pairs<Parameters<(typeof serverInstruments)[number]['read']>[0]>;
  readonly #ofProcess: Pairs<Parameters<(typeof processInstruments)[number]['read']>[0]>;
  readonly #histograms = new Map<HistogramInstrument, Histogram>();
  readonly #loop = new EventLoopDelay();
  readonly #servers = new Map<ObservedServer, BatchObservableCallback>();

  constructor(meter: Meter) {
    this.#meter = meter;
    this.#ofServer = serverInstruments.map((one) => [one, this.#make(one)]);
    this.#ofProcess = processInstruments.map((one) => [one, this.#make(one)]);
  }

  add(server: ObservedServer): void {
    if (this.#servers.size === 0) {
      this.#loop.start();
      this.#meter.addBatchObservableCallback(this.#readProcess, observables(this.#ofProcess));
    }
    const read = (result: BatchObservableResult) => {
      const sample = server.sample();
      if (sample !== undefined) readAll(this.#ofServer, sample, result, server.attributes);
    };
    this.#servers.set(server, read);
    this.#meter.addBatchObservableCallback(read, observables(this.#ofServer));
  }

  delete(server: ObservedServer): void {
    const read = this.#servers.get(server);
    if (read) this.#meter.removeBatchObservableCallback(read, observables(this.#ofServer));
    this.#servers.delete(server);
    if (this.#servers.size > 0) return;
    this.#meter.removeBatchObservableCallback(this.#readProcess, observables(this.#ofProcess));
    this.#loop.stop();
  }

  /** Where to record values with these attributes. */
  recording(instrument: HistogramInstrument, attributes: Attributes): Recording {
    const { name, unit, description, bounds } = instrument;
    let histogram = this.#histograms.get(instrument);
    if (histogram === undefined) {
      const advice = { explicitBucketBoundaries: [...bounds] };
      histogram = this.#meter.createHistogram(name, { unit, description, advice });
      this.#histograms.set(instrument, histogram);
    }
    const to = histogram;
    return { record: (value) => to.record(value, attributes) };
  }

  readonly #readProcess = (result: BatchObservableResult): void => {
    readAll(this.#ofProcess, { delays: this.#loop.take(), time: this.#loop.time }, result, undefined);
  };

  #make({ name, kind, unit, description }: Instrument<never>): Observable {
    const options = { unit, description, valueType: unit === 's' ? ValueType.DOUBLE : ValueType.INT };
    if (kind === 'counter') return this.#meter.createObservableCounter(name, options);
    if (kind === 'gauge') return this.#meter.createObservableGauge(name, options);
    return this.#meter.createObservableUpDownCounter(name, options);
  }
}

const observables = <Source>(pairs: Pairs<Source>) => pairs.map(([, observable]) => observable);

function readAll<Source>(
  pairs: Pairs<Source>,
  source: Source,
  result: BatchObservableResult,
  common: Attributes | undefined,
): void {
  for (const [instrument, observable] of pairs) {
    readTo((value, attributes) => result.observe(observable, value, { ...common, ...attributes }), instrument, source);
  }
}
