import { setTimeout as pause } from 'node:timers/promises';
import { unlessStalled } from './dial.ts';
import { Fault } from './fault.ts';
import type { Job, Load, Sample } from './job.ts';
import { Latencies } from './latency.ts';
import { RingConnection } from './ringConnection.ts';
import { Window } from './window.ts';
import { wireOf } from './wire.ts';

/** How many connections are opened at the same time. */
const atOnce = 100;

/** Held connections: each sends a request a second. The requests of all are spread evenly over the second. */
export async function held(job: Job): Promise<Load> {
  const load = new Held(job);
  await load.open();
  return load;
}

class Held implements Load {
  readonly #job: Job;
  readonly #wire;
  readonly #latencies = new Latencies();
  readonly #connections: RingConnection[] = [];
  readonly #fault = new Fault();
  /** Requests sent and replies received since the start. */
  #requests = 0;
  #replies = 0;

  constructor(job: Job) {
    this.#job = job;
    this.#wire = wireOf(job);
  }

  /** Opens all connections. Each sends one request, because only a reply shows that the server has accepted the connection. */
  open(): Promise<void> {
    let next = 0;
    const opener = async () => {
      while (next < this.#job.connections) {
        const connection = await RingConnection.open(this.#job, this.#wire, next++, this.#read, this.#fault.report);
        this.#connections.push(connection);
        this.#send(connection, performance.now());
      }
    };
    const openers = Promise.all(Array.from({ length: atOnce }, opener));
    return this.#unlessFaulty(openers.then(() => this.#repliesToAll()));
  }

  /** Takes whole seconds, at least one, so that each connection sends the same number of requests. */
  async measure(ms: number): Promise<Sample> {
    const seconds = Math.max(1, Math.round(ms / 1000));
    const count = seconds * this.#connections.length;
    this.#latencies.clear();
    const window = new Window(this.#job.pid, seconds * 1000);
    await this.#unlessFaulty(this.#spread(count));
    window.count = count;
    const sample = window.close(this.#latencies);
    return { ...sample, busy: (sample.figure * (sample.rate ?? 0)) / 1000 };
  }

  /** Sends `count` requests at an even rate, and waits for the replies. */
  async #spread(count: number): Promise<void> {
    const perMillisecond = this.#connections.length / 1000;
    const start = performance.now();
    for (let sent = 0; sent < count; await pause(1)) {
      const now = performance.now();
      const due = Math.min(count, Math.ceil((now - start) * perMillisecond));
      for (; sent < due; sent++) {
        const connection = this.#connections[sent % this.#connections.length];
        // The rate falls if a server needs more than a second for a reply.
        if (!connection?.isIdle) break;
        this.#send(connection, now);
      }
    }
    await this.#repliesToAll();
  }

  #send(connection: RingConnection, now: number): void {
    this.#requests++;
    connection.send(1, now);
  }

  readonly #read = (connection: RingConnection, bytes: Buffer, length: number): void => {
    this.#replies += connection.read(bytes, length, performance.now(), this.#latencies);
  };

  async #repliesToAll(): Promise<void> {
    while (this.#replies < this.#requests) await pause(1);
  }

  #unlessFaulty(work: Promise<void>): Promise<void> {
    return unlessStalled(Promise.race([work, this.#fault.promise]), () => this.#replies);
  }
}
