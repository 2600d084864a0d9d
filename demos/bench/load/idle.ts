import { settledResident } from '../proc/memory.ts';
import type { Job, Load, Sample } from './job.ts';
import { type Answered, once } from './once.ts';
import { wireOf } from './wire.ts';

/** How many connections are opened at the same time. */
const atOnce = 100;
/** Connections before the first reading of memory. They are excluded, because the first clients cost more than the rest. */
const first = 100;

/** Memory of an idle connection: each sends one request, receives its reply, and is silent from then on. */
export const idle = (job: Job): Load => ({ measure: () => hold(job) });

async function hold(job: Job): Promise<Sample> {
  const wire = wireOf(job);
  const held: Answered[] = [];
  let lost = 0;
  const open = async (count: number) => {
    let left = count;
    const opener = async () => {
      while (left-- > 0) held.push(await once(job, wire, held.length, () => lost++));
    };
    await Promise.all(Array.from({ length: atOnce }, opener));
  };
  await open(first);
  const before = await settledResident(job.pid, job.settle);
  await open(job.connections);
  const after = await settledResident(job.pid, job.settle);
  if (lost > 0) throw new Error(`The server closed ${lost} idle connections`);
  return { figure: (after - before) / job.connections, count: job.connections };
}
