/**
 * The load: one process that is told its job as JSON in its first argument, drives the server, checks every
 * reply, reads the server's CPU time and memory from outside, and prints one sample as JSON.
 */
import { bulk } from './bulk.ts';
import { connects } from './connect.ts';
import { idle } from './idle.ts';
import type { Job, LoadKind, Sample } from './job.ts';
import { turns } from './turns.ts';

const loads: Record<LoadKind, (job: Job) => Promise<Sample>> = {
  turns,
  'bulk-in': bulk,
  'bulk-out': bulk,
  connect: connects,
  idle,
};

const job = JSON.parse(process.argv[2] ?? '') as Job;
try {
  const sample = await loads[job.kind](job);
  // The open connections would keep the process, and closing them would cost the server time: leave at once.
  process.stdout.write(JSON.stringify(sample), () => process.exit(0));
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : error}\n`, () => process.exit(1));
}
