import { unlessStalled } from './dial.ts';
import type { Job, Sample } from './job.ts';
import { Latencies } from './latency.ts';
import { once } from './once.ts';
import { Window } from './window.ts';
import { wireOf } from './wire.ts';

/**
 * Short connections: connect, one request, its reply, close, as many at once as there are `connections`. One
 * counts when both sides have closed; its latency is from the connect to that.
 */
export async function connects(job: Job): Promise<Sample> {
  const wire = wireOf(job);
  const latencies = new Latencies();
  const window = new Window(job);
  let next = 0;
  let done = false;
  const visit = async () => {
    const since = performance.now();
    await new Promise<void>((closed, fail) => {
      once(job.port, wire, next++, closed).then((socket) => socket.end(), fail);
    });
    const now = performance.now();
    if (window.measuring) latencies.add(now - since);
    if (!done) done = window.add(1, now);
  };
  const visitor = async () => {
    while (!done) await visit();
  };
  await unlessStalled(Promise.all(Array.from({ length: job.connections }, visitor)), () => next);
  if (window.span === undefined) throw new Error('The measurement has no end');
  const { count, cpu, wall } = window.span;
  return {
    figure: cpu / count,
    count,
    rate: (count / wall) * 1000,
    p50: latencies.percentile(0.5),
    p99: latencies.percentile(0.99),
  };
}
