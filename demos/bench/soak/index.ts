/**
 * The soaks: long runs under load that check what must stay bounded, measured from outside the server's process.
 *
 *     npm run soak                       all of them, a quarter of an hour
 *     npm run soak -- --quick            the short form, two minutes and a half; times may be three times as long
 *     npm run soak -- --only reset       only soaks whose name contains a text
 *
 * Those over TLS are `silent-handshakes`, `handshake-storm`, `reload`, `tls-drains` and `tls-leak`; `--only tls` and `--only
 * handshake` run two each.
 *
 * Prints each figure beside its limit, and exits with 1 if a limit is missed.
 */
import { parseArgs } from 'node:util';
import { table } from '../report/table.ts';
import { churn } from './churn.ts';
import { handshakeStorm } from './handshakeStorm.ts';
import { leaveTogether } from './leave.ts';
import { manyWrites } from './manyWrites.ts';
import type { Finding, Soak } from './measure.ts';
import { neverReading } from './neverReading.ts';
import { published } from './published.ts';
import { reload } from './reload.ts';
import { secureDrains } from './secureDrains.ts';
import { secureLeak, upgradeLeak } from './secureLeak.ts';
import { allAtOnce, confined, halfFrames, oneByOne, singleBytes } from './shortage.ts';
import { silentHandshakes } from './silentHandshakes.ts';
import { slowHandler, slowInPlace } from './slowHandler.ts';
import { teardown } from './teardown.ts';
import { tinyLines } from './tinyLines.ts';
import { topic } from './topic.ts';

const soaks: readonly Soak[] = [
  slowHandler,
  slowInPlace,
  neverReading,
  singleBytes,
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
  silentHandshakes,
  handshakeStorm,
  reload,
  secureDrains,
  secureLeak,
  upgradeLeak,
];

const { values } = parseArgs({
  options: { quick: { type: 'boolean', default: false }, only: { type: 'string', default: '' } },
});

/** In the short form a time is a miss only beyond this multiple of its limit, because it runs on shared, busy machines. */
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
// A soak that failed may have left a server, which ends with this process.
process.exit(missed > 0 || rows.length === 0 ? 1 : 0);
