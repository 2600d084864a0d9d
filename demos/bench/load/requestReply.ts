import { unlessStalled } from './dial.ts';
import { Fault } from './fault.ts';
import type { Job, Load, Sample } from './job.ts';
import { Latencies } from './latency.ts';
import { once } from './once.ts';
import { RingConnection } from './ringConnection.ts';
import { Window } from './window.ts';
import { type Wire, wireOf } from './wire.ts';

/**
 * Request and reply: every connection keeps exactly `inFlight` requests in flight. Each reply is followed by a new request; all
 * new requests after one read are sent in one write.
 */
export async function requestReply(job: Job): Promise<Load> {
  const wire = wireOf(job);
  if (wire.before !== undefined) (await once(job, wire.before, 0, () => {})).socket.destroy();
  const load = new RequestReply(job, wire);
  await load.connected;
  return load;
}

class RequestReply implements Load {
  readonly connected: Promise<unknown>;
  readonly #job: Job;
  readonly #latencies = new Latencies();
  readonly #connections: RingConnection[] = [];
  readonly #fault = new Fault();
  #window: Window | undefined;
  /** Connections with requests in flight. */
  #busy = 0;
  #rest = () => {};

  constructor(job: Job, wire: Wire) {
    this.#job = job;
    const opening = Array.from({ length: job.connections }, async (_, index) => {
      this.#connections.push(await RingConnection.open(job, wire, index, this.#read, this.#fault.report));
    });
    this.connected = Promise.race([Promise.all(opening), this.#fault.promise]);
  }

  async measure(ms: number): Promise<Sample> {
    const window = new Window(this.#job.pid, ms);
    this.#latencies.clear();
    this.#window = window;
    const rested = new Promise<void>((resolve) => {
      this.#rest = resolve;
    });
    this.#busy = this.#connections.length;
    for (const connection of this.#connections) connection.send(this.#job.inFlight, performance.now());
    await unlessStalled(Promise.race([rested, this.#fault.promise]), () => window.count);
    this.#window = undefined;
    return window.close(this.#latencies);
  }

  readonly #read = (connection: RingConnection, bytes: Buffer, length: number): void => {
    const window = this.#window;
    if (window === undefined) throw new Error('Wrong reply: there was no request');
    const now = performance.now();
    const replies = connection.read(bytes, length, now, this.#latencies);
    if (replies === 0) return;
    window.count += replies;
    if (!window.isOver(now)) connection.send(replies, now);
    else if (connection.isIdle && --this.#busy === 0) this.#rest();
  };
}
