import { count } from '../support/index.ts';
import type { Run } from './run.ts';

/** The report of a run, as `--json` prints it. Times are in milliseconds, sizes in bytes. */
export interface Report {
  host: string;
  port: number;
  inFlight: number;
  size: number;
  /** Time from the first request to the last correct reply, or to the end of sending if there was no such reply. */
  elapsed: number;
  connections: {
    wanted: number;
    opened: number;
    /** Connections that could not be opened, by the code of the error. */
    failed: Record<string, number>;
    /** How the open connections ended: by us, by the server's FIN, by a reset, or not at all within the grace. */
    ended: { client: number; fin: number; reset: number; open: number };
  };
  /** `sent` is the sum of all other fields, because every request has exactly one outcome. */
  requests: {
    sent: number;
    answered: number;
    wrong: number;
    lost: number;
    unanswered: { fin: number; reset: number };
  };
  /** Lines that answer no request: sent twice, out of order, or unasked for. */
  unexpected: number;
  throughput: { requests: number; bytesOut: number; bytesIn: number };
  latency: { min: number; mean: number; p50: number; p90: number; p99: number; p999: number; max: number } | null;
  /** Processor time of this process while sending. With a `share` near 1, the load is the bottleneck, and not the server. */
  client: { cpu: number; share: number };
  /** The reasons why this run is a failure, a phrase each. Empty for a success. */
  failures: string[];
}

/**
 * Sums up a finished run.
 *
 * @param expectDrain Whether the server may end connections by FIN with requests unanswered.
 */
export function report(run: Run, expectDrain: boolean): Report {
  const { tally } = run;
  const { host, port, inFlight, size, connections } = run.options;
  const elapsed = Math.max((tally.lastReplyAt || run.stoppedAt) - run.startedAt, 0);
  const perSecond = (n: number): number => (elapsed > 0 ? Math.round((n * 1000) / elapsed) : 0);
  const ran = run.stoppedAt - run.startedAt;
  return {
    host,
    port,
    inFlight,
    size,
    elapsed: thousandths(elapsed),
    connections: {
      wanted: connections,
      opened: run.connected,
      failed: Object.fromEntries(tally.refused),
      ended: { ...tally.endings },
    },
    requests: {
      sent: tally.sent,
      answered: tally.answered,
      wrong: tally.wrong,
      lost: tally.lost,
      unanswered: { ...tally.unanswered },
    },
    unexpected: tally.unexpected,
    throughput: {
      requests: perSecond(tally.answered),
      bytesOut: perSecond(tally.sent * size),
      bytesIn: perSecond(tally.received),
    },
    latency: latency(run),
    client: { cpu: thousandths(run.cpu), share: thousandths(ran > 0 ? run.cpu / ran : 0) },
    failures: failures(run, expectDrain),
  };
}

function latency({ tally }: Run): Report['latency'] {
  const { latency: histogram, answered } = tally;
  if (answered === 0) return null;
  const at = (percentile: number): number => histogram.getValueAtPercentile(percentile) / 1000;
  return {
    min: at(0),
    mean: thousandths(histogram.mean / 1000),
    p50: at(50),
    p90: at(90),
    p99: at(99),
    p999: at(99.9),
    max: at(100),
  };
}

function failures({ tally }: Run, expectDrain: boolean): string[] {
  const { fin, reset } = tally.unanswered;
  const found: [number, string, string][] = [
    [tally.wrong, 'reply was wrong', 'replies were wrong'],
    [tally.unexpected, 'line answered no request', 'lines answered no request'],
    [tally.lost, 'request was lost', 'requests were lost'],
    [tally.endings.reset, 'connection was reset', 'connections were reset'],
    [reset, 'request was unanswered at a reset', 'requests were unanswered at a reset'],
  ];
  if (!expectDrain) found.push([fin, 'request was unanswered at a FIN', 'requests were unanswered at a FIN']);
  return found.filter(([n]) => n > 0).map(([n, one, many]) => `${count(n)} ${n === 1 ? one : many}`);
}

function thousandths(n: number): number {
  return Math.round(n * 1000) / 1000;
}
