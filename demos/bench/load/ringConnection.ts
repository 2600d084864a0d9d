import type { Socket } from 'node:net';
import { dial } from './dial.ts';
import type { Job } from './job.ts';
import type { Latencies } from './latency.ts';
import type { Wire } from './wire.ts';

/** One connection, and its place in the ring of frames. */
export class RingConnection {
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

  /**
   * Connects.
   *
   * @param index Number of the connection. It decides with which frame the connection begins.
   * @param received Called with what each read has returned. What it throws is a fault.
   * @param fail Called on a fault, at any time.
   */
  static open(
    job: Job,
    wire: Wire,
    index: number,
    received: (connection: RingConnection, bytes: Buffer, length: number) => void,
    fail: (error: unknown) => void,
  ): Promise<RingConnection> {
    return new Promise((open) => {
      const socket = dial(job, index, {
        open: () => open(connection),
        read: (bytes, length) => {
          try {
            received(connection, bytes, length);
          } catch (error) {
            fail(error);
          }
        },
        close: () => fail(new Error('The server closed a connection under load')),
        fail,
      });
      const connection = new RingConnection(wire, job.inFlight, index, socket);
    });
  }

  private constructor(wire: Wire, inFlight: number, index: number, socket: Socket) {
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
