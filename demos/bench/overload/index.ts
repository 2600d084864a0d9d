/**
 * What the server promises under overload: attackers, floods, too many clients, too few descriptors. Each row also runs its control,
 * the same server without the option that is its subject, and fails if the control misses nothing.
 *
 *     npm run overload                       all of them, ten minutes
 *     npm run overload -- --quick            the short form, a minute and a half; times may be three times as long
 *     npm run overload -- --only park        only rows whose name contains a text
 *     npm run overload -- --node 26          the servers run on this release of Node, or on the program with this path
 *
 * A row of the short form that misses a limit is measured once more, and counts if it misses one again: on a shared machine a second
 * without a core is enough for a miss.
 *
 * A latency beyond its limit is `machine` if it is within it after the time is subtracted for which the server was ready to run, and
 * other processes had its core. That is no miss, because nothing in the server is slow then.
 *
 * `--node` may be repeated: the row `park` runs on each of them, the others on the first one. By default the full form of `park` runs
 * on the releases 20, 22, 24 and 26. Missing ones are installed once from the npm registry.
 *
 * A full run writes its table to `demos/bench/OVERLOAD.md`; `--out file` to another file, also a part of it.
 *
 * Clients are bare handles, in processes on the second core; the server has the first one. Prints each figure beside that of the
 * control and its limit, and exits with 1 if one is missed.
 */
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { type NodeProgram, nodeFor, ownNode } from '../proc/node.ts';
import { table } from '../report/table.ts';
import { descriptors } from './descriptors.ts';
import { flood } from './flood.ts';
import { goodput } from './goodput.ts';
import { greedyPeer } from './greedyPeer.ts';
import { liveLimits } from './liveLimits.ts';
import { page } from './page.ts';
import { park } from './park.ts';
import type { Effort, Finding, Row } from './row.ts';
import { slowloris } from './slowloris.ts';
import { spread } from './spread.ts';

const rows: readonly Row[] = [slowloris, greedyPeer, flood, park, goodput, descriptors, spread, liveLimits];

const { values } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    only: { type: 'string', default: '' },
    node: { type: 'string', multiple: true, default: [] },
    out: { type: 'string' },
  },
});
const { quick, only } = values;
const home = fileURLToPath(new URL('../OVERLOAD.md', import.meta.url));
// A partial run must not replace the published results, unless a file is given.
const out = values.out ?? (quick || only !== '' ? undefined : home);

/** In the short form a time is a miss only beyond this multiple of its limit, because it runs on shared, busy machines. */
const LATE = 3;

/** The releases on which the full form of `park` runs, if none is given. */
const RELEASES = ['20', '22', '24', '26'];
const given: NodeProgram[] = [];
// One after the other, because each may be an installation.
for (const name of values.node) given.push(await nodeFor(name));
const [node = ownNode] = given;

async function releases(): Promise<readonly NodeProgram[]> {
  if (given.length > 0) return given;
  const all: NodeProgram[] = [];
  for (const release of RELEASES)
    all.push(ownNode.version.startsWith(`v${release}.`) ? ownNode : await nodeFor(release));
  return all;
}

const effort: Effort = { quick, node, releases };

/** The outcome of a row: its lines of the table, and a sentence for each miss. */
interface Outcome {
  readonly lines: readonly string[][];
  readonly missed: readonly string[];
}

async function run({ name, without, measure }: Row): Promise<Outcome> {
  const lines: string[][] = [];
  const missed: string[] = [];
  const subject = await measure(effort, false);
  const control = await measure(effort, true);
  for (const [i, finding] of subject.entries()) {
    const { what, found, allowed } = finding;
    const verdict = judge(finding);
    if (verdict === 'MISSED') missed.push(`${name}: ${what}: ${found}, and allowed is ${allowed}`);
    lines.push([`${name}: ${what}`, found, control[i]?.found ?? '', allowed, verdict]);
  }
  const fails = control.some(({ met }) => !met);
  if (!fails) missed.push(`${name}: the control misses nothing: ${without}`);
  lines.push([`${name}: the control misses a limit`, '', without, '', fails ? 'ok' : 'MISSED']);
  return { lines, missed };
}

function judge({ allowed, met, isMachine, late = Number.POSITIVE_INFINITY }: Finding): string {
  if (allowed === '') return '';
  if (met) return 'ok';
  if (isMachine) return 'machine';
  return quick && late <= LATE ? 'slow' : 'MISSED';
}

async function attempt(row: Row): Promise<Outcome> {
  const begun = performance.now();
  const outcome = await run(row).catch((error): Outcome => {
    return { lines: [], missed: [`${row.name}: it failed: ${error instanceof Error ? error.stack : error}`] };
  });
  console.error(`${row.name}: ${((performance.now() - begun) / 1000).toFixed(1)} s`);
  return outcome;
}

const outcomes: Outcome[] = [];
for (const row of rows.filter(({ name }) => name.includes(only))) {
  let outcome = await attempt(row);
  if (quick && outcome.missed.length > 0) {
    for (const sentence of outcome.missed) console.error(`once more, because of ${sentence}`);
    outcome = await attempt(row);
  }
  outcomes.push(outcome);
}
const lines = outcomes.flatMap((outcome) => outcome.lines);
const missed = outcomes.flatMap((outcome) => outcome.missed);
const results = table(['row', 'found', 'control', 'allowed', ''], lines);
console.log(results);
if (out !== undefined) writeFileSync(out, await page(process.argv.slice(2), node, results));
for (const sentence of missed) console.error(`MISSED ${sentence}`);
// A row that failed may have left a process, which ends with this one.
process.exit(missed.length > 0 || lines.length === 0 ? 1 : 0);
