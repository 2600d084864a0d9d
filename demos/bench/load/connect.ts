import type { Socket } from 'node:net';
import { type Target, unlessStalled } from './dial.ts';
import type { Closing, Job, Load } from './job.ts';
import { Latencies } from './latency.ts';
import { once } from './once.ts';
import { Window } from './window.ts';
import { type Wire, wireOf } from './wire.ts';

/** What the client does after the reply. A server that closes first needs no help; if it does not close, the load stalls. */
const closings: Record<Closing, (socket: Socket) => void> = {
  client: (socket) => socket.end(),
  server: () => undefined,
  reset: (socket) => socket.resetAndDestroy(),
};

/**
 * Short connections: connect, one request, its reply, close; `connections` of them at a time. A connection counts once the
 * client knows that it is closed, and its latency is the time from the connect until then.
 */
export function connects(job: Job): Load {
  const wire = wireOf(job);
  const latencies = new Latencies();
  let next = 0;
  const measure = async (ms: number) => {
    latencies.clear();
    const window = new Window(job.pid, ms);
    const visit = async (closing: Closing) => {
      const since = performance.now();
      await visitOnce(job, wire, next++, closing);
      latencies.add(performance.now() - since);
      window.count++;
    };
    const repeat = async () => {
      while (!window.isOver()) await visit(job.closing);
    };
    await unlessStalled(Promise.all(Array.from({ length: job.connections }, repeat)), () => next);
    // Nothing tells the client when the server has read a RST. It has read all once it answers one more connection.
    if (job.closing === 'reset') await unlessStalled(visit('client'), () => next);
    return window.close(latencies);
  };
  return { measure };
}

/**
 * Connects, sends the request with number `index`, receives its reply, and closes. Resolved with the latency of the reply,
 * once the client knows that the connection is closed.
 */
export function visitOnce(target: Target, wire: Wire, index: number, closing: Closing): Promise<number> {
  return new Promise((resolve, reject) => {
    let latency = 0;
    const closed = (error: Error | undefined) => (error === undefined ? resolve(latency) : reject(error));
    once(target, wire, index, closed).then((answered) => {
      latency = answered.latency;
      closings[closing](answered.socket);
    }, reject);
  });
}
