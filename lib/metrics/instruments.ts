import { closeReasons } from '../connection/closing.ts';
import type { DeadlineName } from '../errors.ts';
import type { CloseReason, FailedEvent } from '../events.ts';
import type { Totals } from '../serverRuns.ts';
import type { Delays, LoopTime } from '../time/eventLoopDelay.ts';
import type { Instrument, Report } from './instrument.ts';
import type { ServerFigures, ServerState } from './serverFigures.ts';

/** What the instruments of a server are read from. */
export interface Sample {
  readonly figures: ServerFigures;
  readonly totals: Totals;
}

/** What the instruments of the process are read from. */
export interface Loop {
  readonly delays: Delays | undefined;
  readonly time: LoopTime;
}

// What is counted by a name is reported as 0 from the beginning: a rate can only be computed of what was there before it changed.

const CLOSES = Object.keys(closeReasons) as readonly CloseReason[];

/** The reasons that the library gives. Users may give others. */
export const refusalReasons = [
  'full',
  'timeout',
  'draining',
  'exhausted',
  'budget',
  'denied',
  'per-address',
  'rate',
  'rate-per-address',
  'gone',
  'deadline',
  'tls',
  'proxy',
] as const;

/** Whether connections of a server can miss it. */
const DEADLINES = {
  connect: false,
  handshake: true,
  proxy: true,
  idle: true,
  greeting: true,
  frame: true,
  total: true,
  stall: true,
  pace: true,
  lifetime: true,
  reply: true,
} as const satisfies Record<DeadlineName, boolean>;

const deadlines = (Object.keys(DEADLINES) as DeadlineName[]).filter((name) => DEADLINES[name]);

const SOURCES = {
  handler: true,
  port: true,
  admit: true,
  evict: true,
  farewell: true,
  lastCall: true,
} as const satisfies Record<NonNullable<FailedEvent['callback']> | 'handler' | 'port', true>;

const STATES = {
  accepting: true,
  parked: true,
  draining: true,
  closed: true,
} as const satisfies Record<ServerState, true>;

