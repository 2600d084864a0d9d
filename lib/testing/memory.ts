import { AsyncResource } from 'node:async_hooks';
import { filter, map, Observable, type SchedulerLike, Subject, throwError } from 'rxjs';
import { TestScheduler } from 'rxjs/testing';
import { type Checks, check, flag, isData, object, share, text, whole } from '../options.ts';
import { cannotAwait } from '../time/virtual.ts';
import type { Address, PortHandler, SocketHandler, Transport, TransportSocket } from '../transport/transport.ts';
import { Later as Works } from './later.ts';
import { type End, type Reader, wire } from './wire.ts';

const clientChecks: Checks = {
  window: whole(0),
  step: share,
  address: object({ address: text, port: whole(0, 65_535) }),
  allowHalfOpen: flag,
};

/** How a client in memory behaves. */
export interface MemoryClientOptions {
  /** Bytes that the network takes from the server while the client does not read. @default 65536 */
  readonly window?: number | undefined;
  /**
   * The share of that which the client reads before the network takes more, as a kernel does: a third on Linux. Until then the
   * server does not see that it reads.
   * @default 0
   */
  readonly step?: number | undefined;
  /** The client's address. @default { address: '127.0.0.1', port: 49152 and up } */
  readonly address?: Address | undefined;
  /** Whether the client goes on after the server's FIN until `end()` is called. Otherwise it answers with its own FIN. @default false */
  readonly allowHalfOpen?: boolean | undefined;
}

/**
 * A network in memory: a {@link Transport} for `listen`, `serve` and `connect`, and clients that a spec plays itself. What happens on one side is seen on
 * the other in a later turn of the scheduler, and never within the call that made it happen: on virtual time a whole server
 * runs in no time, and the same way each time. A `TestScheduler` does all of it in one go, in which no promise is kept: what
 * awaits one is tested with no scheduler handed in, and with the fake timers of the test runner. A handler
 * or a request that returns a promise in the run of a `TestScheduler` makes the run fail.
 */
export class MemoryNetwork {
  readonly #scheduler: SchedulerLike | undefined;
  readonly #works = new Works();
  #port: MemoryPort | undefined;
  #clients = 0;
  /** Sockets of the server, and of those who connect to it, that are not free yet. */
  readonly sockets = new Set<object>();
  /** Whether who connects by the transport is answered. If not he waits, as for a machine that is not there. */
  answers = true;

  /** Set while it is looked whether a `TestScheduler` goes on. */
  #looking = false;

  /** @param scheduler Whose turns it takes. @default microtasks, as long as they do not keep the event loop from going on */
  constructor(scheduler?: SchedulerLike) {
    this.#scheduler = scheduler;
  }

  /** What to give to `listen` or `serve` as their `transport`. It has one port at a time. */
  readonly transport: Transport = {
    listen: (_where, _options, handler) => {
      if (this.#port?.open) {
        this.#later(() =>
          handler.error(Object.assign(new Error('listen EADDRINUSE: address already in use'), { code: 'EADDRINUSE' })),
        );
        return { close() {} };
      }
      const port = { handler, open: true, context: new AsyncResource('SluiceMemoryPort') };
      this.#port = port;
      this.#later(() => port.open && handler.listening({ address: 'memory', port: 0 }));
      return {
        close: () => {
          port.open = false;
        },
      };
    },

