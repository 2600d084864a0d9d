/**
 * The soaks: what must not grow does not, measured from outside the server's process.
 *
 *     npm run soak                       all of them, a few minutes
 *     npm run soak -- --quick            the short form, a minute and a half; times may take thrice as long
 *     npm run soak -- --only churn       those whose name holds a word
 *
 * Prints what was measured against what is allowed, and exits with 1 on a miss.
 */
import { parseArgs } from 'node:util';
import { table } from '../report/table.ts';
import { churn } from './churn.ts';
import { leaveTogether } from './leave.ts';
import { manyWrites } from './manyWrites.ts';
import type { Finding, Soak } from './measure.ts';
import { neverReading } from './neverReading.ts';
import { published } from './published.ts';
import { allAtOnce, confined, dripping, halfFrames, oneByOne } from './shortage.ts';
import { slowHandler, slowInPlace } from './slowHandler.ts';
import { teardown } from './teardown.ts';
import { tinyLines } from './tinyLines.ts';
import { topic } from './topic.ts';

const soaks: readonly Soak[] = [
  slowHandler,
  slowInPlace,
  neverReading,
  dripping,
  allAtOnce,
  oneByOne,
  halfFrames,
  confined,
  topic,
  tinyLines,
  manyWrites,
  published,
  churn,
  teardown,
  leaveTogether,
];

const { values } = parseArgs({
  options: { quick: { type: 'boolean', default: false }, only: { type: 'string', default: '' } },
});

/** The short form runs where others are at work, too: so many times what is allowed is a miss there. */
const LATE = 3;

const rows: string[][] = [];
let missed = 0;
for (const { name, run } of soaks.filter((soak) => soak.name.includes(values.only))) {
  const begun = performance.now();
  const findings = await run({ quick: values.quick }).catch((error): Finding[] => [
    { what: `it failed: ${error instanceof Error ? error.message : error}`, found: '', allowed: '', met: false },
  ]);
  console.error(`${name}: ${((performance.now() - begun) / 1000).toFixed(1)} s`);
  for (const { what, found, allowed, met, late = Number.POSITIVE_INFINITY } of findings) {
    const slow = !met && values.quick && late <= LATE;
    if (!met && !slow) missed++;
    rows.push([`${name}: ${what}`, found, allowed, met ? 'ok' : slow ? 'slow' : 'MISSED']);
  }
}
console.log(table(['soak', 'found', 'allowed', ''], rows));
if (missed > 0 || rows.length === 0) process.exitCode = 1;
