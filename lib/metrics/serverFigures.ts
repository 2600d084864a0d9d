import { closeReasons } from '../connection/closing.ts';
import type { DeadlineName } from '../errors.ts';
import type {
  ClosedEvent,
  CloseReason,
  Counters,
  DrainReport,
  FailedEvent,
  ListeningEvent,
  OpenedEvent,
  RefusalReason,
  RefusedEvent,
  ServerEvent,
} from '../events.ts';
import { ServerRuns, type Totals } from '../serverRuns.ts';
import { histograms } from './histograms.ts';
import type { Attributes, HistogramInstrument } from './instrument.ts';

/** Where the values of a histogram go that have the same attributes. */
export interface Recording {
  record(value: number): void;
}

/** @returns Where to record values with these attributes, besides those of the server: the same each time for the same attributes. */
export type Recorder = (instrument: HistogramInstrument, attributes: Attributes) => Recording;

/** What a server is: it accepts connections, it leaves them to the kernel's queue, it drains, or it has ended. */
export type ServerState = 'accepting' | 'parked' | 'draining' | 'closed';

/** How often a connection was closed for one reason, and for how long such connections were open. */
interface Closes {
  count: number;
  durations: Recording | undefined;
}

/**
 * The figures of one server, from its events.
 *
 * What the server itself counts is read when a figure is asked for. The counters of a stream that is retried or repeated are sums over
 * all its servers; everything else is of the last one. Of an event only that is kept which is nowhere else then: a
 * connection costs one record of a histogram when it is opened, and one when it is closed.
 */
export class ServerFigures {
  /** How the shutdown ended. */
  report: DrainReport | undefined;
  /** When the first of the certificates in use ends, in milliseconds since 1970. */
  certificateEnds: number | undefined;
  shortages = 0;
  /** Whether descriptors are short now. */
  isShort = false;
  hoardings = 0;
  /** Bytes that handlers wrote to connections that are closed, and that were not sent. */
  unsent = 0;
  readonly closes = new Map<CloseReason, Closes>();
  readonly missedDeadlines = new Map<DeadlineName, number>();
  /** By the function that failed: one of the options, the handler, or none, which is the port. */
  readonly failures = new Map<string, number>();
  #isDraining = false;
  #isOver = false;
  readonly #recorder: Recorder;
  readonly #runs = new ServerRuns();
  #waits: Recording | undefined;
  /** Of connections that ended without an error. */
  #durations: Recording | undefined;
  readonly #handshakes = new Map<string, Recording>();

  constructor(recorder: Recorder) {
    this.#recorder = recorder;
  }

  next(event: ServerEvent): void {
    switch (event.type) {
      case 'listening':
        return this.#begin(event);
      case 'opened':
        return this.#opened(event);
      case 'closed':
        return this.#closedOne(event);
      case 'refused':
        return this.#refused(event);
      case 'failed':
        return add(this.failures, sourceOf(event));
      case 'exhausted':
        this.shortages++;
        this.isShort = true;
        return;
      case 'recovered':
        this.isShort = false;
        return;
      case 'certificate':
        this.certificateEnds = earliest(event.certificates);
        return;
      case 'hoarding':
        this.hoardings++;
        return;
      case 'draining':
        this.#isDraining = true;
        return;
      case 'drained':
        this.report = event;
    }
  }

  /** The events are over. */
  end(): void {
    this.#isOver = true;
  }

  /** The limits and resources of the server, once it is listening. */
  get listening(): ListeningEvent | undefined {
    return this.#runs.latest;
  }

  get counters(): Counters {
    return this.#runs.counters;
  }

  get refusals(): ReadonlyMap<RefusalReason, number> {
    return this.#runs.refusals;
  }

  get state(): ServerState {
    if (this.#isOver || this.report) return 'closed';
    if (this.#isDraining) return 'draining';
    // A server that has failed, or was unsubscribed, and is subscribed to again later: its events are not over.
    if (this.listening?.limits.isClosed) return 'closed';
    return this.listening?.limits.isParked ? 'parked' : 'accepting';
  }

  /** Sums up to now. The only part whose time grows with the number of connections: read it once for all figures. */
  totals(): Totals {
    return this.#runs.totals();
  }

  /** The server begins, perhaps anew: after a drain or a failure, the events may be repeated or retried. Counters go on. */
  #begin(event: ListeningEvent): void {
    this.#runs.begin(event);
    this.report = undefined;
    this.#isDraining = false;
    this.isShort = false;
    // Its address may be another one, and that is part of where values are recorded.
    this.#waits = this.#recorder(histograms.queueDuration, {});
    this.#durations = this.#recorder(histograms.duration, {});
    this.#handshakes.clear();
    for (const [reason, closes] of this.closes) closes.durations = this.#durationsOf(reason);
  }

  #opened({ waited, handshake, security }: OpenedEvent): void {
    this.#waits?.record(waited / 1e3);
    if (handshake !== undefined) this.#secured(handshake, security?.protocol, undefined);
  }

  #closedOne(event: ClosedEvent): void {
    const { reason, deadline, unsent, duration } = event;
    let closes = this.closes.get(reason);
    if (closes === undefined) {
      closes = { count: 0, durations: this.#durationsOf(reason) };
      this.closes.set(reason, closes);
    }
    closes.count++;
    closes.durations?.record(duration / 1e3);
    this.#runs.close(event);
    this.unsent += unsent;
    if (deadline !== undefined) add(this.missedDeadlines, deadline);
  }

  #refused({ reason, deadline, handshake }: RefusedEvent): void {
    if (deadline !== undefined) add(this.missedDeadlines, deadline);
    if (handshake === undefined) return;
    this.#secured(handshake, undefined, reason === 'tls' || reason === 'deadline' ? reason : undefined);
  }

  #secured(handshake: number, protocol: string | undefined, error: string | undefined): void {
    const key = `${protocol} ${error}`;
    let recording = this.#handshakes.get(key);
    if (recording === undefined) {
      const version = protocol && { 'tls.protocol.version': protocol.replace('TLSv', '') };
      recording = this.#recorder(histograms.handshakeDuration, { ...version, ...(error && { 'error.type': error }) });
      this.#handshakes.set(key, recording);
    }
    recording.record(handshake / 1e3);
  }

  #durationsOf(reason: CloseReason): Recording | undefined {
    if (closeReasons[reason].fault !== 'none') return this.#recorder(histograms.duration, { 'error.type': reason });
    return this.#durations;
  }
}

function add<Key>(counts: Map<Key, number>, key: Key): void {
  counts.set(key, (counts.get(key) ?? 0) + 1);
}

const sourceOf = ({ callback, id }: FailedEvent) => callback ?? (id === undefined ? 'port' : 'handler');

const earliest = (certificates: readonly { readonly validTo: number }[]) =>
  certificates.length === 0 ? undefined : Math.min(...certificates.map(({ validTo }) => validTo));
