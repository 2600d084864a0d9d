/**
 * The load, in a process of its own. Its first argument is the job, as JSON. Each line on its standard input is a duration in
 * milliseconds, for which it loads the server. It checks every reply, reads the server's CPU time and memory from outside, and
 * prints one sample as JSON for each line.
 */
import { createInterface } from 'node:readline';
import { bulk } from './bulk.ts';
import { burst } from './burst.ts';
import { connects } from './connect.ts';
import { held } from './held.ts';
import { idle } from './idle.ts';
import type { Job, Load, LoadKind } from './job.ts';
import { requestReply } from './requestReply.ts';

const loads: Record<LoadKind, (job: Job) => Load | Promise<Load>> = {
  'request-reply': requestReply,
  'bulk-in': bulk,
  'bulk-out': bulk,
  connect: connects,
  burst,
  held,
  idle,
};

const job = JSON.parse(process.argv[2] ?? '') as Job;
try {
  const load = await loads[job.kind](job);
  for await (const ms of createInterface(process.stdin)) {
    const sample = await load.measure(Number(ms));
    process.stdout.write(`${JSON.stringify(sample)}\n`);
  }
  // Exit with connections open: they would keep the process alive, and closing them first would cost the server time.
  process.exit(0);
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : error}\n`, () => process.exit(1));
}
