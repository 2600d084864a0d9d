import type { Int32Histogram } from 'hdr-histogram-js';
import { address, bytes, count, duration, paint, reason } from '../support/index.ts';
import { distribution } from './distribution.ts';
import type { Report } from './report.ts';

/** Formats a report for people, in at most 80 columns. */
export function print(report: Report, histogram: Int32Histogram): string {
  const { requests, throughput, client } = report;
  const lines = [
    '',
    heading(report),
    '',
    row('throughput', `${paint('bold', count(throughput.requests))} requests/s`),
    row('', `${bytes(throughput.bytesOut)}/s out, ${bytes(throughput.bytesIn)}/s in`),
    row('requests', `${count(requests.answered)} of ${count(requests.sent)} answered in ${duration(report.elapsed)}`),
    row('load itself', `${(client.share * 100).toFixed(0)} % of a processor, ${perRequest(report)}`),
    ...latency(report, histogram),
    '',
    ...outcomes(report),
    '',
    verdict(report),
    '',
  ];
  return `${lines.join('\n')}\n`;
}

/** The title: the address of the server, and the load. */
export function heading({ host, port, connections, inFlight, size }: Heading): string {
  const opened = connections.opened === connections.wanted ? '' : `${count(connections.opened)} of `;
  const what = [
    `${opened}${count(connections.wanted)} connection${connections.wanted === 1 ? '' : 's'}`,
    `${count(inFlight)} in flight on each`,
    `lines of ${bytes(size)}`,
  ];
  return `  ${paint(['bold', 'cyan'], address(host, port))}  ${paint('dim', what.join(' · '))}`;
}

/** The part of a report that is known before the run. */
export type Heading = Pick<Report, 'host' | 'port' | 'inFlight' | 'size'> & {
  connections: Pick<Report['connections'], 'wanted' | 'opened'>;
};

function latency({ latency }: Report, histogram: Int32Histogram): string[] {
  if (latency === null) return [];
  const { p50, p90, p99, p999, max } = latency;
  const columns: [string, number][] = [
    ['p50', p50],
    ['p90', p90],
    ['p99', p99],
    ['p99.9', p999],
    ['max', max],
  ];
  const names = columns.map(([name]) => name.padEnd(12)).join('');
  const values = columns.map(([, value]) => duration(value).padEnd(12)).join('');
  return [
    row('latency', paint('dim', names.trimEnd())),
    row('', paint('bold', values.trimEnd())),
    '',
    ...distribution(histogram),
  ];
}

/** The errors, one row for each kind that occurred. */
function outcomes({ requests, connections, unexpected }: Report): string[] {
  const { unanswered } = requests;
  const { ended, failed } = connections;
  const rows: [number, string][] = [
    [requests.wrong, 'wrong replies'],
    [unexpected, 'lines that answer no request: twice, out of order, or unasked for'],
    [requests.lost, 'lost: requests without a reply on a connection without errors'],
    [unanswered.fin, "unanswered at the server's FIN"],
    [unanswered.reset, 'unanswered when the connection was reset'],
    [ended.reset, 'connections reset'],
    [ended.fin, 'connections closed by the server (FIN)'],
    [ended.open, 'connections that the server did not close in time'],
    ...Object.entries(failed).map(([code, n]): [number, string] => [n, `not opened: ${reason(code)}`]),
  ];
  const seen = rows.filter(([n]) => n > 0);
  if (seen.length === 0) return [row('errors', paint('green', 'none'))];
  const width = Math.max(...seen.map(([n]) => count(n).length));
  return seen.map(([n, text], i) => row(i === 0 ? 'errors' : '', `${paint('bold', count(n).padStart(width))} ${text}`));
}

function verdict({ failures, requests }: Report): string {
  if (failures.length > 0) return `  ${paint(['bold', 'red'], '✘')} ${failures.join('\n    ')}`;
  if (requests.answered === 0) return `  ${paint('yellow', '–')} No reply was received, and none was wrong.`;
  const replies = requests.answered === requests.sent ? 'Every reply' : 'Every reply received';
  return `  ${paint(['bold', 'green'], '✔')} ${replies} was identical to its request, and in order.`;
}

function perRequest({ client, requests }: Report): string {
  return requests.answered > 0 ? `${duration(client.cpu / requests.answered)} a request` : 'no requests answered';
}

function row(name: string, text: string): string {
  return `  ${paint('dim', name.padEnd(13))}${text}`.trimEnd();
}
