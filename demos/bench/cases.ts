import type { Job, LoadKind, Mode } from './load/job.ts';

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
}

export const full: Effort = { starts: 3, rounds: 9, warm: 2000, duration: 300, settle: 3000, idle: 10_000 };
export const quick: Effort = { starts: 1, rounds: 3, warm: 600, duration: 150, settle: 500, idle: 1000 };

/** Every case; the number of idle connections is that of the `effort`. */
export function casesFor({ idle }: Pick<Effort, 'idle'>): readonly Case[] {
  const request = 'µs CPU / request';
  return [
    one('echo', '64 B echo, 1 in flight, 50 connections', request, 'request-reply', 'echo', 50, 1),
    one('lines', '64 B lines, 16 in flight, 50 connections', request, 'request-reply', 'lines', 50, 16),
    one(
      'async',
      '64 B lines, async functions, 16 in flight, 50 connections',
      request,
      'request-reply',
      'async',
      50,
      16,
    ),
    one(
      'prefixed',
      '1 KiB length-prefixed, 4 in flight, 50 connections',
      request,
      'request-reply',
      'length-prefixed',
      50,
      4,
    ),
    one('redis-set', 'Redis SET of 64 B, 16 in flight, 50 connections', request, 'request-reply', 'redis-set', 50, 16),
    one('redis-get', 'Redis GET of 64 B, 16 in flight, 50 connections', request, 'request-reply', 'redis-get', 50, 16),
    one('bulk-in', 'Bulk in, 64 KiB chunks, discarded, 8 connections', 'µs CPU / MiB', 'bulk-in', 'discard', 8, 1),
    one('bulk-out', 'Bulk out, 64 KiB chunks, 8 connections', 'µs CPU / MiB', 'bulk-out', 'source', 8, 1),
    one('connect', 'Connect, one request, close, 50 at once', 'µs CPU / connection', 'connect', 'echo', 50, 1),
    one('idle', `Resident memory, ${idle} idle connections`, 'bytes / connection', 'idle', 'echo', idle, 1),
  ];
}

function one(
  name: string,
  title: string,
  unit: Unit,
  kind: LoadKind,
  mode: Mode,
  connections: number,
  inFlight: number,
): Case {
  return { name, title, unit, kind, mode, connections, inFlight };
}

/** The job of a load process: this case against this server. */
export function jobFor(entry: Case, effort: Effort, server: Pick<Job, 'protocol' | 'port' | 'pid'>): Job {
  const { kind, mode, connections, inFlight } = entry;
  const { settle } = effort;
  return { kind, mode, connections, inFlight, settle, ...server };
}
