/**
 * The load: one process that is told its job as JSON in its first argument, and then, a line each, for how many milliseconds
 * to put it on. It drives the server, checks every reply, reads the server's CPU time and memory from outside, and prints one
 * sample as JSON for each line.
 */
import { createInterface } from 'node:readline';
import { bulk } from './bulk.ts';
import { connects } from './connect.ts';
import { idle } from './idle.ts';
import type { Job, Load, LoadKind } from './job.ts';
import { turns } from './turns.ts';

const loads: Record<LoadKind, (job: Job) => Load | Promise<Load>> = {
  turns,
  'bulk-in': bulk,
  'bulk-out': bulk,
  connect: connects,
  idle,
};

const job = JSON.parse(process.argv[2] ?? '') as Job;
try {
  const load = await loads[job.kind](job);
  for await (const ms of createInterface(process.stdin)) {
    const sample = await load.measure(Number(ms));
    process.stdout.write(`${JSON.stringify(sample)}\n`);
  }
  // The open connections would keep the process, and closing them would cost the server time: leave at once.
  process.exit(0);
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : error}\n`, () => process.exit(1));
}