/** The instruments of a server that are read. */
export const serverInstruments: readonly Instrument<Sample>[] = [
  {
    name: 'sluice.active_connections',
    kind: 'upDownCounter',
    unit: '{connection}',
    description: 'Connections that are being served, or closing.',
    attributes: [],
    read: ({ figures }, report) => reportIf(figures.counters.active, report),
  },
  {
    name: 'sluice.queued_connections',
    kind: 'upDownCounter',
    unit: '{connection}',
    description: 'Connections that were accepted and wait to be served.',
    attributes: [],
    read: ({ figures }, report) => reportIf(figures.counters.waiting, report),
  },
  {
    name: 'sluice.accepted_connections',
    kind: 'counter',
    unit: '{connection}',
    description: 'Connections that the port has accepted.',
    attributes: [],
    read: ({ figures }, report) => reportIf(figures.counters.accepted, report),
  },
  {
    name: 'sluice.closed_connections',
    kind: 'counter',
    unit: '{connection}',
    description: 'Connections that were served and are closed, by their close reason.',
    attributes: ['sluice.close.reason'],
    read({ figures }, report) {
      for (const reason of CLOSES) report(figures.closes.get(reason)?.count ?? 0, { 'sluice.close.reason': reason });
    },
  },
  {
    name: 'sluice.rejected_connections',
    kind: 'counter',
    unit: '{connection}',
    description: 'Connections that were refused and not served; error.type is the reason.',
    attributes: ['error.type'],
    read({ figures }, report) {
      counts(figures.refusals, refusalReasons, 'error.type', report);
    },
  },
  {
    name: 'sluice.connection.limit',
    kind: 'upDownCounter',
    unit: '{connection}',
    description: 'Connections that may be served at a time.',
    attributes: [],
    read: ({ figures }, report) => reportIf(figures.listening?.limits.concurrency, report),
  },
  {
    name: 'sluice.connection.queue.limit',
    kind: 'upDownCounter',
    unit: '{connection}',
    description: 'Connections that may wait.',
    attributes: [],
    read: ({ figures }, report) => reportIf(figures.listening?.limits.waiting, report),
  },
  {
    name: 'sluice.network.io',
    kind: 'counter',
    unit: 'By',
    description: 'Bytes received and sent, those of open connections included.',
    attributes: ['network.io.direction'],
    read({ totals }, report) {
      report(totals.bytesIn, { 'network.io.direction': 'receive' });
      report(totals.bytesOut, { 'network.io.direction': 'transmit' });
    },
  },
  {
    name: 'sluice.connection.unsent',
    kind: 'counter',
    unit: 'By',
    description: 'Bytes that handlers wrote and that were not sent when the connection closed.',
    attributes: [],
    read: ({ figures }, report) => report(figures.unsent),
  },
  {
    name: 'sluice.dropped_values',
    kind: 'counter',
    unit: '{value}',
    description: 'Values that were dropped because a peer read too slowly.',
    attributes: [],
    read: ({ totals }, report) => report(totals.dropped),
  },
  {
    name: 'sluice.pause.time',
    kind: 'counter',
    unit: 's',
    description: 'How long the input of connections was paused, added up, by the cause.',
    attributes: ['sluice.pause.cause'],
    read({ totals: { paused } }, report) {
      report(paused.peer / 1e3, { 'sluice.pause.cause': 'peer' });
      report(paused.handler / 1e3, { 'sluice.pause.cause': 'handler' });
      report(paused.budget / 1e3, { 'sluice.pause.cause': 'budget' });
    },
  },
  {
    name: 'sluice.missed_deadlines',
    kind: 'counter',
    unit: '{deadline}',
    description: 'Deadlines that connections missed, and were closed or refused for, by their name.',
    attributes: ['sluice.deadline.name'],
    read({ figures }, report) {
      counts(figures.missedDeadlines, deadlines, 'sluice.deadline.name', report);
    },
  },
  {
    name: 'sluice.failures',
    kind: 'counter',
    unit: '{failure}',
    description: 'Failures of handlers, of functions among the options, and of the port.',
    attributes: ['sluice.failure.source'],
    read({ figures }, report) {
      counts(figures.failures, Object.keys(SOURCES), 'sluice.failure.source', report);
    },
  },
  {
    name: 'sluice.hoarding_handlers',
    kind: 'counter',
    unit: '{handler}',
    description: 'Handlers that were found to keep frames without a bound.',
    attributes: [],
    read: ({ figures }, report) => report(figures.hoardings),
  },
  {
    name: 'sluice.budget.usage',
    kind: 'upDownCounter',
    unit: 'By',
    description: 'Bytes that all connections hold together: read and not processed, written and not sent.',
    attributes: [],
    read: ({ figures }, report) => reportIf(figures.listening?.resources.held, report),
  },
  {
    name: 'sluice.budget.limit',
    kind: 'upDownCounter',
    unit: 'By',
    description: 'Bytes that all connections may hold together.',
    attributes: [],
    read: ({ figures }, report) => reportIf(figures.listening?.resources.budget, report),
  },
  {
    name: 'sluice.active_tls_handshakes',
    kind: 'upDownCounter',
    unit: '{handshake}',
    description: 'TLS handshakes of arriving connections that are in progress, or wait for their turn.',
    attributes: [],
    read: ({ figures }, report) => reportIf(figures.listening?.resources.handshakes, report),
  },
  {
    name: 'sluice.certificate.expiry_timestamp',
    kind: 'gauge',
    unit: 's',
    description: 'When the first of the certificates in use ends, in seconds since 1970.',
    attributes: [],
    read: ({ figures: { certificateEnds } }, report) => reportIf(certificateEnds && certificateEnds / 1e3, report),
  },
  {
    name: 'sluice.descriptor.limit',
    kind: 'upDownCounter',
    unit: '{file_descriptor}',
    description: 'Descriptors that the process may have open.',
    attributes: [],
    read: ({ figures }, report) => reportIf(figures.listening?.resources.descriptors, report),
  },
  {
    name: 'sluice.descriptor.shortages',
    kind: 'counter',
    unit: '{shortage}',
    description: 'How often the process was about to run out of descriptors.',
    attributes: [],
    read: ({ figures }, report) => report(figures.shortages),
  },
  {
    name: 'sluice.descriptor.short',
    kind: 'gauge',
    unit: '{shortage}',
    description: 'Whether connections are refused because descriptors are short: 1, or else 0.',
    attributes: [],
    read: ({ figures }, report) => report(figures.isShort ? 1 : 0),
  },
  {
    name: 'sluice.server.status',
    kind: 'upDownCounter',
    unit: '{server}',
    description: '1 for the state that the server is in: accepting, parked, draining or closed; 0 for the others.',
    attributes: ['sluice.server.state'],
    read({ figures }, report) {
      for (const state of Object.keys(STATES))
        report(figures.state === state ? 1 : 0, { 'sluice.server.state': state });
    },
  },
  {
    name: 'sluice.drain.duration',
    kind: 'gauge',
    unit: 's',
    description: 'How long the drain took. There is none before it is over.',
    attributes: [],
    read: ({ figures: { report: drain } }, report) => reportIf(drain && drain.duration / 1e3, report),
  },
  {
    name: 'sluice.drain.connections',
    kind: 'gauge',
    unit: '{connection}',
    description: 'What became of the connections in the drain: drained, aborted or refused.',
    attributes: ['sluice.drain.result'],
    read({ figures: { report: drain } }, report) {
      if (drain === undefined) return;
      report(drain.drained, { 'sluice.drain.result': 'drained' });
      report(drain.aborted, { 'sluice.drain.result': 'aborted' });
      report(drain.refused, { 'sluice.drain.result': 'refused' });
    },
  },
  {
    name: 'sluice.drain.unsent',
    kind: 'gauge',
    unit: 'By',
    description: 'Bytes that handlers wrote and that were not sent in the drain.',
    attributes: [],
    read: ({ figures: { report: drain } }, report) => reportIf(drain?.unsent, report),
  },
];

