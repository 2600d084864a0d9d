import type { Case, Effort } from '../cases.ts';
import type { Peer } from '../peers.ts';
import type { Result } from '../rounds.ts';
import type { Verdict } from '../targets.ts';
import { caseTable, targetTable } from './table.ts';

/** All that a run has found, and under which circumstances. */
export interface Run {
  /** ISO date and time. */
  readonly date: string;
  readonly command: string;
  readonly machine: readonly string[];
  readonly effort: Effort;
  /** Version of each peer that took part, and why the others did not. */
  readonly versions: Readonly<Record<string, string>>;
  readonly absent: Readonly<Record<string, string>>;
  /** Turns that failed, a sentence each. */
  readonly failures: readonly string[];
  readonly cases: readonly Case[];
  readonly results: readonly Result[];
  readonly verdicts: readonly Verdict[];
}

/** The tables of a run, as a terminal shows them. */
export function tables(run: Run, peers: readonly Peer[]): string {
  const parts = run.cases.map((entry) => `### ${entry.title}\n\n${caseTable(entry, run.results, peers)}\n`);
  return `${parts.join('\n')}\n### Targets\n\nMedians, over the rounds, of the ratio of two servers' turns in the same round.\n\n${targetTable(run.verdicts)}\n`;
}

/** The page `RESULTS.md`. */
export function resultsPage(run: Run, peers: readonly Peer[]): string {
  const { effort } = run;
  const list = (lines: readonly string[]) => lines.map((line) => `- ${line}`).join('\n');
  const entries = (record: Readonly<Record<string, string>>) =>
    Object.entries(record).map(([name, text]) => `${name}: ${text}`);
  const absent = entries(run.absent);
  return `# Results of the benchmark

Written by the bench itself. \`results.json\` beside it holds every sample, \`results.svg\` the medians as bars.

\`\`\`sh
${run.command}
\`\`\`

${list([run.date, ...run.machine, `${effort.starts} starts of all servers, ${effort.warm} ms of warm-up, then ${effort.turns} turns of ${effort.turn} ms each`])}

Servers:

${list(entries(run.versions))}
${absent.length === 0 ? '' : `\nLeft out:\n\n${list(absent)}\n`}${run.failures.length === 0 ? '' : `\nFailed turns:\n\n${list(run.failures)}\n`}
## How to read it

- The figure is the CPU time, user and system, that the server's process used for a counted number of requests, read
  from outside: \`/proc/<pid>/task/*/schedstat\`, all threads. Every reply is compared byte by byte with what is due.
- Servers take turns, A B C A B C, a fraction of a second each, and rest in between; memory and the case without a socket
  have fresh processes each time. The tables show medians over the turns and the smallest and largest figure beside them.
- The load is one Node process. It is slower than the fastest servers, which then wait for it: their rate is that of the
  load, and they find fewer requests in a read than they would under a faster one. So compare the CPU time first; the
  rates and latencies are those of the pair.
- On loopback the kernel does part of the receiving in the sender's time, the same for all servers.
- C looks at no frames: it sends back what it has read, whatever the case. It is a floor and not a server one would run.
- NestJS speaks its own protocol, JSON behind a length and a \`#\`, with the same 64 bytes as its data; also in the case of
  the lines. It has no other mode.
- Memory is what the resident set has grown by, from 100 connections on, after it has come to rest; no garbage collection
  is asked for.

${tables(run, peers)}`;
}

/** The run as JSON, numbers cut to what they are worth. */
export function resultsJson(run: Run): string {
  const cut = (_: string, value: unknown) => (typeof value === 'number' ? Number(value.toPrecision(5)) : value);
  // One line for each result keeps a later difference readable.
  const results = run.results.map((result) => `    ${JSON.stringify(result, cut)}`).join(',\n');
  const head = JSON.stringify({ ...run, results: '@' }, cut, 2);
  return `${head.replace('"@"', () => `[\n${results}\n  ]`)}\n`;
}
