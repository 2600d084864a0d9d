import type { Socket } from 'node:net';
import { dial, unlessStalled } from './dial.ts';
import type { Job, Sample } from './job.ts';
import { Latencies } from './latency.ts';
import { once } from './once.ts';
import { Window } from './window.ts';
import { type Wire, wireOf } from './wire.ts';

/**
 * Request and reply: every connection keeps exactly `inFlight` requests under way. Each reply frees one request;
 * all that one read has freed leave in one write.
 */
export async function turns(job: Job): Promise<Sample> {
  const wire = wireOf(job);
  if (wire.before !== undefined) (await once(job.port, wire.before, 0, () => {})).destroy();
  const latencies = new Latencies();
  const window = new Window(job);
  let replies = 0;
  const measured = new Promise<Sample>((resolve, reject) => {
    const sockets: Socket[] = [];
    const onReplies = (count: number, now: number) => {
      replies += count;
      if (!window.add(count, now) || window.span === undefined) return false;
      for (const socket of sockets) socket.destroy();
      const { count: counted, cpu, wall } = window.span;
      resolve({
        figure: cpu / counted,
        count: counted,
        rate: (counted / wall) * 1000,
        p50: latencies.percentile(0.5),
        p99: latencies.percentile(0.99),
      });
      return true;
    };
    for (let index = 0; index < job.connections; index++) {
      const turn = new Turn(wire, job.inFlight, index);
      sockets.push(
        dial(job.port, index, {
          open: (socket) => turn.start(socket),
          read: (bytes, length, socket) => {
            try {
              turn.read(bytes, length, socket, window.measuring ? latencies : undefined, onReplies);
            } catch (error) {
              reject(error);
            }
          },
          close: () => window.span ?? reject(new Error('The server closed a connection under load')),
          fail: reject,
        }),
      );
    }
  });
  return unlessStalled(measured, () => replies);
}

/** Where one connection stands in the ring of frames. */
class Turn {
  readonly #wire: Wire;
  readonly #inFlight: number;
  /** When each request in flight left, in the order of the replies. */
  readonly #sent: Float64Array;
  /** Requests sent and replies received, counted from the frame this connection began with. */
  #requests: number;
  #replies: number;
  /** Bytes of the next reply that are in already. */
  #partial = 0;

  constructor(wire: Wire, inFlight: number, index: number) {
    this.#wire = wire;
    this.#inFlight = inFlight;
    this.#sent = new Float64Array(inFlight);
    this.#requests = (index * 5) % wire.frames;
    this.#replies = this.#requests;
  }

  start(socket: Socket): void {
    this.#send(this.#inFlight, socket, performance.now());
  }

  read(
    bytes: Buffer,
    length: number,
    socket: Socket,
    latencies: Latencies | undefined,
    onReplies: (count: number, now: number) => boolean,
  ): void {
    const { replies, replySize, frames } = this.#wire;
    const due = (this.#replies % frames) * replySize + this.#partial;
    // A connection never has more in flight than a ring holds, so what is due never leaves the doubled ring.
    if (this.#partial + length > (this.#requests - this.#replies) * replySize) {
      throw new Error('Wrong reply: more bytes than were asked for');
    }
    if (bytes.compare(replies, due, due + length, 0, length) !== 0) {
      throw new Error(`Wrong reply: ${JSON.stringify(bytes.toString('latin1', 0, Math.min(length, 160)))}`);
    }
    const whole = Math.floor((this.#partial + length) / replySize);
    this.#partial = (this.#partial + length) % replySize;
    if (whole === 0) return;
    const now = performance.now();
    if (latencies !== undefined) {
      for (let reply = 0; reply < whole; reply++) {
        latencies.add(now - (this.#sent[(this.#replies + reply) % this.#inFlight] ?? now));
      }
    }
    this.#replies += whole;
    if (!onReplies(whole, now)) this.#send(whole, socket, now);
  }

  #send(count: number, socket: Socket, now: number): void {
    const { requests, requestSize, frames } = this.#wire;
    const from = (this.#requests % frames) * requestSize;
    for (let request = 0; request < count; request++) this.#sent[(this.#requests + request) % this.#inFlight] = now;
    this.#requests += count;
    socket.write(requests.subarray(from, from + count * requestSize));
  }
}
