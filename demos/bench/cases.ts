import type { Closing, Job, LoadKind, Mode } from './load/job.ts';

/** The unit of a case's figure. */
export type Unit =
  | 'µs CPU / request'
  | 'µs CPU / MiB'
  | 'µs CPU / connection'
  | 'bytes / connection'
  | 'ns CPU / value';

/** One workload on which servers are compared. */
export interface Case {
  /** Its name for `--case`. */
  readonly name: string;
  readonly title: string;
  readonly unit: Unit;
  readonly kind: LoadKind;
  readonly mode: Mode;
  readonly connections: number;
  readonly inFlight: number;
  /** Bytes of a request in an echo. @default 64 */
  readonly size?: number;
  /** How each short connection is closed. */
  readonly closing: Closing;
  /** The warm-up, as a multiple of that of the run. @default 1 */
  readonly warmth?: number;
  /** Whether one server at a time runs, because each holds thousands of connections. @default false */
  readonly alone?: boolean;
  /** At most so many rounds after each start, because each takes seconds. @default Infinity */
  readonly maxRounds?: number;
}

/** The extent of a run. */
export interface Effort {
  /** How often all servers are restarted. */
  readonly starts: number;
  /** Rounds after each start. In a round each server is measured once. */
  readonly rounds: number;
  /** Duration of the load before the first measurement, in milliseconds. */
  readonly warm: number;
  /** Duration of the load in one measurement, in milliseconds. */
  readonly duration: number;
  /** Wait before memory is read, in milliseconds. */
  readonly settle: number;
  /** Idle connections to hold. */
  readonly idle: number;
  /** Held connections that speak once a second. */
  readonly held: number;
}

export const full: Effort = {
  starts: 3,
  rounds: 9,
  warm: 2000,
  duration: 300,
  settle: 3000,
  idle: 10_000,
  held: 15_000,
};
export const quick: Effort = { starts: 1, rounds: 3, warm: 600, duration: 150, settle: 500, idle: 1000, held: 2000 };

const shared = { connections: 50, inFlight: 1, closing: 'client' } as const;
const requests = { ...shared, unit: 'µs CPU / request', kind: 'request-reply' } as const;
const bulk = { ...shared, unit: 'µs CPU / MiB', connections: 8 } as const;
/**
 * A connection calls each function once or twice, a request on an open one some functions sixteen times. V8 compiles what is
 * called often, so it takes far more connections than requests until a server's code is compiled.
 */
export const WARM_CONNECTS = 4;
const connects = {
  ...shared,
  warmth: WARM_CONNECTS,
  unit: 'µs CPU / connection',
  kind: 'connect',
  mode: 'echo',
} as const;

/** Every case; the numbers of idle and of held connections are those of the `effort`. */
export function casesFor({ idle, held }: Pick<Effort, 'idle' | 'held'>): readonly Case[] {
  return [
    { ...requests, name: 'echo', title: '64 B echo, 1 in flight, 50 connections', mode: 'echo' },
    { ...requests, name: 'lines', title: '64 B lines, 16 in flight, 50 connections', mode: 'lines', inFlight: 16 },
    {
      ...requests,
      name: 'async',
      title: '64 B lines, async functions, 16 in flight, 50 connections',
      mode: 'async',
      inFlight: 16,
    },
    {
      ...requests,
      name: 'prefixed',
      title: '1 KiB length-prefixed, 4 in flight, 50 connections',
      mode: 'length-prefixed',
      inFlight: 4,
    },
    {
      ...requests,
      name: 'redis-set',
      title: 'Redis SET of 64 B, 16 in flight, 50 connections',
      mode: 'redis-set',
      inFlight: 16,
    },
    {
      ...requests,
      name: 'redis-get',
      title: 'Redis GET of 64 B, 16 in flight, 50 connections',
      mode: 'redis-get',
      inFlight: 16,
    },
    {
      ...bulk,
      name: 'bulk-in',
      title: 'Bulk in, 64 KiB chunks, discarded, 8 connections',
      kind: 'bulk-in',
      mode: 'discard',
    },
    { ...bulk, name: 'bulk-out', title: 'Bulk out, 64 KiB chunks, 8 connections', kind: 'bulk-out', mode: 'source' },
    { ...connects, name: 'connect', title: 'Connect, one request, client closes first, 50 at once' },
    {
      ...connects,
      name: 'connect-server-first',
      title: 'Connect, one line, server closes first, 50 at once',
      mode: 'once',
      closing: 'server',
    },
    {
      ...connects,
      name: 'connect-rst',
      title: 'Connect, one request, client sends a RST, 50 at once',
      closing: 'reset',
    },
    { ...requests, name: 'tls-echo', title: '64 B echo over TLS, 1 in flight, 50 connections', mode: 'tls' },
    {
      ...requests,
      name: 'tls-bulk',
      title: '64 KiB echo over TLS, 1 in flight, 8 connections',
      mode: 'tls',
      connections: 8,
      size: 64 * 1024,
    },
    {
      ...connects,
      name: 'tls-handshake',
      title: 'Handshake of TLS, one request, client closes first, 50 at once',
      mode: 'tls',
    },
    {
      ...connects,
      name: 'burst',
      title: 'Burst: 2000 clients connect at once, one request each',
      kind: 'burst',
      connections: 2000,
    },
    {
      ...requests,
      name: 'held',
      title: `${held} held connections, a 64 B line a second on each`,
      kind: 'held',
      mode: 'lines',
      connections: held,
      alone: true,
      maxRounds: 2,
    },
    {
      ...shared,
      name: 'idle',
      title: `Resident memory, ${idle} idle connections`,
      unit: 'bytes / connection',
      kind: 'idle',
      mode: 'echo',
      connections: idle,
      alone: true,
      maxRounds: 1,
    },
  ];
}

/** The job of a load process: this case against this server. */
export function jobFor(entry: Case, effort: Effort, server: Pick<Job, 'protocol' | 'port' | 'pid'>): Job {
  const { kind, mode, connections, inFlight, size, closing } = entry;
  const { settle } = effort;
  return { kind, mode, connections, inFlight, size, closing, settle, ...server };
}
