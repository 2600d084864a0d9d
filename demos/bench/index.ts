/**
 * The benchmark: the CPU time that each server needs for the same work.
 *
 *     npm run bench                  all cases, about half an hour; writes RESULTS.md, results.json, results.svg
 *     npm run bench -- --quick       one short round of all cases
 *     npm run bench -- --case lines --peer net-corked,go --starts 5
 *     npm run bench -- --node 26     the servers in JavaScript run on this release of Node, installed from the npm registry
 */
import { existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildAll } from './build.ts';
import { casesFor } from './cases.ts';
import { choose, readOptions, usage } from './options.ts';
import { peers } from './peers.ts';
import { checkDescriptors } from './proc/descriptors.ts';
import { nodeFor } from './proc/node.ts';
import { chart } from './report/chart.ts';
import { describeMachine } from './report/machine.ts';
import { show } from './report/numbers.ts';
import { type Run, resultsJson, resultsPage, tables } from './report/results.ts';
import { gather, type Measurement, measurementsOf } from './rounds.ts';
import { judge, targets } from './targets.ts';
import { valueCase, valueMeasurements, valuePeers } from './values.ts';

const allPeers = [...peers, ...valuePeers];

async function main(args: readonly string[]): Promise<void> {
  const options = readOptions(args, fileURLToPath(new URL('.', import.meta.url)));
  if (options.help) return console.log(usage);
  if (!existsSync('/proc/self/stat'))
    throw new Error('The bench reads CPU time from /proc, which this system does not have');
  const cases = choose('case', [...casesFor(options.effort), valueCase], options.cases);
  const served = cases.filter((entry) => entry !== valueCase);
  await checkDescriptors(cases);
  const node = await nodeFor(options.node);
  const builds = await buildAll(
    choose('peer', peers, options.peers, ({ isExtra }) => !isExtra),
    node,
  );
  for (const [name, why] of Object.entries(builds.absent)) console.error(`${name} is left out: ${why}`);

  const measurements: Measurement[] = [];
  const note = (one: Measurement) => {
    measurements.push(one);
    console.error(sentence(one));
  };
  for await (const one of measurementsOf(served, builds.runners, options.effort)) note(one);
  if (cases.includes(valueCase)) for await (const one of valueMeasurements(options.effort.starts * 3, node)) note(one);

  const results = gather(measurements);
  const run: Run = {
    date: new Date().toISOString(),
    command: ['npm run bench', ...(args.length > 0 ? ['--', ...args] : [])].join(' '),
    machine: await describeMachine(node),
    node: node.version,
    effort: options.effort,
    versions: builds.versions,
    absent: builds.absent,
    failures: measurements.flatMap((one) => (one.outcome instanceof Error ? [sentence(one)] : [])),
    cases,
    results,
    verdicts: targets
      .filter((target) => cases.some(({ name }) => name === target.case))
      .map((target) => judge(target, results)),
  };
  console.log(tables(run, allPeers));
  if (options.out !== undefined) await write(options.out, run);
  const missed = run.verdicts.some(({ met }) => met === false);
  // A wrong reply or a crashed server always fails the run; a missed target fails it only with --check.
  if (run.failures.length > 0 || (options.check && missed)) process.exitCode = 1;
}

function sentence({ case: entry, peer, round, outcome }: Measurement): string {
  const what = `${entry.name} ${peer.name}, round ${round + 1}`;
  return outcome instanceof Error
    ? `${what} failed: ${outcome.message}`
    : `${what}: ${show(outcome.figure)} ${entry.unit}`;
}

async function write(folder: string, run: Run): Promise<void> {
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, 'RESULTS.md'), resultsPage(run, allPeers));
  await writeFile(join(folder, 'results.json'), resultsJson(run));
  await writeFile(join(folder, 'results.svg'), chart(run.cases, run.results, allPeers));
}

main(process.argv.slice(2)).catch((error: unknown) => {
  // The message is a sentence for the user; a stack would hide it.
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
});
