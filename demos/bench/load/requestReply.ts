import type { Socket } from 'node:net';
import { dial, unlessStalled } from './dial.ts';
import type { Job, Load, Sample } from './job.ts';
import { Latencies } from './latency.ts';
import { once } from './once.ts';
import { Window } from './window.ts';
import { type Wire, wireOf } from './wire.ts';

/**
 * Request and reply: every connection keeps exactly `inFlight` requests in flight. Each reply is followed by a new request; all
 * new requests after one read are sent in one write.
 */
export async function requestReply(job: Job): Promise<Load> {
  const wire = wireOf(job);
  if (wire.before !== undefined) (await once(job.port, wire.before, 0, () => {})).destroy();
  const load = new RequestReply(job, wire);
  await load.connected;
  return load;
}

class RequestReply implements Load {
  readonly connected: Promise<unknown>;
  readonly #job: Job;
  readonly #latencies = new Latencies();
  readonly #connections: RingConnection[] = [];
  /** Rejected on the first fault, at any time. The measurement that runs then, or the next one, fails with it. */
  readonly #fault: Promise<never>;
  #window: Window | undefined;
  /** Connections with requests in flight. */
  #busy = 0;
  #rest = () => {};

  constructor(job: Job, wire: Wire) {
    this.#job = job;
    let fail: (error: unknown) => void = () => {};
    this.#fault = new Promise((_, reject) => {
      fail = reject;
    });
    this.#fault.catch(() => undefined);
    const opening = Array.from({ length: job.connections }, (_, index) => {
      return new Promise<void>((open) => {
        const read = (bytes: Buffer, length: number) => {
          try {
            this.#read(connection, bytes, length);
          } catch (error) {
            fail(error);
          }
        };
        const close = () => fail(new Error('The server closed a connection under load'));
        const connection = new RingConnection(
          wire,
          job.inFlight,
          index,
          dial(job.port, index, { open: () => open(), read, close, fail }),
        );
        this.#connections.push(connection);
      });
    });
    this.connected = Promise.race([Promise.all(opening), this.#fault]);
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
    await unlessStalled(Promise.race([rested, this.#fault]), () => window.count);
    this.#window = undefined;
    return window.close(this.#latencies);
  }

  #read(connection: RingConnection, bytes: Buffer, length: number): void {
    const window = this.#window;
    if (window === undefined) throw new Error('Wrong reply: there was no request');
    const now = performance.now();
    const replies = connection.read(bytes, length, now, this.#latencies);
    if (replies === 0) return;
    window.count += replies;
    if (!window.isOver(now)) connection.send(replies, now);
    else if (connection.isIdle && --this.#busy === 0) this.#rest();
  }
}

/** One connection, and its place in the ring of frames. */
class RingConnection {
  readonly #wire: Wire;
  readonly #inFlight: number;
  readonly #socket: Socket;
  /** When each request in flight was sent, in the order of the replies. */
  readonly #sent: Float64Array;
  /** Requests sent and replies received, counted from the first frame of this connection. */
  #requests: number;
  #replies: number;
  /** Bytes of the next reply that have arrived. */
  #partial = 0;

  constructor(wire: Wire, inFlight: number, index: number, socket: Socket) {
    this.#wire = wire;
    this.#inFlight = inFlight;
    this.#socket = socket;
    this.#sent = new Float64Array(inFlight);
    this.#requests = (index * 5) % wire.frames;
    this.#replies = this.#requests;
  }

  /** Whether all replies have arrived. */
  get isIdle(): boolean {
    return this.#requests === this.#replies;
  }

  /** Checks received bytes. @returns The number of replies that end in them. */
  read(bytes: Buffer, length: number, now: number, latencies: Latencies): number {
    const { replies, replySize, frames } = this.#wire;
    const due = (this.#replies % frames) * replySize + this.#partial;
    // Fewer requests are in flight than the ring has frames, so the replies that are due are contiguous in the doubled ring.
    if (this.#partial + length > (this.#requests - this.#replies) * replySize) {
      throw new Error('Wrong reply: more bytes than the requests call for');
    }
    if (bytes.compare(replies, due, due + length, 0, length) !== 0) {
      throw new Error(`Wrong reply: ${JSON.stringify(bytes.toString('latin1', 0, Math.min(length, 160)))}`);
    }
    const whole = Math.floor((this.#partial + length) / replySize);
    this.#partial = (this.#partial + length) % replySize;
    for (let reply = 0; reply < whole; reply++) {
      latencies.add(now - (this.#sent[(this.#replies + reply) % this.#inFlight] ?? now));
    }
    this.#replies += whole;
    return whole;
  }

  send(count: number, now: number): void {
    const { requests, requestSize, frames } = this.#wire;
    const from = (this.#requests % frames) * requestSize;
    for (let request = 0; request < count; request++) this.#sent[(this.#requests + request) % this.#inFlight] = now;
    this.#requests += count;
    this.#socket.write(requests.subarray(from, from + count * requestSize));
  }
}
