import { unlessStalled } from './dial.ts';
import type { Job, Load } from './job.ts';
import { Latencies } from './latency.ts';
import { once } from './once.ts';
import { Window } from './window.ts';
import { wireOf } from './wire.ts';

/**
 * Short connections: connect, one request, its reply, close; `connections` of them at a time. A connection counts once both
 * sides have closed it, and its latency is the time from the connect until then.
 */
export function connects(job: Job): Load {
  const wire = wireOf(job);
  const latencies = new Latencies();
  let next = 0;
  const connectOnce = () =>
    new Promise<void>((closed, fail) => {
      once(job.port, wire, next++, closed).then((socket) => socket.end(), fail);
    });
  const measure = async (ms: number) => {
    latencies.clear();
    const window = new Window(job.pid, ms);
    const repeat = async () => {
      while (!window.isOver()) {
        const since = performance.now();
        await connectOnce();
        latencies.add(performance.now() - since);
        window.count++;
      }
    };
    await unlessStalled(Promise.all(Array.from({ length: job.connections }, repeat)), () => next);
    return window.close(latencies);
  };
  return { measure };
}