const DELAYS = { p50: 'median', p99: '99th percentile', max: 'longest' };

/** The instruments of the process: they have no attributes of a server. The names are those of OpenTelemetry for Node. */
export const processInstruments: readonly Instrument<Loop>[] = [
  ...(['p50', 'p99', 'max'] as const).map(
    (which): Instrument<Loop> => ({
      name: `nodejs.eventloop.delay.${which}`,
      kind: 'gauge',
      unit: 's',
      description: `How late the event loop was since the last collection: the ${DELAYS[which]}.`,
      attributes: [],
      read: ({ delays }, report) => reportIf(delays?.[which], report),
    }),
  ),
  {
    name: 'nodejs.eventloop.time',
    kind: 'counter',
    unit: 's',
    description: 'How long the event loop worked (active), and waited for events (idle).',
    attributes: ['nodejs.eventloop.state'],
    read({ time }, report) {
      report(time.active, { 'nodejs.eventloop.state': 'active' });
      report(time.idle, { 'nodejs.eventloop.state': 'idle' });
    },
  },
];

/** Reports a count for each known name, and for each other one that there is. */
function counts(
  counted: ReadonlyMap<string, number> | undefined,
  known: readonly string[],
  attribute: string,
  report: Report,
): void {
  if (counted === undefined) return;
  for (const name of known) report(counted.get(name) ?? 0, { [attribute]: name });
  for (const [name, count] of counted) if (!known.includes(name)) report(count, { [attribute]: name });
}

/** Reports a value if there is one, and it has an end: a limit of `Infinity` is none. */
function reportIf(value: number | undefined, report: Report): void {
  if (value !== undefined && value !== Number.POSITIVE_INFINITY) report(value);
}