    connect: (_where, _options, handler) => {
      let waits = true;
      const context = new AsyncResource('SluiceMemoryConnect');
      this.#later(() => {
        if (!waits || !this.answers) return;
        const port = this.#port;
        if (port?.open) context.runInAsyncScope(() => handler.connected(this.#join(port)));
        else context.runInAsyncScope(() => handler.failed(refused()));
      });
      return {
        cancel: () => {
          waits = false;
        },
      };
    },
  };

  /** Makes a connection with a socket at both ends, and has the server accept the one, if it still listens then. @returns The other. */
  #join(port: MemoryPort): TransportSocket {
    const later: Later = (work) => this.#later(work);
    const free = (gone: object) => this.sockets.delete(gone);
    const [near, far] = wire(later);
    const address = this.#address();
    const client = new MemorySocket(near, HERE, later, free, address);
    const socket = new MemorySocket(far, address, later, free);
    near.reader = socket;
    far.reader = client;
    this.sockets.add(client);
    later(() => {
      if (!port.open) return client.arriveReset();
      this.sockets.add(socket);
      accept(port, socket);
    });
    return client;
  }

  /** Of the next client. */
  #address(): Address {
    return { address: '127.0.0.1', port: 49_152 + (this.#clients++ % 16_384) };
  }

  /** Whether the port is open. */
  get listening(): boolean {
    return this.#port?.open ?? false;
  }

  /** Connects a client; the server sees it in the next turn. If nobody listens by then, it is reset. */
  connect(options: MemoryClientOptions = {}): MemoryClient {
    const checked = check('connect a client', options, clientChecks);
    const { window = 64 * 1024, step = 0, address: peer = this.#address(), allowHalfOpen = false } = checked;
    const client = new MemoryClient((work) => this.#later(work), window, step, allowHalfOpen);
    const scheduler = this.#scheduler;
    const socket = new MemorySocket(
      client,
      peer,
      (work) => this.#later(work),
      (gone) => this.sockets.delete(gone),
      HERE,
      scheduler instanceof TestScheduler ? () => this.#look(scheduler, client, peer) : undefined,
    );
    client.attach(socket);
    this.#later(() => {
      if (!this.#port?.open) return client.lost();
      this.sockets.add(socket);
      accept(this.#port, socket);
    });
    return client;
  }

  #later(work: () => void): void {
    if (this.#scheduler) this.#scheduler.schedule(work, 0);
    else this.#works.push(work);
  }

  /** Looks whether a `TestScheduler` still runs: it does all that is due before the event loop goes on. */
  #look(clock: TestScheduler, client: MemoryClient, { address, port }: Address): void {
    if (this.#looking) return;
    this.#looking = true;
    let ran = false;
    const probe = clock.schedule(() => {
      ran = true;
    }, 0);
    realSetImmediate(() => {
      this.#looking = false;
      // An error in the run unsubscribes whatever is left.
      if (ran || probe.closed) return;
      const error = cannotAwait(`answer ${address}:${port} by a promise after the TestScheduler has run`);
      client.fail(error);
      throwError(() => error).subscribe();
    });
  }
}

/** That of the event loop, also where a test has faked it by then. */
const realSetImmediate = setImmediate;

interface MemoryPort {
  readonly handler: PortHandler;
  open: boolean;
  /** That of `listen`, in which a kernel's sockets are accepted. */
  readonly context: AsyncResource;
}

const accept = ({ context, handler }: MemoryPort, socket: TransportSocket): void =>
  context.runInAsyncScope(() => handler.accepted(socket));

type Later = (work: () => void) => void;

const HERE: Address = { address: 'memory', port: 0 };

const refused = () => Object.assign(new Error('connect ECONNREFUSED memory'), { code: 'ECONNREFUSED' });

/** The client's end. */
export class MemoryClient {
  readonly #later: Later;
  readonly #window: number;
  readonly #allowHalfOpen: boolean;
  /** @internal */
  readonly step: number;
  readonly #chunks: Uint8Array[] = [];
  /** For those who listen to {@link received}. It is not there before one does. */
  #news: Subject<Uint8Array> | undefined;
  /** How many of the chunks it has told. */
  #told = 0;
  #lost: Error | undefined;
  #socket: MemorySocket | undefined;
  #untaken = 0;
  #reads = true;
  /** Whether the server's FIN has come. */
  ended = false;
  /** Whether it was reset. */
  reset = false;

  /** `MemoryNetwork.connect` makes one. */
  constructor(later: Later, window: number, step: number, allowHalfOpen: boolean) {
    this.#later = later;
    this.#window = window;
    this.step = step;
    this.#allowHalfOpen = allowHalfOpen;
  }

  /** Whether the connection is over, in good order or not. */
  get over(): boolean {
    return this.ended || this.reset;
  }

  /** How many bytes have come. */
  get taken(): number {
    return this.#chunks.reduce((sum, chunk) => sum + chunk.length, 0);
  }

  /** All bytes that have come. */
  get bytes(): Uint8Array {
    return Buffer.concat(this.#chunks);
  }

  /** All that has come, as UTF-8. */
  get text(): string {
    return Buffer.concat(this.#chunks).toString();
  }

  /**
   * All that comes, in chunks: first what has come before it is subscribed to. It completes with the server's FIN, and errors
   * with ECONNRESET if the connection is reset.
   */
  get received(): Observable<Uint8Array> {
    return new Observable((to) => {
      this.#news ??= this.#tell();
      for (const chunk of this.#chunks.slice(0, this.#told)) to.next(chunk);
      return this.#news.subscribe(to);
    });
  }

  #tell(): Subject<Uint8Array> {
    const news = new Subject<Uint8Array>();
    this.#told = this.#chunks.length;
    if (this.#lost) news.error(this.#lost);
    else if (this.over) news.complete();
    return news;
  }

  /**
   * Plays a conversation, such as one of marbles: sends what the input emits, a FIN when it completes, and a RST when it errors.
   *
   * ```ts
   * clock.run(({ cold, expectObservable }) => {
   *   const input = cold('  a--b--|', { a: 'hello\n', b: 'bye\n' });
   *   expectObservable(client.play(input)).toBe('a--b--|', { a: 'HELLO\n', b: 'BYE\n' });
   * });
   * ```
   *
   * @param input What the client sends, from the moment on at which the output is subscribed to.
   * @returns What is {@link received}, as UTF-8.
   */
  play(input: Observable<string | Uint8Array>): Observable<string> {
    return new Observable((to) => {
      const decoder = new TextDecoder();
      const output = this.received.pipe(
        map((chunk) => decoder.decode(chunk, { stream: true })),
        filter((text) => text !== ''),
      );
      to.add(output.subscribe(to));
      to.add(
        input.subscribe({
          next: (data) => void this.write(data),
          error: () => void this.break(),
          complete: () => void this.end(),
        }),
      );
    });
  }

  /** Sends. */
  write(data: string | Uint8Array): this {
    const copy = typeof data === 'string' ? Buffer.from(data) : Uint8Array.from(data);
    if (copy.length > 0) this.#later(() => this.#socket?.arrive(copy));
    return this;
  }

  /** Sends a FIN. */
  end(): this {
    this.#later(() => this.#socket?.arriveEnd());
    return this;
  }

  /** Sends a RST. */
  break(): this {
    this.reset = true;
    this.#news?.complete();
    this.#later(() => this.#socket?.arriveReset());
    return this;
  }

  /** Stops reading: the network takes what its window holds, and no more. */
  pause(): this {
    this.#reads = false;
    return this;
  }

  /** Reads on. */
  resume(): this {
    this.#reads = true;
    this.#untaken = 0;
    this.#later(() => this.#socket?.pump());
    this.#answerFin();
    return this;
  }

  /** Reads so many bytes of what the network holds, while it does not read on: a slow reader. */
  readBytes(bytes: number): this {
    this.#untaken = Math.max(0, this.#untaken - bytes);
    const room = this.#window - this.#untaken;
    if (room >= this.step * this.#window) this.#later(() => this.#socket?.pump());
    return this;
  }

  /** @internal Takes as much as there is room for. @returns How much that was. */
  take(chunk: Uint8Array): number {
    if (this.reset) return chunk.length;
    const room = this.#reads ? chunk.length : Math.min(chunk.length, this.#window - this.#untaken);
    if (!this.#reads) this.#untaken += room;
    if (room === 0) return 0;
    // A slice of a Buffer is no copy.
    const copy = Uint8Array.prototype.slice.call(chunk, 0, room);
    this.#chunks.push(copy);
    const news = this.#news;
    if (news)
      this.#later(() => {
        this.#told++;
        news.next(copy);
      });
    return room;
  }

  /** @internal */
  attach(socket: MemorySocket): void {
    this.#socket = socket;
  }

  /** @internal */
  fin(): void {
    if (this.reset) return;
    this.ended = true;
    const news = this.#news;
    if (news) this.#later(() => news.complete());
    this.#answerFin();
  }

  /** One that does not read has not seen it. */
  #answerFin(): void {
    if (this.ended && this.#reads && !this.#allowHalfOpen) this.end();
  }

  /** @internal */
  lost(): void {
    this.reset = true;
    this.#lost = Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET' });
    const news = this.#news;
    if (news) this.#later(() => news.error(this.#lost));
  }

  /** @internal Nothing more can come. */
  fail(error: Error): void {
    this.#lost ??= error;
    this.#news?.error(error);
  }
}

/** The server's end, or that of one who connects by the transport. */
class MemorySocket implements TransportSocket, Reader {
  #handler!: SocketHandler;
  /** Where the handler was set; bytes come in this one, whatever the network's callbacks run for. */
  #context!: AsyncResource;
  readonly local: Address;
  readonly peer: Address;
  readonly descriptor = undefined;
  readonly needsPolling = false;
  readonly alive = undefined;
  readonly borrows = true;
  readonly #other: End;
  readonly #later: Later;
  readonly #free: (socket: MemorySocket) => void;
  readonly #arrived: Uint8Array[] = [];
  readonly #queue: Uint8Array[] = [];
  #sent = 0;
  /** Is told when the server says something. */
  readonly #spoke: (() => void) | undefined;
  #flowing = false;
  #delivering = false;
  #peerEnd: 'no' | 'arrived' | 'seen' = 'no';
  #ending = false;
  #finished = false;
  #over = false;

  constructor(
    other: End,
    peer: Address,
    later: Later,
    free: (socket: MemorySocket) => void,
    local = HERE,
    spoke?: () => void,
  ) {
    this.#other = other;
    this.peer = peer;
    this.local = local;
    this.#later = later;
    this.#free = free;
    this.#spoke = spoke;
  }

  get handler(): SocketHandler {
    return this.#handler;
  }

  set handler(handler: SocketHandler) {
    this.#handler = handler;
    this.#context = new AsyncResource('SluiceMemorySocket');
  }

  get pending(): number {
    return this.#queue.reduce((sum, chunk) => sum + chunk.length, 0);
  }

  get bytesWritten(): number {
    return this.#sent + this.pending;
  }

  get roomStep(): number {
    return this.#other.step ?? 0;
  }

  resume(): void {
    if (this.#flowing) return;
    this.#flowing = true;
    this.#later(() => this.#deliver());
  }

  pause(): void {
    this.#flowing = false;
  }

  write(data: string | Uint8Array | readonly (string | Uint8Array)[]): boolean {
    if (this.#resetUnseen) {
      this.#failWrite('EPIPE');
      return false;
    }
    this.#spoke?.();
    const pieces = isData(data) ? [data] : data;
    const chunk = Buffer.concat(pieces.map((piece) => (typeof piece === 'string' ? Buffer.from(piece) : piece)));
    const taken = this.#queue.length > 0 ? 0 : this.#other.take(chunk);
    this.#sent += taken;
    if (taken < chunk.length) this.#queue.push(chunk.subarray(taken));
    return this.#queue.length === 0;
  }

  end(): void {
    if (this.#ending || this.#resetUnseen) return;
    this.#ending = true;
    this.#spoke?.();
    this.#later(() => this.#finish());
  }

  destroy(): void {
    if (this.#over) return;
    // A kernel says with a RST that something was never read.
    if (this.#arrived.length > 0) return this.reset();
    if (!this.#finished) this.#later(() => this.#other.fin());
    this.#close();
  }

  reset(): void {
    if (this.#over) return;
    this.#later(() => this.#other.lost());
    this.#close();
  }

  arrive(chunk: Uint8Array): void {
    if (this.#peerEnd !== 'no') return;
    // Nobody is there any more who could read it.
    if (this.#over) return this.#other.lost();
    this.#arrived.push(chunk);
    this.#deliver();
  }

  arriveEnd(): void {
    if (this.#over || this.#peerEnd !== 'no') return;
    this.#peerEnd = 'arrived';
    this.#deliver();
  }

  arriveReset(): void {
    if (this.#over) return;
    if (this.#flowing) return this.#breakOff('read ECONNRESET', 'ECONNRESET');
    // A socket that is not read does not notice, unless it writes.
    this.#resetUnseen = true;
    if (this.#queue.length > 0) this.#failWrite('ECONNRESET');
  }

  #failWrite(code: string): void {
    this.#later(() => {
      if (!this.#over) this.handler.writeFailed(Object.assign(new Error(`write ${code}`), { code }));
    });
  }

  #breakOff(message: string, code: string): void {
    if (this.#over) return;
    this.handler.failed(Object.assign(new Error(message), { code }));
    this.#close();
  }

  #resetUnseen = false;

  /** The client reads again. */
  pump(): void {
    if (this.#over || this.#resetUnseen) return;
    const waited = this.#queue.length > 0;
    while (this.#queue.length > 0) {
      const chunk = this.#queue[0] as Uint8Array;
      const taken = this.#other.take(chunk);
      this.#sent += taken;
      if (taken < chunk.length) {
        this.#queue[0] = chunk.subarray(taken);
        return;
      }
      this.#queue.shift();
    }
    if (waited) this.handler.writable();
    this.#finish();
  }

  #deliver(): void {
    if (this.#delivering || this.#over) return;
    this.#delivering = true;
    try {
      while (this.#flowing && !this.#over) {
        const chunk = this.#arrived.shift();
        if (chunk === undefined) break;
        // The buffer is the next read's: whoever kept a view of it now holds garbage.
        const { length } = chunk;
        this.#context.runInAsyncScope(this.#handler.received, this.#handler, chunk);
        chunk.fill(0xaa);
        this.#other.read?.(length);
      }
    } finally {
      this.#delivering = false;
    }
    if (this.#over || !this.#flowing) return;
    if (this.#resetUnseen) {
      this.#breakOff('read ECONNRESET', 'ECONNRESET');
    } else if (this.#arrived.length === 0 && this.#peerEnd === 'arrived') {
      this.#peerEnd = 'seen';
      this.handler.peerEnded();
      this.#closeIfBothEnded();
    }
  }

  #finish(): void {
    if (!this.#ending || this.#finished || this.#over || this.#queue.length > 0) return;
    this.#finished = true;
    this.#other.fin();
    this.handler.finished();
    this.#closeIfBothEnded();
  }

  #closeIfBothEnded(): void {
    if (this.#finished && this.#peerEnd === 'seen') this.#close();
  }

  #close(): void {
    if (this.#over) return;
    this.#over = true;
    this.#later(() => {
      this.#free(this);
      this.handler.freed();
    });
  }
}
