import { once } from 'node:events';
import type { Socket } from 'node:net';
import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls';
import { percentiles } from './measure.ts';

const HOST = '127.0.0.1';

/** How long a client waits for anything, in milliseconds. */
const PATIENCE = 20_000;

/** A client whose handshake is complete. */
export async function secured(options: ConnectionOptions): Promise<TLSSocket> {
  const socket = connect({ host: HOST, ...options });
  // The socket of an option has its own setting.
  if (options.socket === undefined) socket.setNoDelay(true);
  await once(socket, 'secureConnect', { signal: AbortSignal.timeout(PATIENCE) });
  return socket.on('error', () => undefined);
}

/** A new connection with one request, which then ends in good order. @returns Milliseconds from the connect to the reply. */
export async function visit(options: ConnectionOptions, look?: (socket: TLSSocket) => void): Promise<number> {
  const begun = performance.now();
  const signal = AbortSignal.timeout(PATIENCE);
  const socket = connect({ host: HOST, ...options }).setNoDelay(true);
  const closed = once(socket, 'close', { signal });
  closed.catch(() => undefined);
  socket.write('ping\n');
  await Promise.race([once(socket, 'data', { signal }), closed.then(() => Promise.reject(new Error('closed')))]);
  const took = performance.now() - begun;
  look?.(socket);
  socket.end();
  await closed;
  return took;
}

/** Clients that come one after the other, each at its time, whether or not the ones before are done. */
export class Visitors {
  readonly times: number[] = [];
  /** Those that were not served, and when that was known. */
  readonly errors: { readonly what: string; readonly at: number }[] = [];
  readonly #timer: NodeJS.Timeout;
  readonly #under = new Set<Promise<void>>();

  constructor(options: ConnectionOptions, every: number) {
    this.#timer = setInterval(() => {
      const one = visit(options)
        .then(
          (took) => void this.times.push(took),
          (error) => void this.errors.push({ what: String(error), at: performance.now() }),
        )
        .finally(() => this.#under.delete(one));
      this.#under.add(one);
    }, every);
  }

  /** Stops, and waits for those that are under way. */
  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await Promise.all(this.#under);
  }
}

/**
 * A client that sends requests at fixed times, whether or not the replies before have come. The time of a reply counts from the
 * time at which its request was due. So a stall delays each request within it, and not only one.
 */
export class Pace {
  readonly times: number[] = [];
  /** Whether the connection was closed before it was stopped. */
  isLost = false;
  readonly #socket: Socket;
  readonly #every: number;
  readonly #due: number[] = [];
  readonly #timer: NodeJS.Timeout;
  #next: number;

  constructor(socket: Socket, every: number) {
    this.#socket = socket;
    this.#every = every;
    this.#next = performance.now() + every * Math.random();
    this.#timer = setInterval(() => this.#send(), every / 4);
    socket.on('data', (chunk: Buffer) => {
      const now = performance.now();
      for (const byte of chunk) if (byte === 10) this.times.push(now - (this.#due.shift() ?? Number.NaN));
    });
    socket.on('close', () => {
      this.isLost = true;
      clearInterval(this.#timer);
    });
  }

  #send(): void {
    for (const now = performance.now(); this.#next <= now; this.#next += this.#every) {
      this.#due.push(this.#next);
      this.#socket.write('ping\n');
    }
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#socket.removeAllListeners('close').destroy();
  }
}

/** Some clients that send requests at fixed times over connections that are secured before. */
export class Paces {
  readonly #all: readonly Pace[];

  private constructor(all: readonly Pace[]) {
    this.#all = all;
  }

  static async start(options: ConnectionOptions, count: number, every: number): Promise<Paces> {
    const sockets = await Promise.all(Array.from({ length: count }, () => secured(options)));
    return new Paces(sockets.map((socket) => new Pace(socket, every)));
  }

  /** The times since the last call. */
  take(): ReturnType<typeof percentiles> & { readonly count: number } {
    const times = this.#all.flatMap((one) => one.times.splice(0));
    return { ...percentiles(times), count: times.length };
  }

  /** How many connections were closed. */
  get lost(): number {
    return this.#all.filter(({ isLost }) => isLost).length;
  }

  stop(): void {
    for (const one of this.#all) one.stop();
  }
}
