import { visitOnce } from './connect.ts';
import { unlessStalled } from './dial.ts';
import type { Job, Load } from './job.ts';
import { Latencies } from './latency.ts';
import { Window } from './window.ts';
import { wireOf } from './wire.ts';

/**
 * Bursts: `connections` clients connect in one iteration of the event loop. Each sends one request, receives its reply and
 * closes. The next burst begins when all are closed. The latency is the time from the SYN to the reply.
 */
export function burst(job: Job): Load {
  const wire = wireOf(job);
  const latencies = new Latencies();
  let next = 0;
  const measure = async (ms: number) => {
    latencies.clear();
    const window = new Window(job.pid, ms);
    const visit = async () => {
      latencies.add(await visitOnce(job, wire, next++, job.closing));
      window.count++;
    };
    do {
      await unlessStalled(Promise.all(Array.from({ length: job.connections }, visit)), () => window.count);
    } while (!window.isOver());
    return window.close(latencies);
  };
  return { measure };
}
