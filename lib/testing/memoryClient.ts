import { filter, map, Observable } from 'rxjs';
import type { Address } from '../transport/transport.ts';
import type { FarEnd, NearEnd } from './link.ts';
import type { Defer } from './microtaskQueue.ts';
import { Received } from './received.ts';

/** How a client in memory behaves. */
export interface MemoryClientOptions {
  /** Bytes that the network takes from the server while the client does not read. @default 65536 */
  readonly window?: number | undefined;
  /**
   * The share of the window that the client reads before the network takes more, as with a kernel: a third on Linux. Until then
   * the server does not see that the client reads.
   * @default 0
   */
  readonly step?: number | undefined;
  /** The client's address. @default { address: '127.0.0.1', port: 49152 and up } */
  readonly address?: Address | undefined;
  /**
   * Whether the client stays open after the server's FIN, until `end()` is called. Otherwise it answers the FIN with its own.
   * @default false
   */
  readonly allowHalfOpen?: boolean | undefined;
}

/** What the network calls on a client. */
export interface ClientEnd extends FarEnd {
  /** Fails `received`: nothing more can be received. */
  fail(error: Error): void;
}

/** What a {@link MemoryClient} is made with. */
export interface MemoryClientSettings {
  readonly defer: Defer;
  readonly window: number;
  readonly step: number;
  readonly allowHalfOpen: boolean;
}

/**
 * A client of a server in memory, which a test controls.
 *
 * @example
 * ```ts
 * const network = new MemoryNetwork();
 * serve({ port: 0 }, (client) => client.pipe(lines(), map(encodeLine)), { transport: network.transport }).subscribe();
 *
 * const client = network.connect().write('hello\n').end();
 * await lastValueFrom(client.received);
 * console.log(client.text.trim());
 * // → hello
 * ```
 */
export class MemoryClient {
  readonly #defer: Defer;
  readonly #window: number;
  readonly #step: number;
  readonly #allowHalfOpen: boolean;
  readonly #received: Received;
  readonly #server: NearEnd;
  /** Bytes in the window that the client has not read. */
  #unread = 0;
  #isReading = true;
  /** Whether the client has received the server's FIN. */
  ended = false;
  /** Whether the connection was reset, by either side. */
  reset = false;

  /**
   * `MemoryNetwork.connect` makes a client.
   *
   * @param connect Called with the client's end of the connection. Returns the server's.
   */
  constructor(connect: (end: ClientEnd) => NearEnd, { defer, window, step, allowHalfOpen }: MemoryClientSettings) {
    this.#defer = defer;
    this.#window = window;
    this.#step = step;
    this.#allowHalfOpen = allowHalfOpen;
    this.#received = new Received(defer);
    this.#server = connect({
      step,
      take: (chunk) => this.#take(chunk),
      fin: () => this.#receiveFin(),
      rst: () => this.#receiveRst(),
      fail: (error) => this.#received.fail(error),
    });
  }

  /** Whether the connection has ended, with a FIN or a RST. */
  get over(): boolean {
    return this.ended || this.reset;
  }

  /** How many bytes the client has received. */
  get taken(): number {
    return this.#received.length;
  }

  /** All bytes that the client has received. */
  get bytes(): Uint8Array {
    return this.#received.bytes;
  }

  /** All bytes that the client has received, as UTF-8. */
  get text(): string {
    return this.#received.bytes.toString();
  }

  /**
   * Everything that the client receives, in chunks: first the chunks that it received before the subscription. It completes with
   * the server's FIN, and errors with ECONNRESET if the server resets the connection.
   */
  get received(): Observable<Uint8Array> {
    return this.#received.chunks;
  }

  /**
   * Plays a conversation, such as one drawn as marbles: sends what the input emits, a FIN when it completes, and a RST when it
   * errors.
   *
   * @example
   * ```ts
   * const clock = new TestScheduler(assert.deepEqual);
   *
   * clock.run(({ cold, expectObservable }) => {
   *   const network = new MemoryNetwork(clock);
   *   const options = { transport: network.transport, scheduler: clock };
   *   serve({ port: 0 }, (client) => client.pipe(lines(), map(encodeLine)), options).subscribe();
   *
   *   const text = { a: 'hello\n', b: 'bye\n' };
   *   expectObservable(network.connect().play(cold('a--b--|', text))).toBe('a--b--|', text);
   * });
   * ```
   *
   * @param input What the client sends. It is subscribed to when the output is.
   * @returns What is {@link received}, as UTF-8.
   */
  play(input: Observable<string | Uint8Array>): Observable<string> {
    return new Observable((subscriber) => {
      const decoder = new TextDecoder();
      const output = this.received.pipe(
        map((chunk) => decoder.decode(chunk, { stream: true })),
        filter((text) => text !== ''),
      );
      subscriber.add(output.subscribe(subscriber));
      subscriber.add(
        input.subscribe({
          next: (data) => void this.write(data),
          error: () => void this.break(),
          complete: () => void this.end(),
        }),
      );
    });
  }

  /** Sends `data`: bytes, or text as UTF-8. */
  write(data: string | Uint8Array): this {
    const copy = typeof data === 'string' ? Buffer.from(data) : Uint8Array.from(data);
    if (copy.length > 0) this.#defer(() => this.#server.arrive(copy));
    return this;
  }

  /** Sends a FIN. */
  end(): this {
    this.#defer(() => this.#server.arriveFin());
    return this;
  }

  /** Sends a RST. */
  break(): this {
    this.reset = true;
    this.#received.stop();
    this.#defer(() => this.#server.arriveRst());
    return this;
  }

  /** Stops reading: the network takes what its window has room for, and no more. */
  pause(): this {
    this.#isReading = false;
    return this;
  }

  /** Reads what the network holds, and continues to read. */
  resume(): this {
    this.#isReading = true;
    this.#unread = 0;
    this.#defer(() => this.#server.pump());
    this.#answerFin();
    return this;
  }

  /** Reads this many bytes of what the network holds, and stays paused: so a test plays a slow reader. */
  readBytes(bytes: number): this {
    this.#unread = Math.max(0, this.#unread - bytes);
    const room = this.#window - this.#unread;
    if (room >= this.#step * this.#window) this.#defer(() => this.#server.pump());
    return this;
  }

  #take(chunk: Uint8Array): number {
    if (this.reset) return chunk.length;
    const taken = this.#isReading ? chunk.length : Math.min(chunk.length, this.#window - this.#unread);
    if (!this.#isReading) this.#unread += taken;
    if (taken === 0) return 0;
    // Not the chunk's own `slice`, because that of a Buffer does not copy.
    this.#received.push(Uint8Array.prototype.slice.call(chunk, 0, taken));
    return taken;
  }

  #receiveFin(): void {
    if (this.reset) return;
    this.ended = true;
    this.#received.complete();
    this.#answerFin();
  }

  /** A paused client has not read the FIN yet, so it answers when it resumes. */
  #answerFin(): void {
    if (this.ended && this.#isReading && !this.#allowHalfOpen) this.end();
  }

  #receiveRst(): void {
    this.reset = true;
    this.#received.error(Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET' }));
  }
}
