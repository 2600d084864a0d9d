import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import type { Job, Sample } from '../load/job.ts';
import { complaints, cores, spawnPinned } from './pinned.ts';

const program = fileURLToPath(new URL('../dist/demos/bench/load/main.js', import.meta.url));

/** Runs one job in a load process on its own core, and returns what it has measured. */
export async function runLoad(job: Job): Promise<Sample> {
  const child = await spawnPinned(cores.load, [process.execPath, program, JSON.stringify(job)]);
  const said = complaints(child);
  if (child.stdout === null) throw new Error('Cannot read what the load prints');
  const [printed, [code]] = await Promise.all([text(child.stdout), once(child, 'close')]);
  if (code !== 0) throw new Error(`The load ended with ${code}: ${said()}`);
  return JSON.parse(printed) as Sample;
}
